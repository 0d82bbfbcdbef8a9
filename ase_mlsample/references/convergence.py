"""How far labels are from converged, measured on structures of one's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray

__all__ = [
    "AXES",
    "AxisStudy",
    "Point",
    "Tolerances",
    "convergence_study",
    "default_values",
    "formatted",
]

Array = NDArray[np.float64]
# finer is larger for the cutoff, smaller for the others
AXES = {"cutoff": "eV", "k_spacing": "1/Å", "smearing_width": "eV"}
_FACTORS = {
    "cutoff": (0.7, 0.85, 1.0, 1.25, 1.6),
    "k_spacing": (2.0, 1.5, 1.0, 0.75, 0.5),
    "smearing_width": (4.0, 2.0, 1.0, 0.5, 0.25),
}


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How much a label may differ from the finest of its axis.

    Attributes
    ----------
    energy : meV/atom; largest deviation over the structures, after the mean over them is removed where there
        are several: an offset that all structures share is learned as the energy of the atoms.
    forces : meV/Å, root mean square over components.
    stress : GPa, root mean square over components.
    """

    energy: float = 1.0
    forces: float = 10.0
    stress: float = 0.1

    def __post_init__(self) -> None:
        for name in ("energy", "forces", "stress"):
            if not getattr(self, name) > 0:
                raise ValueError(f"the tolerance of {name}, {getattr(self, name)}, must be positive")


@dataclass(frozen=True, slots=True)
class Point:
    """Labels at one value, against those of the finest.

    Attributes
    ----------
    value : of the setting.
    offset : meV/atom, mean deviation of the energy over the structures.
    energy : meV/atom, largest deviation of the energy: without the offset where there are several structures.
    forces : meV/Å, root mean square.
    stress : GPa, root mean square; None where the code has none.
    seconds : mean cost of a label.
    """

    value: float
    offset: float
    energy: float
    forces: float
    stress: float | None
    seconds: float

    def within(self, tolerances: Tolerances) -> bool:
        """Whether labels at this value are good enough."""
        stress = self.stress is None or self.stress <= tolerances.stress
        return self.energy <= tolerances.energy and self.forces <= tolerances.forces and stress


@dataclass(frozen=True, slots=True)
class AxisStudy:
    """One setting from coarse to fine.

    Attributes
    ----------
    name : "cutoff", "k_spacing" or "smearing_width".
    points : the last is the finest, with deviations of zero.
    recommended : coarsest value that meets the tolerances with all finer ones; None if only the finest does.
    """

    name: str
    points: tuple[Point, ...]
    recommended: float | None = None


@dataclass(frozen=True, slots=True)
class _Labels:
    energies: Array
    forces: Array
    stresses: Array | None
    seconds: float = field(compare=False)


def default_values(name: str, around: float) -> tuple[float, ...]:
    """Five values of a setting from coarse to fine, about the one that is in use."""
    if around == 0:
        return (0.2, 0.1, 0.05, 0.025)
    return tuple(float(f"{factor * around:.3g}") for factor in _FACTORS[name])


