"""Random unit cells of the crystal systems."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["checked_shape", "lattice_vectors", "random_lattice"]

FloatArray = NDArray[np.float64]

_TRIES = 100
_FLATTEST = 0.05  # of 1 − Σcos² + 2 Π cos, the squared volume for vectors of unit length
_MOST_IMAGES = 1000


def checked_shape(angles: tuple[float, float], aspect: float) -> tuple[tuple[float, float], float]:
    """Return the windows of a lattice's shape; ValueError for angles or an aspect that make no cell."""
    if not (20 <= angles[0] <= 110 and 40 <= angles[1] <= 140):  # others make flat cells only, or nearly
        raise ValueError(
            f"angles must begin between 20 and 110 degrees and end between 40 and 140, got {angles}; "
            "use for example (60, 120)"
        )
    if not 1 <= aspect < math.inf:
        raise ValueError(f"aspect is the largest ratio of cell lengths, at least 1, got {aspect}")
    return angles, float(aspect)


def random_lattice(
    system: str,
    volume: float,
    rng: np.random.Generator,
    *,
    angles: tuple[float, float] = (60.0, 120.0),
    aspect: float = 2.0,
) -> FloatArray:
    """Return a random conventional cell of a crystal system.

    Lengths that the system leaves free are log-uniform, so that c/a = 2 is as likely as 1/2; angles that it
    leaves free are uniform in their window.

    Parameters
    ----------
    system : str
        triclinic, monoclinic (unique axis b), orthorhombic, tetragonal, rhombohedral (the conventional cell
        has hexagonal axes), hexagonal or cubic.
    volume : float
        Of the conventional cell in Å³.
    rng : numpy.random.Generator
    angles : (float, float)
        Degrees; for triclinic and monoclinic cells, and for the angle of the rhombohedral primitive cell,
        which is less than 120.
    aspect : float
        Largest ratio of two lengths; the rhombohedral shape follows from its angle.

    Returns
    -------
    ndarray (3, 3)
        Rows are the vectors; right-handed, a along x.

    Raises
    ------
    RuntimeError
        If nearly every triple of angles in the window is flat.
    """
    shape = _shape(system, rng, angles, aspect)
    return _vectors(shape, volume)


def _vectors(shape: tuple[float, ...], volume: float) -> FloatArray:
    """Return the cell of these lengths and angles, a along x and b in the xy plane, scaled to a volume."""
    a, b, c = shape[:3]
    # right angles exactly: cos(90°) is not zero in floating point
    alpha, beta, gamma = (0.0 if angle == 90 else math.cos(math.radians(angle)) for angle in shape[3:])
    sine = math.sqrt(1 - gamma * gamma)
    y = (alpha - beta * gamma) / sine
    z = math.sqrt(1 - beta * beta - y * y)
    scale = (volume / (a * b * sine * c * z)) ** (1 / 3)
    rows = [[a, 0.0, 0.0], [b * gamma, b * sine, 0.0], [c * beta, c * y, c * z]]
    return np.asarray(scale * np.array(rows))


def _shape(
    system: str, rng: np.random.Generator, angles: tuple[float, float], aspect: float
) -> tuple[float, ...]:
    """Return lengths and angles of a cell of any volume."""
    span = math.log(aspect)
    if system == "cubic":
        return (1, 1, 1, 90, 90, 90)
    if system in {"tetragonal", "hexagonal"}:
        c = math.exp(rng.uniform(-span, span))
        return (1, 1, c, 90, 90, 90 if system == "tetragonal" else 120)
    if system == "rhombohedral":
        alpha = rng.uniform(angles[0], min(angles[1], 117.0))  # 120 is flat; 117 passes the test below
        half = math.sin(math.radians(alpha) / 2)
        height = math.sqrt(3 * (1 + 2 * math.cos(math.radians(alpha))))
        return (2 * half, 2 * half, height, 90, 90, 120)
    a, b, c = np.exp(rng.uniform(0.0, span, 3))
    if system == "orthorhombic":
        return (a, b, c, 90, 90, 90)
    if system == "monoclinic":
        return (a, b, c, 90, rng.uniform(*angles), 90)
    for _ in range(_TRIES):
        three = rng.uniform(*angles, 3)
        cosines = np.cos(np.radians(three))
        if 1 - cosines @ cosines + 2 * cosines.prod() >= _FLATTEST:
            return (a, b, c, *three)
    raise RuntimeError(
        f"{_TRIES} triples of angles between {angles[0]:g} and {angles[1]:g} degrees were all nearly flat; "
        "use a window such as (60, 120)"
    )


def lattice_vectors(cell: FloatArray, distance: float) -> FloatArray | None:
    """Return the translations that can bring two atoms closer than a distance, the zero vector first.

    Parameters
    ----------
    cell : ndarray (3, 3)
    distance : float
        In Å.

    Returns
    -------
    ndarray (S, 3) or None
        Every lattice vector that, added to a difference of positions wrapped to ±1/2, can give less than
        ``distance``; None for cells so flat that there are too many. A lattice vector shorter than
        ``distance`` is among them.
    """
    inverse = np.linalg.inv(cell)  # the norms of its columns are one over the heights of the cell
    reach = (distance * np.sqrt((inverse * inverse).sum(axis=0)) + 0.5).astype(np.int64)
    counts = 2 * reach + 1
    if int(counts.prod()) > _MOST_IMAGES:
        return None
    grid = np.indices(counts).reshape(3, -1).T - reach
    middle = len(grid) // 2
    grid[[0, middle]] = grid[[middle, 0]]
    return np.asarray(grid @ cell)
