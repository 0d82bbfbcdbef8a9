"""Linear combinations of variables, and those that tell two states apart best (LDA, harmonic LDA)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue

__all__ = ["LinearCombination", "harmonic_lda", "lda"]

_Array = NDArray[np.float64]


class LinearCombination(CollectiveVariable):
    """Linear combinations of the components of a variable, s = W d + b.

    Parameters
    ----------
    variable : CollectiveVariable
        With d components, none of them periodic.
    weights : (d,) or (k, d) array_like
        W; one row for each component of the result.
    offset : float or (k,) array_like
        b.
    names : sequence of k str, optional

    Raises
    ------
    ValueError
        If the weights do not fit or are not finite, or a component is periodic.
    """

    def __init__(
        self,
        variable: CollectiveVariable,
        weights: ArrayLike,
        *,
        offset: ArrayLike = 0.0,
        names: Iterable[str] | None = None,
    ) -> None:
        self._weights = np.atleast_2d(np.array(weights, dtype=float))
        k = len(self._weights)
        self._offset = np.broadcast_to(np.array(offset, dtype=float), (k,)).copy()
        if self._weights.shape != (k, variable.n_cvs) or not np.isfinite(self._weights).all():
            raise ValueError(
                f"weights of shape {self._weights.shape} for {variable.n_cvs} components: finite numbers of "
                f"shape (k, {variable.n_cvs}) are meant"
            )
        _refuse_periodic(variable)
        default = ["linear"] if k == 1 else [f"linear{i + 1}" for i in range(k)]
        super().__init__(default if names is None else list(names), lab_fixed=variable.lab_fixed)
        if self.n_cvs != k:
            raise ValueError(f"{self.n_cvs} names for {k} combinations")
        self._variable = variable
        self.parameters = {
            "of": variable.todict(),
            "weights": self._weights.tolist(),
            "offset": self._offset.tolist(),
        }

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        inner = self._variable.evaluate(atoms)
        return CVValue(
            self._weights @ inner.value + self._offset,
            np.tensordot(self._weights, inner.gradient, 1),
            np.tensordot(self._weights, inner.virial, 1),
            inner.per_atom,
        )


def lda(
    variable: CollectiveVariable, first: Any, second: Any, *, ridge: float = 0.0, name: str = "lda"
) -> LinearCombination:
    """Fisher's linear discriminant of two states, s = (μ_A − μ_B)ᵀ (Σ_A + Σ_B)⁻¹ d.

    Parameters
    ----------
    variable : CollectiveVariable
        The descriptors d.
    first, second : sequence of Atoms, or (n, d) array
        Structures of the two states A and B, or values of the descriptors there.
    ridge : float
        Share of the mean variance that is added to the diagonal, for descriptors that are nearly dependent.
    name : str

    Returns
    -------
    LinearCombination
        Larger in A than in B.

    Raises
    ------
    ValueError
        With too few structures, or if the sum of the covariances is singular.

    References
    ----------
    R. A. Fisher, Ann. Eugen. 7, 179 (1936).
    """
    means, (a, b) = _moments(variable, first, second, ridge)
    weights = (means[0] - means[1]) @ _inverse(a + b, variable)
    return LinearCombination(variable, weights, names=[name])


def harmonic_lda(
    variable: CollectiveVariable, first: Any, second: Any, *, ridge: float = 0.0, name: str = "hlda"
) -> LinearCombination:
    """Harmonic linear discriminant of two states, s = (μ_A − μ_B)ᵀ (Σ_A⁻¹ + Σ_B⁻¹) d.

    The state with the smaller fluctuations counts more than in :func:`lda`.

    Parameters
    ----------
    variable : CollectiveVariable
        The descriptors d.
    first, second : sequence of Atoms, or (n, d) array
        Structures of the two states A and B, or values of the descriptors there.
    ridge : float
        Share of the mean variance that is added to the diagonal, for descriptors that are nearly dependent.
    name : str

    Returns
    -------
    LinearCombination
        Larger in A than in B.

    Raises
    ------
    ValueError
        With too few structures, or if a covariance is singular.

    References
    ----------
    D. Mendels, G. Piccini, M. Parrinello, J. Phys. Chem. Lett. 9, 2776 (2018).
    """
    means, (a, b) = _moments(variable, first, second, ridge)
    weights = (means[0] - means[1]) @ (_inverse(a, variable) + _inverse(b, variable))
    return LinearCombination(variable, weights, names=[name])


def _moments(
    variable: CollectiveVariable, first: Any, second: Any, ridge: float
) -> tuple[tuple[_Array, _Array], tuple[_Array, _Array]]:
    """Means and covariances of the two states."""
    if not ridge >= 0:
        raise ValueError(f"ridge = {ridge!r} must not be negative")
    _refuse_periodic(variable)
    a, b = _samples(variable, first), _samples(variable, second)
    return (a.mean(axis=0), b.mean(axis=0)), (_covariance(a, ridge), _covariance(b, ridge))


def _inverse(covariance: _Array, variable: CollectiveVariable) -> _Array:
    scale = np.sqrt(np.diag(covariance))
    if not scale.all() or np.linalg.cond(covariance / np.outer(scale, scale)) > 1e12:
        raise ValueError(
            f"the covariance of {', '.join(variable.names)} is singular: a descriptor is constant or depends "
            "on the others, or the structures are too few; leave it out, add structures, or set ridge"
        )
    return np.asarray(np.linalg.inv(covariance), dtype=np.float64)


def _covariance(samples: _Array, ridge: float) -> _Array:
    c = np.atleast_2d(np.cov(samples, rowvar=False))
    return np.asarray(c + ridge * np.trace(c) / len(c) * np.eye(len(c)), dtype=np.float64)


def _samples(variable: CollectiveVariable, state: Any) -> _Array:
    listed = list(state)
    values = [variable(item) if isinstance(item, Atoms) else item for item in listed]
    samples = np.asarray(values, dtype=float)
    if samples.ndim != 2 or samples.shape[1] != variable.n_cvs or len(samples) < 2:
        raise ValueError(
            f"a state is given by two structures at least, or values of shape (n, {variable.n_cvs}); "
            f"got shape {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise ValueError("values of the descriptors are NaN or infinite")
    return samples


def _refuse_periodic(variable: CollectiveVariable) -> None:
    periodic = [n for n, d in zip(variable.names, variable.domains, strict=True) if d is not None]
    if periodic:
        raise ValueError(
            f"{', '.join(periodic)} is periodic, and a linear combination would jump where it turns over; "
            "take ase_mlsample.cvs.cos and sin of it"
        )
