"""Structure of liquids and glasses from frames: radial distribution, structure factor, bond angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["bond_angles", "first_minimum", "radial_distribution", "structure_factor"]

FloatArray = NDArray[np.float64]


def _checked(frames: Sequence[Atoms]) -> Sequence[Atoms]:
    if isinstance(frames, Atoms) or not len(frames):
        raise ValueError(f"frames must be a list of at least one Atoms object, got {frames!r}")
    for atoms in frames:
        if not atoms.pbc.all() or atoms.cell.rank < 3 or len(atoms) < 2:
            raise ValueError(f"frames must hold atoms that are periodic in three directions, got {atoms}")
    return frames


def radial_distribution(
    frames: Sequence[Atoms], *, r_max: float, bins: int = 200
) -> tuple[FloatArray, FloatArray]:
    """Radial distribution function of all atoms, periodic images included.

    Parameters
    ----------
    frames : sequence of Atoms
        Periodic in three directions, in any cell.
    r_max : float
        Å; it may exceed half the cell.
    bins : int

    Returns
    -------
    (bins,) arrays
        Middles of the bins, Å, and g(r): pairs in a shell over those of an ideal gas of N − 1 other atoms at
        the same density.

    Raises
    ------
    ValueError
        For frames without a volume, or bad settings.
    """
    if not (r_max > 0 and bins > 0):
        raise ValueError(f"r_max and bins must be positive, got {r_max} and {bins}")
    edges = np.linspace(0.0, r_max, bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    total = np.zeros(bins)
    for atoms in _checked(frames):
        counts, _ = np.histogram(_distances(atoms, r_max), edges)
        total += counts / (shells * len(atoms) * (len(atoms) - 1) / atoms.get_volume())
    return (edges[1:] + edges[:-1]) / 2, total / len(frames)


def _distances(atoms: Atoms, r_max: float) -> FloatArray:
    """Distances of all ordered pairs within r_max, or within a little more."""
    from ase.neighborlist import neighbor_list

    heights = 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    if r_max > heights.min() / 2:
        return np.asarray(neighbor_list("d", atoms, r_max))
    # within half the smallest height no fraction exceeds a half: rounding finds the image, in any cell
    fractional = atoms.cell.scaled_positions(atoms.positions)
    first, second = np.triu_indices(len(atoms), 1)
    apart = fractional[first] - fractional[second]
    apart -= np.round(apart)
    lengths = np.linalg.norm(apart @ atoms.cell.array, axis=1)
    return np.repeat(lengths, 2)


def first_minimum(r: FloatArray, g: FloatArray) -> float:
    """Where g(r) has its first minimum after its highest peak: the reach of near neighbours.

    Parameters
    ----------
    r, g : (bins,) arrays
        Smoothed over five bins before the minimum is looked for.

    Raises
    ------
    ValueError
        When g(r) does not rise again.
    """
    smooth = np.convolve(g, np.full(5, 0.2), mode="same")[:-2]  # its end lacks neighbours
    peak = int(np.argmax(smooth))
    rises = np.flatnonzero(np.diff(smooth[peak:]) > 0)
    if not len(rises):
        raise ValueError(f"g(r) ends at {r[-1]:.3g} Å, before a minimum after its peak; raise r_max")
    return float(r[peak + rises[0]])


def structure_factor(
    frames: Sequence[Atoms], *, q_max: float = 8.0, bins: int = 80, per_bin: int = 60
) -> tuple[FloatArray, FloatArray]:
    """Structure factor S(q) = |Σ_j exp(i q·r_j)|² / N at the wave vectors of the cell, averaged over shells.

    Parameters
    ----------
    frames : sequence of Atoms
        Of one number of atoms, in cells of about one size.
    q_max : float
        1/Å.
    bins : int
        Shells of |q|.
    per_bin : int
        Wave vectors of a shell that are evaluated at most, spread over it; of q and −q one.

    Returns
    -------
    (K,) arrays
        Mean |q| of the shells that hold wave vectors, 1/Å, and S(q).

    Raises
    ------
    ValueError
        For frames without a volume, or bad settings.
    """
    if not (q_max > 0 and bins > 0 and per_bin > 0):
        raise ValueError(f"q_max, bins and per_bin must be positive, got {q_max}, {bins} and {per_bin}")
    first = _checked(frames)[0]
    whole, shell = _wave_vectors(first, q_max, bins, per_bin)
    lengths, values = np.zeros(len(whole)), np.zeros(len(whole))
    for atoms in frames:
        lengths += np.linalg.norm(2 * np.pi * whole @ atoms.cell.reciprocal(), axis=1)
        values += np.abs(_amplitudes(whole, atoms.cell.scaled_positions(atoms.positions))) ** 2 / len(atoms)
    counts = np.bincount(shell, minlength=bins)
    held = counts > 0
    norm = counts[held] * len(frames)
    means = [np.bincount(shell, weights=x, minlength=bins)[held] / norm for x in (lengths, values)]
    return means[0], means[1]


def _amplitudes(whole: NDArray[np.int64], fractional: FloatArray) -> NDArray[np.complex128]:
    """Σ_j exp(2πi n·s_j) for whole vectors n, as a product over the axes: few exponentials are needed."""
    factors = []
    for axis in range(3):
        reach = int(np.abs(whole[:, axis]).max(initial=0))
        table = np.exp(2j * np.pi * np.outer(np.arange(-reach, reach + 1), fractional[:, axis]))
        factors.append(table[whole[:, axis] + reach])
    return np.asarray(np.einsum("qj,qj,qj->q", *factors))


def _wave_vectors(
    atoms: Atoms, q_max: float, bins: int, per_bin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole multiples of the reciprocal vectors up to q_max, half of the space, and their shells."""
    reach = np.floor(q_max * atoms.cell.lengths() / (2 * np.pi)).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]
    lengths = np.linalg.norm(2 * np.pi * grid @ atoms.cell.reciprocal(), axis=1)
    grid, lengths = grid[lengths < q_max], lengths[lengths < q_max]
    shell = (lengths / q_max * bins).astype(np.int64)
    kept = []
    for number in range(bins):
        members = np.flatnonzero(shell == number)
        members = members[np.argsort(lengths[members], kind="stable")]
        count = min(per_bin, len(members))
        kept += [int(members[k]) for k in np.linspace(0, len(members) - 1, count).astype(int)]
    return grid[kept].astype(np.int64), shell[kept]


