"""The ASE calculator that every code is reached through: a fresh calculation for every structure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ase_mlsample.references.failures import ReferenceFailure, classify
from ase_mlsample.references.scratch import Scratch
from ase_mlsample.references.settings import Accuracy, k_grid, require_elements
from ase_mlsample.references.structures import check_elements, check_structure, described, plain

__all__ = ["CodeCalculator", "Common", "PlaneWaveCalculator", "common_settings"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all codes are told.

    Attributes
    ----------
    elements : that structures may have; any where None.
    command : program with its arguments, such as ``mpirun -np 4 pw.x``.
    scratch : where files are.
    smallest_distance : Å; structures with closer atoms are refused.
    spin : initial magnetic moments in μB by element; no spin polarisation where None.
    """

    elements: tuple[str, ...] | None = None
    command: str | None = None
    scratch: Scratch = field(default_factory=Scratch)
    smallest_distance: float | None = None
    spin: Mapping[str, float] | None = None


def common_settings(
    *,
    elements: Sequence[str] | None,
    command: str | None,
    scratch: str | Path | None,
    keep_failed: str | Path | None,
    smallest_distance: float | None,
    spin: Mapping[str, float] | None = None,
) -> Common:
    """Plain values of a configuration, checked.

    Raises
    ------
    ValueError
        Elements that do not exist, or a distance that is negative.
    """
    if smallest_distance is not None and not smallest_distance >= 0:
        raise ValueError(f"smallest_distance = {smallest_distance} Å must not be negative")
    place = Scratch(
        None if scratch is None else Path(scratch).expanduser().resolve(),
        None if keep_failed is None else Path(keep_failed).expanduser().resolve(),
    )
    return Common(
        elements=require_elements(elements),
        command=command,
        scratch=place,
        smallest_distance=smallest_distance,
        spin=None if spin is None else dict(spin),
    )


class CodeCalculator(Calculator):  # type: ignore[misc]
    """A reference code behind ASE's contract; subclasses write `compute`.

    One instance takes structures of any size and species one after the other: each is computed from nothing,
    in a folder of its own, with energy, forces and stress in one go. It holds plain values only, so it can be
    copied and pickled. ``energy`` and ``free_energy`` are both the force-consistent energy.
    """

    code: ClassVar[str]
    repeats_cell: ClassVar[bool] = True
    implemented_properties: Sequence[str] = ("energy", "free_energy", "forces", "stress")

    def __init__(self, common: Common) -> None:
        super().__init__()
        self.common = common

    @abstractmethod
    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """Energy (eV, force-consistent), forces (N, 3) and stress (6,) or None of a checked structure.

        Raises
        ------
        ReferenceFailure
            With the code's own words. Other exceptions are passed to `explain`.
        """

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:  # noqa: ARG002
        """Failure to report for an exception that `compute` did not translate."""
        return ReferenceFailure(f"{self.code}, {about}: {type(error).__name__}: {error}")

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute all properties of a structure.

        Raises
        ------
        ReferenceFailure
            Of the class that tells what can be done; lack of memory, disk or time as the system reports it.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        common = self.common
        work = plain(self.atoms, periodic=self.repeats_cell, spin=common.spin)
        check_structure(work, smallest_distance=common.smallest_distance, needs_cell=self.repeats_cell)
        check_elements(work, common.elements, code=self.code, what="elements")
        with common.scratch.folder(
            f"{self.code.split()[-1].lower()}-{work.get_chemical_formula()}"
        ) as folder:
            self.results = self._labels(work, folder)

    def _labels(self, work: Atoms, folder: Path) -> dict[str, Any]:
        try:
            found = self.compute(work, folder)
        except ReferenceFailure:
            raise
        except Exception as error:
            if classify(error) == "resource":
                raise
            raise self.explain(error, folder, described(work)) from error
        energy = float(found["energy"])
        labels = {"energy": energy, "free_energy": energy, "forces": found["forces"]}
        stress = found.get("stress")
        return labels if stress is None else {**labels, "stress": stress}


class PlaneWaveCalculator(CodeCalculator):
    """A code with a cutoff, k-points and smearing."""

    def __init__(self, common: Common, accuracy: Accuracy) -> None:
        super().__init__(common)
        self.accuracy = accuracy

    def grid(self, atoms: Atoms) -> tuple[int, int, int]:
        """Γ-centred grid of k-points of a structure; one along directions without periodicity."""
        pbc = atoms.pbc if self.atoms is None else self.atoms.pbc
        return k_grid(atoms.cell.array, self.accuracy.k_spacing, pbc)
