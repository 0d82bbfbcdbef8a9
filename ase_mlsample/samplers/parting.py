"""Close pairs parted after a change, as far as the structure had them apart before."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ase import Atoms

from ase_mlsample.samplers.packing import MinDistanceSpec, closest_pair, minimum_distances, separate

__all__ = ["DEFAULT_FRACTION", "OWN_SHARE", "checked_distance", "parted"]

DEFAULT_FRACTION = 0.9  # of the sum of the contact radii
OWN_SHARE = 0.85  # a structure's own bonds, however short, may come this much closer


def checked_distance(spec: MinDistanceSpec) -> MinDistanceSpec:
    """Return ``spec`` when it can be minimum distances; ValueError otherwise."""
    if isinstance(spec, Mapping):
        symbols = {name for key in spec for name in (key.split("-") if isinstance(key, str) else key)}
        minimum_distances(sorted(symbols))  # refuses what is not an element
        if not all(0 < float(value) < math.inf for value in spec.values()):
            raise ValueError(f"minimum distances must be positive and finite, got {spec!r}; give them in Å")
    elif spec is not None:
        minimum_distances(["H"], spec)
    return spec


def parted(
    atoms: Atoms,
    reference: Atoms,
    spec: MinDistanceSpec = None,
    *,
    fraction: float = DEFAULT_FRACTION,
    share: float = OWN_SHARE,
) -> Atoms | None:
    """Push close pairs apart by the soft repulsion.

    Parameters
    ----------
    atoms : Atoms
        Not changed.
    reference : Atoms
        The structure before the change.
    spec : float, mapping or None
        Minimum distances in Å; None: ``fraction`` times the sum of the contact radii, or ``share`` times the
        reference's own shortest bonds where these are less.

    Returns
    -------
    Atoms or None
        None when the effort was spent.
    """
    if spec is not None:
        return separate(atoms, spec)
    # the ratio is below one only where the reference itself has bonds shorter than the default
    own, _, _ = closest_pair(reference, fraction=fraction / share)
    return separate(atoms, fraction=fraction * min(1.0, own))
