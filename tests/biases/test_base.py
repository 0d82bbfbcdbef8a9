import copy

import numpy as np
import pytest

import ase_mlsample.biases
from ase_mlsample.biases import BiasSum, HarmonicRestraint, LowerWall, MetadynamicsBias, UpperWall
from ase_mlsample.testing import check_bias

POINTS = np.random.default_rng(1).uniform(-2, 2, (6, 1))


def metadynamics(**settings):
    return MetadynamicsBias(
        **{"kT": 1.0, "sigma": 0.2, "height": 1.0, "bias_factor": 5, "pace": 3} | settings
    )


def test_names_are_there():
    assert all(hasattr(ase_mlsample.biases, name) for name in ase_mlsample.biases.__all__)


class TestSum:
    def test_contract(self):
        check_bias(metadynamics() + UpperWall(1.0, 5.0) + LowerWall(-1.0, 5.0), POINTS, steps=30)

    def test_adds(self):
        one, two = HarmonicRestraint(1.0, 2.0), UpperWall(0.0, 3.0)
        value, gradient = (one + two).potential([2.0])
        assert value == pytest.approx(1.0 + 12.0)
        assert gradient == pytest.approx([2.0 + 12.0])

    def test_is_flat(self):
        one, two, three = (HarmonicRestraint(k, 1.0) for k in (0.0, 1.0, 2.0))
        assert (one + (two + three)).terms() == (one, two, three) == tuple(one + two + three)

    def test_every_term_hears_of_a_step(self):
        first, second = metadynamics(), metadynamics(pace=2)
        total = first + second
        assert [total.update([0.0], step) for step in range(1, 7)] == [False, True, True, True, False, True]
        assert (first.n_hills, second.n_hills) == (2, 3)

    def test_keeps_periods(self):
        domains = [(-3.0, 3.0)]
        total = UpperWall(1.0, 1.0) + HarmonicRestraint(0.0, 1.0, domains=domains)
        assert total.domains == tuple(domains)
        with pytest.raises(ValueError, match="different periods"):
            _ = total + HarmonicRestraint(0.0, 1.0)

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(ValueError, match="numbers of variables"):
            _ = HarmonicRestraint(0.0, 1.0) + HarmonicRestraint([0.0, 1.0], 1.0)
        with pytest.raises(ValueError, match="at least one"):
            BiasSum([])
        with pytest.raises(TypeError, match="str"):
            BiasSum([HarmonicRestraint(0.0, 1.0), "wall"])
        with pytest.raises(TypeError):
            _ = HarmonicRestraint(0.0, 1.0) + 1.0

    def test_a_wrong_term_is_refused_before_anything_changes(self):
        total = metadynamics() + UpperWall(1.0, 5.0)
        state = (metadynamics() + UpperWall(1.5, 5.0)).state_dict()
        total.update([0.0], 3)
        with pytest.raises(ValueError, match="other settings"):
            total.load_state_dict(state)
        assert total.terms()[0].n_hills == 1


class TestState:
    def test_another_class(self):
        with pytest.raises(ValueError, match="of a UpperWall, which a LowerWall"):
            LowerWall(1.0, 2.0).load_state_dict(UpperWall(1.0, 2.0).state_dict())

    def test_names_what_differs(self):
        with pytest.raises(ValueError, match=r"kappa \[2.0\] \(here \[3.0\]\)"):
            UpperWall(1.0, 3.0).load_state_dict(UpperWall(1.0, 2.0).state_dict())

    def test_lists_and_tuples_are_one(self):
        bias = metadynamics(domains=[(-1.0, 1.0)])
        state = bias.state_dict()
        state["settings"] |= {"domains": [[-1.0, 1.0]]}
        bias.load_state_dict(state)

    def test_copies_are_their_own(self):
        bias = metadynamics()
        bias.update([0.0], 3)
        twin = copy.deepcopy(bias)
        twin.update([0.0], 6)
        assert (bias.n_hills, twin.n_hills) == (1, 2)
        assert bias.potential([0.0])[0] < twin.potential([0.0])[0]
