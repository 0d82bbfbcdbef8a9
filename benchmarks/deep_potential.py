"""An ensemble of Deep Potentials on the CPU: ours and deepmd-kit's compressed models, in µs an atom.

Silicon, rattled diamond and liquid; four models of 6 Å, embedding 20-40-80, axis 16, fitting 80-80-80, single
precision. Columns: energy + forces + stress of the mean (neighbours included), the same with all members'
forces and their disagreement, a whole step of ASE's VelocityVerlet that reads energy and stress too, and that
step with all members' forces. Everything moves along straight paths at 300 K, there and back, so that
neighbour lists age as they do in dynamics. Rows are measured in turns; figures are medians.

deepmd-kit: "forces" and "step" are those of one model through its evaluator and its ASE calculator, "members"
is its `calc_model_devi` of four; "four models" is four times the first two. With it, ours are its own four
models, converted, and the two must agree before they are timed.

    python benchmarks/deep_potential.py --deepmd-python /path/to/its/python --deepmd-backend tf
    python benchmarks/deep_potential.py --atoms 216 --structures diamond --threads 1 --cpu-time
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
import torch
from ani_cases import Call, ThereAndBack, set_threads, silicon, step_call
from ase import Atoms
from deepmd_process import DeepMD
from stopwatch import Stopwatch, machine

import ase_mlsample
from ase_mlsample.calculators import DeepPotentialEnsemble
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters

COLUMNS = ("forces", "members", "step", "member step")
MODELS = 4
#: Four models with their disagreement against deepmd-kit's four evaluations.
FASTER = 4.0


class Case(NamedTuple):
    """A structure and a number of threads."""

    kind: str
    atoms: int
    threads: int


def random_ensemble() -> DeepPotentialEnsemble:
    """Weights as they are drawn before a training: neither they nor the statistics change the cost."""
    rng = np.random.default_rng(0)
    p = DeepPotentialParameters(symbols=("Si",), sel={"Si": 80}, cutoff=6.0, switch_start=3.0)

    def layers(*sizes: int, timesteps: bool) -> DenseLayers:
        shapes = [(b, a) for a, b in pairwise(sizes)]
        return DenseLayers(
            tuple(rng.normal(size=(MODELS, *s)) / np.sqrt(sum(s)) for s in shapes),
            tuple(rng.normal(size=(MODELS, b)) for b, _ in shapes),
            tuple(rng.normal(0.1, 0.001, (MODELS, b)) if timesteps and b == a else None for b, a in shapes),
        )

    one = np.ones((MODELS, 1))
    model = DeepPotentialModel(
        parameters=p,
        embeddings=(layers(1, *p.embedding, timesteps=False),),
        fittings=(layers(p.length, *p.fitting, 1, timesteps=True),),
        mean=0.06 * one,
        std_radial=0.1 * one,
        std_angular=0.08 * one,
        self_energies={"Si": 0.0},
    )
    return DeepPotentialEnsemble(model)


def our_calls(calculator: DeepPotentialEnsemble, atoms: Atoms) -> dict[str, Call]:
    """By column of the table."""
    path = ThereAndBack(atoms)
    return {
        "forces": lambda: calculator.evaluate(path()),
        "members": lambda: calculator.evaluate(path(), members=True),
        "step": step_call(atoms, DeepPotentialEnsemble(calculator.model)),
        "member step": step_call(atoms, DeepPotentialEnsemble(calculator.model, with_spread=True)),
    }


def agreement(ours: DeepPotentialEnsemble, atoms: Atoms, theirs: dict[str, Any]) -> str:
    """Ours and deepmd-kit's first model must say the same."""
    found = ours.evaluate(atoms, members=True)
    if found.member_energies is None or found.member_forces is None:
        raise RuntimeError("an evaluation with members has their energies and forces")
    energy = abs(found.member_energies[0] - np.ravel(theirs["energy"])[0]) / len(atoms)
    forces = np.array(theirs["forces"])
    force = np.abs(found.member_forces[0] - forces).max() / np.abs(forces).max()
    if energy > 1e-5 or force > 1e-3:
        raise SystemExit(f"deepmd-kit: off by {energy:.1e} eV/atom and forces {force:.1e}")
    return f"# deepmd-kit: energies agree to {energy:.0e} eV/atom, forces to {force:.0e} of the largest"


