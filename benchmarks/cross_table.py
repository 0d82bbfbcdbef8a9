"""What must an ensemble have seen? Crystals alone, random structures alone, or both, tested on both.

    python benchmarks/cross_table.py   # silicon and aluminium, under 10 minutes on two cores
    python benchmarks/cross_table.py --reference Si --seeds 1 --n 200 --epochs 60

Silicon is labelled by the Stillinger–Weber potential, aluminium by ASE's EMT. Crystals are the reference's
low-energy phases with volumes of 0.9 to 1.1, strains up to 5 % and displacements up to 0.25 Å (RMS). Random
structures are one half disorder and one half random space groups, at densities far above and below the
crystals'. All three ensembles learn from the same number of structures: "both" has n/2 of either kind.
Structures with a force above the limit are neither learned from nor tested on, as in the active loop. The
held-out structures come from the same samplers and other random numbers.

Printed are medians over seeds beside the numbers of the ANI metals talk (J. S. Smith, Los Alamos; tin, DFT).
Exit status 1 unless the order is the talk's for every element, by energy errors:
  1. crystals alone are at least 10 times worse on random structures than on crystals,
  2. and there at least twice as bad as both;
  3. random structures alone are worse than both on crystals;
  4. both are within 1.5 times the best of the three on either test.
Results are kept in --directory; run again, it goes on.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from labelled_errors import errors

TESTS = ("crystals", "random")
# meV/atom on held-out (crystals, random structures) of what was trained on crystals, random structures, both
TALK = {"crystals": (3.6, 250.0), "random": (13.7, 5.9), "both": (4.4, 5.1)}
FAR, APART, NEAR = 10.0, 2.0, 1.5

Table = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Reference:
    """An element, its low-energy phases and where else its structures lie."""

    symbol: str
    volumes: Mapping[str, float]  # Å³ per atom of each phase at zero pressure
    density: tuple[float, float]  # g/cm³, of random structures
    max_force: float  # eV/Å
    cutoffs: tuple[float, float]  # Å, radial and angular

    def calculator(self) -> Any:
        """What labels the structures."""
        if self.symbol == "Si":
            from ase_mlsample.calculators import StillingerWeber

            return StillingerWeber()
        from ase.calculators.emt import EMT

        return EMT()

    def samplers(self, kind: str) -> list[Any]:
        """Samplers of a kind, to be drawn from in equal parts."""
        from ase_mlsample.samplers import PerturbedCrystal, RandomDisorder, RandomSpaceGroup, Rattle, Strain

        sizes = (4, 16)
        if kind == "crystals":
            crystals = PerturbedCrystal(
                list(self.volumes),
                symbol=self.symbol,
                volume_per_atom=self.volumes,
                n_atoms=sizes,
                volume=(0.9, 1.1),
                strain=0.05,
                rattle=(0.0, 0.25 / np.sqrt(3)),  # of each component
            )
            return [crystals]
        groups = RandomSpaceGroup(self.symbol, n_atoms=sizes, density=self.density)
        return [
            RandomDisorder(self.symbol, n_atoms=sizes, density=self.density),
            groups | Strain(0.05) | Rattle((0.0, 0.1)),
        ]


# densities of two thirds to 1.4 or 1.5 times the crystal's
REFERENCES = {
    "Si": Reference("Si", {"diamond": 20.0, "beta-tin": 17.2}, (1.5, 3.2), 16.0, (5.0, 3.8)),
    "Al": Reference("Al", {"fcc": 15.9, "hcp": 15.4, "bcc": 15.2}, (1.8, 4.05), 15.0, (6.0, 4.5)),
}


def structures(reference: Reference, kind: str, n: int, seed: int) -> list[Atoms]:
    """The first n labelled structures of a kind whose forces keep to the limit."""
    from ase_mlsample.validation.held_out import labelled

    calculator = reference.calculator()

    def stream(number: int, sampler: Any) -> Iterator[Atoms]:
        rng = np.random.default_rng([seed, TESTS.index(kind), number])
        while True:
            for atoms in sampler.sample(16, rng):
                frame = labelled(atoms, calculator)
                if np.linalg.norm(frame.arrays["REF_forces"], axis=1).max() <= reference.max_force:
                    yield frame

    streams = [stream(number, sampler) for number, sampler in enumerate(reference.samplers(kind))]
    return [next(streams[k % len(streams)]) for k in range(n)]


def measure(name: str, seed: int, args: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Errors of what was trained on each set, on each test, for one reference and seed."""
    from ase_mlsample._files import write_atomic

    files = {row: directory / f"{name}-{row}-seed{seed}.json" for row in TALK}
    if not all(file.exists() for file in files.values()):
        reference, half = REFERENCES[name], args.n // 2
        crystals, random = (structures(reference, kind, args.n, seed) for kind in TESTS)
        tests = {kind: structures(reference, kind, args.n_test, 10_000) for kind in TESTS}
        sets = (crystals, random, [*crystals[:half], *random[: args.n - half]])
        for frames, file in zip(sets, files.values(), strict=True):
            if not file.exists():
                calculator = trained(reference, frames, seed, args, file.with_suffix(""))
                found = {kind: errors(calculator, test) for kind, test in tests.items()}
                write_atomic(file, json.dumps(found, indent=1).encode())
    return {row: json.loads(file.read_text()) for row, file in files.items()}


