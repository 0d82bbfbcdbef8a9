"""Formation energies of vacancies and interstitials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.samplers.transforms import near_cubic_repeats
from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
from ase_mlsample.validation.relaxation import relaxed, relaxed_crystal

__all__ = ["DEFECTS", "point_defects"]

FloatArray = NDArray[np.float64]
#: Of a supercell and the cubic edge (Å), the supercell with a defect.
Maker = Callable[[Atoms, float], Atoms]


#: How far the neighbours of a vacancy are brought towards it in one of two starts, in bonds.
_INWARD = 0.15


def _without(atoms: Atoms, indices: Sequence[int]) -> Atoms:
    changed = atoms.copy()
    changed.info["holes"] = atoms.positions[list(indices)]
    del changed[sorted(int(index) for index in indices)]
    return changed


def _inward(atoms: Atoms) -> Atoms:
    """Bring the neighbours of holes nearer to them, as where broken bonds join in pairs."""
    changed = atoms.copy()
    for hole in atoms.info["holes"]:
        probe = atoms + Atoms("X", positions=[hole])
        near, vectors = _bonds(probe, len(atoms))
        changed.positions[near] -= _INWARD * vectors
    return changed


def _central(atoms: Atoms) -> int:
    """The atom next to the middle of the cell."""
    middle = atoms.cell.array.sum(axis=0) / 2
    return int(np.argmin(np.linalg.norm(atoms.positions - middle, axis=1)))


def _bonds(atoms: Atoms, index: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Nearest neighbours of an atom and the vectors to them."""
    others = np.delete(np.arange(len(atoms)), index)
    vectors = atoms.get_distances(index, others, mic=True, vector=True)
    distances = np.linalg.norm(vectors, axis=1)
    near = distances < 1.05 * distances.min()
    return others[near], vectors[near]


def _vacancy(atoms: Atoms, edge: float) -> Atoms:  # noqa: ARG001 (all makers have one signature)
    return _without(atoms, [_central(atoms)])


def _divacancy(atoms: Atoms, edge: float) -> Atoms:  # noqa: ARG001
    index = _central(atoms)
    return _without(atoms, [index, int(_bonds(atoms, index)[0][0])])


def _added(offset: Callable[[FloatArray], ArrayLike]) -> Maker:
    """Add an atom at a place relative to an atom, in cubic edges, given its first bond vector."""

    def make(atoms: Atoms, edge: float) -> Atoms:
        index = _central(atoms)
        signs = np.sign(_bonds(atoms, index)[1][0])
        place = atoms.positions[index] + edge * np.array(offset(signs))
        return atoms + Atoms(atoms.symbols[index], positions=[place])

    return make


def _dumbbell(axis: Sequence[float], separation: float) -> Maker:
    """Replace an atom by two along an axis of the cubic cell, so many cubic edges apart."""

    def make(atoms: Atoms, edge: float) -> Atoms:
        index = _central(atoms)
        half = 0.5 * separation * edge * np.array(axis) / np.linalg.norm(axis)
        pair = atoms.positions[index] + np.array([half, -half])
        changed = _without(atoms, [index])
        return changed + Atoms([atoms.symbols[index]] * 2, positions=pair)

    return make


_VACANCIES: dict[str, Maker] = {"vacancy": _vacancy, "divacancy": _divacancy}
#: By prototype and name.
DEFECTS: dict[str, dict[str, Maker]] = {
    "diamond": _VACANCIES
    | {
        # opposite to a bond, as far as the neighbour
        "tetrahedral": _added(lambda signs: -signs / 4),
        # in the middle of a ring of six, between two tetrahedral places
        "hexagonal": _added(lambda signs: np.array([-3, -1, -1]) * signs / 8),
        "dumbbell-110": _dumbbell((1, 1, 0), 0.45),
    },
    "fcc": _VACANCIES
    | {
        "octahedral": _added(lambda signs: (0.5, 0.0, 0.0)),  # noqa: ARG005
        "dumbbell-100": _dumbbell((1, 0, 0), 0.60),
    },
    "bcc": _VACANCIES | {"dumbbell-110": _dumbbell((1, 1, 0), 0.70)},
}


@each_member
def point_defects(
    calc: Any,
    crystal: Atoms,
    *,
    n_atoms: int = 216,
    defects: Sequence[str] | None = None,
    rattle: float = 0.05,
    fmax: float = 5e-3,
) -> PropertyResult:
    """Formation energies of point defects in a supercell at the volume of the perfect crystal.

    E_f = E(defect) − (N_defect / N) E(perfect): atoms come from, and go to, the perfect crystal. The
    symmetric vacancy may be a saddle or a metastable state: of a relaxation after a rattle and another one
    with the neighbours brought nearer first, the lower energy counts. Interstitials are named after places of
    high symmetry, and the relaxation keeps it.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        The conventional cell of a cubic prototype of :data:`DEFECTS`, with ``info["config_type"]``; others
        have vacancies only.
    n_atoms : int
        Of the perfect supercell, at most; it is the cube nearest to it.
    defects : sequence of str, optional
        Names; all of the prototype by default.
    rattle : float
        Å, standard deviation for vacancies; from a generator with a fixed seed.
    fmax : float
        eV/Å.

    Returns
    -------
    PropertyResult
        "vacancy" (relaxed, eV), "vacancy.unrelaxed" and so on; "divacancy.binding", twice the vacancy less
        the divacancy: positive when vacancies attract.

    Raises
    ------
    ValueError
        For a defect that the prototype does not have.
    RuntimeError
        When a defect does not relax.
    """
    kinds = DEFECTS.get(str(crystal.info.get("config_type")), dict(_VACANCIES))
    names = list(kinds) if defects is None else list(defects)
    if unknown := sorted(set(names) - set(kinds)):
        raise ValueError(f"no defect {', '.join(unknown)} in this crystal; known are {', '.join(kinds)}")
    unit = relaxed_crystal(calc, crystal)
    repeats = near_cubic_repeats(unit, n_atoms=(1, n_atoms))
    perfect = unit.repeat(repeats[-1])
    perfect.info = {}
    per_atom = float(unit.get_potential_energy()) / len(unit)
    edge = float(unit.cell.lengths()[0])
    energies: dict[str, float] = {}
    quantities = []
    for name in names:
        start = kinds[name](perfect, edge)
        start.info["config_type"] = name
        start.calc = calc
        rigid = float(start.get_potential_energy()) - per_atom * len(start)
        starts = [start]
        if name in _VACANCIES:
            noise = np.random.default_rng(0).normal(0.0, rattle, start.positions.shape)
            starts = [start.copy(), _inward(start)]
            for atoms in starts:
                atoms.positions += noise
        final = min(float(relaxed(calc, one, fmax=fmax).get_potential_energy()) for one in starts)
        energies[name] = final - per_atom * len(start)
        quantities += [
            Quantity(name, energies[name], "eV", name),
            Quantity(f"{name}.unrelaxed", rigid, "eV", f"{name}, unrelaxed"),
        ]
    if {"vacancy", "divacancy"} <= set(energies):
        binding = 2 * energies["vacancy"] - energies["divacancy"]
        quantities.append(Quantity("divacancy.binding", binding, "eV", "divacancy binding"))
    facts = {"supercell": len(perfect), "volume": "of the perfect crystal", "rattle_A": rattle}
    return PropertyResult("defects", tuple(quantities), facts=facts)
