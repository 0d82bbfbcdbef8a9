"""Arithmetic of collective variables: sums, products, quotients, cosine and sine, and stacks."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, Domain

__all__ = ["Combined", "Mapped", "Scaled", "Stacked", "combine", "cos", "sin", "stack"]

_Array = NDArray[np.float64]


def stack(*variables: CollectiveVariable) -> CollectiveVariable:
    """Put variables side by side: the components of the first, then those of the second, and so on.

    Parameters
    ----------
    *variables : CollectiveVariable

    Returns
    -------
    CollectiveVariable
        ``per_atom`` of its values is that of the first variable which has one.

    Raises
    ------
    TypeError
        For anything else than collective variables.
    ValueError
        Without variables, or if two components have the same name.
    """
    return Stacked(variables)


def cos(variable: CollectiveVariable) -> CollectiveVariable:
    """Cosine of every component (rad); periodic ones, such as a dihedral, become ordinary ones."""
    return Mapped(variable, "cos")


def sin(variable: CollectiveVariable) -> CollectiveVariable:
    """Sine of every component (rad); periodic ones, such as a dihedral, become ordinary ones."""
    return Mapped(variable, "sin")


def combine(operation: str, left: Any, right: Any) -> CollectiveVariable:
    """Result of an operator between variables and numbers.

    Parameters
    ----------
    operation : "+", "-", "*" or "/"
    left, right : CollectiveVariable or float
        One variable at least. A variable with one component meets every component of the other.

    Raises
    ------
    TypeError
        For anything else than variables and numbers.
    ValueError
        If the numbers of components do not fit, a periodic component would lose its meaning, or a number is
        not finite or zero where it must not be.
    """
    if isinstance(left, CollectiveVariable) and isinstance(right, CollectiveVariable):
        return Combined(operation, left, right)
    for side in (left, right):
        if type(side) is bool or not isinstance(side, CollectiveVariable | Real):
            raise TypeError(
                f"collective variables combine with each other and with numbers, not with "
                f"{type(side).__name__}: {side!r:.60}"
            )
    if isinstance(left, CollectiveVariable):
        number = float(right)
        if operation in "+-":
            return Scaled(left, 1.0, number if operation == "+" else -number)
        if operation == "/" and number == 0:
            raise ValueError(f"{', '.join(left.names)} divided by zero")
        return Scaled(left, number if operation == "*" else 1.0 / number, 0.0)
    number = float(left)
    if operation == "/":
        return Mapped(right, "reciprocal", number)
    return Scaled(right, number, 0.0) if operation == "*" else Scaled(right, _sign(operation), number)


def _sign(operation: str) -> float:
    return 1.0 if operation == "+" else -1.0


class Scaled(CollectiveVariable):
    """A variable times a number plus a number: factor · s + offset; domains move along.

    Parameters
    ----------
    variable : CollectiveVariable
    factor, offset : float

    Raises
    ------
    ValueError
        If a number is not finite, or the factor zero.
    """

    def __init__(self, variable: CollectiveVariable, factor: float, offset: float) -> None:
        if not (np.isfinite(factor) and np.isfinite(offset)) or factor == 0:
            raise ValueError(
                f"factor {factor!r} and offset {offset!r} of {', '.join(variable.names)}: both must be "
                "finite, and the factor not zero"
            )
        domains = [self._moved(domain, factor, offset) for domain in variable.domains]
        super().__init__(variable.names, domains, lab_fixed=variable.lab_fixed)
        self.names = tuple(_written(name, factor, offset) for name in variable.names)
        self._variable, self._factor, self._offset = variable, float(factor), float(offset)
        self.parameters = {"of": variable.todict(), "factor": self._factor, "offset": self._offset}

    @staticmethod
    def _moved(domain: Domain, factor: float, offset: float) -> Domain:
        if domain is None:
            return None
        low, high = sorted(factor * end + offset for end in domain)
        return low, high

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        inner, factor = self._variable.evaluate(atoms), self._factor
        value = factor * inner.value + self._offset
        return CVValue(value, factor * inner.gradient, factor * inner.virial, inner.per_atom)


class Combined(CollectiveVariable):
    """Sum, difference, product or quotient of two variables, component by component.

    Parameters
    ----------
    operation : "+", "-", "*" or "/"
    left, right : CollectiveVariable
        With the same number of components, or one of them with a single one.

    Raises
    ------
    ValueError
        If the numbers of components do not fit, or a component is periodic: a sum of angles would jump.
    """

    def __init__(self, operation: str, left: CollectiveVariable, right: CollectiveVariable) -> None:
        if left.n_cvs != right.n_cvs and 1 not in (left.n_cvs, right.n_cvs):
            raise ValueError(
                f"{left.n_cvs} components ({', '.join(left.names)}) and {right.n_cvs} "
                f"({', '.join(right.names)}) do not combine; one of them must have one, or both as many"
            )
        for side in (left, right):
            _refuse_periodic(side, f"{left.names[0]} {operation} {right.names[0]}")
        d = max(left.n_cvs, right.n_cvs)
        pairs = zip(_spread_over(left.names, d), _spread_over(right.names, d), strict=True)
        names = [f"({a}{operation}{b})" for a, b in pairs]
        super().__init__(names, lab_fixed=left.lab_fixed or right.lab_fixed)
        self._operation, self._left, self._right = operation, left, right
        self.parameters = {"operation": operation, "left": left.todict(), "right": right.todict()}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            For a division by zero, besides the reasons of the two variables.
        """
        left, right = self._left.evaluate(atoms), self._right.evaluate(atoms)
        a, b = np.broadcast_arrays(left.value, right.value)
        if self._operation == "+":
            value, by_a, by_b = a + b, np.ones_like(a), np.ones_like(b)
        elif self._operation == "-":
            value, by_a, by_b = a - b, np.ones_like(a), -np.ones_like(b)
        elif self._operation == "*":
            value, by_a, by_b = a * b, b, a
        else:
            if not b.all():
                raise ValueError(f"{self.names}: {', '.join(self._right.names)} is zero, {b.tolist()}")
            value, by_a, by_b = a / b, 1.0 / b, -a / b**2
        by_a, by_b = by_a[:, None, None], by_b[:, None, None]
        return CVValue(
            value,
            by_a * left.gradient + by_b * right.gradient,
            by_a * left.virial + by_b * right.virial,
            right.per_atom if left.per_atom is None else left.per_atom,
        )


