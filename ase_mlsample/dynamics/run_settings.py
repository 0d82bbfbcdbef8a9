"""Settings that every biased run has: its temperature, its files and how often they are written."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from ase_mlsample.biases.arguments import positive

__all__ = ["BiasedRunSettings"]

_FILES = "trajectory", "logfile"
_INTERVALS = "trajectory_interval", "log_interval", "checkpoint_interval"


@dataclass(frozen=True, kw_only=True, slots=True)
class BiasedRunSettings:
    """Temperature and files of a biased run, checked.

    Attributes
    ----------
    temperature_K : float
    trajectory, logfile, checkpoint : str or None
        Paths; a log may be "-", standard output.
    trajectory_interval, log_interval, checkpoint_interval : int
        Steps from one write to the next.
    progress : bool
    details : dict
        Plain values that the kind of run needs to build its bias again; those under ``files`` are paths.

    Raises
    ------
    ValueError
        For a temperature that is none, or intervals below 1.
    TypeError
        For intervals that are no integers.
    """

    temperature_K: float
    trajectory: str | None = None
    trajectory_interval: int = 1000
    logfile: str | None = None
    log_interval: int = 100
    checkpoint: str | None = None
    checkpoint_interval: int = 10_000
    progress: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature_K", positive(self.temperature_K, "temperature_K"))
        for name in _INTERVALS:
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise TypeError(f"{name} counts steps, an integer, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1 step, got {value}")
            object.__setattr__(self, name, int(value))
        for name in (*_FILES, "checkpoint"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, os.fspath(path))

    @classmethod
    def taken_from(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Take out of a dictionary what is said there of files, intervals and progress."""
        names = {one.name for one in fields(cls)} - {"details", "temperature_K"}
        return {name: settings.pop(name) for name in names & set(settings)}

    @property
    def files(self) -> dict[str, str]:
        """Paths of the files that the run appends to and cuts itself."""
        named = {name: getattr(self, name) for name in _FILES}
        return {name: path for name, path in named.items() if path not in {None, "-"}}

    def saved_to(self, checkpoint: str | Path) -> Self:
        """The same settings with the checkpoint elsewhere."""
        return replace(self, checkpoint=os.fspath(checkpoint))

    def packed(self) -> dict[str, Any]:
        """Plain values for the checkpoint, paths relative to its folder."""
        folder = Path(self.checkpoint or ".").parent
        plain = {name: getattr(self, name) for name in ("temperature_K", *_INTERVALS)}
        return plain | self._with_paths(lambda path: os.path.relpath(path, folder))

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any], checkpoint: Path, *, progress: bool) -> Self:
        """Settings from a checkpoint, which may have been moved together with its files."""
        folder = checkpoint.parent
        settings = cls(**packed, checkpoint=str(checkpoint), progress=progress)
        return replace(settings, **settings._with_paths(lambda path: str(folder / path)))

    def _with_paths(self, moved: Any) -> dict[str, Any]:
        def path(value: Any) -> Any:
            return value if value in {None, "-"} else moved(value)

        files = {name: path(value) for name, value in self.details.get("files", {}).items()}
        return {name: path(getattr(self, name)) for name in _FILES} | {
            "details": {**self.details, "files": files}
        }
