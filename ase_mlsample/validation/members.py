"""The members of an ensemble as calculators of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["members_of"]


def members_of(calc: Any) -> tuple[Any, ...]:
    """Every member of a calculator alone, with the settings of the whole.

    Parameters
    ----------
    calc : ase Calculator
        An `ANIEnsemble`, a `Committee`, a calculator with ``members()`` of its own that returns calculators,
        or any other.

    Returns
    -------
    tuple of ase Calculators
        Empty for a calculator without members, or with a single one.
    """
    from ase_mlsample.calculators.ani import ANIEnsemble
    from ase_mlsample.calculators.committee import Committee

    if isinstance(calc, Committee):
        return calc.calculators
    if isinstance(calc, ANIEnsemble):
        return tuple(_ani_member(calc, number) for number in range(calc.n_members * (calc.n_members > 1)))
    own = getattr(calc, "members", None)
    return tuple(own()) if callable(own) else ()


def _ani_member(calc: Any, number: int) -> Any:
    model = dataclasses.replace(calc.model, networks=calc.model.networks.select([number]))
    return type(calc)(model, device=calc.device, dtype=calc.dtype, backend=calc.backend)
