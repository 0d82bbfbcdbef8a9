"""Size and shape of a group of atoms: radius of gyration, and deviation from a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, require_finite
from ase_mlsample.cvs.images import nearest_images
from ase_mlsample.cvs.indices import checked_indices, require_atoms

__all__ = ["RMSD", "RadiusOfGyration"]

_Array = NDArray[np.float64]


class _Group(CollectiveVariable):
    """A function of the positions of a group of atoms around their centre."""

    def __init__(self, name: str, indices: Sequence[int] | None, *, mass_weighted: bool, mic: bool) -> None:
        super().__init__([name])
        self._indices = None if indices is None else checked_indices(indices, name)
        self._mass_weighted, self._mic = bool(mass_weighted), bool(mic)
        self.parameters = {
            "indices": None if self._indices is None else self._indices.tolist(),
            "mass_weighted": self._mass_weighted,
            "mic": self._mic,
        }

    def _whole(self, atoms: Atoms) -> tuple[NDArray[np.int64], _Array, _Array]:
        """Indices, positions around their weighted centre, and weights that add up to one."""
        require_finite(atoms)
        indices = np.arange(len(atoms)) if self._indices is None else self._indices
        require_atoms(indices, atoms, self.names[0])
        positions = atoms.positions[indices]
        if self._mic and len(indices) > 1:
            steps = nearest_images(np.diff(positions, axis=0), atoms)
            positions = np.concatenate([positions[:1], positions[0] + np.cumsum(steps, axis=0)])
        weights = atoms.get_masses()[indices] if self._mass_weighted else np.ones(len(indices))
        total = float(weights.sum())
        if not total > 0:
            raise ValueError(f"{self.names[0]}: the masses of the atoms add up to {total}")
        weights = weights / total
        return indices, positions - weights @ positions, weights

    @staticmethod
    def _value(value: float, n: int, indices: NDArray[np.int64], slopes: _Array, vectors: _Array) -> CVValue:
        gradient = np.zeros((1, n, 3))
        gradient[0, indices] = slopes
        virial = slopes.T @ vectors
        return CVValue(np.array([value]), gradient, 0.5 * (virial + virial.T)[None])


class RadiusOfGyration(_Group):
    """Radius of gyration of a group of atoms, sqrt(Σ w_i |r_i − r_c|²), in Å.

    Parameters
    ----------
    indices : sequence of int, optional
        The group; all atoms by default.
    mass_weighted : bool
        Weights w_i by mass instead of 1/n.
    mic : bool
        Make the group whole first: each atom is taken at the image nearest to the one before it in the list,
        in any cell. So list a molecule along its bonds; a step longer than half a cell breaks it.
        False: positions as they are.
    name : str

    Raises
    ------
    ValueError
        For indices that are negative or repeated; in evaluation if all atoms coincide.
    """

    def __init__(
        self,
        indices: Sequence[int] | None = None,
        *,
        mass_weighted: bool = False,
        mic: bool = True,
        name: str = "gyration",
    ) -> None:
        super().__init__(name, indices, mass_weighted=mass_weighted, mic=mic)

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient and virial; see :class:`CollectiveVariable`."""
        indices, vectors, weights = self._whole(atoms)
        radius = float(np.sqrt(weights @ np.einsum("ij,ij->i", vectors, vectors)))
        if radius < 1e-8:
            raise ValueError(f"{self.names[0]}: {len(indices)} atoms in one place have no radius of gyration")
        return self._value(radius, len(atoms), indices, weights[:, None] * vectors / radius, vectors)


class RMSD(_Group):
    """Root mean square deviation from a reference, after the best translation and rotation, in Å.

    Parameters
    ----------
    reference : Atoms or (n, 3) array, Å
        Reference positions of the group, whole.
    indices : sequence of n int, optional
        The group, in the order of the reference; the first n atoms by default.
    mass_weighted : bool
        Weights by the masses of the atoms instead of 1/n.
    squared : bool
        Give the mean square deviation in Å² instead, which has a gradient where the deviation is zero too.
    mic : bool
        Make the group whole first, as in :class:`RadiusOfGyration`.
    name : str

    Raises
    ------
    ValueError
        If the indices do not fit the reference; in evaluation where the deviation vanishes, unless squared.

    References
    ----------
    W. Kabsch, Acta Cryst. A 32, 922 (1976).
    """

    def __init__(
        self,
        reference: Atoms | ArrayLike,
        indices: Sequence[int] | None = None,
        *,
        mass_weighted: bool = False,
        squared: bool = False,
        mic: bool = True,
        name: str = "rmsd",
    ) -> None:
        positions = reference.positions if isinstance(reference, Atoms) else reference
        self._reference = np.array(positions, dtype=float)
        if self._reference.ndim != 2 or self._reference.shape[1] != 3 or len(self._reference) < 2:
            raise ValueError(f"a reference of shape {self._reference.shape}: (n, 3) with n > 1 is meant")
        if not np.isfinite(self._reference).all():
            raise ValueError("the reference has positions that are NaN or infinite")
        indices = list(range(len(self._reference))) if indices is None else indices
        super().__init__(name, indices, mass_weighted=mass_weighted, mic=mic)
        if len(indices) != len(self._reference):
            raise ValueError(f"{len(indices)} indices do not fit {len(self._reference)} reference positions")
        self._squared = bool(squared)
        self.parameters = {
            **self.parameters,
            "reference": self._reference.tolist(),
            "squared": self._squared,
        }

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient and virial; see :class:`CollectiveVariable`."""
        indices, vectors, weights = self._whole(atoms)
        reference = self._reference - weights @ self._reference
        deviation = vectors - reference @ _best_rotation(vectors, reference, weights)
        square = float(weights @ np.einsum("ij,ij->i", deviation, deviation))
        # The rotation is the best one, so that the value does not change with it to first order.
        slopes = 2.0 * weights[:, None] * deviation
        if self._squared:
            return self._value(square, len(atoms), indices, slopes, vectors)
        root = float(np.sqrt(square))
        if root < 1e-8:
            raise ValueError(
                f"{self.names[0]}: the atoms lie exactly as in the reference, where the root mean square "
                "deviation has no gradient; RMSD(..., squared=True) has one"
            )
        return self._value(root, len(atoms), indices, slopes / (2.0 * root), vectors)


def _best_rotation(vectors: _Array, reference: _Array, weights: _Array) -> _Array:
    """Proper rotation R that brings reference @ R nearest to the vectors."""
    u, _, vt = np.linalg.svd(reference.T @ (weights[:, None] * vectors))
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        u[:, 2] *= -1.0
    return np.asarray(u @ vt)
