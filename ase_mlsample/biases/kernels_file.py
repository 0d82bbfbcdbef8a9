"""KERNELS files of OPES, as PLUMED's tools and restarts read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.growing_file import GrowingFile, domain_settings

__all__ = ["KernelsFile"]

FloatArray = NDArray[np.float64]


class KernelsFile(GrowingFile):
    """A KERNELS file that grows: each kernel as it was before it was merged with others.

    Parameters
    ----------
    path : str or Path
    names : sequence of str
        Of the variables.
    domains : sequence
        The period of each variable, (low, high) or None.
    explore : bool
    bias_factor, epsilon, cutoff, compression : float
        γ, ε, the range of kernels and the distance at which they merge, both in sigmas.
    """

    def __init__(
        self,
        path: str | Path,
        names: Sequence[str],
        domains: Sequence[Domain],
        *,
        explore: bool,
        bias_factor: float,
        epsilon: float,
        cutoff: float,
        compression: float,
    ) -> None:
        sigmas = [f"sigma_{name}" for name in names]
        lines = [
            f"FIELDS {' '.join(['time', *names, *sigmas, 'height', 'logweight'])}",
            f"SET action {'OPES_METAD_EXPLORE' if explore else 'OPES_METAD'}_kernels",
            f"SET biasfactor {'inf' if math.isinf(bias_factor) else f'{bias_factor:.17g}'}",
            f"SET epsilon {epsilon:.17g}",
            f"SET kernel_cutoff {cutoff:.17g}",
            f"SET compression_threshold {compression:.17g}",
            *domain_settings(names, domains),
        ]
        super().__init__(path, "".join(f"#! {line}\n" for line in lines).encode(), kind="KERNELS")

    def append(
        self,
        time: float,
        centers: FloatArray,
        sigmas: FloatArray,
        heights: FloatArray,
        log_weights: FloatArray,
    ) -> None:
        """Write kernels of one time: centers and sigmas (n, d), heights and log_weights (n,)."""
        times = np.full(len(heights), time)
        table = np.column_stack([times, centers, sigmas, heights, log_weights]).tolist()
        self.write("".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in table).encode())
