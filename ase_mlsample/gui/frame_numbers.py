"""What a frame is in numbers: its time, variables, bias, disagreement, energy and temperature."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.gui.scalars import Scalar

__all__ = ["QUANTITIES", "FrameNumbers", "Quantity", "numbers_of", "variable_names"]

Column = NDArray[np.float64]

_FORCE_ERROR = Scalar("force_error", "")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number a frame.

    Attributes
    ----------
    key : str
        In what `numbers_of` returns.
    label : str
        For people.
    unit : str
    panel : str
        Quantities with the same name share a diagram.
    """

    key: str
    label: str
    unit: str
    panel: str


#: What is known of many frames; variables and numbers of the user's own come besides.
QUANTITIES = (
    Quantity("bias", "bias V", "eV", "bias"),
    Quantity("force_sigma_max", "σ of forces, largest", "eV/Å", "disagreement of forces"),
    Quantity("force_sigma_mean", "σ of forces, mean", "eV/Å", "disagreement of forces"),
    Quantity("force_error_max", "|ΔF| to labels, largest", "eV/Å", "disagreement of forces"),
    Quantity("energy_std", "σ of the energy", "meV/atom", "disagreement of energies"),
    Quantity("energy", "energy", "eV/atom", "energy"),
    Quantity("REF_energy", "energy, label", "eV/atom", "energy"),
    Quantity("temperature_K", "temperature", "K", "temperature"),
    Quantity("target_K", "temperature, target", "K", "temperature"),
)


def variable_names(atoms: Atoms) -> tuple[str, ...]:
    """Names of the collective variables whose values are in ``info["cv"]``; none without values."""
    if "cv" not in atoms.info:
        return ()
    number = np.size(atoms.info["cv"])
    names = tuple(str(atoms.info.get("cv_names", "")).split())
    if len(names) == number:
        return names
    return ("cv",) if number == 1 else tuple(f"cv[{k}]" for k in range(number))


def numbers_of(atoms: Atoms) -> dict[str, float]:
    """Return what is known of a frame; nothing is computed but sums over its atoms.

    Parameters
    ----------
    atoms : as written by runs of this package, or by others.

    Returns
    -------
    dict
        By key of a `Quantity`: energies in eV/atom (``energy_std`` in meV/atom), ``bias`` in eV, forces in
        eV/Å, temperatures in K, ``time_fs``; variables as ``"cv:NAME"``; the trust window ``trust_lo`` and
        ``trust_hi`` in eV/Å; any other number of ``info`` under its own name. What is not known is left out.
    """
    numbers = {key: float(value) for key, value in atoms.info.items() if _is_number(value)}
    numbers.pop("cv", None)
    values = np.ravel(atoms.info.get("cv", ()))
    for name, value in zip(variable_names(atoms), values, strict=True):
        if _is_number(value):
            numbers[f"cv:{name}"] = float(value)
    if "temperature_K" in numbers:
        numbers["target_K"] = numbers.pop("temperature_K")
    _add_disagreement(numbers, atoms)
    _add_energies(numbers, atoms)
    if len(atoms) and atoms.has("momenta") and atoms.get_momenta().any():
        numbers["temperature_K"] = float(atoms.get_temperature())
    return numbers


class FrameNumbers:
    """Numbers of a growing list of frames; they are kept when the frames themselves no longer are.

    Parameters
    ----------
    frames : the first ones.
    """

    def __init__(self, frames: Iterable[Atoms] = ()) -> None:
        self._rows: list[dict[str, float]] = []
        self._begins: list[bool] = []
        self._last: tuple[Any, int] = (None, 0)
        self._names: dict[str, None] = {}
        self._found: tuple[int, list[Quantity]] = (0, [])
        self.add(frames)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, frames: Iterable[Atoms]) -> None:
        """Append the numbers of frames."""
        for atoms in frames:
            row = numbers_of(atoms)
            source = atoms.info.get("live_name"), len(atoms)
            before = self._rows[-1] if self._rows else {}
            self._begins.append(
                not self._rows
                or source != self._last
                or "trust" in atoms.info  # a candidate, of a trajectory of its own
                or not row.get("time_fs", math.inf) > before.get("time_fs", -math.inf)
            )
            self._last = source
            self._names |= dict.fromkeys(row)
            self._rows.append(row)

    def column(self, key: str) -> Column:
        """Values of all frames (T,), NaN where a frame has none."""
        return np.array([row.get(key, math.nan) for row in self._rows])

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Frames (T,) that do not go on where the one before was: another time or system, or a candidate."""
        return np.array(self._begins, dtype=bool)

    @property
    def is_one_trajectory(self) -> bool:
        """Whether time goes on from each frame to the next, so that it can be an axis."""
        has_time = all("time_fs" in row for row in self._rows)
        return len(self) > 1 and has_time and not self.begins[1:].any()

    @property
    def variables(self) -> list[Quantity]:
        """The collective variables."""
        names = [key.removeprefix("cv:") for key in self._names if key.startswith("cv:")]
        return [Quantity(f"cv:{name}", name, "", f"variable {name}") for name in names]

    @property
    def quantities(self) -> list[Quantity]:
        """What is known of at least one frame: variables, `QUANTITIES`, and by name the rest that changes."""
        if self._found[0] != len(self):  # it is asked for at every step through the frames
            self._found = len(self), self._find()
        return self._found[1]

    def _find(self) -> list[Quantity]:
        known = [quantity for quantity in QUANTITIES if quantity.key in self._names]
        skipped = {quantity.key for quantity in QUANTITIES} | _HIDDEN
        others = sorted(
            key
            for key in self._names
            if key not in skipped and not key.startswith("cv:") and _changes(self.column(key))
        )
        return self.variables + known + [Quantity(key, key, _UNITS.get(key, ""), key) for key in others]


# bookkeeping of live frames, axes, and what is drawn as lines
_HIDDEN = {"time_fs", "step", "live_pid", "live_time", "trust_lo", "trust_hi"}
_UNITS = {"pressure_GPa": "GPa"}


def _add_disagreement(numbers: dict[str, float], atoms: Atoms) -> None:
    sigma = atoms.arrays.get("force_sigma")
    if sigma is not None and sigma.ndim == 1 and sigma.dtype.kind in "fiu" and len(sigma):
        numbers.setdefault("force_sigma_max", float(sigma.max()))
        numbers["force_sigma_mean"] = float(sigma.mean())
    errors = _FORCE_ERROR.values(atoms)
    if errors is not None and len(errors):
        numbers["force_error_max"] = float(errors.max())
    if "energy_std" in numbers and len(atoms):
        numbers["energy_std"] *= 1000 / len(atoms)


def _add_energies(numbers: dict[str, float], atoms: Atoms) -> None:
    energy: Any = getattr(atoms.calc, "results", {}).get("energy", numbers.get("energy"))
    energies: dict[str, Any] = {"energy": energy, "REF_energy": numbers.get("REF_energy")}
    for key, value in energies.items():
        if _is_number(value) and len(atoms):
            numbers[key] = float(value) / len(atoms)


def _changes(column: Column) -> bool:
    finite = column[np.isfinite(column)]
    return len(finite) > 0 and bool(np.ptp(finite) > 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
