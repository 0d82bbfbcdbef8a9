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
        An ensemble of networks such as `ANIEnsemble`, a `Committee`, a calculator with ``members()`` of its
        own that returns calculators, or any other.

    Returns
    -------
    tuple of ase Calculators
        Empty for a calculator without members, or with a single one.
    """
    from ase_mlsample.calculators.committee import Committee

    if isinstance(calc, Committee):
        return calc.calculators
    count = getattr(getattr(calc, "model", None), "n_members", None)
    if isinstance(count, int):
        return tuple(_network_member(calc, number) for number in range(count)) if count > 1 else ()
    own = getattr(calc, "members", None)
    return tuple(own()) if callable(own) else ()


def _network_member(calc: Any, number: int) -> Any:
    """An ensemble of one network: cheap, since nothing but its weights is copied."""
    model = calc.model
    if hasattr(model, "select"):
        alone = model.select([number])
    else:
        alone = dataclasses.replace(model, networks=model.networks.select([number]))
    return type(calc)(alone, device=calc.device, dtype=calc.dtype, backend=calc.backend)
