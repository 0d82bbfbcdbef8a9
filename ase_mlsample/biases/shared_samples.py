"""Walkers in several processes that learn one bias from all their samples, in step, through files."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import whole
from ase_mlsample.biases.base import Bias

__all__ = ["SharedBias", "SharedSamples"]

FloatArray = NDArray[np.float64]

_HEADER = 256  # bytes, before the samples
_SHORTEST_S, _LONGEST_S = 0.0005, 0.05  # of a wait for the others


class SharedSamples:
    """The directory in which each walker writes the variables of its steps, ``SAMPLES.<walker>``.

    All walkers stay in step: at the bias's pace each waits until it has what the others sampled since the
    last time, and all then learn the same from all samples. So every walker has the same bias, a run of
    several walkers is repeated exactly, and each goes on exactly from a checkpoint of its own, at any time:
    what it makes again is in the files already, and the others wait for the rest. Nothing is written any more
    when the bias is static.

    Parameters
    ----------
    directory : path
        Made when needed.
    walker : int
        This one, counted from 0.
    walkers : int
        Their number.
    timeout_s : float
        Longest wait for another walker.

    Raises
    ------
    ValueError
        For numbers out of range.

    References
    ----------
    P. Raiteri, A. Laio, F. L. Gervasio, C. Micheletti, M. Parrinello, J. Phys. Chem. B 110, 3533 (2006).

    Examples
    --------
    >>> from ase_mlsample.biases import SharedSamples
    >>> both = [SharedSamples("walkers", walker=number, walkers=2) for number in range(2)]
    """

    def __init__(
        self, directory: str | Path, *, walker: int, walkers: int, timeout_s: float = 3600.0
    ) -> None:
        self.directory = Path(directory)
        self.walker, self.walkers = whole(walker, "walker", least=0), whole(walkers, "walkers")
        if self.walker >= self.walkers:
            raise ValueError(f"walker={walker} of {walkers}: they are counted from 0 to {self.walkers - 1}")
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0 s, got {timeout_s!r}")
        self.timeout_s = float(timeout_s)

    def path(self, walker: int) -> Path:
        """The file that a walker writes."""
        return self.directory / f"SAMPLES.{walker}"

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments, the directory excepted."""
        return {name: getattr(self, name) for name in ("walker", "walkers", "timeout_s")}

    def exchange(self, samples: FloatArray, first: int, *, of: str) -> FloatArray:
        """Give the samples of own steps, and get those of all walkers.

        Parameters
        ----------
        samples : ndarray (n, d)
        first : int
            The step of the first sample.
        of : str
            Describes the bias, in the same words for all.

        Returns
        -------
        ndarray (n, W, d)

        Raises
        ------
        ValueError
            When a file holds something else than this run's samples.
        TimeoutError
            When another walker does not come.
        """
        header = self._header(samples.shape[1], of)
        start = _HEADER + (first - 1) * samples.shape[1] * samples.itemsize
        self._write(samples.astype("<f8").tobytes(), start, header)
        shape = samples.shape
        parts = [
            samples if walker == self.walker else self._read(walker, start, header, shape, first)
            for walker in range(self.walkers)
        ]
        return np.stack(parts, axis=1)

    def flush(self) -> None:
        """See that the own file is on the disk."""
        if self.path(self.walker).exists():
            with self.path(self.walker).open("rb") as file:
                os.fsync(file.fileno())

    def _header(self, n_cvs: int, of: str) -> bytes:
        described = {"samples": 1, "walkers": self.walkers, "n_cvs": n_cvs, "bias": of}
        return json.dumps(described).encode().ljust(_HEADER - 1) + b"\n"

    def _write(self, block: bytes, start: int, header: bytes) -> None:
        path = self.path(self.walker)
        self.directory.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            found = file.read(_HEADER)
            if len(found) < _HEADER:
                file.seek(0)
                file.write(header)
            else:
                _require_same(path, found, header)
            size = file.seek(0, os.SEEK_END)
            if size < start:
                raise ValueError(
                    f"{path} ends before the samples of this part of the run: it was cut or replaced. Start "
                    "all walkers anew in another directory"
                )
            file.seek(start)
            known = file.read(len(block))
            if not block.startswith(known):
                raise ValueError(
                    f"{path} holds other samples of these steps: the directory is another run's, or the run "
                    "was not repeated exactly (another machine or number of threads). Start all walkers anew "
                    "in another directory"
                )
            if len(known) < len(block):
                file.seek(start)
                file.write(block)

    def _read(self, walker: int, start: int, header: bytes, shape: tuple[int, ...], first: int) -> FloatArray:
        path, size = self.path(walker), 8 * shape[0] * shape[1]
        begun, pause = time.monotonic(), _SHORTEST_S
        while not path.exists() or path.stat().st_size < start + size:
            if time.monotonic() - begun > self.timeout_s:
                raise TimeoutError(
                    f"walker {walker} has not come to step {first + shape[0] - 1} in {self.timeout_s:g} s "
                    f"({path}): start it, or go on with it from its checkpoint, then with this one"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_S)
        with path.open("rb") as file:
            _require_same(path, file.read(_HEADER), header)
            file.seek(start)
            return np.frombuffer(file.read(size), dtype="<f8").reshape(shape).astype(np.float64)


