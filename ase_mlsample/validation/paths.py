"""Homogeneous transformation paths between crystals, at relaxed volume."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from ase_mlsample.samplers.prototypes import estimated_volume, prototype
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member

__all__ = ["bain_path", "relaxed_volume", "tin_path", "trigonal_path"]

FloatArray = NDArray[np.float64]

_ROOT2 = math.sqrt(2)


def relaxed_volume(calc: Any, atoms: Atoms, *, search: float = 0.12) -> tuple[float, float]:
    """Energy and volume of a structure at zero pressure, its shape kept.

    Parameters
    ----------
    calc : ase Calculator
    atoms : Atoms
        Left alone.
    search : float
        Relative change of lengths in which the minimum is looked for.

    Returns
    -------
    (float, float)
        eV/atom and Å³/atom.

    Raises
    ------
    RuntimeError
        When there is no minimum in the range.
    """
    scaled = atoms.copy()
    scaled.calc = calc

    def energy(log: float) -> float:
        scaled.set_cell(atoms.cell.array * math.exp(log), scale_atoms=True)
        return float(scaled.get_potential_energy()) / len(atoms)

    found = minimize_scalar(energy, bounds=(-search, search), method="bounded", options={"xatol": 1e-5})
    if abs(found.x) > 0.98 * search:
        raise RuntimeError(
            f"{atoms.get_chemical_formula()} in the cell {atoms.cell.cellpar().round(3).tolist()} has no "
            f"zero-pressure volume within {search:.0%} of its lengths"
        )
    return float(found.fun), float(atoms.get_volume()) / len(atoms) * math.exp(3 * float(found.x))


def _energies(
    calc: Any, build: Callable[[float, float], Atoms], ratios: FloatArray, volume: float
) -> tuple[FloatArray, FloatArray]:
    """Energies and volumes along a path, each from the volume before."""
    energies, volumes = [], []
    for ratio in ratios:
        energy, volume = relaxed_volume(calc, build(float(ratio), volume))
        energies.append(energy)
        volumes.append(volume)
    return np.array(energies), np.array(volumes)


def _tetragonal(name: str, symbol: str) -> Callable[[float, float], Atoms]:
    """Make a body-centred tetragonal prototype with another axial ratio."""
    kind = prototype(name)
    unit = np.array(kind.cell) / np.array([1.0, 1.0, 2 * np.abs(np.array(kind.cell)[:, 2]).max()])

    def build(ratio: float, volume: float) -> Atoms:
        cell = unit * np.array([1.0, 1.0, ratio])
        cell *= (volume * len(kind.basis) / abs(np.linalg.det(cell))) ** (1 / 3)
        return Atoms([symbol] * len(kind.basis), cell=cell, scaled_positions=kind.basis, pbc=True)

    return build


def _trigonal(symbol: str) -> Callable[[float, float], Atoms]:
    """Stretch the primitive cell of bcc along [111]."""
    unit = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2
    axis = np.full((3, 3), 1 / 3)

    def build(ratio: float, volume: float) -> Atoms:
        cell = unit @ (ratio ** (2 / 3) * axis + ratio ** (-1 / 3) * (np.eye(3) - axis))
        cell *= (volume / abs(np.linalg.det(cell))) ** (1 / 3)
        return Atoms(symbol, cell=cell, positions=[[0, 0, 0]], pbc=True)

    return build


def _through(x: FloatArray, *places: float) -> FloatArray:
    """Points with those nearest to some places moved there."""
    moved = x.copy()
    for place in places:
        moved[np.argmin(np.abs(x - place))] = place
    return moved


def _extreme(spline: CubicSpline, low: float, high: float, *, largest: bool = False) -> tuple[float, float]:
    """Place and value of the minimum, or the maximum, of a spline in an interval."""
    x = np.linspace(low, high, 2001)
    y = spline(x)
    index = int(np.argmax(y) if largest else np.argmin(y))
    return float(x[index]), float(y[index])


def _above_fcc(
    name: str,
    places: tuple[FloatArray, FloatArray],
    energies: FloatArray,
    volumes: FloatArray,
    *,
    fcc: float,
    bcc: float,
    **others: float,
) -> PropertyResult:
    """Energies of a path relative to fcc; `places` are those it is smooth in, and those that are shown."""
    x, shown = places
    spline = CubicSpline(x, 1000 * energies)
    zero = float(spline(fcc))
    _, top = _extreme(spline, bcc, fcc, largest=True)
    crystals = {"bcc": bcc, **others}
    quantities = (
        *(Quantity(k, float(spline(at)) - zero, "meV/atom", f"{k} above fcc") for k, at in crystals.items()),
        Quantity("highest", top - zero, "meV/atom", "highest between bcc and fcc"),
    )
    curves = {"energy": curve(shown, 1000 * energies - zero), "volume": curve(shown, volumes)}
    return PropertyResult(name, quantities, curves, {"points": len(x)})


@each_member
def tin_path(
    calc: Any, symbol: str, *, ratios: tuple[float, float] = (0.44, 1.64), points: int = 49
) -> PropertyResult:
    """Energy from diamond to β-tin: the tetragonal cell of both, its c/a going from √2 to about 0.55.

    Parameters
    ----------
    calc : ase Calculator
    symbol : str
        The element.
    ratios : (float, float)
        Range of c/a.
    points : int
        Of the path.

    Returns
    -------
    PropertyResult
        "difference", energy of β-tin above diamond, "barrier" above diamond and "barrier.back" above β-tin,
        meV/atom; "c/a.beta" and "c/a.saddle"; the curve "energy" (meV/atom above diamond) against c/a and
        "volume", Å³/atom.

    Raises
    ------
    RuntimeError
        When one of the two is no minimum of the path.
    """
    x = _through(np.linspace(ratios[0], ratios[1], points), _ROOT2)
    start = estimated_volume(prototype("beta-tin"), symbol)
    energies, volumes = _energies(calc, _tetragonal("beta-tin", symbol), x, start)
    energies = 1000 * (energies - energies[x == _ROOT2])
    spline = CubicSpline(x, energies)
    saddle, barrier = _extreme(spline, 0.6, 1.38, largest=True)
    beta, difference = _extreme(spline, float(x[0]), saddle)
    alpha, _ = _extreme(spline, saddle, float(x[-1]))
    if not (x[0] < beta < saddle - 0.02) or abs(alpha - _ROOT2) > 0.05:
        raise RuntimeError(
            f"{symbol}: the path has its minima at c/a = {beta:.3f} and {alpha:.3f} with the saddle at "
            f"{saddle:.3f}; diamond (1.414) and β-tin (about 0.55) are not both minima of this potential"
        )
    quantities = (
        Quantity("difference", difference, "meV/atom", "β-tin above diamond"),
        Quantity("barrier", barrier, "meV/atom", "barrier from diamond"),
        Quantity("barrier.back", barrier - difference, "meV/atom", "barrier from β-tin"),
        Quantity("c/a.beta", beta, "", "c/a of β-tin"),
        Quantity("c/a.saddle", saddle, "", "c/a of the saddle"),
    )
    curves = {"energy": curve(x, energies), "volume": curve(x, volumes)}
    return PropertyResult("tin_path", quantities, curves, {"points": points})


@each_member
def bain_path(
    calc: Any, symbol: str, *, ratios: tuple[float, float] = (0.8, 1.7), points: int = 37
) -> PropertyResult:
    """Energy along the Bain path: body-centred tetragonal cells from bcc (c/a = 1) to fcc (√2) and beyond.

    Parameters
    ----------
    calc : ase Calculator
    symbol : str
        The element.
    ratios : (float, float)
        Range of c/a.
    points : int
        Of the path.

    Returns
    -------
    PropertyResult
        "bcc", energy above fcc, and "highest" between the two, meV/atom; the curves "energy", meV/atom above
        fcc, and "volume", Å³/atom, against c/a.
    """
    x = _through(np.linspace(ratios[0], ratios[1], points), 1.0, _ROOT2)
    start = estimated_volume(prototype("bct"), symbol)
    energies, volumes = _energies(calc, _tetragonal("bct", symbol), x, start)
    return _above_fcc("bain_path", (x, x), energies, volumes, fcc=_ROOT2, bcc=1.0)


@each_member
def trigonal_path(
    calc: Any, symbol: str, *, ratios: tuple[float, float] = (0.7, 5.5), points: int = 37
) -> PropertyResult:
    """Energy along the trigonal path: bcc stretched along [111] into sc (ratio 2) and fcc (ratio 4).

    Parameters
    ----------
    calc : ase Calculator
    symbol : str
        The element.
    ratios : (float, float)
        Range of the stretch c/a relative to bcc; points are spread evenly in its logarithm.
    points : int
        Of the path.

    Returns
    -------
    PropertyResult
        "bcc" and "sc", energies above fcc, and "highest" between bcc and fcc, meV/atom; the curves "energy",
        meV/atom above fcc, and "volume", Å³/atom, against the ratio.
    """
    logs = _through(
        np.linspace(math.log(ratios[0]), math.log(ratios[1]), points), 0.0, math.log(2), math.log(4)
    )
    start = estimated_volume(prototype("bcc"), symbol)
    energies, volumes = _energies(calc, _trigonal(symbol), np.exp(logs), start)
    ends = {"fcc": math.log(4), "bcc": 0.0, "sc": math.log(2)}
    return _above_fcc("trigonal_path", (logs, np.exp(logs)), energies, volumes, **ends)
