"""Types of the compiled module; arrays must be C-contiguous and of the dtype stated."""

from collections.abc import Sequence

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
