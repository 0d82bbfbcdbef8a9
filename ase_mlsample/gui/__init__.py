"""The ASE GUI for this package's frames: colours by per-atom scalars, and a live view of a run."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.gui.opening import open_live, open_viewer

__all__ = ["open_live", "open_viewer"]

__getattr__, __dir__ = lazy_names(__name__, {"open_live": "opening", "open_viewer": "opening"})