def trained(
    reference: Reference, frames: list[Atoms], seed: int, args: argparse.Namespace, folder: Path
) -> Any:
    """An ensemble that learned from the frames."""
    from ase_mlsample.training import AEVSettings, Dataset, ModelSettings, TrainingSettings, train_ensemble

    radial, angular = reference.cutoffs
    return train_ensemble(
        Dataset(frames),
        model=ModelSettings(
            members=args.members, aev=AEVSettings(radial_cutoff=radial, angular_cutoff=angular)
        ),
        settings=TrainingSettings(
            epochs=args.epochs, validation_folds=1, energy_weight=20, relative_forces=4.0
        ),
        rng=np.random.default_rng([seed, 7]),
        directory=folder,
        progress=False,
    ).calculator


def same_order(energy: Table) -> bool:
    """Print the statements about energy errors, ours and the talk's; whether all hold for ours."""

    def ratios(table: Table) -> list[float]:
        best = [min(row[k] for row in table.values()) for k in range(2)]
        (own, far), (strange, _), both = table["crystals"], table["random"], table["both"]
        return [
            far / own,
            far / both[1],
            strange / both[0],
            max(b / least for b, least in zip(both, best, strict=True)),
        ]

    ours, talk = ratios(energy), ratios(TALK)
    statements = (
        (f"crystals alone: on random over on crystals, ≥ {FAR:g}", ours[0] >= FAR),
        (f"crystals alone over both, on random, ≥ {APART:g}", ours[1] >= APART),
        ("random alone over both, on crystals, > 1", ours[2] > 1),
        (f"both over the best, the worse of the tests, ≤ {NEAR:g}", ours[3] <= NEAR),
    )
    for (text, good), mine, theirs in zip(statements, ours, talk, strict=True):
        print(f"  {text:<54}{mine:>7.2f}   talk {theirs:>6.2f}   {'held' if good else 'MISSED'}")
    return all(good for _, good in statements)


def report(name: str, tables: list[dict[str, Any]], n: int) -> bool:
    """Print the medians over seeds; whether the order is the talk's."""

    def medians(quantity: str) -> dict[str, tuple[float, float]]:
        found = np.median([[[t[row][k][quantity] for k in TESTS] for row in TALK] for t in tables], axis=0)
        return {row: (float(a), float(b)) for row, (a, b) in zip(TALK, found, strict=True)}

    columns = [medians("energy"), TALK, medians("force"), medians("relative")]
    titles = ("energy, meV/atom", "talk (Sn), meV/atom", "force RMSE, eV/Å", "force RMSE/RMS")
    print(f"\n{name}: {n} structures each, medians of {len(tables)} seeds, held-out crystals and random")
    print(f"{'trained on':<11}" + "".join(f"{title:>21}" for title in titles))
    print(f"{'':<11}" + f"{'crystals':>13}{'random':>8}" * len(titles))
    for row in TALK:
        numbers = [f"{x:.{digits}f}" for c, digits in zip(columns, (1, 1, 3, 3), strict=True) for x in c[row]]
        print(
            f"{row:<11}" + "".join(f"{a:>13}{b:>8}" for a, b in zip(numbers[::2], numbers[1::2], strict=True))
        )
    return same_order(columns[0])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", choices=[*REFERENCES, "both"], default="both")
    parser.add_argument("--n", type=int, default=800, help="structures that an ensemble learns from")
    parser.add_argument("--n-test", type=int, default=200, help="held-out structures of either kind")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--directory", type=Path, default=Path("runs/cross_table"))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they start
    names = list(REFERENCES) if args.reference == "both" else [args.reference]
    directory = args.directory / f"n{args.n}-e{args.epochs}-m{args.members}-t{args.n_test}"
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            name: [pool.submit(measure, name, seed, args, directory) for seed in args.seeds] for name in names
        }
        good = [report(name, [job.result() for job in jobs[name]], args.n) for name in names]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
