"""What one sees: the ASE GUI with colours and plots, a live view of a run, and maps in notebooks."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.gui.live_view import LiveView
    from ase_mlsample.gui.notebook import open_notebook
    from ase_mlsample.gui.opening import open_live, open_viewer

__all__ = ["LiveView", "open_live", "open_notebook", "open_viewer"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LiveView": "live_view",
        "open_live": "opening",
        "open_notebook": "notebook",
        "open_viewer": "opening",
    },
)
