"""Random disorder keeps its windows and distances, and is what the generator makes it."""

from collections import Counter

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers.disorder import RandomDisorder
from ase_mlsample.testing import check_sampler

GRAM_PER_CM3 = 1.66053906660


def density_of(atoms):
    return atoms.get_masses().sum() * GRAM_PER_CM3 / atoms.get_volume()


def test_contract():
    check_sampler(RandomDisorder("Si", density=(1.8, 3.0)), n=10, min_distance=2.21)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    numbers=st.tuples(st.integers(3, 20), st.integers(0, 20)),
    densities=st.tuples(st.floats(1.0, 3.0), st.floats(0.0, 0.8)),
    distance=st.floats(1.8, 2.3),
)
def test_windows_and_distances_hold(seed, numbers, densities, distance):
    (low, extra), (density, width) = numbers, densities
    sampler = RandomDisorder(
        "Si", n_atoms=(low, low + extra), density=(density, density + width), min_distance=distance
    )
    (atoms,) = sampler.sample(1, np.random.default_rng(seed))
    assert low <= len(atoms) <= low + extra
    assert density - 1e-9 <= density_of(atoms) <= density + width + 1e-9
    assert atoms.info["density_g_cm3"] == pytest.approx(density_of(atoms))
    assert len(neighbor_list("d", atoms, distance)) == 0
    a, b, c, *angles = atoms.cell.cellpar()
    assert max(a, b, c) <= 2.0001 * min(a, b, c)
    assert 59.999 <= min(angles) <= max(angles) <= 120.001
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    assert heights.min() >= distance - 1e-9
    assert atoms.pbc.all()
    assert atoms.cell.handedness == 1
    assert (atoms.get_scaled_positions(wrap=False) >= 0).all()
    assert (atoms.get_scaled_positions(wrap=False) < 1).all()


def test_whole_shares_are_met_exactly():
    sampler = RandomDisorder("SiO2", n_atoms=(5, 13), density=(2.0, 2.4))
    frames = list(sampler.sample(30, np.random.default_rng(0)))
    assert {len(atoms) for atoms in frames} == {6, 9, 12}
    for atoms in frames:
        count = Counter(atoms.get_chemical_symbols())
        assert count["O"] == 2 * count["Si"]
    pairs = {("O", "O"): 1.32, ("O", "Si"): 1.77, ("Si", "Si"): 2.22}
    assert all(len(neighbor_list("d", atoms, pairs)) == 0 for atoms in frames)


def test_fractions_are_rounded():
    sampler = RandomDisorder({"Al": 0.9, "Mg": 0.1}, n_atoms=(12, 12), density=(2.2, 2.6))
    (atoms,) = sampler.sample(1, np.random.default_rng(0))
    assert Counter(atoms.get_chemical_symbols()) == {"Al": 11, "Mg": 1}


def test_frames_are_diverse():
    frames = list(RandomDisorder("Si", density=(2.0, 2.6)).sample(60, np.random.default_rng(0)))
    assert len({len(atoms) for atoms in frames}) > 15
    angles = np.array([atoms.cell.angles() for atoms in frames])
    assert angles.std() > 12


@pytest.mark.parametrize(
    ("symbol", "density"), [("Fe", 7.87), ("Cu", 8.96), ("W", 19.25), ("Na", 0.97), ("C", 3.5)]
)
def test_defaults_work_at_the_density_of_the_elements(symbol, density):
    sampler = RandomDisorder(symbol, density=(0.9 * density, 1.1 * density))
    assert len(list(sampler.sample(3, np.random.default_rng(0)))) == 3


def test_impossible_density_names_numbers_and_remedy():
    with pytest.raises(
        ValueError, match=r"density up to 9 g/cm³ cannot be met.*Si-Si 2\.22 Å.*0\.7405.*min_distance"
    ):
        RandomDisorder("Si", density=(2.0, 9.0))
    with pytest.raises(ValueError, match=r"2 atoms at 3 g/cm³ have 31\.1 Å³.*min_height"):
        RandomDisorder("Si", n_atoms=(2, 8), density=(2.0, 3.0), min_distance=2.0, min_height=3.5)


def test_bounded_effort_ends_in_an_error():
    sampler = RandomDisorder("Si", n_atoms=(32, 32), density=(5.8, 5.8), max_attempts=2)
    with pytest.raises(RuntimeError, match=r"in 2 attempts.*fills 0\.7.*lower the density"):
        next(iter(sampler.sample(1, np.random.default_rng(0))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_atoms": (9, 8)}, "n_atoms"),
        ({"n_atoms": (0, 8)}, "n_atoms"),
        ({"n_atoms": (4.5, 8)}, "whole numbers"),
        ({"density": (3.0, 2.0)}, "density"),
        ({"density": (0.0, 2.0)}, "density"),
        ({"density": (1.0, float("nan"))}, "density"),
        ({"angles": (10, 120)}, "angles"),
        ({"aspect": 0.5}, "aspect"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"composition": {}}, "composition"),
        ({"composition": "Xq"}, "not a chemical symbol"),
        ({"composition": {"Si": -1}}, "share of Si"),
        ({"composition": "SiO2", "n_atoms": (4, 5)}, "formula unit"),
    ],
)
def test_bad_settings(change, message):
    settings_ = {"composition": "Si", "density": (2.0, 2.5)} | change
    with pytest.raises(ValueError, match=message):
        RandomDisorder(settings_.pop("composition"), **settings_)
