"""How checks compare numbers and how they fail."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ContractError", "Tolerances", "assert_close", "require", "same_info"]


class ContractError(AssertionError):
    """A calculator or sampler does not keep its contract."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Largest differences that are put down to rounding, and the steps of finite differences.

    The defaults suit double precision; :meth:`single` suits networks in single precision.

    Parameters
    ----------
    energy : float, eV/atom
        Between evaluations that should agree.
    forces : float, eV/Å
        Between components of evaluations that should agree.
    stress : float, eV/Å³
        Between components of evaluations that should agree.
    force_derivative : float, eV/Å
        Between a force and the difference quotient of the energy.
    stress_derivative : float, eV/Å³
        Between a stress and the difference quotient of the energy.
    displacement : float, Å
        Step of the difference quotient for forces.
    strain : float
        Step of the difference quotient for stress.
    """

    energy: float = 1e-9
    forces: float = 1e-8
    stress: float = 1e-9
    force_derivative: float = 1e-6
    stress_derivative: float = 1e-7
    displacement: float = 1e-3
    strain: float = 2e-4

    @classmethod
    def single(cls) -> "Tolerances":
        """Tolerances for models evaluated in single precision."""
        return cls(
            energy=5e-6,
            forces=5e-4,
            stress=5e-5,
            force_derivative=2e-2,
            stress_derivative=2e-3,
            displacement=1e-2,
            strain=2e-3,
        )


def require(condition: bool, message: str) -> None:
    """Raise :class:`ContractError` with the message unless the condition holds."""
    if not condition:
        raise ContractError(message)


def assert_close(actual: Any, expected: Any, *, tolerance: float, what: str) -> None:
    """Compare numbers or arrays by their largest absolute difference.

    Parameters
    ----------
    actual, expected : array_like
        Of the same shape.
    tolerance : float
        Largest difference allowed, in the unit of the values.
    what : str
        What is compared; starts the message.

    Raises
    ------
    ContractError
        With the largest difference, where it is, and both values.
    """
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    require(actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}")
    difference = np.abs(actual - expected)
    # Written so that NaN fails.
    if difference.size and not difference.max() <= tolerance:
        where = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        place = f" at {tuple(int(i) for i in where)}" if where else ""
        raise ContractError(
            f"{what}: {actual[where]:.12g}, expected {expected[where]:.12g}{place}; "
            f"off by {difference[where]:.3g}, more than {tolerance:.3g}"
        )


def same_info(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two ``info`` of structures hold equal values, arrays and nested ones included."""
    try:
        np.testing.assert_equal(first, second)
    except AssertionError:
        return False
    return True
