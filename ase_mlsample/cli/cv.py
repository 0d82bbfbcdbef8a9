"""Collective variables along a trajectory, written beside its frames for the ASE GUI.

A variable is an expression of names of ase_mlsample.cvs, or "module:factory" of your own. Each frame's
info gets `cv` (the values, in the order given) and `cv_names`; quantities of every atom become arrays
by which the GUI colours. --crystal adds `crystallinity` (1 in the crystal given, about 0.2 in its liquid),
the number of crystalline atoms, their clusters (`cluster`: 1 is the largest, 0 none) and its size.
The crystal must be turned as its copy in the trajectory is.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

    from ase_mlsample.cvs import CollectiveVariable, PerAtomVariable
    from ase_mlsample.cvs.pooling import Pooled

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample cv md.extxyz --cv 'Distance(0, 1) - Distance(1, 2)' --cv 'Dihedral(0, 1, 2, 3)' --plot cv.png
mlsample cv freezing.traj --crystal Si:diamond:5.431 --cv 'StructureFactor(q=1.96).mean()'
mlsample cv md.extxyz --cv my_variables:contact -o out.extxyz
mlsample view freezing.cv.extxyz --color crystallinity"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("trajectory", type=Path, help="a file of structures that ASE reads")
    parser.add_argument(
        "--cv", action="append", default=[], metavar="EXPRESSION", help="a variable; may be given often"
    )
    parser.add_argument(
        "--crystal",
        metavar="SYMBOL:STRUCTURE:A",
        help="crystallinity and clusters; or a file with the crystal",
    )
    parser.add_argument("--sigma", type=float, help="crystallinity: width in Å (0.17 of the bond length)")
    parser.add_argument("--threshold", type=float, default=0.5, help="of crystalline atoms (0.5)")
    parser.add_argument(
        "--bond", type=float, metavar="Å", help="longest bond inside a cluster (between the crystal's shells)"
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame (1)")
    parser.add_argument(
        "--wrap", action="store_true", help="write atoms that diffused away back inside the cell, to look at"
    )
    parser.add_argument("-o", "--output", type=Path, help="(TRAJECTORY.cv.extxyz)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="values by frame as png, pdf or svg")


def run(args: Namespace) -> int:
    """Annotate frame by frame, write them and print a summary."""
    output = args.output or args.trajectory.with_suffix(".cv.extxyz")
    _check(args, output)
    annotator = _Annotator(args)
    _write(annotator, args, output)
    print(f"{output}: {len(annotator.values())} frames of {args.trajectory}")
    _print_summary(annotator.names, annotator.values())
    for name in annotator.arrays:
        print(f"mlsample view {output} --color {name}")
    if args.plot is not None:
        _plot(args.plot, annotator.names, annotator.values(), args.every)
        print(f"{args.plot}: values by frame")
    return 0


def _write(annotator: _Annotator, args: Namespace, output: Path) -> None:
    """Write one frame after another, so that a long trajectory need not fit into memory."""
    from ase.io import iread, write
    from rich.progress import track

    from ase_mlsample._files import replacing

    frames = annotator.annotated(iread(args.trajectory, index=f"::{args.every}"))
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as file:
        for atoms in track(frames, description="frames", transient=True):
            if args.wrap:
                atoms.wrap()
                if atoms.calc is not None:
                    atoms.calc.atoms = atoms.copy()  # its energy and forces are still those of these atoms
            text = StringIO()
            write(text, atoms, format="extxyz")
            file.write(text.getvalue().encode())
        if not len(annotator.values()):
            raise ValueError(f"{args.trajectory} holds no structures")


def _check(args: Namespace, output: Path) -> None:
    if not args.trajectory.is_file():
        raise FileNotFoundError(f"there is no trajectory {args.trajectory}")
    if not args.cv and args.crystal is None:
        raise ValueError("no variable is asked for; --cv 'Distance(0, 1)' or --crystal Si:diamond:5.431")
    if args.every < 1:
        raise ValueError(f"--every {args.every}: at least 1")
    if output.resolve() == args.trajectory.resolve():
        raise ValueError(f"--output {output} is the trajectory itself")
    if output.exists() and not args.overwrite:
        raise ValueError(f"{output} exists; --overwrite replaces it, --output names another")
    if args.plot is not None and args.plot.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--plot {args.plot}: a file name that ends on .png, .pdf or .svg is meant")


class _Annotator:
    """Evaluates the variables of a command line on frame after frame."""

    def __init__(self, args: Namespace) -> None:
        from ase_mlsample.cvs import PerAtomVariable
        from ase_mlsample.cvs.expressions import make_cv

        self.variables: list[tuple[CollectiveVariable, str | None]] = []
        self.names: list[str] = []
        self.arrays: dict[str, Any] = {}  # names, and of what
        self.crystal = None if args.crystal is None else _Crystal(args)
        self._every, self._rows = args.every, list[list[float]]()
        for text in args.cv:
            made = make_cv(text)
            self._take(made.mean() if isinstance(made, PerAtomVariable) else made)
        if self.crystal is not None:
            self._add(self.crystal.names)
            self.crystal.array = self._array(self.crystal.similarity)
            self.arrays["cluster"] = None

    def annotated(self, frames: Any) -> Iterator[Atoms]:
        """Frames with the values in info and arrays."""
        import numpy as np

        for number, atoms in enumerate(frames):
            row: list[float] = []
            try:
                for variable, array in self.variables:
                    found = variable.evaluate(atoms)
                    row += found.value.tolist()
                    if array is not None and found.per_atom is not None:
                        atoms.arrays[array] = found.per_atom.copy()
                if self.crystal is not None:
                    row += self.crystal.annotate(atoms)
            except ValueError as error:
                raise ValueError(f"frame {self._every * number} of the trajectory: {error}") from error
            self._rows.append(row)
            atoms.info["cv"] = np.array(row) if len(row) > 1 else row[0]
            atoms.info["cv_names"] = " ".join(self.names)
            yield atoms

    def values(self) -> NDArray[np.float64]:
        """Values so far, (frames, components)."""
        import numpy as np

        return np.array(self._rows)

    def _take(self, variable: CollectiveVariable) -> None:
        from ase_mlsample.cvs.pooling import Pooled

        array = self._array(variable.variable) if isinstance(variable, Pooled) else None
        self.variables.append((variable, array))
        self._add(variable.names)

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            twice = sum(known.split("#")[0] == name for known in self.names)
            self.names.append(f"{name}#{twice + 1}" if twice else name)

    def _array(self, variable: PerAtomVariable) -> str:
        """Name of the array for a quantity of every atom, which no other quantity has."""
        name, number, described = variable.name, 1, variable.todict()
        while self.arrays.setdefault(name, described) != described:
            number += 1
            name = f"{variable.name}_{number}"
        return name


class _Crystal:
    """Crystallinity of the atoms, and what is made of it, from one evaluation a frame."""

    names = ("crystallinity_mean", "crystalline", "largest_cluster")
    array = "crystallinity"

    def __init__(self, args: Namespace) -> None:
        from ase_mlsample.cvs.expressions import crystal, crystallinity, shell_midpoint

        self.similarity: PerAtomVariable = crystallinity(args.crystal, sigma=args.sigma)
        self.count: Pooled = self.similarity.count(args.threshold)
        self.threshold = args.threshold
        self.bond = shell_midpoint(crystal(args.crystal)) if args.bond is None else args.bond

    def annotate(self, atoms: Atoms) -> list[float]:
        """Set the arrays of the atoms, and give the values."""
        from ase_mlsample.analysis.clusters import find_clusters

        values = self.similarity.values(atoms)
        atoms.arrays[self.array] = values
        clusters = find_clusters(atoms, values, cutoff=self.bond, threshold=self.threshold)
        clusters.annotate(atoms)
        return [float(values.mean()), self.count.pool(values)[0], float(clusters.largest)]


def _print_summary(names: list[str], values: NDArray[np.float64]) -> None:
    width = max(10, *(len(name) for name in names))
    print(f"  {'':<{width}} {'mean':>12} {'std':>12} {'lowest':>12} {'highest':>12} {'last':>12}")
    for name, column in zip(names, values.T, strict=True):
        numbers = (column.mean(), column.std(), column.min(), column.max(), column[-1])
        print(f"  {name:<{width}} " + " ".join(f"{number:12.5g}" for number in numbers))


def _plot(path: Path, names: list[str], values: NDArray[np.float64], every: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ase_mlsample.report.style import as_text, colour

    figure = Figure(figsize=(6.4, 1.0 + 1.5 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    frames = [every * number for number in range(len(values))]
    for number, (ax, name) in enumerate(zip(rows, names, strict=True)):
        ax.plot(frames, values[:, number], color=colour(number), linewidth=1.0)
        ax.set_ylabel(as_text(name))
        ax.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel("frame")
    figure.savefig(path, dpi=150)
