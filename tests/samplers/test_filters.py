"""Filters accept and refuse, with a reason."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.samplers.filters import Density, MinDistance


def test_min_distance():
    silicon = bulk("Si", a=5.43)
    assert MinDistance().accepts(silicon) == (True, "")
    assert MinDistance(2.34).accepts(silicon) == (True, "")
    assert MinDistance(2.36).accepts(silicon) == (False, "Si-Si closer than the minimum distance")
    assert MinDistance({"Si-Si": 2.36}).accepts(silicon)[0] is False
    assert MinDistance(fraction=1.2).accepts(silicon)[0] is False
    with pytest.raises(KeyError, match="lacks the pair Si-Si"):
        MinDistance({"C-C": 1.0}).accepts(silicon)


def test_not_a_number_is_refused_not_raised():
    broken = Atoms("Si2", positions=np.full((2, 3), np.nan))
    assert MinDistance().accepts(broken) == (False, "positions are not finite")


def test_density():
    silicon = bulk("Si", a=5.431)  # 2.329 g/cm³
    assert Density((2.32, 2.34)).accepts(silicon) == (True, "")
    assert Density((2.4, 2.6)).accepts(silicon) == (False, "density below the window")
    assert Density((2.0, 2.2)).accepts(silicon) == (False, "density above the window")
    assert Density((0.0, 9.0)).accepts(Atoms("Si")) == (False, "the cell has no volume")


def test_both_must_accept():
    both = MinDistance() | Density((2.4, 2.6))
    assert both.accepts(bulk("Si", a=5.43)) == (False, "density below the window")
    assert both.accepts(bulk("Si", a=5.30)) == (True, "")


@pytest.mark.parametrize(
    "make", [lambda: MinDistance(-1.0), lambda: MinDistance(fraction=0), lambda: Density((2.0, 1.0))]
)
def test_bad_settings(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_a_density_is_never_met_exactly():
    with pytest.raises(TypeError, match=r"exactly 2\.3; give a window"):
        Density(2.3)
