"""What every bias is: a potential of collective variables alone, perhaps changing as a run goes on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.comparison import differences

__all__ = ["Bias", "BiasSum", "Domain"]

FloatArray = NDArray[np.float64]
Domain = tuple[float, float] | None


class Bias(ABC):
    """A potential V(s) of collective variables, which never sees the atoms.

    Energies are in the unit of the caller's kT: eV in dynamics of atoms, anything for model potentials.
    A bias serves one walker, s of shape (d,), or many in one call, (W, d); all walkers feel the same V.

    A subclass sets ``n_cvs``, implements :meth:`potential` and :meth:`settings`, and when it changes in time
    also :meth:`update`, :meth:`_state` and :meth:`_load_state`.

    Attributes
    ----------
    n_cvs : int
        The number d of variables.
    domains : tuple or None
        The period of each variable, (low, high) or None for one that is not periodic; None altogether for a
        bias that takes the values as they are.
    """

    n_cvs: int
    domains: tuple[Domain, ...] | None = None

    @abstractmethod
    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and dV/ds; asking changes nothing.

        Parameters
        ----------
        s : array_like (d,) or (W, d)

        Returns
        -------
        V : float or ndarray (W,)
        gradient : ndarray (d,) or (W, d)

        Raises
        ------
        ValueError
            For another number of variables, or one that is not finite.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that build an equal bias, as plain values, files excepted."""

    def update(self, s: ArrayLike, step: int) -> bool:  # noqa: ARG002 (a bias that does not change needs none)
        """Take note that step ``step`` was done and ended at ``s``.

        To be called once after every step, from step 1 on; the pace at which something happens belongs to the
        bias. Nothing happens at step 0.

        Parameters
        ----------
        s : array_like (d,) or (W, d)
        step : int

        Returns
        -------
        bool
            Whether V changed.
        """
        return False

    def diagnostics(self) -> dict[str, float]:
        """Return what tells how far the bias has come, by name: columns of a run's log, always the same."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return all that the bias is and has become: plain values and arrays (copies), with string keys."""
        return {"class": type(self).__name__, "settings": self.settings(), "state": self._state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of :meth:`state_dict`; files are cut back to what they held then.

        Raises
        ------
        ValueError
            When the state is of another bias or of other settings, or does not fit the files.
        KeyError
            When something is missing.
        """
        self._require_same(state)
        self._load_state(state["state"])

    def flush(self) -> None:  # noqa: B027 (most biases keep no file)
        """See that files hold everything, even after a power cut."""

    def close(self) -> None:  # noqa: B027
        """Close files; they are opened again when needed."""

    def terms(self) -> tuple[Bias, ...]:
        """Return the biases that this one is the sum of: itself, unless it is a sum."""
        return (self,)

    def __add__(self, other: object) -> BiasSum:
        """Return the sum of two biases."""
        return BiasSum([self, other]) if isinstance(other, Bias) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy is built anew from settings and state; two biases must not write one file, so it writes none.
        return _copied, (type(self), self.settings(), self._state())

    def _state(self) -> dict[str, Any]:
        """What changes as the run goes on."""
        return {}

    def _load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (a bias that does not change)
        """Take up what :meth:`_state` returned."""

    def _require_same(self, state: Mapping[str, Any]) -> None:
        name = type(self).__name__
        if state["class"] != name:
            raise ValueError(f"the state is of a {state['class']}, which a {name} cannot take up")
        different = differences(self.settings(), state["settings"])
        if different:
            raise ValueError(
                f"the state is of a {name} with other settings: {different}; build it with those of "
                "the state, or start a new run"
            )

    def _points(self, s: ArrayLike) -> FloatArray:
        """Return checked variables as an array (d,) or (W, d)."""
        points: FloatArray = np.asarray(s, dtype=np.float64)
        if not 1 <= points.ndim <= 2 or points.shape[-1] != self.n_cvs:
            raise ValueError(
                f"{type(self).__name__} is a function of {self.n_cvs} variable(s): give an array "
                f"({self.n_cvs},) or (walkers, {self.n_cvs}), got shape {points.shape}"
            )
        # the sum first: it costs a quarter, and is finite for nearly all that is
        if not (math.isfinite(points.sum()) or np.isfinite(points).all()):
            raise ValueError(
                f"a collective variable is not finite: {points[~np.isfinite(points)][0]} in "
                f"{np.array2string(points, threshold=20)}; look at the atoms, or at a smaller time step"
            )
        return points


class BiasSum(Bias):
    """Several biases at once; ``bias + bias`` makes one.

    Parameters
    ----------
    biases : sequence of Bias
        Of the same variables. Sums within are taken apart.

    Raises
    ------
    TypeError
        For something that is no bias.
    ValueError
        For none, or for different numbers of variables or periods.

    Examples
    --------
    >>> from ase_mlsample.biases import HarmonicRestraint, UpperWall
    >>> bias = HarmonicRestraint(2.0, 1.5) + UpperWall(4.0, 10.0)
    >>> bias.potential([5.0])
    (16.75, array([24.5]))
    """

    def __init__(self, biases: Sequence[Bias]) -> None:
        for bias in biases:
            if not isinstance(bias, Bias):
                raise TypeError(f"a sum of biases cannot hold a {type(bias).__name__}")
        self._terms = tuple(term for bias in biases for term in bias.terms())
        if not self._terms:
            raise ValueError("a sum of biases needs at least one of them, got none")
        counts = [term.n_cvs for term in self._terms]
        if len(set(counts)) > 1:
            raise ValueError(f"biases of different numbers of variables cannot be added: {counts}")
        periods = [term.domains for term in self._terms if term.domains is not None]
        if any(domains != periods[0] for domains in periods):
            raise ValueError(f"biases of variables with different periods cannot be added: {periods}")
        self.n_cvs = counts[0]
        self.domains = periods[0] if periods else None

    def terms(self) -> tuple[Bias, ...]:
        """Return the biases that are added."""
        return self._terms

    def __iter__(self) -> Iterator[Bias]:
        """Go through the biases that are added."""
        return iter(self._terms)

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return the sum of the potentials and of their gradients; see :meth:`Bias.potential`."""
        value, gradient = self._terms[0].potential(s)
        for term in self._terms[1:]:
            more, slope = term.potential(s)
            value, gradient = value + more, gradient + slope
        return value, gradient

    def update(self, s: ArrayLike, step: int) -> bool:
        """Tell every bias of the step; true when one of them changed."""
        changed = [term.update(s, step) for term in self._terms]  # every one must hear of it
        return any(changed)

    def settings(self) -> dict[str, Any]:
        """Return the class and settings of every bias, by its position."""
        return {
            str(k): {"class": type(term).__name__, "settings": term.settings()}
            for k, term in enumerate(self._terms)
        }

    def diagnostics(self) -> dict[str, float]:
        """Return those of all terms; of several terms with the same, the later ones have a number added."""
        merged: dict[str, float] = {}
        for k, term in enumerate(self._terms):
            for name, value in term.diagnostics().items():
                merged[f"{name}_{k}" if name in merged else name] = value
        return merged

    def flush(self) -> None:
        """See that all files hold everything."""
        for term in self._terms:
            term.flush()

    def close(self) -> None:
        """Close all files."""
        for term in self._terms:
            term.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return BiasSum, (list(self._terms),)

    def _state(self) -> dict[str, Any]:
        return {str(k): term.state_dict() for k, term in enumerate(self._terms)}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        for k, term in enumerate(self._terms):
            term.load_state_dict(state[str(k)])


def _copied(kind: type[Bias], settings: dict[str, Any], state: dict[str, Any]) -> Bias:
    bias = kind(**settings)
    bias._load_state(state)
    return bias