def _cosines(units: FloatArray, ends: NDArray[np.int64]) -> FloatArray:
    """Cosines between the bonds of each atom, whose unit vectors lie between two ends."""
    counts = np.diff(ends)
    found = [np.empty(0)]
    for count in np.unique(counts[counts > 1]):  # atoms with as many bonds at once
        rows = ends[:-1][counts == count][:, None] + np.arange(count)
        first, second = np.triu_indices(count, 1)
        bonds = units[rows]
        found.append(np.einsum("apk,apk->ap", bonds[:, first], bonds[:, second]).ravel())
    return np.clip(np.concatenate(found), -1.0, 1.0)


def bond_angles(
    frames: Sequence[Atoms], *, cutoff: float, bins: int = 90
) -> tuple[FloatArray, FloatArray, float]:
    """Distribution of the angles between bonds of an atom.

    Parameters
    ----------
    frames : sequence of Atoms
    cutoff : float
        Å; atoms nearer than this have a bond. The first minimum of g(r) is usual.
    bins : int
        From 0 to 180 degrees.

    Returns
    -------
    angles, density : (bins,) arrays
        Middles of the bins in degrees, and the probability per degree; zero throughout without angles.
    coordination : float
        Mean number of bonds of an atom.
    """
    from ase.neighborlist import neighbor_list

    edges = np.linspace(0.0, 180.0, bins + 1)
    total = np.zeros(bins)
    bonds = atoms_seen = 0
    for atoms in _checked(frames):
        first, vectors = neighbor_list("iD", atoms, cutoff)
        units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        ends = np.searchsorted(first, np.arange(len(atoms) + 1))
        total += np.histogram(np.degrees(np.arccos(_cosines(units, ends))), edges)[0]
        bonds += len(first)
        atoms_seen += len(atoms)
    density = total / max(1.0, total.sum()) / (180.0 / bins)
    return (edges[1:] + edges[:-1]) / 2, density, bonds / atoms_seen
