"""Batched member networks against plain torch networks."""

import pickle

import numpy as np
import pytest
import torch

from ase_mlsample.calculators.networks import ACTIVATIONS, MemberNetworks
from tests.calculators.ani_models import energies_and_gradient

PLAIN = {
    "celu": lambda: torch.nn.CELU(alpha=0.1),
    "gelu": torch.nn.GELU,
    "tanh": torch.nn.Tanh,
    "softplus": torch.nn.Softplus,
}
SPECIES = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def networks(rng: np.random.Generator, activation: str = "celu", **options: object) -> MemberNetworks:
    arguments: dict = {
        "hidden": {"Si": (7, 5), "O": (6,)},
        "symbols": ("Si", "O"),
        "dtype": "float64",
    } | options
    made = MemberNetworks(3, 11, activation=activation, rng=rng, **arguments)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "biases" in name:
                parameter.copy_(torch.as_tensor(rng.normal(size=parameter.shape)))
    return made


def plain(made: MemberNetworks, symbol: str, member: int) -> torch.nn.Sequential:
    weights, biases = made.layers()[symbol]
    modules: list[torch.nn.Module] = []
    for index, weight in enumerate(weights):
        linear = torch.nn.Linear(weight.shape[2], weight.shape[1], bias=bool(biases)).double()
        linear.weight.data = weight[member]
        if biases:
            linear.bias.data = biases[index][member, 0]
        modules += [linear, PLAIN[made.activation]()]
    return torch.nn.Sequential(*modules[:-1])


def plain_energies(made: MemberNetworks, aev: torch.Tensor) -> torch.Tensor:
    rows = []
    for member in range(made.n_members):
        inputs = aev if aev.dim() == 2 else aev[member]
        both = torch.stack([plain(made, symbol, member)(inputs).squeeze(-1) for symbol in made.symbols])
        rows.append(both.gather(0, SPECIES.unsqueeze(0)).squeeze(0))
    return torch.stack(rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 11), (3, 7, 11)])
def test_energies_of_plain_networks(
    rng: np.random.Generator, activation: str, bias: bool, shape: tuple[int, ...]
) -> None:
    made = networks(rng, activation, bias=bias)
    aev = torch.as_tensor(rng.normal(size=shape))
    assert torch.allclose(made(aev, SPECIES), plain_energies(made, aev), rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("symbols", [("Si", "O"), ("Si",)])
def test_gradient_without_a_graph_is_autograd(
    rng: np.random.Generator, activation: str, symbols: tuple[str, ...]
) -> None:
    made = networks(rng, activation, symbols=symbols)
    species = SPECIES.clamp(max=len(symbols) - 1)
    aev = torch.as_tensor(rng.normal(size=(7, 11))).requires_grad_()
    energies = made(aev, species)
    expected = torch.stack([torch.autograd.grad(e.sum(), aev, retain_graph=True)[0] for e in energies])
    found, gradient = energies_and_gradient(made, aev.detach(), species)
    assert torch.allclose(found, energies, rtol=0, atol=1e-13)
    assert torch.allclose(gradient, expected, rtol=0, atol=1e-13)
    _, mean = energies_and_gradient(made, aev.detach(), species, mean=True)
    assert mean.shape == (1, 7, 11)
    assert torch.allclose(mean[0], expected.mean(0), rtol=0, atol=1e-13)
    assert not gradient.requires_grad


def test_a_network_without_hidden_layers(rng: np.random.Generator) -> None:
    made = networks(rng, hidden=(), symbols=("Si",))
    aev = torch.as_tensor(rng.normal(size=(7, 11)))
    energies, gradient = energies_and_gradient(made, aev, torch.zeros_like(SPECIES))
    assert torch.allclose(
        energies, torch.einsum("mnl,nl->mn", gradient, aev) + made.layers()["Si"][1][0][..., 0]
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_can_be_differentiated_once_more(rng: np.random.Generator, activation: str) -> None:
    made = networks(rng, activation)
    aev = torch.as_tensor(rng.normal(size=(7, 11))).requires_grad_()
    weight = dict(made.named_parameters())["elements.0.weights.0"]

    def slopes(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        energies = torch.func.functional_call(made, {"elements.0.weights.0": w}, (x, SPECIES))
        return torch.autograd.grad(energies.sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(slopes, (aev, weight), atol=1e-6)


def test_members_are_independent_and_seeded() -> None:
    made = MemberNetworks(4, 50, symbols=("Si",), hidden=(40,), rng=np.random.default_rng(1))
    again = MemberNetworks(4, 50, symbols=("Si",), hidden=(40,), rng=np.random.default_rng(1))
    weights, biases = made.layers()["Si"]
    assert torch.equal(weights[0], again.layers()["Si"][0][0])
    assert not torch.equal(weights[0][0], weights[0][1])
    assert weights[0].std() == pytest.approx(50**-0.5, rel=0.03)
    assert weights[1].std() == pytest.approx(40**-0.5, rel=0.2)
    assert not any(bias.any() for bias in biases)


def test_copies_and_selections(rng: np.random.Generator) -> None:
    made = networks(rng)
    aev = torch.as_tensor(rng.normal(size=(7, 11)))
    chosen = made.select([2, 0])
    assert torch.allclose(chosen(aev, SPECIES), made(aev, SPECIES)[[2, 0]], rtol=0, atol=1e-13)
    single = made.copy(dtype="float32")
    assert single.dtype == torch.float32
    assert single.layout() == made.layout()
    copy = made.copy()
    with torch.no_grad():
        next(copy.parameters()).zero_()
    assert not torch.allclose(copy(aev, SPECIES), made(aev, SPECIES))
    assert torch.equal(pickle.loads(pickle.dumps(made))(aev, SPECIES), made(aev, SPECIES))  # noqa: S301


def test_no_atoms_of_an_element(rng: np.random.Generator) -> None:
    made = networks(rng)
    aev = torch.as_tensor(rng.normal(size=(4, 11)))
    energies, gradient = energies_and_gradient(made, aev, torch.ones(4, dtype=torch.long))
    assert torch.allclose(energies, made(aev, torch.ones(4, dtype=torch.long)), rtol=0, atol=1e-13)
    assert gradient.abs().min() > 0


def test_bad_requests(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="unknown activation 'relu'; known are celu"):
        MemberNetworks(2, 4, symbols=("Si",), activation="relu", rng=rng)
    with pytest.raises(ValueError, match="at least 1"):
        MemberNetworks(0, 4, symbols=("Si",), rng=rng)
    with pytest.raises(ValueError, match="different elements"):
        MemberNetworks(2, 4, symbols=("Si", "Si"), rng=rng)
    with pytest.raises(ValueError, match="no widths for O"):
        MemberNetworks(2, 4, symbols=("Si", "O"), hidden={"Si": (3,)}, rng=rng)
    with pytest.raises(ValueError, match="float32 or float64"):
        MemberNetworks(2, 4, symbols=("Si",), dtype="float16", rng=rng)
    with pytest.raises(IndexError, match="members 0 to 2"):
        networks(rng).select([3])
    with pytest.raises(ValueError, match="one output"):
        MemberNetworks.from_layers({"Si": ([torch.zeros(2, 3, 4)], [])})
    with pytest.raises(ValueError, match=r"must be \(2, out, 3\)"):
        MemberNetworks.from_layers({"Si": ([torch.zeros(2, 3, 4), torch.zeros(2, 1, 5)], [])})
    with pytest.raises(ValueError, match="biases for Si"):
        MemberNetworks.from_layers({"Si": ([torch.zeros(2, 1, 4)], [torch.zeros(2, 1)])})
