"""What a calculator predicts for one structure, and how far its members disagree about it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Calibration", "Prediction", "Spread", "mean_over_members", "std_over_members"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors that turn the raw disagreement of an ensemble into an error bar.

    Fitted on validation data as α² = mean(error²)/mean(σ²), separately for each quantity.

    Parameters
    ----------
    energy, forces, stress : float
        Positive factors on the standard deviations of energies, force components and stress components.

    Raises
    ------
    ValueError
        If a factor is not a positive finite number.
    """

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 1.0

    def __post_init__(self) -> None:
        for name in ("energy", "forces", "stress"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"calibration factor {name}={value!r} must be a positive finite number")


def mean_over_members(values: ArrayLike) -> Array:
    """Mean over the first axis; exactly the common value where all members agree.

    Parameters
    ----------
    values : (M, ...) array
        One entry a member.

    Returns
    -------
    (...) array
    """
    values = np.asarray(values, dtype=float)
    # Rounding of a plain mean would make identical members differ from it.
    return np.asarray(values[0] + (values - values[0]).mean(axis=0))


def std_over_members(values: ArrayLike) -> Array:
    """Sample standard deviation (ddof = 1) over the first axis; exactly zero where all members agree.

    Parameters
    ----------
    values : (M, ...) array
        One entry a member, M at least 2.

    Returns
    -------
    (...) array

    Raises
    ------
    ValueError
        If there are fewer than two members: one member cannot disagree.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim == 0 or len(values) < 2:
        members = 0 if values.ndim == 0 else len(values)
        raise ValueError(f"a spread needs at least two members, got {members}")
    return np.asarray((values - values[0]).std(axis=0, ddof=1))


def _moments(values: ArrayLike) -> tuple[Array, Array]:
    """Mean and sample standard deviation over the first axis, as the two functions above in one pass."""
    from ase_mlsample import _core

    given = np.ascontiguousarray(values, dtype=float)
    if given.ndim == 0 or len(given) < 2:
        std_over_members(given)  # says why not
    mean, deviation = _core.moments(given.reshape(len(given), -1))
    return mean.reshape(given.shape[1:]), deviation.reshape(given.shape[1:])


@dataclass(frozen=True, slots=True)
class Spread:
    """Disagreement of the members of an ensemble about one structure: raw standard deviations, ddof = 1.

    Its arrays are read-only, because calculators keep and hand out the same spread until the atoms change.

    Parameters
    ----------
    energy_std : float, eV
        Of the total energy.
    energies_std : (N,) array, eV, or None
        Of the atomic energies, if the model has them.
    forces_std : (N, 3) array, eV/Å
        Of each force component.
    stress_std : (6,) array, eV/Å³, or None
        Of the stress components (xx yy zz yz xz xy), if the cell has three vectors.
    calibration : Calibration
        The factors that :attr:`calibrated` applies.
    """

    energy_std: float
    energies_std: Array | None
    forces_std: Array
    stress_std: Array | None
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        for name in ("energies_std", "forces_std", "stress_std"):
            if getattr(self, name) is not None:
                view = np.asarray(getattr(self, name), dtype=float).view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @classmethod
    def from_members(
        cls,
        energies: ArrayLike,
        forces: ArrayLike,
        *,
        stress: ArrayLike | None = None,
        atomic_energies: ArrayLike | None = None,
        calibration: Calibration | None = None,
    ) -> "Spread":
        """Spread of M members' predictions.

        Parameters
        ----------
        energies : (M,) array, eV
        forces : (M, N, 3) array, eV/Å
        stress : (M, 6) array, eV/Å³, optional
        atomic_energies : (M, N) array, eV, optional
        calibration : Calibration, optional

        Raises
        ------
        ValueError
            If there are fewer than two members.
        """
        return cls(
            energy_std=float(std_over_members(energies)),
            energies_std=None if atomic_energies is None else std_over_members(atomic_energies),
            forces_std=std_over_members(forces),
            stress_std=None if stress is None else std_over_members(stress),
            calibration=calibration or Calibration(),
        )

    @property
    def force_sigma(self) -> Array:
        """(N,) array, eV/Å: norm of the standard deviations of an atom's force components."""
        return np.asarray(np.linalg.norm(self.forces_std, axis=1))

    @property
    def calibrated(self) -> "Spread":
        """The spread with the calibration factors applied (and spent: its own calibration is one)."""
        factor = self.calibration
        return Spread(
            energy_std=self.energy_std * factor.energy,
            energies_std=None if self.energies_std is None else self.energies_std * factor.energy,
            forces_std=self.forces_std * factor.forces,
            stress_std=None if self.stress_std is None else self.stress_std * factor.stress,
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one evaluation yields for one structure of N atoms.

    Parameters
    ----------
    energy : float, eV
        The energy whose derivative the forces are.
    forces : (N, 3) array, eV/Å
    energies : (N,) array, eV, or None
        Atomic energies, if the model has them; they sum to the energy.
    stress : (6,) array, eV/Å³, or None
        dE/dε/V in Voigt order xx yy zz yz xz xy; None if the cell has no volume.
    spread : Spread or None
        Disagreement of the members, if asked for.
    member_energies : (M,) array, eV, or None
    member_forces : (M, N, 3) array, eV/Å, or None
    member_stress : (M, 6) array, eV/Å³, or None

    Raises
    ------
    ValueError
        If an array has the wrong shape.
    """

    energy: float
    forces: Array
    energies: Array | None = None
    stress: Array | None = None
    spread: Spread | None = None
    member_energies: Array | None = None
    member_forces: Array | None = None
    member_stress: Array | None = None

    def __post_init__(self) -> None:
        forces: Any = np.shape(self.forces)
        if len(forces) != 2 or forces[1] != 3:
            raise ValueError(f"forces of shape {forces}: a prediction needs (N, 3)")
        of_members = (self.member_energies, self.member_forces, self.member_stress)
        members = next((len(values) for values in of_members if values is not None), 0)
        expected = {
            "energies": (forces[0],),
            "stress": (6,),
            "member_energies": (members,),
            "member_forces": (members, *forces),
            "member_stress": (members, 6),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name} of shape {np.shape(value)}: these atoms need {shape}")

    @classmethod
    def from_members(
        cls,
        energies: ArrayLike,
        forces: ArrayLike,
        *,
        stress: ArrayLike | None = None,
        atomic_energies: ArrayLike | None = None,
        calibration: Calibration | None = None,
    ) -> "Prediction":
        """Mean and spread of M members' predictions, which it also keeps.

        Parameters
        ----------
        energies : (M,) array, eV
        forces : (M, N, 3) array, eV/Å
        stress : (M, 6) array, eV/Å³, optional
        atomic_energies : (M, N) array, eV, optional
        calibration : Calibration, optional

        Raises
        ------
        ValueError
            If there are fewer than two members, or an array has the wrong shape.
        """
        energy, energy_std = _moments(energies)
        mean_forces, forces_std = _moments(forces)
        atomic, atomic_std = (None, None) if atomic_energies is None else _moments(atomic_energies)
        mean_stress, stress_std = (None, None) if stress is None else _moments(stress)
        return cls(
            energy=float(energy),
            forces=mean_forces,
            energies=atomic,
            stress=mean_stress,
            spread=Spread(
                float(energy_std), atomic_std, forces_std, stress_std, calibration or Calibration()
            ),
            member_energies=np.asarray(energies, dtype=float),
            member_forces=np.asarray(forces, dtype=float),
            member_stress=None if stress is None else np.asarray(stress, dtype=float),
        )
