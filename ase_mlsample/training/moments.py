"""Sums of polynomials over neighbours: what a Deep Potential learns from in place of the environment matrix.

With g the embedding and s̃ its input, both functions of s(r), an atom's T is linear in the moments
Σ_j T_k(s_j) (1, s_j x/r, s_j y/r, s_j z/r): the first row of each pair, s̃ g, is a function of s as well. So
the moments, like the AEVs of ANI networks, are computed once, and forces are products with their fixed
Jacobian.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.training.expansion import Expansion
from ase_mlsample.training.features import Derivatives, FrameSet, Geometry

__all__ = ["MomentSet", "PairTable", "switched_inverse"]

_CHUNK_ATOMS = 2048


def switched_inverse(
    r: NDArray[np.float64], parameters: DeepPotentialParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """s(r) (Å⁻¹) and ds/dr (Å⁻²) for distances in Å."""
    width = parameters.cutoff - parameters.switch_start
    u = np.clip((r - parameters.switch_start) / width, 0.0, 1.0)
    switch = 1.0 + u**3 * (-6.0 * u**2 + 15.0 * u - 10.0)
    slope = -30.0 * (u * (u - 1.0)) ** 2 / width
    return switch / r, (slope - switch / r) / r


class PairTable:
    """Pairs in a rectangular table: for every atom and element of neighbours a row, padded with zeros.

    Parameters
    ----------
    geometry
        Frames, with no pair beyond the cutoff.
    parameters
        Cutoffs and elements.
    expansion
        The polynomials.

    Attributes
    ----------
    values, slopes
        (N T, width, K) polynomials and their derivatives by s.
    """

    def __init__(self, geometry: Geometry, parameters: DeepPotentialParameters, expansion: Expansion) -> None:
        n_elements, n_atoms = len(parameters.symbols), len(geometry.species)
        self._shape = (n_elements, expansion.terms)
        self._frames = len(geometry.frame_first) - 1
        first = np.repeat(np.arange(n_atoms), np.diff(geometry.first))
        row = first * n_elements + geometry.species[geometry.second]
        order = np.argsort(row, kind="stable")
        row, first, second = row[order], first[order], geometry.second[order].astype(np.int64)
        vectors = geometry.vectors[order]
        counts = np.bincount(row, minlength=n_atoms * n_elements)
        place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        width = max(1, int(counts.max(initial=0)))
        self._slot = torch.from_numpy(row * width + place)
        self._size = (n_atoms * n_elements, width)
        frame = np.searchsorted(geometry.frame_first, first, side="right") - 1
        self._first, self._second, self._frame = map(torch.from_numpy, (first, second, frame))
        distances = np.linalg.norm(vectors, axis=1)
        s, slope = switched_inverse(distances, parameters)
        self._vectors = torch.from_numpy(vectors)
        self._units = torch.from_numpy(vectors / distances[:, None])
        self._s, self._slope = torch.from_numpy(s), torch.from_numpy(slope)
        self._over_r = torch.from_numpy(s / distances)
        self.values, self.slopes = (self._table(p) for p in expansion.polynomials(self._s))

    def _table(self, values: Tensor) -> Tensor:
        """(P, …) → (N T, width, …), zero where there is no pair."""
        empty = values.new_zeros((self._size[0] * self._size[1], *values.shape[1:]))
        return empty.index_copy(0, self._slot, values).view(*self._size, *values.shape[1:])

    def _pairs(self, table: Tensor) -> Tensor:
        """(N T, width, …) → (P, …)."""
        return table.flatten(0, 1)[self._slot]

    def moments(self) -> Tensor:
        """(N, 4 T K), the four components slowest."""
        rows = torch.cat((torch.ones_like(self._s)[:, None], self._s[:, None] * self._units), dim=1)
        found = self.values.mT @ self._table(rows)  # (N T, K, 4)
        n_elements, terms = self._shape
        return found.view(-1, n_elements, terms, 4).permute(0, 3, 1, 2).flatten(1)

    def gradient(self, g: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Jᵀg: (M, N, L) → derivative by positions (M, N, 3) and by strain (M, S, 3, 3)."""
        n_elements, terms = self._shape
        n_members, n_atoms = g.shape[:2]
        by_row = torch.from_numpy(g).double().view(n_members, n_atoms, 4, n_elements, terms)
        # (N T, K, M 4)
        by_row = by_row.permute(1, 3, 4, 0, 2).reshape(n_atoms * n_elements, terms, n_members * 4)
        slopes = self._pairs(self.slopes @ by_row).view(-1, n_members, 4)
        values = self._pairs(self.values @ by_row).view(-1, n_members, 4)[..., 1:]
        units, s = self._units[:, None], self._s[:, None]
        along = (values * units).sum(-1)
        radial = slopes[..., 0] + s * (slopes[..., 1:] * units).sum(-1) + along
        by_vector = self._over_r[:, None, None] * (values - along[..., None] * units)
        by_vector += (self._slope[:, None] * radial)[..., None] * units  # (P, M, 3)
        positions = by_vector.new_zeros((n_atoms, n_members, 3))
        positions.index_add_(0, self._second, by_vector).index_add_(0, self._first, by_vector, alpha=-1.0)
        strain = by_vector.new_zeros((self._frames, n_members, 3, 3))
        strain.index_add_(0, self._frame, by_vector[..., None] * self._vectors[:, None, None])
        return positions.transpose(0, 1).numpy(), strain.transpose(0, 1).numpy()

    def tangent(self, v: NDArray[np.float64], strain: NDArray[np.float64] | None) -> NDArray[Any]:
        """J v: positions (M, N, 3) and strains (M, S, 3, 3) → (M, N, L), in double precision."""
        n_elements, terms = self._shape
        n_members, n_atoms = v.shape[:2]
        moved = torch.from_numpy(v).transpose(0, 1)
        change = moved[self._second] - moved[self._first]  # (P, M, 3)
        if strain is not None:
            strains = torch.from_numpy(strain).transpose(0, 1)[self._frame]
            change = change + (strains @ self._vectors[:, None, :, None]).squeeze(-1)
        units = self._units[:, None]
        along = (change * units).sum(-1)
        ds = self._slope[:, None] * along
        turned = ds[..., None] * units + self._over_r[:, None, None] * (change - along[..., None] * units)
        rows = torch.cat((torch.ones_like(units[..., :1]), self._s[:, None, None] * units), dim=-1)
        by_slope = ds[..., None] * rows
        by_value = torch.nn.functional.pad(turned, (1, 0))
        found = self.slopes.mT @ self._table(by_slope.flatten(1))
        found += self.values.mT @ self._table(by_value.flatten(1))  # (N T, K, M 4)
        found = found.view(n_atoms, n_elements, terms, n_members, 4).permute(3, 0, 4, 1, 2)
        return found.reshape(n_members, n_atoms, -1).numpy()