def convergence_study(
    make: Callable[..., Any],
    settings: Mapping[str, Any],
    frames: Sequence[Atoms],
    axes: Mapping[str, Sequence[float]],
    *,
    tolerances: Tolerances | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[AxisStudy]:
    """Label structures while one setting after the other goes from coarse to fine.

    Parameters
    ----------
    make : factory of the reference, which takes ``settings`` and the names of the axes as keywords.
    settings : everything else stays as it is here, also while another axis is varied.
    frames : structures; a few that are unlike each other, the smallest cells and the shortest bonds among
        them.
    axes : values of each setting; two or more.
    tolerances : for the recommendation.
    progress : called with a line of text for each value.

    Returns
    -------
    list of AxisStudy
        In the order of the axes.

    Raises
    ------
    ValueError
        No structures, an unknown setting, or fewer than two values.
    ReferenceFailure
        A label fails: a study with holes would mislead.
    """
    limits = tolerances or Tolerances()
    if not frames:
        raise ValueError("a convergence study needs at least one structure")
    studies = []
    for name, given in axes.items():
        if name not in AXES:
            raise ValueError(f"{name!r} is not one of {', '.join(AXES)}")
        values = sorted(set(map(float, given)), reverse=name != "cutoff")
        if len(values) < 2:
            raise ValueError(f"{name}: a study needs two values or more, not {values}")
        labels = []
        for value in values:
            labels.append(_labels(make(**{**settings, name: value}), frames))
            if progress is not None:
                progress(f"{name} = {value:g} {AXES[name]}: {labels[-1].seconds:.1f} s a label")
        sizes = np.array([len(atoms) for atoms in frames])
        points = tuple(
            _point(value, label, labels[-1], sizes) for value, label in zip(values, labels, strict=True)
        )
        studies.append(AxisStudy(name, points, _recommended(points, limits)))
    return studies


def _labels(calculator: Any, frames: Sequence[Atoms]) -> _Labels:
    has = calculator.implemented_properties
    with_stress = "stress" in has and all(atoms.cell.rank == 3 for atoms in frames)
    energies, forces, stresses = [], [], []
    began = time.monotonic()
    for frame in frames:
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy(force_consistent="free_energy" in has))
        forces.append(np.array(atoms.get_forces()))
        if with_stress:
            stresses.append(np.array(atoms.get_stress()))
    seconds = (time.monotonic() - began) / len(frames)
    return _Labels(
        np.array(energies), np.concatenate(forces), np.array(stresses) if with_stress else None, seconds
    )


def _point(value: float, labels: _Labels, finest: _Labels, sizes: NDArray[np.int_]) -> Point:
    deviations = 1000 * (labels.energies - finest.energies) / sizes
    offset = float(deviations.mean())
    own = deviations - offset if len(deviations) > 1 else deviations
    stress = None
    if labels.stresses is not None and finest.stresses is not None:
        stress = _rms(labels.stresses - finest.stresses) / GPa
    return Point(
        value=value,
        offset=offset,
        energy=float(np.abs(own).max()),
        forces=1000 * _rms(labels.forces - finest.forces),
        stress=stress,
        seconds=labels.seconds,
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _recommended(points: Sequence[Point], tolerances: Tolerances) -> float | None:
    """Coarsest value from which on all are within; the finest, exact by definition, does not count."""
    found = None
    for point in reversed(points[:-1]):
        if not point.within(tolerances):
            break
        found = point.value
    return found


def formatted(studies: Sequence[AxisStudy], tolerances: Tolerances) -> str:
    """Table of a study and what it recommends, as text."""
    lines = []
    for study in studies:
        unit = AXES[study.name]
        title = f"{study.name} ({unit})"
        lines += ["", f"{title:>22}  energy meV/atom  offset  forces meV/Å  stress GPa  s/label"]
        for point in study.points:
            stress = "      -" if point.stress is None else f"{point.stress:7.3f}"
            mark = " <" if point.value == study.recommended else ""
            lines.append(
                f"{point.value:>22g}  {point.energy:15.2f}  {point.offset:6.1f}  {point.forces:12.1f}  "
                f"   {stress}  {point.seconds:7.1f}{mark}"
            )
        lines.append(_verdict(study, tolerances))
    return "\n".join(lines[1:])


def _verdict(study: AxisStudy, tolerances: Tolerances) -> str:
    limits = f"{tolerances.energy:g} meV/atom, {tolerances.forces:g} meV/Å, {tolerances.stress:g} GPa"
    unit = AXES[study.name]
    if study.recommended is not None:
        return f"  {study.name}: {study.recommended:g} {unit} is within {limits} of the finest"
    coarser, finest = list(pairwise(study.points))[-1]
    return (
        f"  {study.name}: even {coarser.value:g} {unit} is not within {limits} of {finest.value:g}; "
        "study finer values"
    )