class Mapped(CollectiveVariable):
    """Cosine, sine or reciprocal of every component, times a number.

    Parameters
    ----------
    variable : CollectiveVariable
    function : "cos", "sin" or "reciprocal"
    factor : float

    Raises
    ------
    ValueError
        For other functions, the reciprocal of a periodic component, and the cosine or sine of a periodic one
        whose period is no multiple of 2π.
    """

    def __init__(self, variable: CollectiveVariable, function: str, factor: float = 1.0) -> None:
        if function not in _FUNCTIONS:
            raise ValueError(f"function {function!r}: {', '.join(_FUNCTIONS)} are known")
        if not np.isfinite(factor):
            raise ValueError(f"the factor {factor!r} is not finite")
        if function == "reciprocal":
            _refuse_periodic(variable, f"{factor:g} / {variable.names[0]}")
            names = [f"({factor:g}/{name})" for name in variable.names]
        else:
            names = [f"{function}({name})" for name in variable.names]
            for name, domain in zip(variable.names, variable.domains, strict=True):
                turns = 0.0 if domain is None else (domain[1] - domain[0]) / (2 * np.pi)
                if abs(turns - round(turns)) > 1e-12:
                    raise ValueError(f"{function} jumps at the ends of the domain {domain} of {name}")
        super().__init__(names, lab_fixed=variable.lab_fixed)
        self._variable, self._function, self._factor = variable, function, float(factor)
        self.parameters = {"of": variable.todict(), "function": function, "factor": self._factor}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        inner = self._variable.evaluate(atoms)
        if self._function == "reciprocal" and not inner.value.all():
            raise ValueError(f"{self.names}: divided by zero")
        value, slope = _FUNCTIONS[self._function](inner.value)
        slope = self._factor * slope[:, None, None]
        return CVValue(self._factor * value, slope * inner.gradient, slope * inner.virial, inner.per_atom)


_FUNCTIONS: dict[str, Callable[[_Array], tuple[_Array, _Array]]] = {
    "cos": lambda s: (np.cos(s), -np.sin(s)),
    "sin": lambda s: (np.sin(s), np.cos(s)),
    "reciprocal": lambda s: (1.0 / s, -1.0 / s**2),
}


class Stacked(CollectiveVariable):
    """Variables side by side; made by :func:`stack`.

    Parameters
    ----------
    variables : sequence of CollectiveVariable
    """

    def __init__(self, variables: tuple[CollectiveVariable, ...]) -> None:
        if not variables:
            raise ValueError("stack() needs one variable at least")
        for variable in variables:
            if not isinstance(variable, CollectiveVariable):
                raise TypeError(
                    f"stack() takes collective variables, not {type(variable).__name__}: {variable!r:.60}; "
                    "a quantity of every atom is pooled first, by .mean() or .count()"
                )
        names = [name for variable in variables for name in variable.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two components are named {', '.join(twice)}; rename one with .named(...)")
        domains = [domain for variable in variables for domain in variable.domains]
        super().__init__(names, domains, lab_fixed=any(variable.lab_fixed for variable in variables))
        self._variables = tuple(variables)
        self.parameters = {"of": [variable.todict() for variable in variables]}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        parts = [variable.evaluate(atoms) for variable in self._variables]
        return CVValue(
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.gradient for part in parts]),
            np.concatenate([part.virial for part in parts]),
            next((part.per_atom for part in parts if part.per_atom is not None), None),
        )


def _written(name: str, factor: float, offset: float) -> str:
    text = name if factor == 1 else f"-{name}" if factor == -1 else f"{factor:g}*{name}"
    return text if offset == 0 else f"({text}{offset:+g})"


def _spread_over(names: tuple[str, ...], d: int) -> tuple[str, ...]:
    return names * d if len(names) == 1 else names


def _refuse_periodic(variable: CollectiveVariable, text: str) -> None:
    for name, domain in zip(variable.names, variable.domains, strict=True):
        if domain is not None:
            raise ValueError(
                f"{text}: {name} is periodic on {domain}, and the result would jump where it turns over; "
                "scale it by numbers, or take ase_mlsample.cvs.cos and sin of it"
            )
