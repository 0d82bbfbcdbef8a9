"""Types of the compiled module; arrays must be C-contiguous and of the dtype stated."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

_Float64 = NDArray[np.float64]
_Float = NDArray[np.float64] | NDArray[np.float32]
_Int64 = NDArray[np.int64]
_Int32 = NDArray[np.int32]

def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def instruction_set() -> str: ...

class NeighborList:
    def __init__(self, cutoff: float, skin: float = 0.0) -> None: ...
    def update(self, positions: _Float64, cell: _Float64, pbc: NDArray[np.bool_]) -> bool: ...
    def place(self, positions: _Float64, cell: _Float64, pbc: NDArray[np.bool_]) -> bool: ...
    def __len__(self) -> int: ...
    @property
    def cutoff(self) -> float: ...
    @property
    def skin(self) -> float: ...
    @property
    def first(self) -> _Int64: ...
    @property
    def second(self) -> _Int32: ...
    @property
    def shifts(self) -> _Int32: ...
    @property
    def vectors(self) -> _Float64: ...
    @property
    def distances(self) -> _Float64: ...

class StillingerWeberKernel:
    def __init__(
        self,
        *,
        epsilon: float,
        sigma: float,
        a: float,
        lambda_: float,
        gamma: float,
        A: float,
        B: float,
        cos_theta0: float,
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def compute(self, neighbors: NeighborList) -> tuple[float, _Float64, _Float64, _Float64]: ...

def zbl(
    numbers: _Int32,
    first: _Int64,
    second: _Int32,
    vectors: _Float64,
    inner: _Float64,
    outer: _Float64,
    frame_first: _Int64,
) -> tuple[_Float64, _Float64, _Float64]: ...

class AEV:
    def __init__(
        self,
        num_species: int,
        *,
        radial_cutoff: float,
        radial_eta: float,
        radial_shifts: Sequence[float],
        angular_cutoff: float,
        angular_eta: float,
        zeta: float,
        angular_shifts: Sequence[float],
        sections: Sequence[float],
        cutoff_function: str = "cosine",
    ) -> None: ...
    @property
    def length(self) -> int: ...
    def forward(
        self, species: _Int32, first: _Int64, second: _Int32, vectors: _Float64, *, double: bool
    ) -> _Float: ...
    def gradient(
        self,
        species: _Int32,
        first: _Int64,
        second: _Int32,
        vectors: _Float64,
        g: _Float,
        frame_first: _Int64,
    ) -> tuple[_Float64, _Float64]: ...
    def tangent(
        self,
        species: _Int32,
        first: _Int64,
        second: _Int32,
        vectors: _Float64,
        v: _Float64,
        strain: _Float64 | None,
        frame_first: _Int64,
        *,
        double: bool,
    ) -> _Float: ...

class Networks:
    def __init__(
        self, activation: str, elements: Sequence[tuple[Sequence[_Float], Sequence[_Float]]]
    ) -> None: ...
    @property
    def members(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    def evaluate(self, aev: _Float, species: _Int32, *, mean: bool) -> tuple[_Float, _Float]: ...
    def set_weights(self, elements: Sequence[tuple[Sequence[_Float], Sequence[_Float]]]) -> None: ...
    def weight_gradient(
        self, aev: _Float, species: _Int32, by_energy: _Float, tangent: _Float | None
    ) -> list[tuple[list[_Float], list[_Float]]]: ...

@overload
def evaluate_ani(
    aev: AEV,
    networks: Networks,
    species: _Int32,
    first: _Int64,
    second: _Int32,
    vectors: _Float64,
    frame_first: _Int64,
    *,
    mean: bool,
) -> tuple[_Float64, _Float64, _Float64]: ...
@overload
def evaluate_ani(
    aev: AEV, networks: Networks, species: _Int32, neighbors: NeighborList, *, mean: bool
) -> tuple[_Float64, _Float64, _Float64]: ...

class DeepPotential:
    def __init__(
        self,
        *,
        cutoff: float,
        switch_start: float,
        axis: int,
        slots: _Float64,
        mean: _Float64,
        std_radial: _Float64,
        std_angular: _Float64,
        empty: _Float,
        fittings: Sequence[tuple[Sequence[_Float], Sequence[_Float], Sequence[_Float | None]]],
        tables: _Float | None = None,
        layers: tuple[Sequence[_Float], Sequence[_Float]] | None = None,
    ) -> None: ...
    @property
    def members(self) -> int: ...
    @overload
    def evaluate(
        self,
        species: _Int32,
        first: _Int64,
        second: _Int32,
        vectors: _Float64,
        frame_first: _Int64,
        *,
        mean: bool,
    ) -> tuple[_Float64, _Float64, _Float64]: ...
    @overload
    def evaluate(
        self, species: _Int32, neighbors: NeighborList, *, mean: bool
    ) -> tuple[_Float64, _Float64, _Float64]: ...

def moments(values: _Float64) -> tuple[_Float64, _Float64]: ...
def pull_edges(
    first: _Int64, second: _Int32, vectors: _Float64, edge_gradient: _Float64, weights: _Float64
) -> tuple[_Float64, _Float64]: ...

class EnvironmentKernel:
    def __init__(
        self,
        *,
        center: _Int32,
        site_first: _Int64,
        sites: _Float64,
        site_species: _Int32,
        sigma: float,
        lam: float,
        inner: float,
        outer: float,
    ) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def compute(self, neighbors: NeighborList, species: _Int32) -> tuple[_Float64, _Float64]: ...

class HillGrid:
    def __init__(
        self,
        *,
        kinds: Sequence[str],
        origins: Sequence[float],
        spacings: Sequence[float],
        first: Sequence[int],
        size: Sequence[int],
    ) -> None: ...
    @property
    def origins(self) -> list[float]: ...
    @property
    def spacings(self) -> list[float]: ...
    @property
    def first(self) -> list[int]: ...
    @property
    def size(self) -> list[int]: ...
    def evaluate(self, points: _Float64) -> tuple[float | _Float64, _Float64]: ...
    def add(
        self,
        centers: _Float64,
        widths: _Float64,
        heights: _Float64,
        *,
        cutoff: float,
        scale: float,
        shift: float,
    ) -> None: ...
    def data(self) -> _Float64: ...
    def set_data(self, data: _Float64) -> None: ...

class KernelDensity:
    def __init__(
        self, *, low: Sequence[float], periods: Sequence[float], cutoff: float, threshold: float
    ) -> None: ...
    def evaluate(
        self, points: _Float64, *, scale: float, factor: float, floor: float
    ) -> tuple[float | _Float64, _Float64]: ...
    def add(self, centers: _Float64, sigmas: _Float64, heights: _Float64) -> None: ...
    def kernels(self) -> tuple[_Float64, _Float64, _Float64]: ...
    def set_kernels(
        self, centers: _Float64, sigmas: _Float64, heights: _Float64, *, overlap: float
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def overlap(self) -> float: ...

class PairBlocks:
    @property
    def volume(self) -> float: ...
    def __len__(self) -> int: ...

class HalfPairs:
    def __init__(self, cutoff: float, skin: float = 0.0) -> None: ...
    @property
    def cutoff(self) -> float: ...
    def update(self, positions: _Float64, cell: _Float64, pbc: NDArray[np.bool_]) -> PairBlocks: ...

def pair_sums(
    pairs: PairBlocks, value_series: _Float64, slope_series: _Float64, *, chebyshev: bool
) -> tuple[_Float64, _Float64]: ...
def pull_pairs(
    pairs: PairBlocks, slopes: _Float64, weights: _Float64 | None
) -> tuple[_Float64, _Float64]: ...

class PairEntropy:
    def __init__(
        self,
        pairs: PairBlocks,
        *,
        cutoff: float,
        gauss: _Float64,
        shares: _Float64,
        density: float,
        local: bool,
    ) -> None: ...
    @property
    def values(self) -> _Float64: ...
    @property
    def by_density(self) -> _Float64: ...
    def pull(self, weights: _Float64) -> tuple[_Float64, _Float64]: ...

class BondOrder:
    def __init__(
        self,
        first: _Int64,
        second: _Int32,
        vectors: _Float64,
        distances: _Float64,
        *,
        kind: str,
        degree: int,
        inner: float,
        outer: float,
    ) -> None: ...
    @property
    def values(self) -> _Float64: ...
    def pull(self, weights: _Float64) -> tuple[_Float64, _Float64]: ...