class MomentSet(FrameSet):
    """Moments and neighbour geometry of a set of frames.

    Parameters
    ----------
    geometry
        Frames and their pairs within the cutoff.
    parameters
        Of the Deep Potential.
    double
        Keep moments in double precision (single otherwise).

    Attributes
    ----------
    expansion
        The polynomials, shared with the networks; `follow` may take more of them.

    Raises
    ------
    ValueError
        If no two atoms are neighbours.
    """

    def __init__(
        self, geometry: Geometry, parameters: DeepPotentialParameters, *, double: bool = False
    ) -> None:
        super().__init__(geometry)
        self.evaluated_together = max(1, min(64, _CHUNK_ATOMS // int(self.n_atoms.max())))
        self.parameters = parameters
        self.double = double
        s, _ = switched_inverse(np.linalg.norm(self.geometry.vectors, axis=1), parameters)
        if not np.any(s > 0):
            raise ValueError(
                f"no two atoms of the data are within the cutoff of {parameters.cutoff} Å; raise it"
            )
        self.expansion = Expansion(float(s.max()))
        self._set_inputs()

    def _set_inputs(self) -> None:
        dtype = torch.float64 if self.double else torch.float32
        parts, frames = [], np.arange(len(self))
        chunks = max(1, int(self.n_atoms.sum()) // _CHUNK_ATOMS)
        for chunk in np.array_split(frames, min(chunks, len(frames))):
            table = PairTable(self.geometry.select(chunk), self.parameters, self.expansion)
            parts.append(table.moments().to(dtype))
        self.inputs = torch.cat(parts)
        elements = range(len(self.parameters.symbols))
        self.expansion.products = [_mean_products(self.inputs[self.species == k]) for k in elements]
        self._slopes = torch.ones(1, self.inputs.shape[1], dtype=dtype)

    def set_terms(self, terms: int) -> None:
        """Change the number of polynomials, and with it the moments."""
        if terms != self.expansion.terms:
            self.expansion.set_terms(terms)
            self._set_inputs()

    def follow(self, networks: Any) -> None:
        """Take more polynomials while they fall short of the precision of the `ExpandedNetworks`."""
        before = self.expansion.terms
        while networks.deviation() > 1.0:
            self.expansion.refine()
        if self.expansion.terms != before:
            self._set_inputs()

    def state(self) -> dict[str, Any]:
        """The number of polynomials."""
        return {"terms": self.expansion.terms}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take as many polynomials as a checkpoint says."""
        self.set_terms(int(state["terms"]))

    def derivatives(self, geometry: Geometry) -> Derivatives:
        """The Jacobian of the moments of some of the frames."""
        return PairTable(geometry, self.parameters, self.expansion)

    def slopes(self, species: Tensor) -> Tensor:  # noqa: ARG002 - the same for all elements
        """Ones: moments are not standardised."""
        return self._slopes


def _mean_products(moments: Tensor) -> tuple[Tensor, Tensor]:
    """As in `Expansion.products`, of the moments (N, 4 T K) of an element's atoms; 0 where there are none."""
    terms = moments.shape[1] // 4
    first = torch.zeros(1 + terms, 1 + terms, dtype=torch.float64)
    others = torch.zeros(terms, terms, dtype=torch.float64)
    for part in torch.split(moments, _CHUNK_ATOMS):
        components = part.double().view(-1, 4, terms)
        with_one = torch.nn.functional.pad(components[:, 0], (1, 0), value=1.0)
        rest = components[:, 1:].flatten(0, 1)
        first.addmm_(with_one.mT, with_one)
        others.addmm_(rest.mT, rest)
    return first / max(1, len(moments)), others / max(1, len(moments))
