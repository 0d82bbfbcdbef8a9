"""What is kept of walkers while they run: weighted histograms, and thinned samples."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample._files import write_atomic
from ase_mlsample.analysis.density import Domain, as_axes, as_domains, bin_indices
from ase_mlsample.analysis.free_energy import FreeEnergy, from_histogram
from ase_mlsample.analysis.reweighting import tiwary_offset
from ase_mlsample.dynamics.walkers import WalkerDynamics

__all__ = ["WalkerHistogram", "WalkerSamples"]

FloatArray = NDArray[np.float64]
Weighting = Literal["none", "static", "tiwary"]


class WalkerHistogram:
    """Weighted histogram of the walkers' variables, in blocks of time or of walkers, to be attached to them.

    Parameters
    ----------
    axes : array_like (m,), or one for each variable
        Centres of equal bins.
    weighting : {"none", "static", "tiwary"}
        Every walker counts 1, e^{V/kT}, or e^{(V − c)/kT} with Tiwary's c of the bias as it is at the time.
    bias_factor : float or None
        γ of the bias, for "tiwary"; None when it is not tempered.
    variables : sequence of int, optional
        Which of the variables to count; default: all. "tiwary" needs them all, for its integrals.
    domains : one period or None for each variable counted, optional
    block : int
        Observations of all walkers in a block; see :func:`~ase_mlsample.analysis.free_energy.from_histogram`.
    groups : int, optional
        Instead, blocks are that many groups of walkers, each with its whole history: independent however
        slowly a walker moves, and the better choice when there are many walkers and little time.

    Attributes
    ----------
    blocks : ndarray (B, m1, ...)
        Weights in the bins; the last block may not be full.
    observations : int

    Raises
    ------
    ValueError
        For an unknown weighting, or settings that do not fit.
    """

    def __init__(
        self,
        axes: ArrayLike | Sequence[ArrayLike],
        *,
        weighting: Weighting = "none",
        bias_factor: float | None = None,
        variables: Sequence[int] | None = None,
        domains: Sequence[Domain] | None = None,
        block: int = 1000,
        groups: int | None = None,
    ) -> None:
        self.axes = as_axes(axes)
        self.domains = as_domains(domains, len(self.axes))
        if weighting not in ("none", "static", "tiwary"):
            raise ValueError(f'weighting must be "none", "static" or "tiwary", got {weighting!r}')
        if weighting == "tiwary" and variables is not None:
            raise ValueError(
                'weighting "tiwary" counts all variables, for its integrals; leave variables out'
            )
        for name, value in {"block": block, "groups": groups}.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        self.weighting, self.bias_factor = weighting, bias_factor
        self.block, self.groups = int(block), groups
        self._variables = None if variables is None else list(variables)
        self._size = math.prod(len(axis) for axis in self.axes)
        self._blocks = [np.zeros(self._size) for _ in range(groups or 0)]
        self.observations = 0
        self._offset, self._changes = 0.0, -1
        mesh = np.meshgrid(*self.axes, indexing="ij")
        self._points = np.stack([part.ravel() for part in mesh], axis=1)

    @property
    def blocks(self) -> FloatArray:
        """Weights in the bins, (B, m1, ...)."""
        shape = tuple(len(axis) for axis in self.axes)
        return np.array(self._blocks).reshape(len(self._blocks), *shape)

    def __call__(self, dynamics: WalkerDynamics) -> None:
        """Count all walkers."""
        s = dynamics.variables
        s = s if self._variables is None else s[:, self._variables]
        flat = bin_indices(s, self.axes, self.domains)
        weights = self._weights(dynamics)
        kept = flat >= 0
        if not kept.all():
            flat, weights = flat[kept], None if weights is None else weights[kept]
        if self.groups is None:
            if self.observations % self.block == 0:
                self._blocks.append(np.zeros(self._size))
            self._blocks[-1] += np.bincount(flat, weights=weights, minlength=self._size)
        else:
            group = (np.arange(dynamics.n_walkers) * self.groups // dynamics.n_walkers)[kept]
            counts = np.bincount(flat + self._size * group, weights, minlength=self._size * self.groups)
            for total, more in zip(self._blocks, counts.reshape(self.groups, -1), strict=True):
                np.add(total, more, out=total)
        self.observations += 1

    def free_energy(self, kT: float, *, skip: int = 0) -> FreeEnergy:
        """Return the free energy, with errors from the blocks.

        Parameters
        ----------
        kT : float
        skip : int
            Blocks to leave out at the start.

        Raises
        ------
        ValueError
            When nothing is left.
        """
        if skip and self.groups is not None:
            raise ValueError("blocks are groups of walkers, not of time: attach the histogram later instead")
        blocks = self.blocks[skip:]
        if not len(blocks):
            raise ValueError(f"there are {len(self._blocks)} blocks, so that skip={skip!r} leaves nothing")
        return from_histogram(self.axes, blocks, kT=kT, domains=self.domains)

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        kept = {"blocks": self.blocks, "observations": self.observations}
        return kept | {"block": self.block, "groups": self.groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what was counted.

        Raises
        ------
        ValueError
            For a histogram of another shape or block.
        """
        shape = tuple(len(axis) for axis in self.axes)
        mine, theirs = (
            (shape, self.block, self.groups),
            (state["blocks"].shape[1:], state["block"], state["groups"]),
        )
        if mine != theirs:
            raise ValueError(
                f"the state is of a histogram of other bins, block or groups: {theirs} (here {mine})"
            )
        self._blocks = [block.ravel().copy() for block in state["blocks"]]
        self.observations, self._changes = int(state["observations"]), -1

    def _weights(self, dynamics: WalkerDynamics) -> FloatArray | None:
        if self.weighting == "none":
            return None
        V = dynamics.bias_energy
        if self.weighting == "tiwary":
            V -= self._present_offset(dynamics)
        weights: FloatArray = np.exp(V / dynamics.kT)
        if not np.isfinite(weights).all():
            raise FloatingPointError(
                f"a bias of {V.max():.4g} is too much for weights at kT = {dynamics.kT}; reweight samples, "
                "with WalkerSamples"
            )
        return weights

    def _present_offset(self, dynamics: WalkerDynamics) -> float:
        if dynamics.bias is not None and self._changes != dynamics.bias_changes:
            V, _ = dynamics.bias.potential(self._points)
            self._offset = tiwary_offset(V, kT=dynamics.kT, bias_factor=self.bias_factor)
            self._changes = dynamics.bias_changes
        return self._offset


