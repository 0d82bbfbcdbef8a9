"""Public checks that any calculator, collective variable, bias or sampler can be put through, ours and yours.

Each check raises :class:`ContractError`, an ``AssertionError`` that says what differs and by how much.

>>> from ase_mlsample import testing
>>> from ase_mlsample.calculators import StillingerWeber
>>> testing.check_calculator(StillingerWeber(), testing.contract_frames("Si", "diamond", 5.431))
"""

from ase_mlsample.testing.bias import check_bias
from ase_mlsample.testing.caching import check_caching, check_failure
from ase_mlsample.testing.calculator import check_calculator
from ase_mlsample.testing.continuity import check_continuity
from ase_mlsample.testing.cv import check_cv
from ase_mlsample.testing.derivatives import check_forces, check_stress
from ase_mlsample.testing.errors import ContractError, Tolerances, assert_close
from ase_mlsample.testing.frames import contract_frames
from ase_mlsample.testing.invariances import check_invariances, check_supercell
from ase_mlsample.testing.prediction import check_batch, check_prediction
from ase_mlsample.testing.sampler import check_sampler
from ase_mlsample.testing.spread import check_spread
from ase_mlsample.testing.storage import check_io, check_pickling

__all__ = [
    "ContractError",
    "Tolerances",
    "assert_close",
    "check_batch",
    "check_bias",
    "check_caching",
    "check_calculator",
    "check_continuity",
    "check_cv",
    "check_failure",
    "check_forces",
    "check_invariances",
    "check_io",
    "check_pickling",
    "check_prediction",
    "check_sampler",
    "check_spread",
    "check_stress",
    "check_supercell",
    "contract_frames",
]
