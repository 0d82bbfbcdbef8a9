"""What ASE finds of this package by its entry points; importing it loads nothing else.

``ase.visualize.view(frames, viewer="mlsample")`` opens ``mlsample view`` in a process of its own.
"""

from __future__ import annotations

import sys

from ase.utils.plugins import ExternalViewer

__all__ = ["VIEWER"]

# by the interpreter, since the folder of the script `mlsample` need not be in PATH
_VIEW = "import sys; from ase_mlsample.cli import main; sys.exit(main(['view', *sys.argv[1:]]))"

VIEWER = ExternalViewer(
    desc="ASE GUI with colours by per-atom scalars, such as the disagreement of an ensemble",
    cli=True,
    fmt="extxyz",
    argv=[sys.executable, "-c", _VIEW],
)
