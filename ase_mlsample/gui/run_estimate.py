"""The free energy of a run of molecular dynamics as its files have it now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_mlsample._yaml import yaml_mapping
from ase_mlsample.analysis.colvar import read_colvar
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.analysis.free_energy import FreeEnergy, from_samples
from ase_mlsample.analysis.reweighting import bias_weights, hills_series
from ase_mlsample.biases import read_hills

__all__ = ["Estimate", "RunEstimate"]

_BINS = 100
# samples below which a histogram says nothing
_FEWEST = 100
# files grow: they are read again after a rest that is this much longer than reading them took
_REST = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A free energy of one variable.

    Attributes
    ----------
    axis : ndarray (m,)
    values : ndarray (m,)
        eV, zero at the lowest point; infinite where nothing was seen.
    how : str
        Where it comes from.
    """

    axis: NDArray[np.float64]
    values: NDArray[np.float64]
    how: str


class RunEstimate:
    """Reads F(s) of one variable from the folder of ``mlsample md``: from HILLS, else from COLVAR.

    Hills give −γ/(γ−1) V of well-tempered metadynamics. Samples of OPES, VES and Deep-VES (those since its
    bias is static) are weighted with e^{V/kT}, which holds as far as the bias has settled. It is an estimate
    for the eye; ``mlsample fes`` gives errors.

    Parameters
    ----------
    folder : with ``md.yaml``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kT: float | None = None
        self._last: Estimate | None = None
        self._size = -1
        self._due = 0.0

    def look(self, *, now: float | None = None) -> Estimate | None:
        """Return F(s); None while there is none, and for several variables.

        Parameters
        ----------
        now : seconds of any clock; the present by default.
        """
        began = time.monotonic()
        now = began if now is None else now
        path = next(
            (self.folder / name for name in ("HILLS", "COLVAR") if (self.folder / name).exists()), None
        )
        if path is None or now < self._due or path.stat().st_size == self._size:
            return self._last
        self._size = path.stat().st_size
        try:
            self._last = self._of_hills(path) if path.name == "HILLS" else self._of_samples(path)
        except ValueError:  # a file that begins to be written
            return self._last
        self._due = now + _REST * (time.monotonic() - began)
        return self._last

    def _of_hills(self, path: Path) -> Estimate | None:
        hills = read_hills(path)
        if len(hills.names) != 1 or not len(hills) or np.ptp(hills.centers) == 0:
            return None
        domain = hills.domains[0]
        low, high = domain or (float(hills.centers.min()), float(hills.centers.max()))
        axes = [bin_centres(low, high, _BINS)]
        (found,) = hills_series(hills, axes, kT=self._temperature(), counts=[len(hills)])
        return _estimate(found, f"from {len(hills)} hills")

    def _of_samples(self, path: Path) -> Estimate | None:
        log = read_colvar(path)
        log = log.only(~log.learning)
        if len(log.variables) != 1 or len(log) < _FEWEST:
            return None
        (name,) = log.variables
        values = log[name]
        if np.ptp(values) == 0:
            return None
        (domain,) = log.domains([name])
        low, high = domain or (float(values.min()), float(values.max()))
        kT = self._temperature()
        weights = bias_weights(log["bias"], kT=kT)
        found = from_samples(
            values, bin_centres(low, high, _BINS), kT=kT, weights=weights, domains=[domain], n_blocks=2
        )
        return _estimate(found, f"from {len(log)} weighted samples")

    def _temperature(self) -> float:
        """Return kT in eV."""
        if self._kT is None:
            self._kT = units.kB * float(yaml_mapping(self.folder / "md.yaml")["temperature_K"])
        return self._kT


def _estimate(found: FreeEnergy, how: str) -> Estimate:
    return Estimate(found.axes[0], found.values, how)
