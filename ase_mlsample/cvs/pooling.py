"""Quantities of every atom, and the collective variables that are made of them: mean, count, quantile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.cvs.indices import checked_indices, require_atoms
from ase_mlsample.cvs.switching import checked_exponents, rational

__all__ = ["Count", "Mean", "PerAtomVariable", "Pooled", "Pullback", "Quantile", "smooth_quantile"]

_Array = NDArray[np.float64]

# weights (N,) -> gradient (N, 3) and virial (3, 3) of their sum over the atoms' quantities
Pullback = Callable[[_Array], tuple[_Array, _Array]]


class PerAtomVariable(ABC):
    """A smooth quantity k_i of every atom; subclasses write :meth:`forward`.

    Attributes
    ----------
    name : str
        Name of the quantity, by which files and the GUI know it.
    lab_fixed : bool
        Whether it depends on the orientation in space.
    parameters : mapping
        Plain values.
    """

    name: str = "k"
    lab_fixed: bool = False
    parameters: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def forward(self, atoms: Atoms) -> tuple[_Array, Pullback]:
        """Quantities of all atoms, and a function for their derivatives.

        Parameters
        ----------
        atoms : Atoms
            N atoms; they are not changed.

        Returns
        -------
        values : (N,) array
        pullback : callable
            Weights (N,) → gradient (N, 3) in 1/Å and virial (3, 3) of Σ_i w_i k_i. To be called before the
            next :meth:`forward`.

        Raises
        ------
        ValueError
            If the quantity is not defined for the atoms.
        """

    def values(self, atoms: Atoms) -> _Array:
        """Quantities of all atoms, (N,)."""
        return self.forward(atoms)[0]

    def mean(self, indices: Sequence[int] | None = None) -> Mean:
        """Mean over the atoms, or over some of them."""
        return Mean(self, indices=indices)

    def count(
        self,
        threshold: float = 0.5,
        *,
        nn: int = 12,
        mm: int | None = None,
        indices: Sequence[int] | None = None,
    ) -> Count:
        """Smooth number of atoms whose quantity is beyond a threshold; see :class:`Count`."""
        return Count(self, threshold=threshold, nn=nn, mm=mm, indices=indices)

    def quantile(self, q: float, *, width: float = 0.05, indices: Sequence[int] | None = None) -> Quantile:
        """Smooth quantile; see :class:`Quantile`."""
        return Quantile(self, q, width=width, indices=indices)

    def todict(self) -> dict[str, Any]:
        """Class and parameters as plain values."""
        return {"variable": type(self).__name__, "name": self.name, **self.parameters}

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"{type(self).__name__}({shown})"


class Pooled(CollectiveVariable):
    """One number made of a quantity of many atoms; subclasses write :meth:`pool`.

    Parameters
    ----------
    variable : PerAtomVariable
    pooling : str
        What is made of the quantity; the name of the variable is the quantity's with this behind it.
    indices : sequence of int, optional
        Atoms to pool; all by default. The others count as neighbours only.

    Raises
    ------
    TypeError
        If the variable is none of single atoms.
    ValueError
        For indices that are empty, repeated or negative.
    """

    def __init__(self, variable: PerAtomVariable, pooling: str, *, indices: Sequence[int] | None) -> None:
        if not isinstance(variable, PerAtomVariable):
            raise TypeError(
                f"only a quantity of every atom can be pooled, not {type(variable).__name__}: {variable!r}"
            )
        name = f"{variable.name}_{pooling}"
        super().__init__([name], lab_fixed=variable.lab_fixed)
        self.variable = variable
        self._indices = None if indices is None else checked_indices(indices, name)
        listed = None if self._indices is None else self._indices.tolist()
        self.parameters = {"variable": variable.todict(), "indices": listed}

    @abstractmethod
    def pool(self, values: _Array) -> tuple[float, _Array]:
        """Pooled value of quantities (n,), and its derivatives by each of them (n,)."""

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Pooled value with gradient, virial, and the quantities of all atoms as ``per_atom``.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            If there are no atoms of the given indices, or the quantity is not defined.
        """
        values, pullback = self.variable.forward(atoms)
        if self._indices is None:
            value, weights = self.pool(values)
        else:
            require_atoms(self._indices, atoms, self.names[0])
            value, some = self.pool(values[self._indices])
            weights = np.zeros(len(atoms))
            weights[self._indices] = some
        gradient, virial = pullback(weights)
        return CVValue(np.array([value]), gradient[None], virial[None], values)


class Mean(Pooled):
    """Mean of a quantity over the atoms.

    Parameters
    ----------
    variable : PerAtomVariable
    indices : sequence of int, optional
        Atoms to pool; all by default.
    """

    def __init__(self, variable: PerAtomVariable, *, indices: Sequence[int] | None = None) -> None:
        super().__init__(variable, "mean", indices=indices)

    def pool(self, values: _Array) -> tuple[float, _Array]:
        """Mean, and 1/n for every atom."""
        return float(values.mean()), np.full(len(values), 1.0 / len(values))


