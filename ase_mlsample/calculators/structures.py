"""What calculators ask of the structures that they are given, and how they name them in messages."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "all_finite",
    "checked_frames",
    "element_names",
    "has_volume",
    "naming",
    "require_finite",
    "right_handed",
    "volume_of",
    "volume_of_cell",
]


def volume_of(atoms: Atoms) -> float | None:
    """Volume of the cell in Å³, or None if its vectors are not linearly independent.

    Parameters
    ----------
    atoms : Atoms
        Slabs and molecules in a full cell have a volume, whatever the periodicity.
    """
    return volume_of_cell(atoms.cell.array)


def volume_of_cell(cell: NDArray[np.float64]) -> float | None:
    """Volume of cell vectors (3, 3) in Å³, or None if they are not linearly independent."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    determinant = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    squares = (ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz) * (cx * cx + cy * cy + cz * cz)
    return abs(determinant) if determinant * determinant > 1e-20 * squares else None


def right_handed(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same lattice in right-handed vectors (3, 3), for deepmd-kit, which refuses others."""
    return -cell if np.linalg.det(cell) < 0 else cell


def has_volume(atoms: Atoms) -> bool:
    """Whether the cell has three linearly independent vectors, so that there can be a stress."""
    return volume_of(atoms) is not None


def all_finite(values: NDArray[np.float64]) -> bool:
    """Whether no number is NaN or infinite.

    Parameters
    ----------
    values : array
    """
    return b"\0" not in np.isfinite(values).tobytes()  # several times faster than all() of a small array


def require_finite(atoms: Atoms) -> None:
    """Refuse structures without atoms, and positions or cells that are not numbers.

    Parameters
    ----------
    atoms : Atoms
        The structure about to be evaluated.

    Raises
    ------
    ValueError
        Naming the atoms, if a position or the cell is NaN or infinite, or if there are no atoms.
    """
    if len(atoms) == 0:
        raise ValueError("there are no atoms to evaluate")
    if not all_finite(atoms.positions):
        where = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        names = ", ".join(f"{i} ({atoms.symbols[i]})" for i in where[:8].tolist()) + (
            ", …" if len(where) > 8 else ""
        )
        raise ValueError(
            f"positions of {len(where)} atoms are NaN or infinite: {names}; mend the structure first"
        )
    if not all_finite(atoms.cell.array):
        raise ValueError(f"the cell is NaN or infinite: {atoms.cell.array.tolist()}")


def element_names(numbers: ArrayLike) -> str:
    """Name each of the elements once, for messages; atomic numbers that are no element's as they are."""
    known = range(len(chemical_symbols))
    found = np.unique(numbers).tolist()
    return ", ".join(sorted(chemical_symbols[z] if z in known else f"atomic number {z}" for z in found))


@contextmanager
def naming(index: int | None, atoms: Atoms) -> Iterator[None]:
    """While the context lasts, let a ``ValueError`` say which of several structures it is about.

    Parameters
    ----------
    index : int or None
        Number of the structure; None: there is only one, and errors stay as they are.
    atoms : Atoms
        The structure.
    """
    try:
        yield
    except ValueError as error:
        if index is None:
            raise
        what = f"structure {index} ({len(atoms)} atoms of {element_names(atoms.numbers)})"
        raise ValueError(f"{what}: {error}") from error


def checked_frames(frames: Iterable[Atoms]) -> list[Atoms]:
    """Structures as a list, whatever they came in: a generator can be gone through only once.

    Parameters
    ----------
    frames : iterable of Atoms

    Raises
    ------
    TypeError
        For a single ``Atoms``, or things that are none.
    ValueError
        Naming the structure, as :func:`require_finite`.
    """
    if isinstance(frames, Atoms):
        raise TypeError("evaluate_many takes several structures; pass [atoms], or use evaluate(atoms)")
    listed = list(frames)
    for index, atoms in enumerate(listed):
        if not isinstance(atoms, Atoms):
            raise TypeError(f"structure {index} is no ase.Atoms but {type(atoms).__name__}: {atoms!r:.60}")
        with naming(index if len(listed) > 1 else None, atoms):
            require_finite(atoms)
    return listed
