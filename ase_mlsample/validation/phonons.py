"""Harmonic phonons of a crystal: bands, density of states, heat capacity and entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal

if TYPE_CHECKING:
    from phonopy import Phonopy

__all__ = ["BRANCHES", "STABLE", "harmonic", "phonon_bands", "thermal_functions"]

FloatArray = NDArray[np.float64]

#: Names of branches at special points, by prototype: their numbers by rising frequency, degenerate together.
BRANCHES: dict[str, dict[str, dict[str, tuple[int, ...]]]] = {
    "diamond": {
        "G": {"LTO": (3, 4, 5)},
        "X": {"TA": (0, 1), "LA": (2, 3), "TO": (4, 5)},
        "L": {"TA": (0, 1), "LA": (2,), "LO": (3,), "TO": (4, 5)},
    },
    "fcc": {"X": {"T": (0, 1), "L": (2,)}, "L": {"T": (0, 1), "L": (2,)}},
    "bcc": {"N": {"T1": (0,), "T2": (1,), "L": (2,)}, "H": {"LT": (0, 1, 2)}},
    "beta-tin": {"G": {"TO": (3, 4), "LO": (5,)}},
}


#: THz; an imaginary frequency smaller than this is noise about zero.
STABLE = 0.05


def harmonic(calc: Any, crystal: Atoms, *, width: float = 15.0, displacement: float = 0.01) -> Phonopy:
    """Force constants of a crystal at rest, from displacements of both signs in a supercell.

    Parameters
    ----------
    calc : ase Calculator
    crystal : Atoms
        A primitive cell without forces.
    width : float
        Å; the cell is repeated until opposite faces are so far apart. Twice the range of the forces, which is
        twice the cutoff of a potential with angles, makes the constants exact.
    displacement : float
        Å.

    Returns
    -------
    Phonopy
        With force constants that obey the sum rules; frequencies in THz.
    """
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    repeats = _repeats(crystal, width)
    unit = PhonopyAtoms(
        numbers=crystal.numbers, cell=crystal.cell.array, scaled_positions=crystal.get_scaled_positions()
    )
    phonon = Phonopy(unit, np.diag(repeats), primitive_matrix="P", log_level=0)
    phonon.generate_displacements(distance=displacement, is_plusminus=True)
    forces = []
    for supercell in phonon.supercells_with_displacements:
        atoms = Atoms(numbers=supercell.numbers, positions=supercell.positions, cell=supercell.cell, pbc=True)
        atoms.calc = calc
        forces.append(np.array(atoms.get_forces()))
    phonon.forces = np.array(forces)
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants(show_drift=False)
    return phonon


def _repeats(crystal: Atoms, width: float) -> NDArray[np.int64]:
    """Copies along each vector, as many along vectors of one length: the supercell keeps the symmetry."""
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.cell.array), axis=0)
    wanted = np.maximum(1, np.ceil(width / heights - 1e-6)).astype(np.int64)
    lengths = crystal.cell.lengths()
    return np.array([wanted[np.isclose(lengths, length, rtol=1e-3)].max() for length in lengths])


def thermal_functions(
    phonon: Phonopy, temperatures: ArrayLike, *, mesh: int = 20
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Harmonic free energy, entropy and heat capacity of an atom.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    temperatures : (K,) array, K
    mesh : int
        Points along each reciprocal vector.

    Returns
    -------
    (K,) arrays
        Free energy, meV/atom; entropy and heat capacity at constant volume, J/(mol K).

    Raises
    ------
    RuntimeError
        When a mode is unstable: it has no harmonic free energy.
    """
    from ase.units import kJ, mol

    phonon.run_mesh([mesh] * 3, is_gamma_center=True)
    lowest = float(phonon.mesh.frequencies.min())
    if lowest < -STABLE:
        raise RuntimeError(_unstable(lowest))
    phonon.run_thermal_properties(temperatures=np.asarray(temperatures, float), cutoff_frequency=0.01)
    found = phonon.thermal_properties
    atoms = len(phonon.primitive)
    free = 1000 * np.asarray(found.free_energy) * (kJ / mol) / atoms
    return free, np.asarray(found.entropy) / atoms, np.asarray(found.heat_capacity) / atoms


