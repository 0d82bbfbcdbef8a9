"""Numbers of atoms that can be shown as colours: (N,) arrays, and lengths of vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.gui.captions import positive_floor

__all__ = ["NO_VALUE", "Scalar", "colors", "find_scalars", "palette", "pick_scalar", "value_range"]

Values = NDArray[np.float64]

# colour of an atom that has no value
NO_VALUE = "#ffffff"

_UNITS = {
    "force_sigma": "eV/Å",
    "energy_sigma": "eV",
    "energies": "eV",
    "force": "eV/Å",
    "force_error": "eV/Å",
    "REF_forces": "eV/Å",
    "forces": "eV/Å",
    "forces_std": "eV/Å",
    "masses": "amu",
    "initial_charges": "e",
    "initial_magmoms": "μB",
}
# what the length of these vectors means depends on the origin, or on the mass
_NO_LENGTH = {"positions", "momenta"}
_NUMERIC = "fiub"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number an atom.

    Attributes
    ----------
    key : str
        Name of an (N,) array; ``"force"`` for |F| and ``"force_error"`` for |F − F_ref| where frames have
        forces and labels; ``"|name|"`` for the length of the vectors of an (N, 3) array.
    label : str
        For people.
    unit : str
        Empty when it is not known or there is none.
    """

    key: str
    label: str
    unit: str = ""

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def values(self, atoms: Atoms) -> Values | None:
        """Values of all atoms (N,), or None if the structure has none."""
        array = _column(atoms, self.key)
        if array is not None:
            return array
        if self.key == "force":
            return _length(_forces(atoms))
        if self.key == "force_error":
            forces, reference = _forces(atoms), _vectors(atoms, "REF_forces")
            return None if forces is None or reference is None else _length(forces - reference)
        if self.key.startswith("|"):
            return _length(_vectors(atoms, self.key.strip("|")))
        return None


def find_scalars(frames: Iterable[Atoms]) -> list[Scalar]:
    """All that at least one frame has; the uncertainties first, the rest by name.

    Parameters
    ----------
    frames : structures, each with its own arrays.
    """
    found: dict[str, Scalar] = {}
    for atoms in frames:
        for name, array in atoms.arrays.items():
            if array.dtype.kind not in _NUMERIC or name in ("numbers", "positions"):
                continue
            if array.ndim == 1:
                found.setdefault(name, Scalar(name, name, _UNITS.get(name, "")))
            elif array.ndim == 2 and array.shape[1] == 3 and name not in _NO_LENGTH:
                found.setdefault(f"|{name}|", Scalar(f"|{name}|", f"|{name}|", _UNITS.get(name, "")))
        if _forces(atoms) is not None:
            found.setdefault("force", Scalar("force", "|F|", "eV/Å"))
            if _vectors(atoms, "REF_forces") is not None:
                found.setdefault("force_error", Scalar("force_error", "|ΔF|, against REF_forces", "eV/Å"))
    first = {"force_sigma": 0, "energy_sigma": 1, "force": 2, "force_error": 3}
    return sorted(found.values(), key=lambda scalar: (first.get(scalar.key, 4), scalar.key))


def pick_scalar(frames: Sequence[Atoms], key: str) -> Scalar | None:
    """Return the scalar with a key, or None if no frame has it.

    Raises
    ------
    ValueError
        Frames have an array of that name which is not one number an atom.
    """
    scalars = {scalar.key: scalar for scalar in find_scalars(frames)}
    if key in scalars:
        return scalars[key]
    for atoms in frames:
        array = atoms.arrays.get(key)
        if array is not None:
            length = f", or --color '|{key}|' for their lengths" if f"|{key}|" in scalars else ""
            raise ValueError(
                f"array {key!r} has shape {array.shape} and type {array.dtype}: "
                f"colours need one number an atom, such as force_sigma{length}"
            )
    return None


def value_range(
    scalar: Scalar, frames: Iterable[Atoms], *, outliers: float = 0.0
) -> tuple[float, float] | None:
    """Least and largest finite value over all frames; None if there is none.

    Parameters
    ----------
    scalar, frames : of which frames.
    outliers : share of all atoms that may lie outside, half of it at either end.
    """
    found = [values for atoms in frames if (values := scalar.values(atoms)) is not None]
    finite = np.concatenate(found) if found else np.empty(0)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return None
    low, high = np.quantile(finite, (outliers / 2, 1 - outliers / 2))
    return float(low), float(high)


@cache
def palette(n: int = 64) -> tuple[str, ...]:
    """Colours from dark (low) to bright (high): viridis, readable in grey and by the colour-blind."""
    from matplotlib import colormaps
    from matplotlib.colors import rgb2hex

    return tuple(rgb2hex(rgba) for rgba in colormaps["viridis"](np.linspace(0, 1, n)))


def colors(
    values: Values | None, window: tuple[float, float], n_atoms: int, *, log: bool = False
) -> list[str]:
    """Colour of every atom; what lies outside of the window has the colour of its end.

    Parameters
    ----------
    values : (N,), or None for a structure without any; atoms with NaN are white.
    window : values with the first and the last colour.
    n_atoms : N.
    log : take the logarithm of both, for positive values over decades.
    """
    if values is None:
        return [NO_VALUE] * n_atoms
    scale = palette()
    low, high = window
    if log:
        values = np.log(np.maximum(values, positive_floor(low, high)))
        low, high = math.log(positive_floor(low, high)), math.log(high)
    share = np.full(len(values), 0.5) if high <= low else (values - low) / (high - low)
    index = np.minimum(np.nan_to_num(np.clip(share, 0, 1)) * len(scale), len(scale) - 1).astype(int)
    return [NO_VALUE if np.isnan(value) else scale[i] for value, i in zip(values, index, strict=True)]


def _column(atoms: Atoms, name: str) -> Values | None:
    array = atoms.arrays.get(name)
    if array is None or array.ndim != 1 or array.dtype.kind not in _NUMERIC:
        return None
    return np.asarray(array, dtype=np.float64)


def _vectors(atoms: Atoms, name: str) -> Values | None:
    array = atoms.arrays.get(name)
    return _as_vectors(array, len(atoms))


def _forces(atoms: Atoms) -> Values | None:
    """Forces that came with the structure; nothing is computed."""
    results = getattr(atoms.calc, "results", {})
    return _as_vectors(results.get("forces", atoms.arrays.get("forces")), len(atoms))


def _as_vectors(array: Any, n_atoms: int) -> Values | None:
    if not isinstance(array, np.ndarray) or array.shape != (n_atoms, 3) or array.dtype.kind not in _NUMERIC:
        return None
    return np.asarray(array, dtype=np.float64)


def _length(vectors: Values | None) -> Values | None:
    return None if vectors is None else np.asarray(np.linalg.norm(vectors, axis=1), dtype=np.float64)
