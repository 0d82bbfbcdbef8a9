"""Which software a run works with: what its ledger keeps and its report shows."""

from __future__ import annotations

import platform
from importlib import metadata

__all__ = ["installed_versions"]

_PACKAGES = ("ase-mlsample", "ase", "numpy", "torch", "torchani", "spglib")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes; read, not imported."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # e.g. a reference may need no torch
            continue
    return versions
