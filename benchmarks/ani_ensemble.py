"""An ensemble of ANI networks on the CPU: ours, TorchANI's calculator and deepmd-kit, in µs an atom.

Silicon, rattled diamond and liquid, the AEV of ANI-Al (7.0/5.0 Å, 32 radial, 8x4 and 8x8 angular), 8 members
96-96-64-1, single precision. Columns: the neighbour list, the AEVs of a list at hand, energy + mean forces +
stress (neighbours included), the same with all members' forces, a whole step of ASE's VelocityVerlet that
reads energy and stress too, and that step with all members' forces. "products" are the matrix products of all
members' networks, forward and back, in torch. Everything moves along straight paths at 300 K, there and back,
so that neighbour lists age as they do in dynamics. Rows are measured in turns; figures are medians.

TorchANI: its inference model with the neighbour list and kind of stress that is fastest for the structure,
one evaluation a step; "members" is `members_forces`. deepmd-kit: compressed se_e2_a models; "forces" and
"step" are those of one model, "members" is its `calc_model_devi` of four (see `deepmd_peer.py`).

    python benchmarks/ani_ensemble.py --deepmd-python /path/to/its/python      # everything, an hour
    python benchmarks/ani_ensemble.py --atoms 216 --sections 4 --structures diamond --repeats 3
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
import torch
import torchani
from ani_cases import ensemble, our_calls, product_call, set_threads, silicon
from ani_peers import fastest_torchani
from deepmd_process import DeepMD
from stopwatch import Stopwatch, machine

import ase_mlsample

COLUMNS = ("neighbours", "aev", "forces", "members", "step", "member step")
#: Whole step against TorchANI's: wanted and least.
FASTER = {216: (12, 10), 1000: (20, 16), 4096: (20, 16)}
Verdict = tuple[bool, str]


class Case(NamedTuple):
    """A structure, a descriptor and a number of threads."""

    sections: int
    kind: str
    atoms: int
    threads: int

    @property
    def name(self) -> str:
        """For verdicts."""
        return f"{self.kind} {self.atoms}, 8x{self.sections}"


def measure_structure(
    watch: Stopwatch, options: argparse.Namespace, cases: list[Case], deepmd: DeepMD | None
) -> None:
    """All rows of the cases, which differ by their threads only, in turns."""
    sections, kind, n_atoms, _ = cases[0]
    calculator, atoms = ensemble(sections), silicon(kind, n_atoms)
    rows = {
        "ours": our_calls(calculator, atoms),
        "products": {"forces": product_call(calculator, n_atoms)},
    }
    if n_atoms <= options.peers_up_to:
        set_threads(max(options.threads))
        peer, members = fastest_torchani(calculator, atoms), n_atoms <= options.members_up_to
        print(f"# {peer.agreement(calculator, atoms, members=members)}", flush=True)
        rows["TorchANI"] = peer.calls(atoms, members=members)
    if deepmd is not None:
        deepmd.structure(atoms)
    for case in cases * options.repeats:
        set_threads(case.threads)
        for column in COLUMNS:
            for row, calls in rows.items():
                if column in calls:
                    watch.measure(case, row, column, calls[column])
            if deepmd is not None and column in deepmd.columns:
                watch.ask(case, deepmd, column)


def table(watch: Stopwatch, case: Case) -> Iterator[str]:
    """Lines, a row each and the peers' ratios to ours."""
    head = f"{case.name}, {case.threads} thread{'s' * (case.threads > 1)}"
    yield f"{head:34}" + "".join(f"{column:>12}" for column in COLUMNS)
    ours = np.array([watch.per_atom(case, "ours", column) for column in COLUMNS])
    for row in ("ours", "products", "TorchANI", "deepmd-kit"):
        cells = np.array([watch.per_atom(case, row, column) for column in COLUMNS])
        if np.isnan(cells).all():
            continue
        yield f"  {row:32}" + "".join(f"{cell:12.2f}" if cell > 0 else f"{'-':>12}" for cell in cells)
        if row not in {"ours", "products"}:
            yield f"  {'  / ours':32}" + "".join(
                f"{ratio:11.1f}x" if ratio > 0 else f"{'-':>12}" for ratio in cells / ours
            )


