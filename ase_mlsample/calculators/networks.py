"""The small networks of an ANI ensemble, all members in one batch; importing this loads torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ACTIVATIONS", "MemberNetworks"]

#: For each element, in species order, the weights (M, out, in) and the biases (M, 1, out) of its layers.
Layers = Mapping[str, tuple[Sequence[Tensor], Sequence[Tensor]]]
#: Of TorchANI's "TightCELU".
_CELU_ALPHA = 0.1


def _celu(x: Tensor) -> Tensor:
    if x.dtype == torch.float64:
        # torch keeps 1/α in single precision in the derivative of celu: forces would be off by 1e-8.
        return _CELU_ALPHA * functional.elu(x / _CELU_ALPHA)
    return functional.celu(x, _CELU_ALPHA)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "celu": _celu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
}


class _ElementNetworks(nn.Module):
    """M networks of one shape for one element: weights (M, out, in) and biases (M, 1, out) of every layer."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(weight) for weight in weights)
        self.biases = nn.ParameterList(nn.Parameter(bias) for bias in biases)

    def affine(self, layer: int, h: Tensor) -> Tensor:
        """Layer on (N, in), shared by the members, or on (M, N, in); gives (M, N, out)."""
        weight = self.weights[layer]
        if h.dim() == 2:
            # One product for all members: rows of the stacked weights are independent outputs.
            out = functional.linear(h, weight.flatten(0, 1)).view(len(h), *weight.shape[:2]).transpose(0, 1)
            return out + self.biases[layer] if len(self.biases) else out
        if len(self.biases):
            return torch.baddbmm(self.biases[layer], h, weight.mT)
        return torch.bmm(h, weight.mT)

    def forward(self, aev: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        h = aev
        last = len(self.weights) - 1
        for layer in range(last):
            h = activation(self.affine(layer, h))
        return self.affine(last, h).squeeze(-1)


class MemberNetworks(nn.Module):
    """The networks of M ensemble members, for each element one shape, evaluated together.

    A network maps the AEV of an atom, (L,), to one number: affine, activation, …, affine. New networks have
    weights drawn from a normal distribution of variance 1/inputs and biases of zero, as TorchANI trains them.
    Any derivative is available: training differentiates the gradient by the AEV once more.

    Parameters
    ----------
    n_members : int
        M, at least 1.
    n_inputs : int
        L, the length of the AEV.
    hidden : sequence of int, or mapping from str to such
        Widths of the hidden layers, or a mapping from chemical symbol to widths.
    activation : str
        "celu" (α = 0.1), "gelu", "tanh" or "softplus".
    symbols : sequence of str
        Elements, in the order of the species index.
    rng : numpy.random.Generator
        Draws the initial weights, member by member.
    bias : bool
        Whether layers have biases.
    dtype : torch.dtype or str
        torch.float32 or torch.float64, or the name of one.

    Raises
    ------
    ValueError
        For an unknown activation or dtype, repeated elements, or sizes below 1.
    """

    def __init__(
        self,
        n_members: int,
        n_inputs: int,
        *,
        hidden: Sequence[int] | Mapping[str, Sequence[int]] = (96, 96, 64),
        activation: str = "celu",
        symbols: Sequence[str],
        rng: np.random.Generator,
        bias: bool = True,
        dtype: torch.dtype | str = torch.float32,
    ) -> None:
        widths = _widths(hidden, symbols)
        dtype = _dtype(dtype)
        if n_members < 1 or n_inputs < 1 or any(width < 1 for row in widths for width in row):
            raise ValueError(
                f"members, inputs and widths must be at least 1, not {n_members}, {n_inputs} and {hidden}"
            )
        layers: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        for symbol, row in zip(symbols, widths, strict=True):
            sizes = (n_inputs, *row, 1)
            shapes = [(n_members, n_out, n_in) for n_in, n_out in pairwise(sizes)]
            weights = [torch.as_tensor(rng.normal(size=s) / math.sqrt(s[2])).to(dtype) for s in shapes]
            biases = [torch.zeros(s[0], 1, s[1], dtype=dtype) for s in shapes] if bias else []
            layers[symbol] = (weights, biases)
        self._build(layers, activation)

    @classmethod
    def from_layers(cls, layers: Layers, *, activation: str = "celu") -> Self:
        """Networks of given weights, used as they are.

        Parameters
        ----------
        layers : mapping
            For each element, in species order, the weights [(M, out, in), …] and the biases [(M, 1, out), …]
            of its layers; an empty list of biases for layers without.
        activation : str
            As for the class.

        Raises
        ------
        ValueError
            For shapes that do not fit together.
        """
        networks = cls.__new__(cls)
        networks._build(layers, activation)
        return networks

    def _build(self, layers: Layers, activation: str) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; known are {', '.join(ACTIVATIONS)}")
        _check_layers(layers)
        self.activation = activation
        self.symbols = tuple(layers)
        self.elements = nn.ModuleList([_ElementNetworks(*parts) for parts in layers.values()])

    @property
    def n_members(self) -> int:
        """Number of ensemble members M."""
        return int(self._first_weight.shape[0])

    @property
    def n_inputs(self) -> int:
        """Length of the AEV L."""
        return int(self._first_weight.shape[2])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self._first_weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._first_weight.device

    @property
    def hidden(self) -> dict[str, tuple[int, ...]]:
        """Widths of the hidden layers of every element."""
        return {s: tuple(int(w.shape[1]) for w in weights[:-1]) for s, (weights, _) in self.layers().items()}

    @property
    def bias(self) -> bool:
        """Whether layers have biases."""
        return len(self._element(0).biases) > 0

    @property
    def _first_weight(self) -> Tensor:
        return cast(Tensor, self._element(0).weights[0])

    def _element(self, index: int) -> _ElementNetworks:
        return cast(_ElementNetworks, self.elements[index])

    def layers(self) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """For each element the weights and the biases as `from_layers` takes them; they share memory."""
        elements = [self._element(k) for k in range(len(self.symbols))]
        return {
            symbol: ([w.detach() for w in element.weights], [b.detach() for b in element.biases])
            for symbol, element in zip(self.symbols, elements, strict=True)
        }

    def layout(self) -> dict[str, Any]:
        """Description for a model file: members, inputs, hidden widths, activation, biases."""
        return {
            "members": self.n_members,
            "inputs": self.n_inputs,
            "hidden": {symbol: list(widths) for symbol, widths in self.hidden.items()},
            "activation": self.activation,
            "bias": self.bias,
        }

    def select(self, members: Sequence[int]) -> MemberNetworks:
        """Return a copy that holds only these members, in this order.

        Raises
        ------
        IndexError
            For a member that does not exist.
        """
        chosen = list(members)
        if not chosen or min(chosen) < 0 or max(chosen) >= self.n_members:
            raise IndexError(f"members {chosen} do not exist: there are members 0 to {self.n_members - 1}")
        picked = {
            symbol: ([weight[chosen] for weight in weights], [bias[chosen] for bias in biases])
            for symbol, (weights, biases) in self.layers().items()
        }
        return type(self).from_layers(picked, activation=self.activation)

    def copy(self, *, dtype: torch.dtype | str | None = None, device: str | None = None) -> MemberNetworks:
        """Return a copy with own weights, of another dtype or on another device where asked."""
        target = self.dtype if dtype is None else _dtype(dtype)
        place = self.device if device is None else torch.device(device)

        def moved(tensors: list[Tensor]) -> list[Tensor]:
            return [tensor.to(device=place, dtype=target, copy=True) for tensor in tensors]

        layers = {
            symbol: (moved(weights), moved(biases)) for symbol, (weights, biases) in self.layers().items()
        }
        return type(self).from_layers(layers, activation=self.activation)

    def forward(self, aev: Tensor, species: Tensor) -> Tensor:
        """Atomic energies of all members, as the networks give them (no scale, no self energies).

        Parameters
        ----------
        aev : Tensor
            (N, L), shared by the members, or (M, N, L), one for each.
        species : Tensor
            (N,) int64, index into `symbols`; the same atoms for every member.

        Returns
        -------
        Tensor
            (M, N).
        """
        activation = ACTIVATIONS[self.activation]
        if len(self.symbols) == 1:
            energies: Tensor = self._element(0)(aev, activation)
            return energies
        energies = aev.new_zeros((self.n_members, species.shape[0]))
        for index, atoms in self._atoms_by_element(species):
            part = self._element(index)(aev.index_select(-2, atoms), activation)
            energies = energies.index_copy(1, atoms, part)
        return energies

    def _atoms_by_element(self, species: Tensor) -> list[tuple[int, Tensor]]:
        found = [(index, (species == index).nonzero().flatten()) for index in range(len(self.symbols))]
        return [(index, atoms) for index, atoms in found if atoms.numel()]


def _widths(
    hidden: Sequence[int] | Mapping[str, Sequence[int]], symbols: Sequence[str]
) -> list[tuple[int, ...]]:
    if isinstance(symbols, str) or not symbols or len(set(symbols)) != len(symbols):
        raise ValueError(f"symbols must be a sequence of different elements such as ('Si',), not {symbols!r}")
    if not isinstance(hidden, Mapping):
        return [tuple(hidden) for _ in symbols]
    if missing := [symbol for symbol in symbols if symbol not in hidden]:
        raise ValueError(f"hidden gives no widths for {', '.join(missing)}")
    return [tuple(hidden[symbol]) for symbol in symbols]


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    known = {"float32": torch.float32, "float64": torch.float64}
    value = known.get(dtype) if isinstance(dtype, str) else dtype
    if value not in known.values():
        raise ValueError(f"dtype of networks must be float32 or float64, not {dtype!r}")
    return cast(torch.dtype, value)


def _check_layers(layers: Layers) -> None:
    if not layers:
        raise ValueError("networks need at least one element")
    first = next(iter(layers.values()))
    n_members, _, n_inputs = first[0][0].shape
    for symbol, (weights, biases) in layers.items():
        size = n_inputs
        for weight in weights:
            if weight.dim() != 3 or weight.shape[0] != n_members or weight.shape[2] != size:
                raise ValueError(
                    f"weights for {symbol} must be ({n_members}, out, {size}), one is {tuple(weight.shape)}"
                )
            size = weight.shape[1]
        if size != 1:
            raise ValueError(f"the last layer for {symbol} must have one output, it has {size}")
        expected = [(n_members, 1, weight.shape[1]) for weight in weights]
        if bool(biases) != bool(first[1]) or (biases and [tuple(bias.shape) for bias in biases] != expected):
            raise ValueError(f"biases for {symbol} must have shapes {expected}, or be absent everywhere")
