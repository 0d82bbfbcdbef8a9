import itertools

import numpy as np
import pytest
import torch

from ase_mlsample import _core
from ase_mlsample.calculators.ani_native import compiled_networks, weight_arrays
from ase_mlsample.calculators.networks import MemberNetworks

N, L = 101, 37
TOLERANCE = {"float32": 5e-6, "float64": 2e-13}


def networks(*, hidden, activation, symbols=("Si",), bias=True, dtype="float64", members=3):
    rng = np.random.default_rng(8)
    made = MemberNetworks(
        members, L, hidden=hidden, activation=activation, symbols=symbols, rng=rng, bias=bias, dtype=dtype
    ).requires_grad_(False)
    for _, biases in made.layers().values():
        for values in biases:
            values.copy_(torch.as_tensor(rng.normal(size=tuple(values.shape))))
    return made


def inputs(n_species, dtype="float64"):
    rng = np.random.default_rng(9)
    return rng.normal(size=(N, L)).astype(dtype), rng.integers(0, n_species, N).astype(np.int32)


def by_autograd(made, aev, species, *, mean=False):
    """Energies of torch's networks and their derivatives by the AEV."""
    x = torch.from_numpy(aev).expand(made.n_members, -1, -1).requires_grad_(True)
    energies = made(x, torch.from_numpy(species).long())
    (gradient,) = torch.autograd.grad(energies.sum(), x)
    return energies.detach(), gradient.mean(0, keepdim=True) if mean else gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["celu", "gelu", "softplus", "tanh"])
@pytest.mark.parametrize("hidden", [(96, 96, 64), (33, 17, 5), (7,), ()])
def test_the_torch_networks_are_reproduced(activation, hidden, dtype):
    for symbols, bias, mean in itertools.product((("Si",), ("Al", "Si", "Sn")), (True, False), (True, False)):
        made = networks(hidden=hidden, activation=activation, symbols=symbols, bias=bias, dtype=dtype)
        aev, species = inputs(len(symbols), dtype)
        expected = by_autograd(made, aev, species, mean=mean)
        found = compiled_networks(made).evaluate(aev, species, mean=mean)
        for value, reference in zip(found, expected, strict=True):
            assert value.dtype == np.dtype(dtype)
            assert value.shape == tuple(reference.shape)
            scale = float(reference.abs().max())
            np.testing.assert_allclose(value, reference.numpy(), rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("activation", ["celu", "gelu", "softplus", "tanh"])
def test_the_gradient_is_that_of_the_energies(activation):
    made = compiled_networks(networks(hidden=(11, 6), activation=activation))
    aev, species = inputs(1)
    _, gradient = made.evaluate(aev, species, mean=False)
    step = 1e-5
    for k in range(L):
        shift = np.zeros(L)
        shift[k] = step
        plus, _ = made.evaluate(aev + shift, species, mean=False)
        minus, _ = made.evaluate(aev - shift, species, mean=False)
        # celu has a kink of its second derivative at 0: first order in the step there
        np.testing.assert_allclose((plus - minus) / (2 * step), gradient[:, :, k], atol=2e-4)


def test_far_from_zero_nothing_overflows():
    for activation, dtype in itertools.product(("celu", "gelu", "softplus", "tanh"), TOLERANCE):
        made = networks(hidden=(16,), activation=activation, dtype=dtype)
        aev, species = inputs(1, dtype)
        found = compiled_networks(made).evaluate(1e4 * aev, species, mean=False)
        expected = by_autograd(made, 1e4 * aev, species)
        for value, reference in zip(found, expected, strict=True):
            scale = float(reference.abs().max())
            # sums of 1e4 are rounded to 1e-3 or 1e-12, which moves slopes near zero as much
            tolerance = {"float32": 1e-3, "float64": 1e-11}[dtype]
            np.testing.assert_allclose(value, reference.numpy(), rtol=0, atol=tolerance * scale)


def test_an_atom_does_not_depend_on_its_company_nor_on_threads():
    made = compiled_networks(
        networks(hidden=(48, 32), activation="gelu", symbols=("Al", "Si"), dtype="float32")
    )
    aev, species = inputs(2, "float32")
    before = _core.num_threads()
    try:
        _core.set_num_threads(1)
        energies, gradient = made.evaluate(aev, species, mean=True)
        _core.set_num_threads(5)
        many = made.evaluate(aev, species, mean=True)
    finally:
        _core.set_num_threads(before)
    np.testing.assert_array_equal(many[0], energies)
    np.testing.assert_array_equal(many[1], gradient)
    for i in (0, 50, N - 1):
        alone = made.evaluate(aev[i : i + 1], species[i : i + 1], mean=True)
        np.testing.assert_array_equal(alone[0][:, 0], energies[:, i])
        np.testing.assert_array_equal(alone[1][0, 0], gradient[0, i])


def reference_gradient(made, aev, species, by_energy, tangent):
    """By torch's double backward, in the order of the parameters."""
    x = torch.from_numpy(aev).requires_grad_(True)
    energies = made(x, torch.from_numpy(species).long())
    total = (energies * torch.from_numpy(by_energy)).sum()
    if tangent is not None:
        for m, along in enumerate(torch.from_numpy(tangent)):
            (g,) = torch.autograd.grad(energies[m].sum(), x, create_graph=True)
            total = total + (g * along).sum()
    parameters = list(made.parameters())
    return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["celu", "gelu", "softplus", "tanh"])
