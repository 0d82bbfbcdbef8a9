"""Samplers, transforms and filters in a chain."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.samplers.base import (
    AtomsFilter,
    AtomsSampler,
    Filter,
    Pipeline,
    Sampler,
    Transform,
    checked_sizes,
    checked_window,
)
from ase_mlsample.samplers.disorder import RandomDisorder
from ase_mlsample.samplers.filters import Density, MinDistance
from ase_mlsample.samplers.transforms import Rattle, Scale, Strain


class OwnSampler:
    """A user's sampler without our base class."""

    def sample(self, n, rng):
        for _ in range(n):
            yield bulk("Si", a=float(rng.uniform(5, 6)))


class Wider(AtomsFilter):
    def accepts(self, atoms):
        return (True, "") if atoms.get_volume() > 45 else (False, "narrow")


def disorder():
    return RandomDisorder("Si", n_atoms=(4, 6), density=(2.0, 2.5))


def test_protocols_are_met():
    assert isinstance(disorder(), Sampler)
    assert isinstance(disorder() | Rattle(0.1), Sampler)
    assert isinstance(Rattle(0.1), Transform)
    assert isinstance(Rattle(0.1) | Strain(0.1), Transform)
    assert isinstance(MinDistance() | Density((0, 3)), Filter)
    assert isinstance(OwnSampler(), Sampler)


def test_chain_applies_every_stage_in_order():
    chain = disorder() | Strain(0.05) | Rattle((0.1, 0.2)) | MinDistance(0.5) | Scale((0.9, 1.1))
    frames = list(chain.sample(5, np.random.default_rng(1)))
    assert len(frames) == 5
    for atoms in frames:
        assert atoms.info["source"] == "RandomDisorder"
        assert atoms.info["transforms"] == "Strain|Rattle|Scale"
        assert 0.1 <= atoms.info["rattle_A"] <= 0.2
        assert all(isinstance(value, str | float | int) for value in atoms.info.values())


def test_grouping_does_not_matter():
    left = (disorder() | Strain(0.05)) | Rattle(0.1)
    right = disorder() | (Strain(0.05) | Rattle(0.1))
    pairs = zip(
        left.sample(3, np.random.default_rng(2)), right.sample(3, np.random.default_rng(2)), strict=True
    )
    assert all(a == b for a, b in pairs)


def test_own_samplers_and_functions_compose():
    def doubled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
        return atoms.repeat((2, 1, 1))

    frames = list((OwnSampler() | Rattle(0.1) | doubled).sample(2, np.random.default_rng(0)))
    assert [len(atoms) for atoms in frames] == [4, 4]
    assert all(len(atoms) == 2 for atoms in (OwnSampler() | Wider()).sample(2, np.random.default_rng(0)))


def test_filter_draws_again_until_accepted():
    frames = list((OwnSampler() | Wider()).sample(20, np.random.default_rng(0)))
    assert len(frames) == 20
    assert min(atoms.get_volume() for atoms in frames) > 45
    plain = list(OwnSampler().sample(20, np.random.default_rng(0)))
    assert min(atoms.get_volume() for atoms in plain) < 45


def test_endless_rejection_is_an_error_that_names_the_reason():
    chain = Pipeline(OwnSampler(), Density((10, 11)), max_rejections=7)
    with pytest.raises(RuntimeError, match="7 frames in a row were refused, 7 of them with 'density below"):
        next(iter(chain.sample(1, np.random.default_rng(0))))


def test_bad_arguments_raise_at_the_call():
    with pytest.raises(ValueError, match="must not be negative"):
        disorder().sample(-1, np.random.default_rng(0))
    with pytest.raises(TypeError, match="whole number"):
        disorder().sample(1.5, np.random.default_rng(0))
    with pytest.raises(TypeError, match="default_rng"):
        disorder().sample(1, np.random)
    with pytest.raises(TypeError, match="starts with a sampler"):
        Pipeline(3, Rattle(0.1))
    with pytest.raises(TypeError, match="followed by transforms and filters"):
        disorder() | 3


def test_first_frames_do_not_depend_on_the_count():
    few = list(disorder().sample(2, np.random.default_rng(5)))
    many = list(disorder().sample(4, np.random.default_rng(5)))
    assert few == many[:2]
    assert list(disorder().sample(0, np.random.default_rng(5))) == []


def test_sampler_base_is_abstract():
    with pytest.raises(TypeError):
        AtomsSampler()


def test_windows_are_numbers_or_pairs():
    assert checked_window("the volume", 2) == (2.0, 2.0)
    assert checked_window("the volume", [1, 3]) == (1.0, 3.0)
    assert checked_sizes(8) == checked_sizes((8.0, 8)) == (8, 8)
    for wrong in ((1, 2, 3), ("a", "b"), "ab", None):
        with pytest.raises(TypeError, match=r"the volume must be a number or a window \(low, high\) in Å³"):
            checked_window("the volume", wrong, unit=" in Å³")
    for wrong in ((2, 1), (-1, 1), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="the volume must be a window"):
            checked_window("the volume", wrong)
    for wrong in (0, (8, 4)):
        with pytest.raises(ValueError, match="n_atoms must be a window"):
            checked_sizes(wrong)
    with pytest.raises(ValueError, match="whole numbers"):
        checked_sizes((8, 8.5))