def measure_structure(
    watch: Stopwatch, options: argparse.Namespace, cases: list[Case], peers: dict[int, DeepMD]
) -> None:
    """All rows of the cases, which differ by their threads only, in turns."""
    kind, n_atoms, _ = cases[0]
    atoms = silicon(kind, n_atoms)
    theirs = [peer.structure(atoms) for peer in peers.values()]
    if theirs:
        files = [options.deepmd_models / f"model{k}.dp" for k in range(MODELS)]
        calculator = DeepPotentialEnsemble.convert_deepmd(files)
        print(agreement(calculator, atoms, theirs[0]), flush=True)
    else:
        calculator = random_ensemble()
    calls = our_calls(calculator, atoms)
    for case in cases * options.repeats:
        set_threads(case.threads)
        for column in COLUMNS:
            watch.measure(case, "ours", column, calls[column])
            if case.threads in peers and column in DeepMD.columns:
                watch.ask(case, peers[case.threads], column)


def table(watch: Stopwatch, case: Case) -> Iterator[str]:
    """Lines, a row each and the peer's ratios to ours."""
    head = f"{case.kind} {case.atoms}, {case.threads} thread{'s' * (case.threads > 1)}"
    yield f"{head:34}" + "".join(f"{column:>14}" for column in COLUMNS)
    ours, one = (
        np.array([watch.per_atom(case, row, column) for column in COLUMNS]) for row in ("ours", "deepmd-kit")
    )
    rows = {"ours, four models": ours}
    if not np.isnan(one).all():
        forces, members, step, _ = one
        four = np.array([4 * forces, max(members, 4 * forces), 4 * step, 4 * step])
        rows |= {"deepmd-kit, one model": one, "  four models": four, "    / ours": four / ours}
    for name, cells in rows.items():
        yield f"  {name:32}" + "".join(f"{cell:14.2f}" if cell > 0 else f"{'-':>14}" for cell in cells)


def verdicts(watch: Stopwatch, cases: list[Case]) -> Iterator[tuple[bool, str]]:
    """What was wanted: (held, line)."""
    for case in cases:
        ours = watch.per_atom(case, "ours", "members")
        ratio = MODELS * watch.per_atom(case, "deepmd-kit", "forces") / ours
        name = f"{case.kind} {case.atoms}, {case.threads} threads"
        if ratio > 0:
            line = f"energy, forces, stress and disagreement {ratio:.1f} x faster than deepmd-kit's four"
            yield ratio >= FASTER, f"{name}: {line} evaluations ({FASTER:.0f})"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--atoms", type=int, nargs="+", default=[216, 1000, 4096])
    parser.add_argument("--structures", nargs="+", choices=["diamond", "liquid"], default=["diamond"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--block", type=float, default=0.3, help="seconds of calls to a measurement")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread, for busy machines")
    parser.add_argument("--deepmd-python", type=Path, help="a Python with deepmd-kit")
    parser.add_argument("--deepmd-backend", choices=["pt", "tf"], default="pt", help="its library")
    parser.add_argument("--deepmd-models", type=Path, help="folder for its models (default: a temporary one)")
    options = parser.parse_args()
    if options.cpu_time and options.threads != [1]:
        parser.error("--cpu-time counts one thread: add --threads 1")
    return options


def main() -> None:
    options = parse()
    torch.set_num_interop_threads(1)
    print(machine({"ase-mlsample": ase_mlsample, "numpy": np, "ase": ase}), flush=True)
    watch = Stopwatch(options.block, cpu=options.cpu_time)
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as folder:
        options.deepmd_models = (options.deepmd_models or Path(folder)).resolve()
        peers: dict[int, DeepMD] = {}
        if options.deepmd_python is None:
            print("# deepmd-kit: left out (give --deepmd-python, a Python with deepmd-kit)")
        else:
            peers = {
                threads: DeepMD(
                    options.deepmd_python,
                    options.deepmd_models,
                    backend=options.deepmd_backend,
                    threads=threads,
                )
                for threads in options.threads
            }
        for kind in options.structures:
            for n_atoms in options.atoms:
                now = [Case(kind, n_atoms, threads) for threads in options.threads]
                measure_structure(watch, options, now, peers)
                for case in now:
                    print("\n".join(table(watch, case)), flush=True)
                cases += now
        for peer in peers.values():
            print(f"# deepmd-kit {peer.version}, {options.deepmd_backend}")
            break
    results = [*verdicts(watch, cases)]
    for held, line in results:
        print(f"{'held  ' if held else 'MISSED'}  {line}")
    if not all(held for held, _ in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