@pytest.mark.parametrize("hidden", [(96, 96, 64), (33, 17, 5), (7,), ()])
def test_the_weights_gradient_is_that_of_double_backward(activation, hidden, dtype):
    rng = np.random.default_rng(10)
    for symbols, bias, forces in itertools.product((("Si",), ("Al", "Si")), (True, False), (True, False)):
        made = networks(hidden=hidden, activation=activation, symbols=symbols, bias=bias, dtype=dtype)
        made.requires_grad_(True)
        aev, species = inputs(len(symbols), dtype)
        by_energy = rng.normal(size=(3, N)).astype(dtype)
        tangent = rng.normal(size=(3, N, L)).astype(dtype) if forces else None
        expected = reference_gradient(made, aev, species, by_energy, tangent)
        found = compiled_networks(made).weight_gradient(aev, species, by_energy, tangent)
        arrays = [array for weights, biases in found for array in (*weights, *(biases if bias else ()))]
        for value, reference in zip(arrays, expected, strict=True):
            assert value.shape == tuple(reference.shape)
            scale = max(1.0, float(reference.abs().max()))
            np.testing.assert_allclose(value, reference.numpy(), rtol=0, atol=TOLERANCE[dtype] * scale)


def test_the_weights_gradient_does_not_depend_on_threads():
    made = compiled_networks(networks(hidden=(12, 5), activation="gelu", dtype="float32"))
    aev, species = inputs(1, "float32")
    rng = np.random.default_rng(11)
    by_energy = rng.normal(size=(3, N)).astype(np.float32)
    tangent = rng.normal(size=(3, N, L)).astype(np.float32)
    before, results = _core.num_threads(), []
    try:
        for threads in (1, 2, 5):
            _core.set_num_threads(threads)
            ((weights, biases),) = made.weight_gradient(aev, species, by_energy, tangent)
            results.append([*weights, *biases])
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for value, reference in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(value, reference)


def test_new_weights_are_taken_over():
    old, new = (networks(hidden=(9, 4), activation="celu", members=m) for m in (3, 3))
    for weights, _ in new.layers().values():
        weights[0].mul_(-0.7)
    aev, species = inputs(1)
    kernel = compiled_networks(old)
    kernel.set_weights(weight_arrays(new))
    expected = compiled_networks(new).evaluate(aev, species, mean=False)
    for value, reference in zip(kernel.evaluate(aev, species, mean=False), expected, strict=True):
        np.testing.assert_array_equal(value, reference)
    with pytest.raises(ValueError, match="other shapes"):
        kernel.set_weights([([np.zeros((3, 1, L))], [])])


def test_no_atoms_are_no_problem():
    made = compiled_networks(networks(hidden=(4,), activation="tanh"))
    energies, gradient = made.evaluate(np.empty((0, L)), np.empty(0, np.int32), mean=False)
    assert energies.shape == (3, 0)
    assert gradient.shape == (3, 0, L)
    ((weights, biases),) = made.weight_gradient(
        np.empty((0, L)), np.empty(0, np.int32), np.empty((3, 0)), np.empty((3, 0, L))
    )
    assert not any(array.any() for array in (*weights, *biases))


def test_wrong_arguments_are_named():
    made = compiled_networks(networks(hidden=(4,), activation="celu"))
    aev, species = inputs(1)
    with pytest.raises(ValueError, match="aev must be a C-contiguous float64"):
        made.evaluate(aev.astype(np.float32), species, mean=True)
    with pytest.raises(ValueError, match="aev must be"):
        made.evaluate(aev[:, 1:].copy(), species, mean=True)
    with pytest.raises(ValueError, match="species must be"):
        made.evaluate(aev, species[1:].copy(), mean=True)
    with pytest.raises(ValueError, match=r"species\[3\] is 1, out of range for 1 elements"):
        made.evaluate(aev, np.where(np.arange(N) == 3, 1, 0).astype(np.int32), mean=True)
    weights = [np.zeros((2, 4, L)), np.zeros((2, 1, 4))]
    with pytest.raises(ValueError, match="activation must be celu, gelu, softplus or tanh, not 'relu'"):
        _core.Networks("relu", [(weights, [])])
    with pytest.raises(ValueError, match="must have one output, it has 4"):
        _core.Networks("celu", [(weights[:1], [])])
    with pytest.raises(ValueError, match="layer 1 of element 0 maps 3 to 1 numbers, but gets 4"):
        _core.Networks("celu", [([weights[0], np.zeros((2, 1, 3))], [])])
    with pytest.raises(ValueError, match="as many biases as weights, or none"):
        _core.Networks("celu", [(weights, [np.zeros((2, 1, 4))])])
    with pytest.raises(ValueError, match="elements must hold"):
        _core.Networks("celu", [])


def test_an_aev_of_another_length_is_refused():
    made = compiled_networks(networks(hidden=(4,), activation="celu"))
    aev = _core.AEV(
        1,
        radial_cutoff=5.0,
        radial_eta=4.0,
        radial_shifts=[1.0, 2.0],
        angular_cutoff=3.5,
        angular_eta=4.0,
        zeta=8.0,
        angular_shifts=[1.0],
        sections=[0.5],
    )
    nothing = (np.zeros(2, np.int32), np.zeros(3, np.int64), np.empty(0, np.int32), np.empty((0, 3)))
    with pytest.raises(ValueError, match="AEVs of length 37 for 1 elements, this AEV has length 3 for 1"):
        _core.evaluate_ani(aev, made, *nothing, np.array([0, 2]), mean=True)
