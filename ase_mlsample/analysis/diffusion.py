"""Self-diffusion from the mean squared displacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Diffusion", "diffusion_coefficient", "mean_squared_displacement"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Diffusion:
    """A diffusion coefficient.

    Attributes
    ----------
    coefficient, error : float
        Å²/time unit; the standard error is from parts of the trajectory.
    times, displacement : (K,) arrays
        Mean squared displacement, Å², against time.
    """

    coefficient: float
    error: float
    times: FloatArray
    displacement: FloatArray


def mean_squared_displacement(positions: ArrayLike) -> FloatArray:
    """Mean squared displacement of all atoms over all starts, relative to their centre.

    Parameters
    ----------
    positions : (T, N, 3) array, Å
        At even intervals, not wrapped.

    Returns
    -------
    (T,) array, Å²
        Against the number of intervals; those near the end are averages over few starts.

    References
    ----------
    V. Calandrini et al., Collect. SFN 12, 201 (2011): sums over starts by fast Fourier transforms.
    """
    r = np.asarray(positions, float)
    if r.ndim != 3 or r.shape[2] != 3 or len(r) < 2:
        raise ValueError(f"positions must be (T, N, 3) with at least two frames, got {r.shape}")
    r = r - r.mean(axis=1, keepdims=True)
    r = r - r[:1]  # keeps the squares small
    n = len(r)
    spectrum = np.fft.rfft(r, n=2 * n, axis=0)
    starts = np.arange(n, 0, -1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=0)[:n].sum(axis=(1, 2)) / starts
    squares = (r**2).sum(axis=(1, 2))
    forward, backward = np.cumsum(squares[::-1])[::-1], np.cumsum(squares)[::-1]
    return np.asarray(((forward + backward) / starts - 2 * products) / r.shape[1])


def diffusion_coefficient(
    positions: ArrayLike,
    interval: float,
    *,
    window: tuple[float, float] = (0.2, 0.6),
    parts: int = 5,
) -> Diffusion:
    """Diffusion coefficient from the slope of the mean squared displacement, D = slope / 6.

    The trajectory is cut into parts; in each a line is fitted to the displacement within the window, and
    their scatter gives the error. The mean of all atoms moves with the centre of mass, which is left out: the
    loss of 1/N is made good.

    Parameters
    ----------
    positions : (T, N, 3) array, Å
        At even intervals, not wrapped, of more than one atom.
    interval : float
        Between frames, in any unit of time.
    window : (float, float)
        Of the fit, in lengths of a part.
    parts : int
        At least two.

    Returns
    -------
    Diffusion
        In Å² per unit of time.

    Raises
    ------
    ValueError
        For a trajectory that is too short, or bad settings.
    """
    r = np.asarray(positions, float)
    if r.ndim != 3 or r.shape[1] < 2:
        raise ValueError(f"positions must be (T, N, 3) of at least two atoms, got {r.shape}")
    length = len(r) // parts if parts > 1 else 0
    low, high = (int(end * length) for end in window)
    if not 0 < low < high - 2 < length:
        raise ValueError(
            f"{len(r)} frames in {parts} parts with a window of {window} leave too few points for a slope; "
            "give more frames, or at least two parts, and a window within 0 to 1"
        )
    lag = interval * np.arange(length, dtype=np.float64)
    curves = np.array([mean_squared_displacement(r[k * length : (k + 1) * length]) for k in range(parts)])
    curves *= r.shape[1] / (r.shape[1] - 1)
    slopes = np.polyfit(lag[low:high], curves[:, low:high].T, 1)[0] / 6
    error = float(slopes.std(ddof=1) / np.sqrt(parts))
    displacement = np.asarray(curves.mean(axis=0), dtype=np.float64)
    return Diffusion(float(slopes.mean()), error, lag, displacement)
