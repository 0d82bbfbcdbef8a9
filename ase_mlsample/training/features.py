"""Descriptors and neighbour geometry of a whole data set, computed once and served in batches.

Training never differentiates the AEV twice: with g = dE/dAEV from the networks the position gradient is Jᵀg,
and the derivative of a loss L(Jᵀg) by g is J (dL/dJᵀg): products with the fixed Jacobian J of the AEVs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample import _core
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.training.standardisation import Standardisation

__all__ = ["Batch", "Derivatives", "FeatureSet", "FrameSet", "Geometry", "structure_gradient"]


class Derivatives(Protocol):
    """Products with the Jacobian of a batch's AEVs by positions and by strain."""

    def gradient(self, g: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Jᵀg: (M, N, L) → derivative by positions (M, N, 3) and by strain (M, S, 3, 3)."""

    def tangent(self, v: NDArray[np.float64], strain: NDArray[np.float64] | None) -> NDArray[Any]:
        """J v: positions (M, N, 3) and strains (M, S, 3, 3) → (M, N, L)."""


class _StructureGradient(torch.autograd.Function):
    """Derivative of Σ g·AEV by positions and strain, with J v as its own derivative."""

    @staticmethod
    def forward(ctx: Any, g: torch.Tensor, derivatives: Derivatives) -> tuple[torch.Tensor, torch.Tensor]:
        """(M, N, L) → (M, N, 3) and (M, S, 3, 3), in double precision."""
        ctx.derivatives = derivatives
        ctx.dtype = g.dtype
        ctx.shape = (*g.shape[:2], 3)
        ctx.set_materialize_grads(False)
        positions, strain = derivatives.gradient(g.detach().contiguous().numpy())
        return torch.from_numpy(positions), torch.from_numpy(strain)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        """(M, N, 3) and (M, S, 3, 3) or None → (M, N, L)."""
        by_positions, by_strain = gradients
        if by_positions is None:
            by_positions = torch.zeros(ctx.shape, dtype=torch.float64)
        strain = None if by_strain is None else by_strain.contiguous().numpy()
        tangent = ctx.derivatives.tangent(by_positions.contiguous().numpy(), strain)
        return torch.from_numpy(tangent).to(ctx.dtype), None


def structure_gradient(g: torch.Tensor, derivatives: Derivatives) -> tuple[torch.Tensor, torch.Tensor]:
    """Derivative of Σ g·AEV by positions (M, N, 3) and strain (M, S, 3, 3), differentiable by g (M, N, L)."""
    apply: Any = _StructureGradient.apply
    gradient: tuple[torch.Tensor, torch.Tensor] = apply(g, derivatives)
    return gradient


@dataclass(frozen=True, slots=True)
class Geometry:
    """Concatenated frames: species, their pairs in CSR form, and where each frame begins."""

    species: NDArray[np.int32]
    first: NDArray[np.int64]
    second: NDArray[np.int32]
    vectors: NDArray[np.float64]
    frame_first: NDArray[np.int64]

    @classmethod
    def of_frames(cls, frames: Sequence[Atoms], symbols: Sequence[str], *, cutoff: float) -> "Geometry":
        """Pairs within `cutoff` Å of every frame.

        Raises
        ------
        ValueError
            If two atoms lie on top of each other, or an element is not among `symbols`.
        """
        index = {atomic_numbers[symbol]: k for k, symbol in enumerate(symbols)}
        neighbors = _core.NeighborList(cutoff)
        species, counts, second, vectors = [], [], [], []
        start = 0
        for number, atoms in enumerate(frames):
            try:
                neighbors.update(atoms.positions, np.ascontiguousarray(atoms.cell.array), atoms.pbc)
            except ValueError as error:
                raise ValueError(f"frame {number} ({atoms.get_chemical_formula()}): {error}") from None
            species.append(np.array([index[z] for z in atoms.numbers], dtype=np.int32))
            counts.append(np.diff(neighbors.first))
            second.append(neighbors.second + np.int32(start))
            vectors.append(neighbors.vectors.copy())
            start += len(atoms)
        sizes = [len(part) for part in species]
        return cls(
            species=np.concatenate(species),
            first=_offsets(np.concatenate(counts)),
            second=np.concatenate(second),
            vectors=np.concatenate(vectors),
            frame_first=_offsets(np.array(sizes)),
        )

    def select(self, frames: NDArray[np.int64]) -> "Geometry":
        """The given frames, concatenated in that order."""
        atoms = [slice(self.frame_first[f], self.frame_first[f + 1]) for f in frames]
        pairs = [slice(self.first[a.start], self.first[a.stop]) for a in atoms]
        frame_first = _offsets(np.array([a.stop - a.start for a in atoms]))
        counts = [np.diff(self.first[a.start : a.stop + 1]) for a in atoms]
        moved = [np.int32(start - a.start) for start, a in zip(frame_first, atoms, strict=False)]
        return Geometry(
            species=np.concatenate([self.species[a] for a in atoms]),
            first=_offsets(np.concatenate(counts)),
            second=np.concatenate([self.second[p] + shift for p, shift in zip(pairs, moved, strict=True)]),
            vectors=np.concatenate([self.vectors[p] for p in pairs]),
            frame_first=frame_first,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames of a set, ready for the networks.

    Attributes
    ----------
    frames
        (S,) indices in the set.
    atoms
        (N,) indices of their atoms among all atoms of the set.
    frame_of_atom
        (N,) position in the batch of an atom's frame.
    species, inputs
        (N,) int64 and (N, L): of ANI networks the AEVs, standardised.
    slopes
        (N, L) or (1, L) derivative of the inputs by what `derivatives` are of.
    derivatives
        The Jacobian of the AEVs (or what is in their place) by positions and strain.
    """

    frames: NDArray[np.int64]
    atoms: torch.Tensor
    frame_of_atom: torch.Tensor
    species: torch.Tensor
    inputs: torch.Tensor
    slopes: torch.Tensor
    derivatives: Derivatives


class _KernelDerivatives:
    """Products computed from the geometry in each call."""

    def __init__(self, kernel: Any, geometry: Geometry, *, double: bool) -> None:
        self._kernel, self._geometry, self._double = kernel, geometry, double

    def gradient(self, g: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        c = self._geometry
        positions, strain = self._kernel.gradient(c.species, c.first, c.second, c.vectors, g, c.frame_first)
        return positions, strain

    def tangent(self, v: NDArray[np.float64], strain: NDArray[np.float64] | None) -> NDArray[Any]:
        c = self._geometry
        tangent: NDArray[Any] = self._kernel.tangent(
            c.species, c.first, c.second, c.vectors, v, strain, c.frame_first, double=self._double
        )
        return tangent


class FrameSet(ABC):
    """Inputs of the networks and neighbour geometry of a set of frames, of whatever kind the networks are.

    Parameters
    ----------
    geometry
        All frames.

    Attributes
    ----------
    inputs
        (N, L), set by the subclass.
    n_atoms
        (S,) of each frame.
    evaluated_together
        Frames in a batch where nothing is learned; it sets the memory, not the results.
    """

    inputs: torch.Tensor

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.species = torch.from_numpy(geometry.species.astype(np.int64))
        self.n_atoms = np.diff(geometry.frame_first)
        self.evaluated_together = 64

    def __len__(self) -> int:
        return len(self.n_atoms)

    @abstractmethod
    def derivatives(self, geometry: Geometry) -> Derivatives:
        """The Jacobian for some of the frames."""

    @abstractmethod
    def slopes(self, species: torch.Tensor) -> torch.Tensor:
        """(N, L) or (1, L) derivative of the inputs of atoms by what `derivatives` are of."""

    def follow(self, networks: Any) -> None:  # noqa: B027 - most have nothing to do
        """Keep the inputs good enough for networks that have changed; AEVs always are."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the inputs."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most have no state
        """Go on from the state of a checkpoint."""

    def atoms(self, frames: NDArray[np.int64]) -> torch.Tensor:
        """Indices of the given frames' atoms among all atoms of the set, frame by frame."""
        starts, sizes = self.geometry.frame_first[frames], self.n_atoms[frames]
        return torch.from_numpy(np.arange(sizes.sum()) + np.repeat(starts - _offsets(sizes)[:-1], sizes))

    def batch(self, frames: NDArray[np.int64]) -> Batch:
        """The given frames as one batch."""
        frames = np.ascontiguousarray(frames, dtype=np.int64)
        frame_of_atom = np.repeat(np.arange(len(frames)), self.n_atoms[frames])
        atoms = self.atoms(frames)
        species = self.species[atoms]
        return Batch(
            frames=frames,
            atoms=atoms,
            frame_of_atom=torch.from_numpy(frame_of_atom),
            species=species,
            inputs=self.inputs[atoms],
            slopes=self.slopes(species),
            derivatives=self.derivatives(self.geometry.select(frames)),
        )

    def batches(self, frames: NDArray[np.int64], *, size: int) -> Iterator[Batch]:
        """The given frames in batches of nearly equal size, at most `size`."""
        parts = -(-len(frames) // size)
        for part in np.array_split(frames, parts) if parts else ():
            yield self.batch(part)


class FeatureSet(FrameSet):
    """AEVs and neighbour geometry of a set of frames.

    Parameters
    ----------
    frames
        Structures.
    parameters
        The AEV.
    double
        Keep AEVs and their products in double precision (single otherwise).
    cutoff
        Å; how far the pairs reach where that is more than the AEV's cutoff.

    Raises
    ------
    ValueError
        If two atoms lie on top of each other or an element is not covered by the AEV.
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        parameters: AEVParameters,
        *,
        double: bool = False,
        cutoff: float = 0.0,
    ) -> None:
        reach = max(parameters.radial_cutoff, cutoff)
        super().__init__(Geometry.of_frames(frames, parameters.symbols, cutoff=reach))
        self.parameters = parameters
        self.double = double
        self._kernel = parameters.kernel()
        self.standardisation: Standardisation | None = None
        self.inputs = torch.from_numpy(self._all_aevs())
        self._slopes = torch.ones(len(parameters.symbols), parameters.length, dtype=self.inputs.dtype)

    def _all_aevs(self) -> NDArray[Any]:
        c = self.geometry
        aev: NDArray[Any] = self._kernel.forward(c.species, c.first, c.second, c.vectors, double=self.double)
        return aev

    def standardise(self, standardisation: Standardisation) -> None:
        """Replace the AEVs by standardised ones; to be called once."""
        self.standardisation = standardisation
        self.inputs = standardisation.apply(self.inputs, self.species)
        self._slopes = standardisation.slopes.to(self.inputs.dtype)

    def derivatives(self, geometry: Geometry) -> Derivatives:
        """The Jacobian of the AEVs of some of the frames."""
        return _KernelDerivatives(self._kernel, geometry, double=self.double)

    def slopes(self, species: torch.Tensor) -> torch.Tensor:
        """Derivative of standardised AEVs by AEVs, (N, L) or (1, L)."""
        return self._slopes if len(self._slopes) == 1 else self._slopes[species]


def _offsets(counts: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
