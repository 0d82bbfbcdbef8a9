"""What ASE finds of this package by its entry points; importing it loads nothing else.

``ase.visualize.view(frames, viewer="mlsample")`` opens a window in a process of its own, and
``viewer="mlsample_notebook"`` shows structures beside a map of their properties in a notebook.
"""

from __future__ import annotations

from typing import Any

from ase.utils.plugins import ExternalViewer

__all__ = ["NOTEBOOK_VIEWER", "VIEWER"]

_MODULE = "ase_mlsample.gui.ase_viewers"

VIEWER = ExternalViewer(
    desc="ASE GUI with colours by per-atom scalars, such as the disagreement of an ensemble",
    module=_MODULE,
)

NOTEBOOK_VIEWER = ExternalViewer(
    desc="Structures beside a map of their properties, in a notebook (chemiscope)",
    module=_MODULE,
)


def __getattr__(name: str) -> Any:
    """Viewers for ``ase info --plugins``, made when it asks: the classes are an experiment of ASE's."""
    if name != "__ase_plugins__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ase._4.plugins.viewer import LegacyViewerPlugin
    except ImportError as error:
        raise AttributeError(name) from error
    viewers = {"mlsample": VIEWER, "mlsample_notebook": NOTEBOOK_VIEWER}
    return {LegacyViewerPlugin.from_externalviewer(key, viewer) for key, viewer in viewers.items()}
