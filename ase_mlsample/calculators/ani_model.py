"""What an ANI ensemble consists of, as data, and its model file; importing this loads torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.model_files import read_model, write_model_file
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.calculators.repulsion import Repulsion

__all__ = ["ANIModel"]

_KIND = "ani"


@dataclass(kw_only=True)
class ANIModel:
    """An ensemble of M ANI networks on one AEV, for the elements `aev.symbols`.

    The energy of member m is E_m = Σ_i [scale · network_m(AEV_i) + self_energies[species_i]] + E_repulsion.

    Parameters
    ----------
    aev : AEVParameters
        Parameters of the AEV; its `symbols` are the elements of the model.
    networks : MemberNetworks
        The members' networks, with the same symbols in the same order.
    self_energies : dict
        eV, for each element.
    scale : float
        eV per unit of the networks' output.
    repulsion : Repulsion or None
        Short-range repulsion added to every member, or None.
    calibration : Calibration
        Factors from raw to calibrated spread.
    metadata : dict
        Anything else of JSON types that belongs in the file, such as a training summary.

    Raises
    ------
    ValueError
        If parts do not fit together or numbers are not finite.
    """

    aev: AEVParameters
    networks: MemberNetworks
    self_energies: dict[str, float]
    scale: float = 1.0
    repulsion: Repulsion | None = None
    calibration: Calibration = field(default_factory=Calibration)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        symbols = self.aev.symbols
        if self.networks.symbols != symbols:
            raise ValueError(
                f"networks are for {self.networks.symbols}, the AEV for {symbols}: order must agree too"
            )
        if self.networks.n_inputs != self.aev.length:
            raise ValueError(
                f"networks take {self.networks.n_inputs} inputs but the AEV has {self.aev.length} features"
            )
        if set(self.self_energies) != set(symbols):
            raise ValueError(
                f"self energies are for {sorted(self.self_energies)}, needed for {sorted(symbols)}"
            )
        self.self_energies = {symbol: float(self.self_energies[symbol]) for symbol in symbols}
        self.scale = float(self.scale)
        if not np.all(np.isfinite(list(self.self_energies.values()))):
            raise ValueError(f"self energies must be finite, not {self.self_energies}")
        if not np.isfinite(self.scale) or self.scale <= 0:
            raise ValueError(f"scale must be a positive number, not {self.scale!r}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Elements, in the order of the species index."""
        return self.aev.symbols

    @property
    def n_members(self) -> int:
        """Number of ensemble members."""
        return self.networks.n_members

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the weights."""
        return np.dtype(str(self.networks.dtype).removeprefix("torch."))

    @property
    def cutoff(self) -> float:
        """Å; the range of all interactions."""
        repulsion = 0.0 if self.repulsion is None else self.repulsion.cutoff(self.symbols)
        return max(self.aev.radial_cutoff, repulsion)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file atomically; weights are stored bit for bit.

        Raises
        ------
        TypeError
            If the metadata is not of JSON types.
        ValueError
            If anything is NaN.
        OSError
            If the file cannot be written.
        """
        write_model_file(path, self._tensors(), kind=_KIND, description=self.describe())

    def _tensors(self) -> dict[str, NDArray[np.floating[Any]]]:
        tensors: dict[str, NDArray[np.floating[Any]]] = {}
        for symbol, (weights, biases) in self.networks.layers().items():
            tensors |= {f"{symbol}.weight.{k}": w.cpu().numpy() for k, w in enumerate(weights)}
            tensors |= {f"{symbol}.bias.{k}": b.cpu().numpy() for k, b in enumerate(biases)}
        return tensors

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain arrays: pickled torch tensors may go between processes as open file descriptors.
        return (_rebuild, (type(self), self._tensors(), self.describe()))

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, of JSON types."""
        return {
            "elements": list(self.symbols),
            "aev": self.aev.to_dict(),
            "networks": self.networks.layout(),
            "self_energies": dict(self.self_energies),
            "scale": self.scale,
            "repulsion": None if self.repulsion is None else self.repulsion.to_dict(),
            "calibration": asdict(self.calibration),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model file; runs no code from it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is corrupt, of another program or kind, newer than this package, or incomplete.
        """
        return read_model(path, cls._from_parts, kind=_KIND, name="ANI model")

    @classmethod
    def _from_parts(
        cls, tensors: Mapping[str, NDArray[np.floating[Any]]], description: Mapping[str, Any]
    ) -> Self:
        layout, repulsion = description["networks"], description["repulsion"]
        layers = {}
        for symbol in description["elements"]:
            numbers = range(len(layout["hidden"][symbol]) + 1)
            weights = [torch.tensor(tensors[f"{symbol}.weight.{k}"]) for k in numbers]
            biases = [torch.tensor(tensors[f"{symbol}.bias.{k}"]) for k in numbers if layout["bias"]]
            layers[symbol] = (weights, biases)
        networks = MemberNetworks.from_layers(layers, activation=layout["activation"])
        if networks.layout() != layout:
            raise ValueError(f"its weights have the layout {networks.layout()}, described is {layout}")
        return cls(
            aev=AEVParameters.from_dict(description["aev"]),
            networks=networks,
            self_energies=description["self_energies"],
            scale=description["scale"],
            repulsion=None if repulsion is None else Repulsion.from_dict(repulsion),
            calibration=Calibration(**description["calibration"]),
            metadata=description["metadata"],
        )


def _rebuild(
    cls: type[ANIModel], tensors: Mapping[str, NDArray[np.floating[Any]]], description: Mapping[str, Any]
) -> ANIModel:
    return cls._from_parts(tensors, description)
