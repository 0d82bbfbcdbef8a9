import numpy as np
from ase import Atoms

from ase_mlsample.gui.captions import describe, ticks
from tests.gui.frames import bare, coloured


def test_a_frame_of_a_trajectory():
    assert describe(coloured()) == "Si8 · generation 2 · t = 1.50 ps · T = 900 K · uncertain"


def test_a_candidate():
    atoms = bare()
    atoms.info |= {"config_type": "liquid", "time_fs": 50.0, "force_sigma_max": 0.3123}
    atoms.info |= {"trust": "candidate", "selected": True}
    assert describe(atoms) == "Si2 · liquid · t = 50 fs · σ ≤ 0.312 eV/Å · candidate, chosen"


def test_next_to_nothing():
    assert describe(bare()) == "Si2"
    assert describe(Atoms()) == "no atoms"


def test_odd_values_are_left_out():
    atoms = bare()
    atoms.info |= {"time_fs": "long", "temperature_K": None, "force_sigma_max": np.ones(2)}
    assert describe(atoms) == "Si2"


def test_ticks_go_down():
    assert ticks(0.0, 1.0) == ["1", "0.75", "0.5", "0.25", "0"]
    assert ticks(0.01, 100.0, log=True) == ["100", "10", "1", "0.1", "0.01"]
    assert ticks(0.0, 1.0, log=True)[-1] == "0.001"