@each_member
def phonon_bands(
    calc: Any,
    crystal: Atoms,
    *,
    width: float = 15.0,
    displacement: float = 0.01,
    branches: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    mesh: int = 20,
    temperature_K: float = 298.15,
) -> PropertyResult:
    """Phonons of a crystal after zero-pressure relaxation.

    Parameters
    ----------
    calc : ase Calculator
    crystal : Atoms
        A primitive cell.
    width, displacement : float
        As of :func:`harmonic`.
    branches : mapping
        By label of a special point (G is Γ): names and numbers, by rising frequency, of branches; by default
        those of :data:`BRANCHES` for the crystal's ``info["config_type"]``.
    mesh : int
        Of the Brillouin zone for density of states and thermal functions.
    temperature_K : float
        Of the heat capacity and the entropy.

    Returns
    -------
    PropertyResult
        Frequencies in THz ("X.TA"), "lowest" (negative for an imaginary one) and "highest" on the path and
        the mesh, and, where the crystal is stable, "heat_capacity" and "entropy", J/(mol K), and
        "zero_point", meV/atom. Curves: "bands" (rows of frequencies along the path), "dos" (states per THz
        and atom), "heat_capacity" against temperature. ``facts["ticks"]`` has the places of the path's
        ``facts["labels"]``.
    """
    ground = relaxed_crystal(calc, crystal)
    phonon = harmonic(calc, ground, width=width, displacement=displacement)
    path = ground.cell.bandpath(npoints=180)
    along, ticks, labels = path.get_linear_kpoint_axis()
    bands = _frequencies(phonon, path.kpts)
    if branches is None:
        branches = BRANCHES.get(str(crystal.info.get("config_type")), {})
    quantities = []
    for point, names in branches.items():
        found = _frequencies(phonon, np.atleast_2d(path.special_points[point]))[0]
        shown = "Γ" if point == "G" else point
        quantities += [
            Quantity(f"{point}.{name}", float(found[list(numbers)].mean()), "THz", f"{name}({shown})")
            for name, numbers in names.items()
        ]
    phonon.run_mesh([mesh] * 3, is_gamma_center=True)
    on_mesh = phonon.mesh.frequencies
    extremes = min(bands.min(), on_mesh.min()), max(bands.max(), on_mesh.max())
    quantities += [
        Quantity("lowest", float(extremes[0]), "THz", "lowest frequency"),
        Quantity("highest", float(extremes[1]), "THz", "highest frequency"),
    ]
    phonon.run_total_dos()
    dos = phonon.total_dos
    curves = {
        "bands": curve(along, bands.T),
        "dos": curve(dos.frequency_points, np.asarray(dos.dos) / len(ground)),
    }
    notes = []
    if extremes[0] < -STABLE:
        notes.append(_unstable(extremes[0]))
    else:
        curves["heat_capacity"], more = _thermal(phonon, temperature_K, mesh)
        quantities += more
    facts = {
        "supercell": len(phonon.supercell),
        "displacement_A": displacement,
        "ticks": [float(tick) for tick in ticks],
        "labels": [str(label) for label in labels],
        "temperature_K": temperature_K,
    }
    return PropertyResult("phonons", tuple(quantities), curves, facts, tuple(notes))


def _unstable(lowest: float) -> str:
    return f"the crystal is dynamically unstable: a mode has {lowest:.2f} THz (imaginary)"


def _frequencies(phonon: Phonopy, points: ArrayLike) -> FloatArray:
    """Sorted frequencies (points, branches) in THz, negative where imaginary."""
    phonon.run_qpoints(np.asarray(points, float))
    return np.sort(np.asarray(phonon.qpoints.frequencies), axis=1)


def _thermal(phonon: Phonopy, temperature: float, mesh: int) -> tuple[Any, list[Quantity]]:
    grid = np.append(np.arange(0.0, 1001.0, 20.0), temperature)
    free, entropy, capacity = thermal_functions(phonon, grid, mesh=mesh)
    at = f"at {temperature:g} K"
    quantities = [
        Quantity("heat_capacity", float(capacity[-1]), "J/(mol K)", f"heat capacity {at}"),
        Quantity("entropy", float(entropy[-1]), "J/(mol K)", f"entropy {at}"),
        Quantity("zero_point", float(free[0]), "meV/atom", "zero-point energy"),
    ]
    return curve(grid[:-1], capacity[:-1]), quantities