def speed_verdicts(watch: Stopwatch, case: Case) -> Iterator[Verdict]:
    """Of one structure, at the most threads."""
    ours, members = watch.per_atom(case, "ours", "step"), watch.per_atom(case, "ours", "member step")
    ratio = watch.per_atom(case, "TorchANI", "step") / ours
    wanted, least = FASTER.get(case.atoms, (0, 0))
    if wanted and ratio > 0:
        yield ratio >= least, f"step {ratio:.1f} x faster than TorchANI's (wanted {wanted}, least {least})"
    ratio = watch.per_atom(case, "TorchANI", "members") / members
    if case.atoms in {216, 1000} and ratio > 0:
        yield ratio >= 40, f"step with all members' forces {ratio:.1f} x faster than members_forces (40)"
    limit = {216: 3.5}.get(case.atoms, 2.2)
    ratio = ours / watch.per_atom(case, "products", "forces")
    if 216 <= case.atoms <= 4096:
        yield ratio <= limit, f"step {ratio:.2f} x the matrix products (at most {limit})"
        yield members <= 1.6 * ours, f"step with all members' forces {members / ours:.2f} steps (at most 1.6)"
    ratio = watch.per_atom(case._replace(threads=1), "ours", "step") / ours
    if case.atoms == 1000 and case.threads == 2 and ratio > 0:
        yield ratio >= 1.7, f"step on two threads {ratio:.2f} x faster than on one (1.7)"


def verdicts(watch: Stopwatch, cases: list[Case]) -> Iterator[Verdict]:
    """What was wanted: (held, line)."""
    most = [case for case in cases if case.threads == max(c.threads for c in cases)]
    for case in most:
        for held, line in speed_verdicts(watch, case):
            yield held, f"{case.name}: {line}"
    for sections, kind in sorted({case[:2] for case in most}):
        same = [case for case in most if case[:2] == (sections, kind) and case.atoms >= 216]
        costs = [watch.per_atom(case, "ours", "step") for case in same]
        if len(same) > 1:
            spread, sizes = 100 * (max(costs) / min(costs) - 1), [case.atoms for case in same]
            line = f"cost an atom within {spread:.0f} % from {min(sizes)} to {max(sizes)} atoms (20)"
            yield spread <= 20, f"{kind}, 8x{sections}: {line}"


def memory_verdict(n_atoms: int) -> Verdict:
    """Peak of a process of its own."""
    script = Path(__file__).with_name("ani_cases.py")
    run = subprocess.run([sys.executable, script, str(n_atoms)], check=True, capture_output=True, text=True)
    peak = float(run.stdout)
    return peak < 2.0, f"{n_atoms} atoms, all members' forces: {peak:.2f} GiB at the most (2)"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ["diamond", "liquid"]
    parser.add_argument("--atoms", type=int, nargs="+", default=[64, 216, 1000, 4096, 32768])
    parser.add_argument("--structures", nargs="+", default=kinds, choices=kinds)
    parser.add_argument("--sections", type=int, nargs="+", default=[4, 8], help="angular sections")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--block", type=float, default=0.3, help="seconds of calls to a measurement")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread, for busy machines")
    parser.add_argument("--peers-up-to", type=int, default=4096, help="atoms; 0 leaves them out")
    parser.add_argument("--members-up-to", type=int, default=1000, help="atoms, TorchANI's members_forces")
    parser.add_argument("--deepmd-python", type=Path, help="a Python with deepmd-kit")
    parser.add_argument("--deepmd-models", type=Path, help="folder for its models (default: a temporary one)")
    parser.add_argument("--memory", type=int, default=32768, help="atoms of the memory check, 0 for none")
    options = parser.parse_args()
    if options.cpu_time and options.threads != [1]:
        parser.error("--cpu-time counts one thread: add --threads 1")
    return options


def main() -> None:
    options = parse()
    torch.set_num_interop_threads(1)
    modules = {"ase-mlsample": ase_mlsample, "torch": torch, "torchani": torchani, "numpy": np, "ase": ase}
    print(machine(modules), flush=True)
    watch = Stopwatch(options.block, cpu=options.cpu_time)
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as folder:
        deepmd = None
        if options.deepmd_python is None:
            print("# deepmd-kit: left out (give --deepmd-python, a Python with deepmd-kit[torch])")
        else:
            deepmd = DeepMD(options.deepmd_python, (options.deepmd_models or Path(folder)).resolve())
        for sections in options.sections:
            for kind in options.structures:
                for n_atoms in options.atoms:
                    # its descriptor is its own: once is enough
                    asked = n_atoms <= options.peers_up_to and sections == options.sections[0]
                    now = [Case(sections, kind, n_atoms, threads) for threads in options.threads]
                    measure_structure(watch, options, now, deepmd if asked else None)
                    for case in now:
                        print("\n".join(table(watch, case)), flush=True)
                    cases += now
    results = [*verdicts(watch, cases)] + ([memory_verdict(options.memory)] if options.memory else [])
    for held, line in results:
        print(f"{'held  ' if held else 'MISSED'}  {line}")
    if deepmd is not None:
        print(f"# deepmd-kit {deepmd.version}")
    if not all(held for held, _ in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
