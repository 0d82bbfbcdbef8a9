"""Grid files of PLUMED: a bias, or a free energy of ``sum_hills``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain

__all__ = ["PlumedGrid", "read_plumed_grid"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PlumedGrid:
    """A grid of PLUMED.

    Attributes
    ----------
    names : tuple of str
        Of the variables.
    axes : list of ndarray (n₁,), …
    values : ndarray (n₁, …)
    domains : tuple
        The period of each variable, (low, high) or None.
    """

    names: tuple[str, ...]
    axes: list[FloatArray]
    values: FloatArray
    domains: tuple[Domain, ...]


def read_plumed_grid(path: str | Path) -> PlumedGrid:
    """Read a grid file: ``FIELDS``, the variables with ``min_``, ``max_``, ``nbins_``, ``periodic_``, rows.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    PlumedGrid

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For a file of another kind, or one that lacks rows.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is neither a bias of ours (.npz) nor a grid file of PLUMED") from None
    words = [line[2:].split() for line in lines if line.startswith("#!")]
    fields = next((line[1:] for line in words if line[:1] == ["FIELDS"]), [])
    settings = {line[1]: line[2] for line in words if line[:1] == ["SET"] and len(line) == 3}
    names = tuple(field for field in fields if f"nbins_{field}" in settings)
    d = len(names)
    if not d or tuple(fields[:d]) != names or len(fields) <= d:
        raise ValueError(f"{path} is neither a bias of ours (.npz) nor a grid file of PLUMED")
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    try:
        table = np.array(rows, dtype=np.float64).reshape(-1, len(fields))
    except ValueError as error:
        raise ValueError(f"{path}: rows must hold {len(fields)} numbers: {error}") from None
    axes = [np.unique(table[:, k]) for k in range(d)]
    shape = [len(axis) for axis in axes]
    if not len(table) or len(table) != np.prod(shape):
        raise ValueError(f"{path} has {len(table)} rows, which is no grid of {shape} nodes")
    order = np.lexsort([table[:, k] for k in reversed(range(d))])  # the last variable fastest
    domains = tuple(_domain(name, settings, axis) for name, axis in zip(names, axes, strict=True))
    return PlumedGrid(names, axes, table[order, d].reshape(shape), domains)


def _domain(name: str, settings: dict[str, str], axis: FloatArray) -> Domain:
    """Return the period from the nodes, which stop one step before its end."""
    if settings.get(f"periodic_{name}") != "true":
        return None
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    return float(axis[0]), float(axis[-1] + step)
