from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training import Dataset
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.targets import reduced_labels, self_energies


def test_self_energies_are_recovered_from_compositions(rng: np.random.Generator) -> None:
    composition = rng.integers(0, 6, size=(30, 3)).astype(float) + np.array([1.0, 0, 0])
    true = np.array([-13.6, -1029.4, -2043.9])
    found = self_energies(composition @ true, composition, ("H", "C", "O"), weights=np.ones(30))
    assert list(found) == ["H", "C", "O"]
    assert list(found.values()) == pytest.approx(true, rel=1e-10)


def test_self_energy_of_one_element_is_the_mean_per_atom() -> None:
    composition = np.array([[2.0], [8.0], [4.0]])
    energies = np.array([-8.0, -40.0, -18.0])
    assert self_energies(energies, composition, ("Si",), weights=np.ones(3))["Si"] == pytest.approx(-4.5)
    weighted = self_energies(energies, composition, ("Si",), weights=np.array([1.0, 2.0, 0.0]))
    assert weighted["Si"] == pytest.approx((-4.0 - 2 * 5.0) / 3)


def test_a_weight_of_two_counts_as_a_frame_twice_and_of_nought_not_at_all(rng: np.random.Generator) -> None:
    composition = rng.integers(1, 6, size=(8, 2)).astype(float)
    energies = composition @ np.array([-3.0, -7.0]) + rng.normal(size=8)
    weights = np.array([1.0, 2, 2, 1, 1, 1, 0, 0])
    again = [0, 1, 1, 2, 2, 3, 4, 5]
    one = self_energies(energies, composition, ("C", "O"), weights=weights)
    other = self_energies(energies[again], composition[again], ("C", "O"), weights=np.ones(8))
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-12)


def test_undetermined_compositions_share_the_mean() -> None:
    composition = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    found = self_energies(np.array([-10.0, -20.0]), composition, ("Ga", "As", "Sn"), weights=np.ones(2))
    assert list(found.values()) == pytest.approx([-5.0, -5.0, -5.0])


def test_repulsion_is_taken_off_energy_forces_and_stress(silicon: Callable[..., list[Atoms]]) -> None:
    frames = silicon(2, seed=0)
    frames[1].positions[1] = frames[1].positions[0] + np.array([1.2, 0.3, 0.1])  # inside the repulsion
    del frames[0].arrays["REF_forces"]
    del frames[0].info["REF_stress"]
    dataset = Dataset(frames)
    geometry = Geometry.of_frames(frames, ("Si",), cutoff=4.0)
    plain, reduced = reduced_labels(dataset, geometry, None), reduced_labels(dataset, geometry, Repulsion())
    assert plain.energies.tolist() == dataset.energies.tolist()
    assert float(reduced.energies[0]) == dataset.energies[0]
    assert float(reduced.energies[1]) < dataset.energies[1] - 1.0
    assert reduced.has_forces.tolist() == [False] * 4 + [True] * 8
    assert reduced.has_stress.tolist() == [False, True]
    push = (plain.forces - reduced.forces)[4:].numpy()
    assert push[1] == pytest.approx(-push[0])
    assert np.dot(push[1], [1.2, 0.3, 0.1]) > 0
    assert plain.virials[1, 0, 1] == pytest.approx(frames[1].info["REF_stress"][5] * frames[1].get_volume())
    assert float((plain.virials - reduced.virials)[1].trace()) < 0
