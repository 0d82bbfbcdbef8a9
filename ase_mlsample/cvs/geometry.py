"""Distance, angle and dihedral of named atoms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, Domain, require_finite
from ase_mlsample.cvs.images import nearest_images
from ase_mlsample.cvs.indices import checked_indices, require_atoms

__all__ = ["Angle", "Dihedral", "Distance"]

_Array = NDArray[np.float64]


def _cross(a: _Array, b: _Array) -> _Array:
    # thirty times faster than numpy.cross for two vectors
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


class _Chain(CollectiveVariable):
    """A function of the vectors between consecutive atoms of a short chain."""

    def __init__(self, name: str, indices: Sequence[int], mic: bool, domain: Domain = None) -> None:
        super().__init__([name], [domain])
        self._indices = checked_indices(indices, name)
        self._mic = bool(mic)
        self.parameters = {"indices": self._indices.tolist(), "mic": self._mic}

    @abstractmethod
    def _function(self, vectors: _Array) -> tuple[float, _Array]:
        """Value, and its derivatives by the vectors."""

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient and virial; see :class:`CollectiveVariable`.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            If there are not enough atoms, or they lie so that the variable or its gradient is not defined.
        """
        require_finite(atoms)
        require_atoms(self._indices, atoms, self.names[0])
        vectors = np.diff(atoms.positions[self._indices], axis=0)
        if self._mic:
            vectors = nearest_images(vectors, atoms)
        value, slopes = self._function(vectors)
        gradient = np.zeros((1, len(atoms), 3))
        gradient[0, self._indices[1:]] += slopes
        gradient[0, self._indices[:-1]] -= slopes
        virial = slopes.T @ vectors
        return CVValue(np.array([value]), gradient, 0.5 * (virial + virial.T)[None])

    def _length(self, vector: _Array, number: int) -> float:
        length = float(np.sqrt(vector @ vector))
        if length < 1e-8:
            a, b = self._indices[number : number + 2]
            raise ValueError(f"{self.names[0]}: atoms {a} and {b} lie on top of each other")
        return length


class Distance(_Chain):
    """Distance of two atoms, in Å.

    Parameters
    ----------
    first, second : int
        Indices of the atoms, from 0.
    mic : bool
        Take the nearest periodic image, in any cell, however skewed or small. The distance then has a kink
        where two images are equally near, at half a cell. False: the positions as they are, unwrapped.
    name : str

    Raises
    ------
    ValueError
        For indices that are negative or equal.

    Examples
    --------
    >>> from ase.build import molecule
    >>> Distance(0, 1)(molecule("N2")).round(4).tolist()
    [1.13]
    """

    def __init__(self, first: int, second: int, *, mic: bool = True, name: str = "distance") -> None:
        super().__init__(name, [first, second], mic)

    def _function(self, vectors: _Array) -> tuple[float, _Array]:
        length = self._length(vectors[0], 0)
        return length, vectors / length


class Angle(_Chain):
    """Angle at the second of three atoms, in rad from 0 to π.

    Parameters
    ----------
    first, center, third : int
        Indices of the atoms, from 0.
    mic : bool
        Take the nearest periodic images; see :class:`Distance`.
    name : str

    Raises
    ------
    ValueError
        For indices that are negative or repeated; in evaluation where the atoms lie on a line, since the
        angle has no gradient there.
    """

    def __init__(self, first: int, center: int, third: int, *, mic: bool = True, name: str = "angle") -> None:
        super().__init__(name, [first, center, third], mic)

    def _function(self, vectors: _Array) -> tuple[float, _Array]:
        lengths = [self._length(vectors[i], i) for i in (0, 1)]
        a, b = -vectors[0] / lengths[0], vectors[1] / lengths[1]
        cosine, normal = float(a @ b), _cross(a, b)
        sine = float(np.sqrt(normal @ normal))
        if sine < 1e-8:
            raise ValueError(
                f"{self.names[0]}: atoms {self._indices.tolist()} lie on a line, where an angle has no "
                "gradient; a distance of its ends has one"
            )
        by_a = (cosine * a - b) / (lengths[0] * sine)
        by_b = (cosine * b - a) / (lengths[1] * sine)
        return float(np.arctan2(sine, cosine)), np.array([-by_a, by_b])


class Dihedral(_Chain):
    """Dihedral angle of four atoms, in rad, periodic on (−π, π).

    The sign is that of IUPAC and of ``Atoms.get_dihedral``: positive if, along the central bond, the farther
    bond is turned clockwise from the nearer one.

    Parameters
    ----------
    first, second, third, fourth : int
        Indices of the atoms, from 0.
    mic : bool
        Take the nearest periodic images; see :class:`Distance`.
    name : str

    Raises
    ------
    ValueError
        For indices that are negative or repeated; in evaluation where three atoms lie on a line.

    References
    ----------
    A. Blondel, M. Karplus, J. Comput. Chem. 17, 1132 (1996), for derivatives without singularities.
    """

    def __init__(
        self, first: int, second: int, third: int, fourth: int, *, mic: bool = True, name: str = "dihedral"
    ) -> None:
        super().__init__(name, [first, second, third, fourth], mic, (-np.pi, np.pi))

    def _function(self, vectors: _Array) -> tuple[float, _Array]:
        b1, b2, b3 = vectors
        lengths = [self._length(vectors[i], i) for i in range(3)]
        m, n = _cross(b1, b2), _cross(b2, b3)
        mm, nn, axis = float(m @ m), float(n @ n), lengths[1]
        if min(mm / lengths[0] ** 2, nn / lengths[2] ** 2) < 1e-16 * axis**2:
            raise ValueError(
                f"{self.names[0]}: three of the atoms {self._indices.tolist()} lie on a line, where there is "
                "no dihedral angle"
            )
        angle = float(np.arctan2(axis * (b1 @ n), m @ n))
        by_1, by_3 = axis / mm * m, axis / nn * n
        by_2 = -(b1 @ b2) / (axis * mm) * m - (b3 @ b2) / (axis * nn) * n
        return angle, np.array([by_1, by_2, by_3])