class WalkerSamples:
    """Variables, bias and step of all walkers at intervals; attach it to the dynamics.

    Attributes
    ----------
    steps : ndarray (T,)
    variables : ndarray (T, W, d)
    bias : ndarray (T, W)
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._variables: list[FloatArray] = []
        self._bias: list[FloatArray] = []

    def __call__(self, dynamics: WalkerDynamics) -> None:
        """Keep the walkers as they are."""
        self._steps.append(dynamics.step)
        self._variables.append(dynamics.variables)
        self._bias.append(dynamics.bias_energy)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps at which samples were taken, (T,)."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def variables(self) -> FloatArray:
        """Variables, (T, W, d)."""
        return np.array(self._variables)

    @property
    def bias(self) -> FloatArray:
        """Bias of each walker, (T, W)."""
        return np.array(self._bias)

    def write(self, path: str | Path) -> None:
        """Write ``steps``, ``variables`` and ``bias`` to a file for ``numpy.load``."""
        file = io.BytesIO()
        np.savez(file, steps=self.steps, variables=self.variables, bias=self.bias)
        write_atomic(Path(path), file.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Return what was kept."""
        return {"steps": self.steps, "variables": self.variables, "bias": self.bias}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what was kept."""
        self._steps = [int(step) for step in state["steps"]]
        self._variables, self._bias = list(state["variables"]), list(state["bias"])
