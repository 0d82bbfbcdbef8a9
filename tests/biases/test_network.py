"""The network of a bias and its optimiser, against torch."""

import math

import numpy as np
import pytest
import torch

from ase_mlsample.biases.network import Adam, BiasNetwork

PERIOD = (-math.pi, math.pi)


def network(activation="relu", seed=0):
    return BiasNetwork(
        [(0.0, 4.0), PERIOD, (-3.0, 3.0)],
        [None, PERIOD, None],
        hidden=(7, 5),
        activation=activation,
        rng=np.random.default_rng(seed),
    )


def in_torch(net, s):
    """The same network from its vector of parameters, differentiable in both."""
    parameters = torch.tensor(net.parameters, requires_grad=True)
    s = torch.tensor(s, requires_grad=True)
    x, phi, y = s.T
    values = torch.stack([(x - 2) / 2, y / 3, torch.sin(phi), torch.cos(phi)], dim=1)
    begin = 0
    for rows, columns in ((4, 7), (7, 5)):
        weights = parameters[begin : begin + rows * columns].reshape(rows, columns)
        begin += rows * columns
        values = values @ weights + parameters[begin : begin + columns]
        begin += columns
        values = torch.relu(values) if net._is_relu else torch.tanh(values)
    return values @ parameters[begin:], parameters, s


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradients(activation):
    rng = np.random.default_rng(3)
    net = network(activation)
    s = rng.uniform([0, -9, -3], [4, 9, 3], (40, 3))
    weights = rng.normal(size=40)
    expected, parameters, variables = in_torch(net, s)
    outputs, layers = net.forward(net.inputs(s))
    np.testing.assert_allclose(outputs, expected.detach(), atol=1e-13)
    (expected @ torch.tensor(weights)).backward()
    np.testing.assert_allclose(
        net.parameter_gradient(layers, weights), parameters.grad, atol=1e-12, rtol=1e-11
    )
    outputs, slopes = net.evaluate(s)
    np.testing.assert_allclose(weights[:, None] * slopes, variables.grad, atol=1e-12, rtol=1e-11)


def test_is_flat_beyond_the_bounds():
    net = network()
    outputs, slopes = net.evaluate(np.array([[4.0, 1.0, -3.0], [5.5, 1.0, -7.0]]))
    assert outputs[0] == outputs[1]
    assert slopes[1, [0, 2]].tolist() == [0, 0]
    assert slopes[0, 1] == slopes[1, 1] != 0


def test_repeats_with_the_period():
    net = network()
    there, _ = net.evaluate(np.array([[1.0, 0.7, 2.0], [1.0, 0.7 - 2 * math.pi, 2.0]]))
    assert there[0] == pytest.approx(there[1], abs=1e-13)


def test_size_of_the_published_network():
    net = BiasNetwork([(-3, 3)], [None], hidden=(48, 24, 12), activation="relu", rng=np.random.default_rng(0))
    assert len(net.parameters) == 1585 - 1  # the constant of the output changes nothing


def test_adam():
    rng = np.random.default_rng(0)
    ours, theirs = np.ones(5), torch.ones(5, dtype=torch.double, requires_grad=True)
    adam, reference = Adam(5), torch.optim.Adam([theirs], lr=1e-3)
    for _ in range(50):
        gradient = rng.normal(size=5) * 10.0 ** np.arange(-4, 1)
        theirs.grad = torch.tensor(gradient)
        reference.step()
        adam.step(ours, gradient, 1e-3)
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-12)
