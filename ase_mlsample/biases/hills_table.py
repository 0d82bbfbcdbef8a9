"""Hills as arrays, read from the text of a HILLS file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import periods, wrapped
from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.kernel import kernel_constants

__all__ = ["Hills", "parse_hills"]

FloatArray = NDArray[np.float64]
_CHUNK = 1 << 20  # pairs of point and hill at a time


@dataclass(frozen=True, slots=True)
class Hills:
    """The hills of a run.

    Attributes
    ----------
    names : tuple of str
        Of the variables.
    domains : tuple
        The period of each variable, (low, high) or None.
    times : ndarray (n,)
        As the file has them.
    centers, sigmas : ndarray (n, d)
    heights : ndarray (n,)
        As added to V. The file's column holds height·γ/(γ−1).
    bias_factor : float or None
        γ; None for metadynamics that is not tempered.
    stretched : bool
        Whether hills are stretched to end at zero, as PLUMED has them since 2.8.
    """

    names: tuple[str, ...]
    domains: tuple[Domain, ...]
    times: FloatArray
    centers: FloatArray
    sigmas: FloatArray
    heights: FloatArray
    bias_factor: float | None
    stretched: bool = True

    def __len__(self) -> int:
        """Return the number of hills."""
        return len(self.heights)

    @property
    def rows(self) -> FloatArray:
        """Time, center, sigma and height of each hill, (n, 2d + 2)."""
        return np.column_stack([self.times, self.centers, self.sigmas, self.heights])

    def potential(self, points: ArrayLike) -> FloatArray:
        """Return V at points (p, d) as the plain sum of all hills, (p,).

        Exact, and slow: what a grid interpolates.
        """
        at = self._at(points)
        constants = kernel_constants(self.stretched)
        lengths, total = periods(self.domains), np.zeros(len(at))
        step = max(1, _CHUNK // max(1, len(at)))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            distance = wrapped(at[:, None, :] - self.centers[part], lengths) / self.sigmas[part]
            q = 0.5 * (distance**2).sum(axis=-1)
            kernel = np.where(
                q < constants["cutoff"], constants["scale"] * np.exp(-q) + constants["shift"], 0
            )
            total += kernel @ self.heights[part]
        return total

    def free_energy(self, points: ArrayLike) -> FloatArray:
        """Return F = −γ/(γ−1) V at points (p, d), or −V when not tempered, (p,).

        References
        ----------
        A. Barducci, G. Bussi, M. Parrinello, Phys. Rev. Lett. 100, 020603 (2008).
        """
        factor = 1.0 if self.bias_factor is None else self.bias_factor / (self.bias_factor - 1)
        return -factor * self.potential(points)

    def _at(self, points: ArrayLike) -> FloatArray:
        at: FloatArray = np.asarray(points, dtype=np.float64)
        if at.ndim != 2 or at.shape[1] != len(self.names):
            raise ValueError(
                f"points must have shape (points, {len(self.names)}) for {self.names}, got {at.shape}"
            )
        return at


@dataclass(frozen=True, slots=True)
class _Header:
    names: tuple[str, ...]
    domains: tuple[Domain, ...]
    stretched: bool
    columns: int


def parse_hills(content: bytes, *, source: str) -> tuple[Hills, int]:
    """Read hills from the text of a file, as far as its lines are complete.

    Parameters
    ----------
    content : bytes
    source : str
        What messages call the file.

    Returns
    -------
    hills : Hills
    used : int
        Bytes up to the end of the last complete line.

    Raises
    ------
    ValueError
        For text that is no HILLS file, or a line that is none of a hill.
    """
    used = content.rfind(b"\n") + 1
    try:
        lines = content[:used].decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is no HILLS file: {error}") from None
    header = _read_header(lines, source)
    d = len(header.names)
    table = _read_rows(lines, header.columns, source)[:, : 2 * d + 3]
    _check_rows(table, d, source)
    factors = np.unique(table[:, -1])
    if factors.size > 1:
        raise ValueError(f"{source} holds hills of several bias factors, {factors.tolist()}: split it")
    # PLUMED has -1 for metadynamics that is not tempered
    factor = float(factors[0]) if factors.size and factors[0] > 1 else None
    heights = table[:, 2 * d + 1] * (1.0 if factor is None else (factor - 1) / factor)
    centers, sigmas = table[:, 1 : d + 1].copy(), table[:, d + 1 : 2 * d + 1].copy()
    arrays = (table[:, 0].copy(), centers, sigmas, heights)
    return Hills(header.names, header.domains, *arrays, factor, header.stretched), used


def _read_header(lines: list[str], source: str) -> _Header:
    words = [line[2:].split() for line in lines if line.startswith("#!")]
    fields = [line[1:] for line in words if line[:1] == ["FIELDS"]]
    settings = {line[1]: line[2] for line in words if line[:1] == ["SET"] and len(line) == 3}
    if not fields or not lines[0].startswith("#! FIELDS"):
        raise ValueError(f"{source} is no HILLS file: its first line is not '#! FIELDS time ...'")
    if any(other != fields[0] for other in fields):
        raise ValueError(f"{source} changes its columns on the way: split it")
    names = tuple(field.removeprefix("sigma_") for field in fields[0] if field.startswith("sigma_"))
    d = len(names)
    expected = ["time", *names, *(f"sigma_{name}" for name in names), "height", "biasf"]
    if not d or fields[0][: 2 * d + 3] != expected or settings.get("multivariate", "false") != "false":
        raise ValueError(
            f"{source} has columns {' '.join(fields[0])}, multivariate {settings.get('multivariate')}; only "
            "hills with one sigma for each variable can be read: time, variables, sigmas, height, biasf"
        )
    kind = settings.get("kerneltype", "stretched-gaussian")
    if kind not in {"stretched-gaussian", "gaussian"}:
        raise ValueError(f"{source} has hills of kernel {kind!r}; gaussian or stretched-gaussian can be read")
    domains = tuple(_read_domain(settings, name, source) for name in names)
    return _Header(names, domains, kind != "gaussian", len(fields[0]))


def _read_domain(settings: dict[str, str], name: str, source: str) -> Domain:
    low, high = settings.get(f"min_{name}"), settings.get(f"max_{name}")
    if low is None and high is None:
        return None
    try:
        ends = _number(low or ""), _number(high or "")
    except ValueError:
        raise ValueError(f"{source}: the period of {name} is from {low} to {high}") from None
    return ends


def _number(text: str) -> float:
    """Return a number as PLUMED writes it, pi included."""
    signs = {"pi": math.pi, "+pi": math.pi, "-pi": -math.pi, "2pi": 2 * math.pi, "2*pi": 2 * math.pi}
    return signs[text] if text in signs else float(text)


def _read_rows(lines: list[str], columns: int, source: str) -> FloatArray:
    rows = [(number, line.split()) for number, line in _data_lines(lines)]
    for number, row in rows:
        if len(row) != columns:
            raise ValueError(f"{source}, line {number}: {len(row)} columns, but FIELDS names {columns}")
    try:
        return np.array([row for _, row in rows], dtype=np.float64).reshape(-1, columns)
    except ValueError:
        number, row = next((number, row) for number, row in rows if not _all_numbers(row))
        raise ValueError(f"{source}, line {number}: not all are numbers: {' '.join(row)}") from None


def _data_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    return ((k, line) for k, line in enumerate(lines, 1) if line.strip() and not line.startswith("#"))


def _all_numbers(row: list[str]) -> bool:
    try:
        return bool([float(word) for word in row])
    except ValueError:
        return False


def _check_rows(table: FloatArray, d: int, source: str) -> None:
    good = np.isfinite(table).all(axis=1) & (table[:, d + 1 : 2 * d + 1] > 0).all(axis=1)
    if not good.all():
        worst = int(np.argmin(good))
        raise ValueError(
            f"{source}: hill {worst + 1} is {table[worst].tolist()}; numbers must be finite, sigmas positive"
        )
