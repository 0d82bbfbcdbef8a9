"""The contract of collective variables: values, gradient and virial of a structure in one evaluation."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["CVValue", "CollectiveVariable", "Domain", "require_finite"]

Domain = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class CVValue:
    """Values of d collective variables of a structure of N atoms, with their derivatives.

    Parameters
    ----------
    value : (d,) array
    gradient : (d, N, 3) array, 1/Å
        Derivatives of the values by positions.
    virial : (d, 3, 3) array
        Derivatives by a symmetric strain ε of positions and cell alike, r → (1 + ε) r. A bias V(s) adds
        Σ dV/ds · virial / volume to the stress.
    per_atom : (N,) array, optional
        The quantity of each atom that the (first such) variable pools, such as crystallinity.

    Raises
    ------
    ValueError
        If a value or derivative is NaN or infinite.
    TypeError
        For arrays of other shapes.
    """

    value: NDArray[np.float64]
    gradient: NDArray[np.float64]
    virial: NDArray[np.float64]
    per_atom: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        d, n = len(self.value), self.gradient.shape[1] if self.gradient.ndim == 3 else -1
        if self.value.shape != (d,) or self.gradient.shape != (d, n, 3) or self.virial.shape != (d, 3, 3):
            raise TypeError(
                f"values of shape {self.value.shape} come with a gradient of shape {self.gradient.shape} and "
                f"a virial of shape {self.virial.shape}; (d,), (d, N, 3) and (d, 3, 3) belong together"
            )
        for name in ("value", "gradient", "virial"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(
                    f"the {name} of a collective variable is NaN or infinite (values {self.value.tolist()}): "
                    "it is not defined for this structure"
                )


def require_finite(atoms: Atoms) -> None:
    """Refuse structures without atoms, and positions or a cell that are not numbers.

    Parameters
    ----------
    atoms : Atoms

    Raises
    ------
    ValueError
        Naming the first of the atoms.
    """
    if len(atoms) == 0:
        raise ValueError("there are no atoms to evaluate a collective variable of")
    if not np.isfinite(atoms.positions).all():
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        raise ValueError(
            f"positions of {len(bad)} atoms are NaN or infinite, atom {bad[0]} the first; "
            "no collective variable exists for such a structure"
        )
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is NaN or infinite: {atoms.cell.array.tolist()}")


class CollectiveVariable(ABC):
    """One or several smooth functions of the atoms; subclasses write :meth:`evaluate`.

    Variables add, subtract, multiply and divide with numbers and with each other, component by component;
    :func:`~ase_mlsample.cvs.stack` puts several side by side.

    Parameters
    ----------
    names : sequence of d str
        Short names without white space, as logs and files have them.
    domains : sequence of d (low, high) or None, optional
        Range of each periodic component; None for those that are not, which is the default.
    lab_fixed : bool
        Whether the variable depends on the orientation in space, so that a cell must keep its own.

    Raises
    ------
    ValueError
        For names with white space, or domains that are no ranges or not as many as names.
    """

    __array_ufunc__: ClassVar[None] = None  # so that a NumPy number times a variable asks the variable

    names: tuple[str, ...]
    domains: tuple[Domain, ...]
    lab_fixed: bool = False
    parameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self, names: Sequence[str], domains: Sequence[Domain] | None = None, *, lab_fixed: bool = False
    ) -> None:
        self.names = _checked_names(names)
        self.domains = _checked_domains(domains, self.names)
        self.lab_fixed = lab_fixed

    @abstractmethod
    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; depends on the structure alone and does not change it.

        Parameters
        ----------
        atoms : Atoms
            N atoms in any cell.

        Returns
        -------
        CVValue

        Raises
        ------
        ValueError
            If the variable is not defined for the atoms: positions that are no numbers, too few atoms, …
        """

    def __call__(self, atoms: Atoms) -> NDArray[np.float64]:
        """Values alone, (d,)."""
        return self.evaluate(atoms).value

    @property
    def n_cvs(self) -> int:
        """Number of components d."""
        return len(self.names)

    def todict(self) -> dict[str, Any]:
        """Class, names and parameters as plain values, for logs and checkpoints."""
        return {"cv": type(self).__name__, "names": list(self.names), **self.parameters}

    def named(self, *names: str) -> Self:
        """The same variable under other names.

        Parameters
        ----------
        *names : str
            One for each component.

        Raises
        ------
        ValueError
            If there are not as many names as components.
        """
        if len(names) != self.n_cvs:
            raise ValueError(f"{self.n_cvs} components ({', '.join(self.names)}) cannot be named {names}")
        other = copy.copy(self)
        other.names = _checked_names(names)
        return other

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"{type(self).__name__}({shown})"

    def __add__(self, other: Any) -> CollectiveVariable:
        return _combined("+", self, other)

    def __radd__(self, other: Any) -> CollectiveVariable:
        return _combined("+", other, self)

    def __sub__(self, other: Any) -> CollectiveVariable:
        return _combined("-", self, other)

    def __rsub__(self, other: Any) -> CollectiveVariable:
        return _combined("-", other, self)

    def __mul__(self, other: Any) -> CollectiveVariable:
        return _combined("*", self, other)

    def __rmul__(self, other: Any) -> CollectiveVariable:
        return _combined("*", other, self)

    def __truediv__(self, other: Any) -> CollectiveVariable:
        return _combined("/", self, other)

    def __rtruediv__(self, other: Any) -> CollectiveVariable:
        return _combined("/", other, self)

    def __neg__(self) -> CollectiveVariable:
        return _combined("*", -1.0, self)


def _combined(operation: str, left: Any, right: Any) -> CollectiveVariable:
    from ase_mlsample.cvs.arithmetic import combine

    return combine(operation, left, right)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not names:
        raise ValueError(f"names of the components are a sequence of texts, not {names!r}")
    for name in names:
        if not isinstance(name, str) or not name or any(c.isspace() for c in name):
            raise ValueError(f"{name!r} cannot name a component: files need a text without white space")
    return tuple(names)


def _checked_domains(domains: Sequence[Domain] | None, names: tuple[str, ...]) -> tuple[Domain, ...]:
    checked: list[Domain] = []
    for domain in [None] * len(names) if domains is None else domains:
        if domain is None:
            checked.append(None)
            continue
        low, high = (float(end) for end in domain)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"the domain of a periodic component goes from low to high, not {domain!r}")
        checked.append((low, high))
    if len(checked) != len(names):
        raise ValueError(f"{len(checked)} domains for {len(names)} components ({', '.join(names)})")
    return tuple(checked)