def _require_same(path: Path, found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise ValueError(
            f"{path} is of another run, {found.decode(errors='replace').strip()}; this one is "
            f"{wanted.decode().strip()}. All walkers need the same settings, those of random numbers included"
        )


class SharedBias(Bias):
    """A bias that several walkers learn together; each of them has one.

    Parameters
    ----------
    bias : Bias
        That changes every ``pace`` steps, such as :class:`OPESBias`, :class:`VariationalBias` or
        :class:`DeepVESBias`.
    samples : SharedSamples

    Raises
    ------
    TypeError
        For a bias without a pace.
    """

    def __init__(self, bias: Bias, samples: SharedSamples) -> None:
        if not hasattr(bias, "pace"):
            raise TypeError(f"walkers cannot share a {type(bias).__name__}, which has no pace")
        self.bias, self.samples = bias, samples
        self.n_cvs, self.domains = bias.n_cvs, bias.domains
        self._of = _described(bias)
        self._pending: list[FloatArray] = []

    @property
    def kT(self) -> float | None:
        """That of the bias."""
        return getattr(self.bias, "kT", None)

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        return self.bias.potential(s)

    def update(self, s: ArrayLike, step: int) -> bool:
        """Keep the sample; when it is time, wait for the others and learn from all."""
        if step < 1 or getattr(self.bias, "static_since", None) is not None:
            return False
        self._pending.append(self._points(s).reshape(self.n_cvs).copy())
        if step % self.bias.pace:
            return False
        first = step - len(self._pending) + 1
        together = self.samples.exchange(np.stack(self._pending), first, of=self._of)
        self._pending.clear()
        changes = [self.bias.update(points, first + k) for k, points in enumerate(together)]
        return any(changes)

    def diagnostics(self) -> dict[str, float]:
        """Return those of the bias."""
        return self.bias.diagnostics()

    def settings(self) -> dict[str, Any]:
        """Return the settings of the bias, and which walker this is."""
        return {
            "bias": self.bias.settings(),
            "walker": self.samples.walker,
            "walkers": self.samples.walkers,
        }

    def flush(self) -> None:
        """See that files hold everything."""
        self.samples.flush()
        self.bias.flush()

    def close(self) -> None:
        """Close the files of the bias."""
        self.bias.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be copied: two of the same walker would write one file."""
        raise TypeError("a bias that walkers share cannot be copied; copy its .bias")

    def _state(self) -> dict[str, Any]:
        pending = np.stack(self._pending) if self._pending else np.empty((0, self.n_cvs))
        return {"bias": self.bias.state_dict(), "pending": pending}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.bias.load_state_dict(state["bias"])
        pending = np.array(state["pending"], dtype=np.float64).reshape(-1, self.n_cvs)
        self._pending = [row.copy() for row in pending]


def _described(bias: Bias) -> str:
    """Class and digest of the settings of a bias."""
    text = json.dumps(bias.settings(), sort_keys=True, default=lambda value: np.asarray(value).tolist())
    return f"{type(bias).__name__} {hashlib.sha256(text.encode()).hexdigest()[:16]}"
