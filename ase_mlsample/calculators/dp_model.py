"""What a Deep Potential ensemble consists of, as data, and its model file; NumPy only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.model_files import read_model, write_model_file
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.calculators.repulsion import Repulsion

__all__ = ["DeepPotentialModel"]

_KIND = "deep_potential"
_STATISTICS = ("mean", "std_radial", "std_angular")


@dataclass(kw_only=True)
class DeepPotentialModel:
    """An ensemble of M Deep Potentials (`DeepPotentialParameters` has the definition), in eV and Å.

    The energy of member m is E_m = Σ_i [network_m(D_i) + self_energies[species_i]] + E_repulsion. Where
    members were made with different atomic energies, the last biases hold the differences.

    Parameters
    ----------
    parameters : DeepPotentialParameters
        Its `symbols` are the elements of the model.
    embeddings : sequence of DenseLayers
        The embedding networks, in the order of `parameters.embedding_keys`, without timesteps.
    fittings : sequence of DenseLayers
        The fitting networks in species order, the linear output layer of width 1 included; timesteps where
        a hidden layer is as wide as the one before it.
    mean, std_radial, std_angular : (M, T) array
        m_a, d_a and t_a of each member and element (Å⁻¹), in double precision.
    self_energies : dict
        eV, for each element.
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

    parameters: DeepPotentialParameters
    embeddings: tuple[DenseLayers, ...]
    fittings: tuple[DenseLayers, ...]
    mean: NDArray[np.float64]
    std_radial: NDArray[np.float64]
    std_angular: NDArray[np.float64]
    self_energies: dict[str, float]
    repulsion: Repulsion | None = None
    calibration: Calibration = field(default_factory=Calibration)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.embeddings, self.fittings = tuple(self.embeddings), tuple(self.fittings)
        for name in _STATISTICS:
            setattr(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        self._check_networks()
        self._check_statistics()
        if set(self.self_energies) != set(self.symbols):
            raise ValueError(
                f"self energies are for {sorted(self.self_energies)}, needed for {sorted(self.symbols)}"
            )
        self.self_energies = {symbol: float(self.self_energies[symbol]) for symbol in self.symbols}
        if not np.all(np.isfinite(list(self.self_energies.values()))):
            raise ValueError(f"self energies must be finite, not {self.self_energies}")

    def _check_networks(self) -> None:
        p = self.parameters
        if len(self.embeddings) != len(p.embedding_keys) or len(self.fittings) != len(p.symbols):
            raise ValueError(
                f"{len(p.embedding_keys)} embedding and {len(p.symbols)} fitting networks are needed for "
                f"{', '.join(p.symbols)}, there are {len(self.embeddings)} and {len(self.fittings)}"
            )
        steps = tuple(k > 0 and w == p.fitting[k - 1] for k, w in enumerate(p.fitting))
        for name, networks, n_inputs, widths, with_timestep in (
            ("embedding", self.embeddings, 1, p.embedding, (False,) * len(p.embedding)),
            ("fitting", self.fittings, p.length, (*p.fitting, 1), (*steps, False)),
        ):
            for network in networks:
                if (network.n_inputs, network.widths) != (n_inputs, widths):
                    raise ValueError(
                        f"an {name} network must have {n_inputs} inputs and the widths {widths}, one has "
                        f"{network.n_inputs} and {network.widths}"
                    )
                if tuple(t is not None for t in network.timesteps) != with_timestep:
                    raise ValueError(f"timesteps of an {name} network must be present as {with_timestep}")
                if network.n_members != self.n_members or network.dtype != self.dtype:
                    raise ValueError("all networks must have the same members and the same precision")
                if wrong := [part for part, array in network.arrays() if not np.all(np.isfinite(array))]:
                    raise ValueError(f"an {name} network holds NaN or infinity in {', '.join(wrong)}")

    def _check_statistics(self) -> None:
        shape = (self.n_members, len(self.symbols))
        for name in _STATISTICS:
            values = getattr(self, name)
            if values.shape != shape or not np.all(np.isfinite(values)):
                raise ValueError(f"{name} must be finite and of shape {shape}, it is {values!r}")
            if name != "mean" and not np.all(values > 0):
                raise ValueError(f"{name} must be positive, it is {values!r}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Elements, in the order of the species index."""
        return self.parameters.symbols

    @property
    def n_members(self) -> int:
        """Number of ensemble members."""
        return self.fittings[0].n_members

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the weights."""
        return self.fittings[0].dtype

    @property
    def cutoff(self) -> float:
        """Å; the range of all interactions."""
        repulsion = 0.0 if self.repulsion is None else self.repulsion.cutoff(self.symbols)
        return max(self.parameters.cutoff, repulsion)

    def embedding(self, centre: int, neighbour: int) -> DenseLayers:
        """The embedding network for two species indices."""
        return self.embeddings[self.parameters.embedding_index(centre, neighbour)]

    def select(self, members: Sequence[int]) -> DeepPotentialModel:
        """Return a model of these members alone, in this order.

        Raises
        ------
        IndexError
            For a member that does not exist.
        """
        chosen = list(members)
        if not chosen or min(chosen) < 0 or max(chosen) >= self.n_members:
            raise IndexError(f"members {chosen} do not exist: there are members 0 to {self.n_members - 1}")
        return replace(
            self,
            embeddings=tuple(network.select(chosen) for network in self.embeddings),
            fittings=tuple(network.select(chosen) for network in self.fittings),
            mean=self.mean[chosen],
            std_radial=self.std_radial[chosen],
            std_angular=self.std_angular[chosen],
        )

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
        write_model_file(path, self.tensors(), kind=_KIND, description=self.describe())

    def tensors(self) -> dict[str, NDArray[np.floating[Any]]]:
        """All arrays by name: "embedding.Si.O.layers.0.weight", "fitting.Si.layers.0.bias", "mean" …"""
        found: dict[str, NDArray[np.floating[Any]]] = {}
        for prefix, network in zip(self._prefixes(self.parameters), self._networks(), strict=True):
            found |= {f"{prefix}.{name}": array for name, array in network.arrays()}
        return found | {name: getattr(self, name) for name in _STATISTICS}

    def _networks(self) -> tuple[DenseLayers, ...]:
        return (*self.embeddings, *self.fittings)

    @staticmethod
    def _prefixes(parameters: DeepPotentialParameters) -> tuple[str, ...]:
        embeddings = (".".join(("embedding", *key)) for key in parameters.embedding_keys)
        return (*embeddings, *(f"fitting.{symbol}" for symbol in parameters.symbols))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.tensors(), self.describe()))

    def describe(self) -> dict[str, Any]:
        """Everything but the arrays, of JSON types."""
        return {
            "elements": list(self.symbols),
            "parameters": self.parameters.to_dict(),
            "members": self.n_members,
            "self_energies": dict(self.self_energies),
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
        return read_model(path, cls._from_parts, kind=_KIND, name="Deep Potential")

    @classmethod
    def from_tensors(
        cls,
        parameters: DeepPotentialParameters,
        tensors: Mapping[str, NDArray[np.floating[Any]]],
        *,
        self_energies: Mapping[str, float],
        repulsion: Repulsion | None = None,
        calibration: Calibration | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """A model of named arrays, as `tensors` gives them.

        Raises
        ------
        KeyError
            If an array is missing.
        ValueError
            For shapes that do not fit together.
        """
        n_layers = {"embedding": len(parameters.embedding), "fitting": len(parameters.fitting) + 1}
        networks = []
        for prefix in cls._prefixes(parameters):
            found = {
                name.removeprefix(f"{prefix}."): array
                for name, array in tensors.items()
                if name.startswith(f"{prefix}.layers.")
            }
            networks.append(DenseLayers.from_arrays(found, n_layers[prefix.partition(".")[0]]))
        n_embeddings = len(parameters.embedding_keys)
        return cls(
            parameters=parameters,
            embeddings=tuple(networks[:n_embeddings]),
            fittings=tuple(networks[n_embeddings:]),
            mean=tensors["mean"].astype(np.float64),
            std_radial=tensors["std_radial"].astype(np.float64),
            std_angular=tensors["std_angular"].astype(np.float64),
            self_energies=dict(self_energies),
            repulsion=repulsion,
            calibration=Calibration() if calibration is None else calibration,
            metadata={} if metadata is None else dict(metadata),
        )

    @classmethod
    def _from_parts(
        cls, tensors: Mapping[str, NDArray[np.floating[Any]]], description: Mapping[str, Any]
    ) -> Self:
        repulsion = description["repulsion"]
        return cls.from_tensors(
            DeepPotentialParameters.from_dict(description["parameters"]),
            tensors,
            self_energies=description["self_energies"],
            repulsion=None if repulsion is None else Repulsion.from_dict(repulsion),
            calibration=Calibration(**description["calibration"]),
            metadata=description["metadata"],
        )


def _rebuild(
    cls: type[DeepPotentialModel],
    tensors: Mapping[str, NDArray[np.floating[Any]]],
    description: Mapping[str, Any],
) -> DeepPotentialModel:
    return cls._from_parts(tensors, description)
