"""Biases that began as one and learned apart, averaged."""

import json

import numpy as np
import pytest

from ase_mlsample.biases import DeepVESBias, Legendre, MetadynamicsBias, Uniform, VariationalBias
from ase_mlsample.biases.averaging import averaged_state
from ase_mlsample.dynamics.biased_exploration import as_plain

POINTS = np.linspace(-1.1, 1.1, 40)[:, None]


def linear(**changes):
    return VariationalBias(
        **{"kT": 1.0, "bases": Legendre(6, (-1, 1)), "bias_factor": 9, "pace": 5} | changes
    )


def deep(**changes):
    settings = {"kT": 1.0, "bounds": [(-1, 1)], "bias_factor": 9, "pace": 5, "bins": 30, "hidden": (8, 6)}
    return DeepVESBias(**settings | changes)


def taught(bias, seed, steps=50):
    rng = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        bias.update(np.tanh(rng.normal(0.2 * seed, 0.5, bias.n_cvs)), step)
    return bias


@pytest.mark.parametrize("target", [None, Uniform()])
def test_linear_bias_is_the_weighted_mean(target):
    how = {"target": target, "bias_factor": None} if target else {}
    biases = [taught(linear(**how), seed, steps) for seed, steps in ((1, 53), (2, 20), (3, 30))]
    merged = linear(**how)
    merged.load_state_dict(averaged_state([bias.state_dict() for bias in biases], [10, 4, 6]))
    weights = np.array([0.5, 0.2, 0.3])
    for part in (0, 1):
        expected = sum(w * bias.potential(POINTS)[part] for w, bias in zip(weights, biases, strict=True))
        np.testing.assert_allclose(merged.potential(POINTS)[part], expected, rtol=1e-12, atol=1e-13)
    F = sum(w * bias.free_energy()[1] for w, bias in zip(weights, biases, strict=True))
    if target is None:  # F of the target is linear in V: F <- -V + F/gamma
        np.testing.assert_allclose(merged.free_energy()[1], F - F.min(), atol=1e-12)
    assert merged.iterations == round(0.5 * 10 + 0.2 * 4 + 0.3 * 6)
    assert len(merged.record) == 0
    assert merged.update([0.1], 5)  # it goes on


@pytest.mark.parametrize("make", [linear, deep])
def test_of_one_all_is_kept_but_waiting_samples(make):
    """What goes on from the average of one goes on as that one."""
    bias = taught(make(), 1, 50)
    other = make()
    other.load_state_dict(json.loads(json.dumps(as_plain(averaged_state([bias.state_dict()], [3])))))
    for one in (bias, other):
        rng = np.random.default_rng(9)
        for step in range(51, 81):
            one.update(rng.uniform(-1, 1, 1), step)
    assert np.array_equal(bias.potential(POINTS)[0], other.potential(POINTS)[0])
    assert bias.divergence == other.divergence
    late, averaged = taught(make(), 1, 53), make()
    averaged.load_state_dict(averaged_state([late.state_dict()], [1]))
    assert len(late.state_dict()["state"]["waiting" if make is linear else "samples"]) == 3
    assert len(averaged.state_dict()["state"]["waiting" if make is linear else "samples"]) == 0


def test_networks_have_the_mean_of_their_parameters():
    biases = [taught(deep(), seed) for seed in (1, 2)]
    state = averaged_state([bias.state_dict() for bias in biases], [3, 1])
    merged = deep()
    merged.load_state_dict(state)
    expected = 0.75 * biases[0].network.parameters + 0.25 * biases[1].network.parameters
    np.testing.assert_allclose(merged.network.parameters, expected, rtol=1e-14)
    histogram = [bias.state_dict()["state"]["learning"]["histogram"] for bias in (*biases, merged)]
    np.testing.assert_allclose(histogram[2], 0.75 * histogram[0] + 0.25 * histogram[1], rtol=1e-14)
    # near to each other, it is nearly the mean of V as well
    mean = 0.75 * biases[0].potential(POINTS)[0] + 0.25 * biases[1].potential(POINTS)[0]
    apart = np.linalg.norm(biases[0].potential(POINTS)[0] - biases[1].potential(POINTS)[0])
    assert np.linalg.norm(merged.potential(POINTS)[0] - mean) < 0.1 * apart


def test_averages_help():
    """They are nearer to what all samples teach together than one of them is."""
    rng = np.random.default_rng(4)
    samples = np.tanh(rng.normal(0.3, 0.5, (16, 300)))
    together, apart = linear(pace=10), [linear(pace=10) for _ in samples]
    for step, values in enumerate(samples.T, start=1):
        together.update(values[:, None], step)
        for one, value in zip(apart, values, strict=True):
            one.update([value], step)
    merged = linear(pace=10)
    merged.load_state_dict(averaged_state([one.state_dict() for one in apart], np.ones(16)))

    def off(bias):
        return np.std(bias.potential(POINTS)[0] - together.potential(POINTS)[0])

    assert off(merged) < 0.5 * np.mean([off(one) for one in apart])


def test_static_only_when_all_are():
    how = {"kl_threshold": 1e9, "decay": 2, "static_below": 0.01}
    static, learning = taught(deep(**how), 1, 60), taught(deep(**how), 2, 20)
    assert (static.phase, learning.phase) == ("static", "decaying")
    state = static.state_dict()
    one, both = deep(**how), deep(**how)
    one.load_state_dict(averaged_state([state, state], [1, 1]))
    both.load_state_dict(averaged_state([state, learning.state_dict()], [12, 4]))
    assert (one.phase, one.static_since) == ("static", 0)
    assert not one.update([0.0], 5)
    assert (both.phase, both.static_since) == ("learning", None)
    assert both.update([0.0], 5)


def test_sampled_targets_keep_points_of_all():
    how = {"bins": None, "target_points": 200}
    biases = [taught(deep(**how), seed) for seed in (1, 2)]
    chains = [bias.state_dict()["state"]["learning"]["chains"] for bias in biases]
    merged = deep(**how)
    merged.load_state_dict(
        json.loads(json.dumps(as_plain(averaged_state([b.state_dict() for b in biases], [1, 1]))))
    )
    found = merged.state_dict()["state"]["learning"]["chains"]
    assert np.array_equal(found[::2], chains[0][::2])
    assert np.array_equal(found[1::2], chains[1][1::2])
    assert merged.update([0.0], 5)


def test_without_weight_nothing_counts():
    first, second = taught(linear(), 1), taught(linear(), 2)
    states = [first.state_dict(), second.state_dict()]
    alone, found = averaged_state(states[1:], [1]), averaged_state(states, [0, 7])
    assert as_plain(alone) == as_plain(found)


@pytest.mark.parametrize(
    ("states", "weights", "told"),
    [
        ([linear(), linear()], [1], "weights must be 2 numbers"),
        ([linear()], [0], "at least positive"),
        ([linear(), linear()], [2, -1], "none negative"),
        ([linear(), linear(pace=7)], [1, 1], "pace 7 .here 5"),
        ([linear(), deep()], [1, 1], "VariationalBias"),
        ([MetadynamicsBias(kT=1, sigma=1, height=1, bias_factor=2, pace=1)], [1], "is not averaged"),
    ],
)  # fmt: skip
def test_refused(states, weights, told):
    with pytest.raises(ValueError, match=told):
        averaged_state([bias.state_dict() for bias in states], weights)
