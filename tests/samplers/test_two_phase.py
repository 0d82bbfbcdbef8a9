"""Two phases in one cell: densities, a crystal that is still one, and no close pairs."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers import PerturbedCrystal, RandomDisorder, Rattle, TwoPhase
from ase_mlsample.testing import check_sampler

AMU_PER_A3 = 1.66053906660


def silicon(**more):
    return PerturbedCrystal("diamond", symbol="Si", **({"n_atoms": (32, 64), "strain": 0.03} | more))


def test_contract():
    check_sampler(TwoPhase(silicon(n_atoms=(8, 32)), density=(2.3, 2.6)), n=6, min_distance=1.4)
    check_sampler(TwoPhase(silicon(n_atoms=16), axis=2) | Rattle(0.02), n=4, min_distance=1.4)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    axis=st.integers(0, 2),
    density=st.floats(2.0, 2.7),
    ratio=st.floats(0.5, 1.5),
)
def test_each_part_has_its_density(seed, axis, density, ratio):
    crystal = silicon(rattle=0.02, volume=(0.95, 1.05))
    sampler = TwoPhase(crystal, density=density, ratio=ratio, axis=axis, min_distance=1.9)
    (atoms,) = sampler.sample(1, np.random.default_rng(seed))
    phase, share = atoms.arrays["phase"], atoms.info["solid_fraction"]
    assert atoms.info["axis"] == axis
    assert (phase == 1).sum() == round(ratio * (phase == 0).sum())
    masses, volume = atoms.get_masses(), atoms.get_volume()
    beyond = masses[phase == 1].sum() * AMU_PER_A3 / ((1 - share) * volume)
    assert beyond == pytest.approx(density) == pytest.approx(atoms.info["density_g_cm3"])
    own = masses[phase == 0].sum() * AMU_PER_A3 / (share * volume)
    assert 2.33 / 1.05 / 1.1 < own < 2.33 / 0.95 * 1.1
    # each part is on its own side, up to what the repulsion moves across the interface
    place = atoms.get_scaled_positions()[:, axis]
    height = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array)[:, axis])
    outside = np.where(phase == 0, np.minimum(place - share, 1 - place), np.minimum(share - place, place))
    assert outside.max() * height < 2.0
    assert len(neighbor_list("d", atoms, 1.9)) == 0


def test_the_crystal_stays_a_crystal():
    sampler = TwoPhase(silicon(n_atoms=64, rattle=0, strain=0, volume=1.0), density=2.5, axis=2, ratio=1.0)
    for atoms in sampler.sample(3, np.random.default_rng(0)):
        place, share = atoms.get_scaled_positions()[:, 2], atoms.info["solid_fraction"]
        height = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array)[:, 2])
        inner = np.flatnonzero(
            (np.abs(place - share / 2) < share / 2 - 3.5 / height) & (atoms.arrays["phase"] == 0)
        )
        first, distances = neighbor_list("id", atoms, 2.7)
        assert len(inner) > 4
        for index in inner:
            own = distances[first == index]
            assert len(own) == 4
            np.testing.assert_allclose(own, 2.3512, atol=0.1)  # the interface pushes a little
        # the other part is none
        beyond = np.flatnonzero(atoms.arrays["phase"] == 1)
        counts = np.array([(first == index).sum() for index in beyond])
        spread = np.concatenate([distances[first == index] for index in beyond]).std()
        assert counts.std() > 0.5
        assert spread > 0.08


def test_frames_of_a_second_sampler_fill_the_other_part():
    liquid = RandomDisorder("Si", n_atoms=(20, 40), density=2.5)
    for atoms in TwoPhase(silicon(), liquid).sample(4, np.random.default_rng(0)):
        assert 20 <= atoms.arrays["phase"].sum() <= 40
        assert atoms.info["density_g_cm3"] == pytest.approx(2.5)
        assert atoms.info["solid_type"] == "diamond"
        assert atoms.info["config_type"] == "two-phase"


def test_compounds_keep_their_formula():
    crystal = PerturbedCrystal("rocksalt", symbol="NaCl", n_atoms=(16, 32))
    for atoms in TwoPhase(crystal, min_distance=1.8).sample(3, np.random.default_rng(0)):
        counts = atoms[atoms.arrays["phase"] == 1].symbols.formula.count()
        assert counts["Na"] == counts["Cl"] > 4
        assert len(neighbor_list("d", atoms, 1.8)) == 0


class Fixed:
    def __init__(self, atoms):
        self.atoms = atoms

    def sample(self, n, _rng):
        return (self.atoms.copy() for _ in range(n))


def test_own_samplers_and_what_they_must_give():
    sampler = TwoPhase(Fixed(bulk("Al", cubic=True) * 2), density=2.4)
    (atoms,) = sampler.sample(1, np.random.default_rng(0))
    assert atoms.info["solid_type"] == "Al32"
    with pytest.raises(ValueError, match="periodic in three directions"):
        next(TwoPhase(Fixed(Atoms("Al"))).sample(1, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="cell with three vectors"):
        next(TwoPhase(Fixed(bulk("Al")), Fixed(Atoms("Al"))).sample(1, np.random.default_rng(0)))
    crowded = TwoPhase(Fixed(bulk("Al", cubic=True) * 2), density=12.0, max_attempts=2)
    with pytest.raises(RuntimeError, match="in 2 draws"):
        next(crowded.sample(1, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"liquid": RandomDisorder("Si", density=2.0), "density": 2.0}, ValueError, "density is for"),
        ({"axis": 3}, ValueError, "axis"),
        ({"ratio": 0.0}, ValueError, "positive"),
        ({"density": (3.0, 2.0)}, ValueError, "density"),
        ({"max_attempts": 0}, ValueError, "max_attempts"),
        ({"min_distance": -1.0}, ValueError, "positive and finite"),
        ({"solid": "diamond"}, TypeError, "solid must be a sampler, got str"),
        ({"liquid": 3}, TypeError, "liquid must be a sampler"),
    ],
)
def test_bad_settings(change, error, message):
    with pytest.raises(error, match=message):
        TwoPhase(**({"solid": silicon()} | change))
