"""The networks of a Deep Potential ensemble in torch, all members in one batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel

__all__ = ["DeepPotentialNetworks", "EmbeddingNetworks", "FittingNetworks"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class _Networks(nn.Module):
    """M networks of one shape: weights (M, out, in), biases (M, out) and timesteps (M, out) of the layers."""

    def __init__(self, layers: DenseLayers) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.tensor(weight)) for weight in layers.weights)
        self.biases = nn.ParameterList(nn.Parameter(torch.tensor(bias)) for bias in layers.biases)
        self.timesteps = nn.ParameterDict(
            {
                str(k): nn.Parameter(torch.tensor(timestep))
                for k, timestep in enumerate(layers.timesteps)
                if timestep is not None
            }
        )

    def __len__(self) -> int:
        return len(self.weights)

    def affine(self, layer: int, h: Tensor) -> Tensor:
        """(M, n, in) → (M, n, out)."""
        return torch.baddbmm(self.biases[layer].unsqueeze(1), h, self.weights[layer].mT)

    def timestep(self, layer: int) -> Tensor | None:
        """(M, 1, out), None for a layer without."""
        return self.timesteps[str(layer)].unsqueeze(1) if str(layer) in self.timesteps else None

    def layers(self) -> DenseLayers:
        """The weights as arrays, copied."""

        def array(tensor: Tensor) -> NDArray[Any]:
            copied: NDArray[Any] = tensor.detach().cpu().numpy().copy()
            return copied

        timesteps = (self.timestep(k) for k in range(len(self)))
        return DenseLayers(
            tuple(array(weight) for weight in self.weights),
            tuple(array(bias) for bias in self.biases),
            tuple(None if t is None else array(t.squeeze(1)) for t in timesteps),
        )


class EmbeddingNetworks(_Networks):
    """tanh layers; inputs are added to outputs of the same width, and twice over to those of the double."""

    def forward(self, x: Tensor) -> Tensor:
        """Standardised distances (M, n) → (M, n, last width)."""
        h = x.unsqueeze(-1)
        for layer in range(len(self)):
            out = torch.tanh(self.affine(layer, h))
            if out.shape[-1] == h.shape[-1]:
                h = h + out
            elif out.shape[-1] == 2 * h.shape[-1]:
                h = torch.cat((h, h), dim=-1) + out
            else:
                h = out
        return h


class FittingNetworks(_Networks):
    """tanh layers, with their input added where there is a timestep, and a linear one."""

    def forward(self, features: Tensor) -> Tensor:
        """(M, n, L) → (M, n)."""
        return self._hidden(features)[0]

    def with_gradient(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (M, n) and their derivatives by the inputs (M, n, L).

        The derivative is made of ordinary operations, so that a loss of it costs one sweep back.
        """
        outputs, slopes = self._hidden(features)
        last = len(self) - 1
        back = self.weights[last].expand(-1, features.shape[1], -1)
        for layer in reversed(range(last)):
            # the slopes hold the timestep
            through = torch.bmm(back * slopes[layer], self.weights[layer])
            back = through if self.timestep(layer) is None else back + through
        return outputs, back

    def _hidden(self, features: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs, and of each tanh layer the derivative of its own part by what enters the tanh."""
        h, slopes = features, []
        last = len(self) - 1
        for layer in range(last):
            out, step = torch.tanh(self.affine(layer, h)), self.timestep(layer)
            slopes.append(1.0 - out * out if step is None else step * (1.0 - out * out))
            h = out if step is None else h + step * out
        return self.affine(last, h).squeeze(-1), slopes


class DeepPotentialNetworks(nn.Module):
    """The embedding and fitting networks of M members, and the statistics of their environment matrices.

    Parameters
    ----------
    model : DeepPotentialModel
        The weights are copied.
    dtype : str
        "float32" or "float64"; statistics stay in double. The model's precision where None.
    device : str
        As torch names it.

    Attributes
    ----------
    definition : DeepPotentialParameters
        Shapes and cutoffs.
    mean, std_radial, std_angular : Tensor
        (M, T), double precision.
    """

    mean: Tensor
    std_radial: Tensor
    std_angular: Tensor

    def __init__(self, model: DeepPotentialModel, *, dtype: str | None = None, device: str = "cpu") -> None:
        super().__init__()
        self.definition = model.parameters
        self.embeddings = nn.ModuleList([EmbeddingNetworks(layers) for layers in model.embeddings])
        self.fittings = nn.ModuleList([FittingNetworks(layers) for layers in model.fittings])
        self.to(device=device, dtype=None if dtype is None else _DTYPES[dtype])
        for name in ("mean", "std_radial", "std_angular"):
            self.register_buffer(name, torch.tensor(getattr(model, name), device=device))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Elements, in the order of the species index."""
        return self.definition.symbols

    @property
    def n_members(self) -> int:
        """Number of ensemble members M."""
        return len(self.mean)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    def embedding(self, centre: int, neighbour: int) -> EmbeddingNetworks:
        """The embedding networks for two species indices."""
        return cast(EmbeddingNetworks, self.embeddings[self.definition.embedding_index(centre, neighbour)])

    def fitting(self, centre: int) -> FittingNetworks:
        """The fitting networks of a species index."""
        return cast(FittingNetworks, self.fittings[centre])

    def layers(self) -> tuple[tuple[DenseLayers, ...], tuple[DenseLayers, ...]]:
        """Embedding and fitting networks as a model holds them, copied."""
        embeddings, fittings = (
            tuple(cast(_Networks, networks).layers() for networks in group)
            for group in (self.embeddings, self.fittings)
        )
        return embeddings, fittings

    def model(self, like: DeepPotentialModel, **changes: Any) -> DeepPotentialModel:
        """A model with these weights and statistics, otherwise like another one.

        Parameters
        ----------
        like : DeepPotentialModel
        **changes
            Fields that are to be different.
        """
        embeddings, fittings = self.layers()
        statistics = {
            name: getattr(self, name).cpu().numpy().copy() for name in ("mean", "std_radial", "std_angular")
        }
        return replace(like, embeddings=embeddings, fittings=fittings, **statistics, **changes)
