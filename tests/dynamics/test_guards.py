"""Guards say why a run must end, and stay silent on healthy ones."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.dynamics import Guards

HEALTHY = {"step_length": 0.05, "kinetic_K": 900.0, "target_K": 1000.0, "time_fs": 1000.0}
ZERO = np.zeros((64, 3))


def test_healthy_motion():
    assert Guards().motion(ZERO, **HEALTHY) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"step_length": 0.6}, "exploded: an atom moves 0.6 Å in one step"),
        ({"step_length": np.nan}, "exploded: velocities or forces are not finite"),
        ({"kinetic_K": np.inf}, "exploded: velocities or forces are not finite"),
        ({"kinetic_K": 7000.0}, "exploded: kinetic temperature 7000 K above 5823 K"),
    ],
)
def test_exploding_motion(change, reason):
    assert Guards().motion(ZERO, **(HEALTHY | change)) == reason


def test_forces_that_are_no_numbers():
    assert "not finite" in Guards().motion(np.full((4, 3), np.nan), **HEALTHY)


def test_start_may_be_hot_and_few_atoms_may_fluctuate():
    hot = HEALTHY | {"kinetic_K": 9000.0}
    assert Guards().motion(ZERO, **(hot | {"time_fs": 100.0})) == ""
    assert Guards().motion(ZERO, **hot) != ""
    assert Guards().motion(np.zeros((2, 3)), **hot) == ""


def test_contacts():
    assert Guards().contacts(bulk("Si", a=5.43)) == ""
    close = Atoms("SiC", positions=[[0.1, 0, 0], [9.5, 0, 0]], cell=[10, 10, 10], pbc=True)
    assert Guards().contacts(close) == "collapsed: atoms 0 (Si) and 1 (C) are 0.6 Å apart"
    close.pbc = False
    assert Guards().contacts(close) == ""
    assert Guards(contact_fraction=1.05).contacts(bulk("Si", a=5.0)).startswith("collapsed")


def test_atoms_on_top_of_each_other():
    assert Guards().contacts(Atoms("Si2", positions=np.zeros((2, 3)))).startswith("collapsed")


def test_volume():
    guards = Guards(volume_window=(0.5, 1.5))
    assert guards.volume(1.0) == guards.volume(0.5) == guards.volume(1.5) == ""
    assert guards.volume(1.6) == "exploded: the volume is 1.6 times that of the start, above 1.5"
    assert guards.volume(0.4) == "collapsed: the volume is 0.4 times that of the start, below 0.5"
    assert guards.volume(np.nan).startswith("exploded")


@pytest.mark.parametrize("window", [(1.1, 2.0), (0.5, 0.9), (0.0, 2.0), (0.5, np.inf)])
def test_bad_volume_window(window):
    with pytest.raises(ValueError, match="volume_window"):
        Guards(volume_window=window)


@pytest.mark.parametrize(
    "arguments", [{"every": 0}, {"max_step": 0.0}, {"temperature_margin": -1.0}, {"contact_fraction": np.nan}]
)
def test_bad_settings(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Guards(**arguments)
