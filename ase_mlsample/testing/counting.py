"""Count how often a calculator really computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ase import Atoms

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction

__all__ = ["counted"]


@contextmanager
def counted(calc: MLCalculator) -> Iterator[list[int]]:
    """While the context lasts, append the number of atoms of each evaluation to the list it gives."""
    evaluate, sizes = calc.evaluate, []

    def counting(atoms: Atoms, *args: Any, **kwargs: Any) -> Prediction:
        sizes.append(len(atoms))
        return evaluate(atoms, *args, **kwargs)

    with patch.object(calc, "evaluate", counting):
        yield sizes
