"""Samplers as they nest in a configuration."""

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.active.config import SamplerSettings
from ase_mlsample.active.factories import build_explorer, build_sampler
from ase_mlsample.dynamics import RampedMD, UncertaintyGate
from ase_mlsample.samplers import AtomsSampler, Density, PerturbedCrystal, Rattle, Strain


class Mixture(AtomsSampler):
    """A sampler that takes samplers, a transform and a filter."""

    def __init__(self, *, parts, last=None, accept=None, named=None):
        self.parts, self.last, self.accept, self.named = parts, last, accept, named

    def draw(self, rng: np.random.Generator) -> Atoms:
        return next(iter(self.parts[int(rng.integers(len(self.parts)))].sample(1, rng)))


class Plain:
    """Only what the protocol asks for."""

    def sample(self, n, rng):
        return (
            Atoms("Si", positions=rng.normal(size=(1, 3)), cell=3 * np.eye(3), pbc=True) for _ in range(n)
        )


CRYSTAL = {"sampler": "PerturbedCrystal", "crystals": ["diamond"], "symbol": "Si"}


def test_samplers_transforms_and_filters_nest():
    sampler = build_sampler(
        "test_factories:Mixture",
        {
            "parts": [
                {**CRYSTAL, "transforms": [{"transform": "Strain", "maximum": 0.05}]},
                {**CRYSTAL, "filters": [{"filter": "Density", "window": [0.1, 9.9]}]},
                {"sampler": "test_factories:Mixture", "parts": [CRYSTAL]},
            ],
            "last": {"transform": "Rattle", "amplitude": 0.2},
            "accept": {"filter": "Density", "window": [2.0, 2.5]},
            "named": {"composition": {"Si": 1, "Ge": 2}},
        },
    )
    strained, dense, inner = sampler.parts
    assert isinstance(strained.stages[0], Strain)
    assert isinstance(dense.stages[0], Density)
    assert isinstance(inner.parts[0], PerturbedCrystal)
    assert isinstance(sampler.last, Rattle)
    assert sampler.accept.window == (2.0, 2.5)
    assert sampler.named == {"composition": {"Si": 1, "Ge": 2}}
    assert len(list(sampler.sample(4, np.random.default_rng(0)))) == 4


def test_filters_follow_transforms_in_their_order():
    settings = SamplerSettings.model_validate(
        {
            **CRYSTAL,
            "transforms": [
                {"filter": "MinDistance", "fraction": 0.8},
                {"transform": "Rattle", "amplitude": 0.1},
            ],
            "filters": [{"filter": "Density", "window": [1.0, 9.0]}],
        }
    )
    sampler = build_sampler(settings.sampler, settings.arguments, settings.stages)
    assert [type(stage).__name__ for stage in sampler.stages] == ["MinDistance", "Rattle", "Density"]
    again = SamplerSettings.model_validate(settings.model_dump(mode="json"))
    assert again == settings


def test_filters_hold():
    windows = [(2.0, 2.5), (2.5, 3.5)]
    for low, high in windows:
        sampler = build_sampler(
            "PerturbedCrystal",
            {"crystals": "diamond", "symbol": "Si", "volume": [0.6, 1.3]},
            [("Density", {"window": [low, high]})],
        )
        for atoms in sampler.sample(5, np.random.default_rng(1)):
            density = atoms.get_masses().sum() / atoms.get_volume() * 1.66053907
            assert low <= density <= high


def test_samplers_without_operators_are_composed_too():
    sampler = build_sampler("test_factories:Plain", {}, [("Rattle", {"amplitude": 0.1})])
    (atoms,) = sampler.sample(1, np.random.default_rng(0))
    assert "Rattle" in str(atoms.info["transforms"])


@pytest.mark.parametrize(
    ("arguments", "stages", "message"),
    [
        ({"parts": [{"sampler": "RandomDisorde"}]}, [], "did you mean 'RandomDisorder'"),
        ({"parts": [{**CRYSTAL, "transforms": [{"amplitude": 1}]}]}, [], "names no transform or filter"),
        ({"parts": [{**CRYSTAL, "symbl": "Si"}]}, [], "symbl"),
        (
            {"parts": [CRYSTAL]},
            [("RandomDisorder", {"composition": "Si", "density": [2.0, 2.4]})],
            "neither a transform nor a filter",
        ),
        ({"parts": [CRYSTAL]}, [("Densiti", {})], "did you mean 'Density'"),
    ],
)
def test_errors_name_what_is_wrong(arguments, stages, message):
    with pytest.raises(ValueError, match=message):
        build_sampler("test_factories:Mixture", arguments, stages)


class TestExplorers:
    GATE = UncertaintyGate(0.1)

    def test_by_name(self):
        explorer = build_explorer("RampedMD", {"temperature_K": [300, 400]}, gate=self.GATE)
        assert isinstance(explorer, RampedMD)
        assert isinstance(
            build_explorer("ase_mlsample.dynamics:RampedMD", {}, gate=self.GATE, limits={"max_step": 0.3}),
            RampedMD,
        )

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("RampedMDs", {}, "no explorer 'RampedMDs'; did you mean 'RampedMD'"),
            ("RampedMD", {"temperatur_K": 300}, "temperatur_K"),
            ("test_factories:Plain", {}, "gate"),
            ("test_factories:no_explorer", {}, "which has no explore"),
        ],
    )
    def test_refusals(self, name, arguments, message):
        with pytest.raises(ValueError, match=message):
            build_explorer(name, arguments, gate=self.GATE)

    def test_bad_limits(self):
        with pytest.raises(ValueError, match="max_step"):
            build_explorer("RampedMD", {}, gate=self.GATE, limits={"max_step": -1})


def no_explorer(gate, keep_every):
    return 3
