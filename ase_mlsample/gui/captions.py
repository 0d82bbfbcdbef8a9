"""One line about a frame: where it comes from and what became of its trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

__all__ = ["describe", "positive_floor", "ticks"]


def describe(atoms: Atoms) -> str:
    """Say what is known of a frame: composition, generation, time, temperature, disagreement, end.

    Parameters
    ----------
    atoms : ``info`` may have ``generation``, ``config_type``, ``time_fs``, ``temperature_K``,
        ``force_sigma_max`` (eV/Å), ``stop_reason``, ``trust`` and ``selected``.
    """
    info = atoms.info
    words = [atoms.get_chemical_formula(empirical=False) if len(atoms) else "no atoms"]
    if "generation" in info:
        words.append(f"generation {info['generation']}")
    if "config_type" in info:
        words.append(str(info["config_type"]))
    if _is_number(info.get("time_fs")):
        words.append(f"t = {_time(float(info['time_fs']))}")
    if _is_number(info.get("temperature_K")):
        words.append(f"T = {float(info['temperature_K']):.0f} K")
    if _is_number(info.get("force_sigma_max")):
        words.append(f"σ ≤ {float(info['force_sigma_max']):.3g} eV/Å")
    if "stop_reason" in info:
        words.append(str(info["stop_reason"]))
    if "trust" in info:
        words.append(f"{info['trust']}, chosen" if info.get("selected") else str(info["trust"]))
    return " · ".join(words)


def ticks(low: float, high: float, *, log: bool = False) -> list[str]:
    """Five texts for a colour scale, from the high end down to the low one."""
    shares = (1.0, 0.75, 0.5, 0.25, 0.0)
    if log:
        low = positive_floor(low, high)
        return [f"{low * (high / low) ** share:.3g}" for share in shares]
    return [f"{low + share * (high - low):.3g}" for share in shares]


def positive_floor(low: float, high: float) -> float:
    """Lower end of a logarithmic scale: where zero or less would be, three decades below the upper end."""
    return low if low > 0 else high / 1000


def _time(fs: float) -> str:
    return f"{fs:.0f} fs" if fs < 1000 else f"{fs / 1000:.2f} ps"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