class Count(Pooled):
    """Smooth number of atoms whose quantity is beyond a threshold, Σ_i [1 − s(k_i/k0)].

    s(x) = (1 − xⁿ)/(1 − xᵐ), one for x ≤ 0. A negative threshold counts the atoms below it (pair entropy).

    Parameters
    ----------
    variable : PerAtomVariable
    threshold : float
        k0, in the unit of the quantity.
    nn, mm : int
        Exponents n and m > n, 12 and 24 by default.
    indices : sequence of int, optional
        Atoms to pool; all by default.

    Raises
    ------
    ValueError
        For a threshold of zero, or exponents out of range.

    References
    ----------
    P. M. Piaggi, M. Parrinello, J. Chem. Phys. 150, 244119 (2019).
    """

    def __init__(
        self,
        variable: PerAtomVariable,
        *,
        threshold: float = 0.5,
        nn: int = 12,
        mm: int | None = None,
        indices: Sequence[int] | None = None,
    ) -> None:
        super().__init__(variable, "count", indices=indices)
        if not np.isfinite(threshold) or threshold == 0:
            raise ValueError(f"threshold = {threshold!r}: a finite number other than zero is meant")
        self._threshold = float(threshold)
        self._nn, self._mm = checked_exponents(nn, mm)
        self.parameters = {**self.parameters, "threshold": self._threshold, "nn": self._nn, "mm": self._mm}

    def pool(self, values: _Array) -> tuple[float, _Array]:
        """Number of atoms beyond the threshold."""
        s, slope = rational(values / self._threshold, self._nn, self._mm)
        return float((1.0 - s).sum()), slope / -self._threshold


class Quantile(Pooled):
    """Smooth quantile: the value t below which a fraction q of the atoms lies, their steps smeared out.

    Σ_i σ((t − k_i)/w) = q n with the logistic function σ; smooth in every k_i, and the sample's quantile
    where the width w goes to zero.

    Parameters
    ----------
    variable : PerAtomVariable
    q : float
        Between 0 and 1, exclusive.
    width : float
        w, in the unit of the quantity.
    indices : sequence of int, optional
        Atoms to pool; all by default.

    Raises
    ------
    ValueError
        For q or width out of range.
    """

    def __init__(
        self,
        variable: PerAtomVariable,
        q: float,
        *,
        width: float = 0.05,
        indices: Sequence[int] | None = None,
    ) -> None:
        super().__init__(variable, "quantile", indices=indices)
        if not 0 < q < 1:
            raise ValueError(f"q = {q!r}: a quantile is asked for between 0 and 1, exclusive")
        if not (np.isfinite(width) and width > 0):
            raise ValueError(f"width = {width!r} must be positive: a sharp quantile has no smooth gradient")
        self._q, self._width = float(q), float(width)
        self.parameters = {**self.parameters, "q": self._q, "width": self._width}

    def pool(self, values: _Array) -> tuple[float, _Array]:
        """Smooth quantile."""
        return smooth_quantile(values, self._q, self._width)


def smooth_quantile(values: _Array, q: float, width: float) -> tuple[float, _Array]:
    """Solve Σ_i σ((t − k_i)/w) = q n for t.

    Parameters
    ----------
    values : (n,) array
        k_i.
    q : float
        Between 0 and 1.
    width : float
        w.

    Returns
    -------
    t : float
    derivatives : (n,) array
        dt/dk_i, which add up to one.
    """
    scaled = values / width
    shift = float(np.log(q / (1.0 - q)))
    # If all values were the lowest (highest), t would be the lower (upper) end.
    low, high = float(scaled.min()) + shift, float(scaled.max()) + shift
    t = float(scaled.mean()) + shift
    for step in range(400):
        excess = _excess(scaled, t, q)
        low, high = (low, t) if excess > 0 else (t, high)
        steepness = float(_bell(scaled, t).sum())
        change = -excess / steepness if steepness > 0 else np.inf
        if abs(change) <= 1e-14 * max(1.0, abs(t)):
            break
        # Newton's steps have unit length in the tails on both sides of a gap: bisection crosses it faster.
        slow = step > 8 and step % 4 == 0
        t = t + change if low < t + change < high and not slow else 0.5 * (low + high)
    steps = np.abs(t - scaled)
    bell = np.exp(steps.min() - steps) / (1.0 + np.exp(-steps)) ** 2
    return t * width, bell / bell.sum()


def _excess(scaled: _Array, t: float, q: float) -> float:
    """Σ σ(t − k) − q n, summed so that small tails on both sides of a gap are not lost in large counts."""
    z = t - scaled
    tails = np.exp(-np.abs(z)) / (1.0 + np.exp(-np.abs(z)))
    asked = q * len(scaled)
    asked = float(round(asked)) if abs(asked - round(asked)) < 1e-9 else asked
    return float(np.where(z > 0, -tails, tails).sum()) + (float((z > 0).sum()) - asked)


def _bell(scaled: _Array, t: float) -> _Array:
    tails = np.exp(-np.abs(t - scaled))
    return np.asarray(tails / (1.0 + tails) ** 2)
