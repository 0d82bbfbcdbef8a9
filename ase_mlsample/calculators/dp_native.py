"""The native backend of the Deep Potential: compiled environment, networks and sweep back, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample import _core
from ase_mlsample.calculators.compiled_backend import CompiledBackend
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_tables import Embeddings, EmbeddingTables, TabulationError

__all__ = ["NativeBackend"]


class NativeBackend(CompiledBackend):
    """All members on the neighbours of one atom after another, block by block.

    Parameters
    ----------
    model : DeepPotentialModel
        The ensemble; its weights are copied.
    dtype : str
        "float32" or "float64", for environment matrix and networks; distances and sums are in double in both.
    tabulated : bool or None
        Whether embeddings come from quintic polynomials or from the networks themselves; by default they are
        tabulated in single precision alone.

    Attributes
    ----------
    tabulation_error : TabulationError or None
        Of the tables, measured between their nodes; None without.

    Raises
    ------
    ValueError
        For embedding networks that are too steep for a table.
    """

    tabulation_error: TabulationError | None

    def __init__(self, model: DeepPotentialModel, *, dtype: str, tabulated: bool | None = None) -> None:
        p, kinds = model.parameters, len(model.symbols)
        embeddings, pairs = Embeddings.of(model), (model.n_members, kinds, kinds)
        empty = embeddings.evaluate(np.zeros(1)).value.reshape(*pairs, -1)
        given: dict[str, Any] = {"layers": _arrays(embeddings.layers, dtype)[:2]}
        self.tabulation_error = None
        if dtype == "float32" if tabulated is None else tabulated:
            tables = EmbeddingTables.made(embeddings)
            shape = (*pairs, *tables.coefficients.shape[1:])
            given = {"tables": _contiguous(tables.coefficients, dtype).reshape(shape)}
            self.tabulation_error = tables.error
        potential = _core.DeepPotential(
            cutoff=p.cutoff,
            switch_start=p.switch_start,
            axis=p.axis_neurons,
            slots=np.array(p.slots, dtype=np.float64),
            mean=_contiguous(model.mean),
            std_radial=_contiguous(model.std_radial),
            std_angular=_contiguous(model.std_angular),
            empty=_contiguous(empty, dtype),
            fittings=[_arrays(network, dtype) for network in model.fittings],
            **given,
        )
        super().__init__(potential.evaluate)


def _contiguous(array: NDArray[Any], dtype: str = "float64") -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=dtype)


def _arrays(
    layers: DenseLayers, dtype: str
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any] | None]]:
    """Weights (M, out, in), biases and timesteps (M, 1, out), as the compiled networks take them."""

    def rows(arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        return [None if array is None else _contiguous(array[:, None], dtype) for array in arrays]

    weights = [_contiguous(weight, dtype) for weight in layers.weights]
    biases = [_contiguous(bias[:, None], dtype) for bias in layers.biases]
    return weights, biases, rows(layers.timesteps)
