"""A file of a run to which lines are added, and which is cut when the run goes back to an earlier state."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from ase_mlsample.biases.base import Domain

__all__ = ["GrowingFile", "domain_settings"]


class GrowingFile:
    """A text file with a header that grows: what is written is with the operating system at once.

    Nothing is touched before :meth:`begin`, :meth:`write` or :meth:`resume`.

    Parameters
    ----------
    path : str or Path
    header : bytes
        By which the file of the same run is known again.
    kind : str
        What messages call such a file.
    """

    def __init__(self, path: str | Path, header: bytes, *, kind: str) -> None:
        self._file: FileIO | None = None
        self.path = Path(path)
        self._header, self._kind = header, kind
        self._size: int | None = None

    @property
    def size(self) -> int | None:
        """Bytes written, None before the file was begun."""
        return self._size

    def begin(self) -> None:
        """Create the file with its header, unless that was done.

        Raises
        ------
        FileExistsError
            When there is a file of another run.
        """
        if self._size is not None:
            return
        try:
            self._file = FileIO(self.path, "xb")
        except FileExistsError:
            raise FileExistsError(
                f"{self.path} exists: continue its run from the checkpoint, move the file away, or give "
                "another name"
            ) from None
        self._size = 0
        self._append(self._header)

    def write(self, content: bytes) -> None:
        """Add complete lines."""
        self.begin()
        self._append(content)

    def resume(self, size: int | None) -> None:
        """Cut the file back to a size that :attr:`size` once gave, and go on from there.

        Raises
        ------
        ValueError
            When the file is shorter than that, missing, or one with another header.
        """
        self.close()
        header = self._header
        if not self.path.exists():
            if size:
                raise self._foreign(size, "it does not exist")
            self._size = None
            return
        with self.path.open("rb") as file:
            start, present = file.read(len(header)), os.fstat(file.fileno()).st_size
        if not (start == header or (not size and header.startswith(start))):
            raise self._foreign(size, "its header is of another run")
        if size and present < size:
            raise self._foreign(size, f"it has {present} bytes")
        os.truncate(self.path, size or 0)
        self._size = size or 0
        if not size:  # the state is older than the file
            self._append(header)

    def flush(self) -> None:
        """Wait until the disk has everything."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _foreign(self, size: int | None, reason: str) -> ValueError:
        return ValueError(
            f"{self.path} is not the {self._kind} file of this state, which had {size or 0} bytes: {reason}; "
            "put the right one there, or start a new run"
        )

    def _append(self, content: bytes) -> None:
        if self._file is None:
            self._file = FileIO(self.path, "ab")
        left = content
        while left:
            left = left[self._file.write(left) :]
        self._size = (self._size or 0) + len(content)


def domain_settings(names: Sequence[str], domains: Sequence[Domain]) -> list[str]:
    """Return the lines by which PLUMED's files tell the period of a variable."""
    lines = []
    for name, domain in zip(names, domains, strict=True):
        if domain is not None:
            lines += [f"SET min_{name} {_end(domain[0])}", f"SET max_{name} {_end(domain[1])}"]
    return lines


def _end(value: float) -> str:
    """Return an end of a period as PLUMED writes it."""
    signs = {math.pi: "pi", -math.pi: "-pi"}
    return signs.get(value, f"{value:.17g}")
