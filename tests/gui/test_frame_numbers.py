import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from ase_mlsample.gui.frame_numbers import FrameNumbers, numbers_of, variable_names
from tests.gui.frames import bare, biased, coloured


def test_units_and_names():
    found = numbers_of(biased(3))
    assert found["cv:order"] == pytest.approx(0.7)
    assert found["bias"] == pytest.approx(0.3)
    assert found["energy"] == pytest.approx(-4.0)
    assert found["energy_std"] == pytest.approx(5.0)  # 0.04 eV of 8 atoms, in meV/atom
    assert found["force_sigma_max"] == pytest.approx(0.8)
    assert found["force_sigma_mean"] == pytest.approx(0.45)
    assert found["force_error_max"] == pytest.approx(5.0)


def test_the_temperature_is_that_of_the_momenta_and_the_targets_is_another():
    atoms = coloured()
    assert numbers_of(atoms)["target_K"] == 900.2
    assert "temperature_K" not in numbers_of(atoms)
    atoms.set_momenta(np.ones((8, 3)))
    assert numbers_of(atoms)["temperature_K"] == pytest.approx(atoms.get_temperature())


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ({}, ()),
        ({"cv": 1.0, "cv_names": "d"}, ("d",)),
        ({"cv": np.array([1.0, 2.0]), "cv_names": "a b"}, ("a", "b")),
        ({"cv": np.array([1.0, 2.0])}, ("cv[0]", "cv[1]")),
        ({"cv": 1.0}, ("cv",)),
    ],
)
def test_names_of_variables(info, names):
    atoms = bare()
    atoms.info |= info
    assert variable_names(atoms) == names
    assert [key for key in numbers_of(atoms) if key.startswith("cv")] == [f"cv:{name}" for name in names]


def test_labels_are_energies_per_atom():
    atoms = bulk("Si")
    atoms.info["REF_energy"] = -8.0
    atoms.calc = SinglePointCalculator(atoms, energy=-9.0)
    found = numbers_of(atoms)
    assert found["REF_energy"] == -4.0
    assert found["energy"] == -4.5


def test_words_and_switches_are_no_numbers():
    atoms = bare()
    atoms.info |= {"source": "x", "selected": True, "n": 3, "table": np.zeros(4)}
    assert numbers_of(atoms) == {"n": 3.0}


def test_a_trajectory_has_a_time_axis_and_its_frames_go_on():
    numbers = FrameNumbers(biased(k) for k in range(4))
    assert numbers.is_one_trajectory
    assert numbers.begins.tolist() == [True, False, False, False]
    assert numbers.column("cv:order") == pytest.approx([1.0, 0.9, 0.8, 0.7])
    assert [quantity.label for quantity in numbers.variables] == ["order"]


def test_other_trajectories_begin_anew():
    frames = [biased(0), biased(1), biased(0), biased(1)]
    frames[3].info["live_name"] = "another"
    numbers = FrameNumbers(frames)
    assert numbers.begins.tolist() == [True, False, True, True]
    assert not numbers.is_one_trajectory
    candidates = [biased(0), biased(1)]
    candidates[1].info["trust"] = "candidate"
    assert FrameNumbers(candidates).begins.tolist() == [True, True]


def test_frames_that_come_later_may_know_more():
    numbers = FrameNumbers([bare()])
    assert numbers.quantities == []
    numbers.add([biased(0)])
    assert np.isnan(numbers.column("bias")[0])
    assert "bias" in [quantity.key for quantity in numbers.quantities]


def test_own_numbers_are_listed_if_they_change():
    frames = [bare(), bare()]
    for k, atoms in enumerate(frames):
        atoms.info |= {"mine": float(k), "same": 1.0, "time_fs": float(k)}
    assert [quantity.key for quantity in FrameNumbers(frames).quantities] == ["mine"]
