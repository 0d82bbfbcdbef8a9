"""OPES: a bias from the probability that is estimated on the fly, by a compressed sum of kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.adaptive_widths import AdaptiveWidths
from ase_mlsample.biases.arguments import domain_list, positive, variable_names, whole
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.biases.kernels_file import KernelsFile
from ase_mlsample.biases.opes_arguments import (
    kernel_widths,
    merging_distance,
    opes_bias_factor,
    variable_count,
)

if TYPE_CHECKING:
    from ase_mlsample._core import KernelDensity

__all__ = ["OPESBias"]

FloatArray = NDArray[np.float64]


class OPESBias(Bias):
    """On-the-fly probability enhanced sampling with a well-tempered target, or its explore variant.

    The probability P(s) without bias (explore: the one with the bias) is estimated by Gaussian kernels, one
    for each walker every ``pace`` steps, from which V = A k_BT ln(P/Z + ε) follows with A = 1 − 1/γ (explore:
    γ − 1). Z is the mean of P over the kernels, so over what has been explored. Kernels become narrower as
    statistics grows, and those that are close are merged, so that their number stays small. V soon hardly
    changes, so that plain reweighting with e^{V/k_BT} holds.

    Parameters
    ----------
    kT : float
        k_B times temperature, in the unit of energies.
    barrier : float
        ΔE, the free energy to be overcome at most; before the first kernel V = −ΔE. Above kT.
    pace : int
        Steps from kernel to kernel.
    sigma : float or array_like (d,), optional
        Width of the first kernels; about that of the narrowest basin. Unless given it is measured: during
        the first ``adaptive_stride`` steps there is no bias then, and widths follow the fluctuations later.
    bias_factor : float, optional
        γ, above 1: ΔE/k_BT unless given. ``inf`` aims at a flat distribution; not with ``explore``, nor with
        widths that are measured.
    explore : bool
        Whether V changes faster, and is less exact: for variables that are not good, or to find things.
    sigma_min : float or array_like (d,), optional
        Kernels become no narrower.
    adaptive_stride : int, optional
        Steps over which fluctuations are measured; 10 times ``pace`` unless given.
    compression : float
        Distance in widths below which kernels are merged; 0 for never.
    n_cvs : int, optional
        The number d of variables; unless given that of ``sigma``, ``domains``, ``names`` or ``sigma_min``.
    domains : sequence, optional
        The period of each variable, (low, high) or None.
    kernels : path, optional
        KERNELS file to write, one line a kernel as it is left. It must not exist, unless a state is loaded.
    names : sequence of str, optional
        Of the variables, for the file: ``s1``, ``s2`` … unless given.
    timestep : float
        Factor from steps to the file's column ``time``.

    Attributes
    ----------
    epsilon : float
        ε = e^{−ΔE/(A k_BT)}.
    cutoff : float
        Where kernels end, in widths: √(2ΔE/(A k_BT)), explore √(2ΔE/k_BT).
    n_deposited : int
        n, kernels left so far and one for the start.

    Raises
    ------
    ValueError
        For settings out of range, or shapes that do not fit.
    FileExistsError
        At the first update, when the KERNELS file is of another run.

    Notes
    -----
    Equal to OPES_METAD and OPES_METAD_EXPLORE of PLUMED, several walkers to its walkers by MPI; but where the
    widths of several walkers are measured, all heights refer to one first width, the mean over the walkers,
    so that no walker counts for more. The gradient is that of V everywhere; PLUMED's is off by a few percent
    where kernels end.

    References
    ----------
    M. Invernizzi, M. Parrinello, J. Phys. Chem. Lett. 11, 2731 (2020); M. Invernizzi, M. Parrinello, J. Chem.
    Theory Comput. 18, 3988 (2022).

    Examples
    --------
    >>> from ase_mlsample.biases import OPESBias
    >>> bias = OPESBias(kT=1.0, barrier=12.0, pace=500, sigma=0.2)
    >>> bias.update([0.3], 499), bias.update([0.3], 500)
    (False, True)
    >>> bias.n_kernels
    1
    """

    domains: tuple[Domain, ...]

    def __init__(
        self,
        *,
        kT: float,
        barrier: float,
        pace: int,
        sigma: ArrayLike | None = None,
        bias_factor: float | None = None,
        explore: bool = False,
        sigma_min: ArrayLike | None = None,
        adaptive_stride: int | None = None,
        compression: float = 1.0,
        n_cvs: int | None = None,
        domains: Sequence[Domain] | None = None,
        kernels: str | Path | None = None,
        names: Sequence[str] | None = None,
        timestep: float = 1.0,
    ) -> None:
        self.kT, self.barrier = positive(kT, "kT"), positive(barrier, "barrier")
        self.pace, self.timestep = whole(pace, "pace"), positive(timestep, "timestep")
        if not isinstance(explore, bool | np.bool_):
            raise TypeError(f"explore must be True or False, got {explore!r}")
        self.explore = bool(explore)
        self.n_cvs = variable_count(n_cvs, sigma, domains, names, sigma_min)
        self.domains = domain_list(domains, self.n_cvs)
        self.names = variable_names(names, self.n_cvs)
        self.bias_factor = opes_bias_factor(bias_factor, self.barrier / self.kT, explore=self.explore)
        self._prefactor = self.bias_factor - 1 if self.explore else 1 - 1 / self.bias_factor
        self.epsilon = math.exp(-self.barrier / (self._prefactor * self.kT))
        if self.epsilon == 0:
            raise ValueError(f"barrier={barrier!r} is too high for kT={kT!r}: e^(-barrier/kT) is no number")
        self.cutoff = math.sqrt(2 * self.barrier / ((1 if self.explore else self._prefactor) * self.kT))
        self.compression = merging_distance(compression, self.cutoff)
        self.sigma, self.sigma_min = (
            None if given is None else kernel_widths(given, name, self.n_cvs)
            for given, name in ((sigma, "sigma"), (sigma_min, "sigma_min"))
        )
        if self.sigma is None and self.bias_factor == math.inf:
            raise ValueError(
                "bias_factor=inf needs sigma: fluctuations without bias tell nothing of its widths"
            )
        self._first_sigma = None if self.sigma is None else self.sigma * self._broader
        self._require_floor()
        self.adaptive_stride = self._stride(adaptive_stride)
        self._widths = None if sigma is not None else AdaptiveWidths(self.domains, self.adaptive_stride)
        self.n_deposited = 1
        self._weights = math.exp(-self.barrier / self.kT)
        self._squared_weights = self._weights**2
        self._density = self._empty()
        self._file = None if kernels is None else self._kernels_file(kernels)
        self._refresh()

    @property
    def kernels(self) -> Path | None:
        """The KERNELS file that is written."""
        return None if self._file is None else self._file.path

    @property
    def n_kernels(self) -> int:
        """Number of kernels after merging."""
        return len(self._density)

    @property
    def zed(self) -> float:
        """Z, the mean of P over all kernels; 1 before there are any."""
        count = len(self._density)
        return self._density.overlap / (self._norm * count) if count else 1.0

    @property
    def n_eff(self) -> float:
        """Number of equally weighted samples that all are worth, (1 + Σw)²/(1 + Σw²)."""
        return (1 + self._weights) ** 2 / (1 + self._squared_weights)

    @property
    def rct(self) -> float:
        """k_BT ln⟨e^{V/k_BT}⟩, called c: becomes constant as the bias does; not for reweighting."""
        return self.kT * math.log(self._weights / self.n_deposited)

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        try:
            return self._density.evaluate(np.ascontiguousarray(s, dtype=np.float64), **self._form)
        except ValueError:
            self._points(s)  # this says more
            raise

    def update(self, s: ArrayLike, step: int) -> bool:
        """Leave a kernel for each walker when it is time; true when V changed."""
        if step < 1:
            return False
        if self._file is not None and self._file.size is None:
            self._file.begin()
        if self._widths is not None:
            self._widths.observe(self._points(s).reshape(-1, self.n_cvs))
            if self.n_deposited == 1 and not self._widths.ready:
                return False
        if step % self.pace:
            return False
        self._deposit(self._points(s).reshape(-1, self.n_cvs), step)
        return True

    def free_energy(self, points: ArrayLike) -> FloatArray:
        """Return F at points (p, d), up to a constant, (p,): −k_BT ln P, with ``explore`` −V − k_BT ln P.

        Infinite where no kernel reaches. With ``explore`` P is of the run under V: this holds for any ε.
        The limit of small ε, −γ k_BT ln P, does not do: where γ = ΔE/k_BT, the default, ε is a third.
        Reweighting samples with e^{V/k_BT} is more exact in the end, as kernels are wide.

        Raises
        ------
        ValueError
            Before there is a kernel, and for points of another number of variables.
        """
        at = self._points(points)
        if at.ndim != 2:
            raise ValueError(f"points must have shape (points, {self.n_cvs}), got {at.shape}")
        if not self.n_kernels:
            raise ValueError("there are no kernels yet, so no free energy: let it run longer")
        F, _ = self._density.evaluate(
            np.ascontiguousarray(at), **self._form | {"scale": -self.kT, "floor": 0.0}
        )
        return np.asarray(F) - self.potential(at)[0] if self.explore else np.asarray(F)

    def diagnostics(self) -> dict[str, float]:
        """Return what PLUMED calls rct, zed, neff and nker."""
        return {"rct": self.rct, "zed": self.zed, "neff": self.n_eff, "nker": float(self.n_kernels)}

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments, files excepted."""
        return {
            "kT": self.kT,
            "barrier": self.barrier,
            "pace": self.pace,
            "sigma": None if self.sigma is None else self.sigma.tolist(),
            "bias_factor": self.bias_factor,
            "explore": self.explore,
            "sigma_min": None if self.sigma_min is None else self.sigma_min.tolist(),
            "adaptive_stride": self.adaptive_stride if self.sigma is None else None,
            "compression": self.compression,
            "n_cvs": self.n_cvs,
            "domains": self.domains,
            "names": self.names,
            "timestep": self.timestep,
        }

    def flush(self) -> None:
        """Wait until the disk has all kernels."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the KERNELS file; the next kernel opens it again."""
        if self._file is not None:
            self._file.close()

    @property
    def _norm(self) -> float:
        """N, what the sum of kernels is divided by."""
        return float(self.n_deposited) if self.explore else self._weights

    @property
    def _broader(self) -> float:
        """How much broader the distribution is whose kernels these are."""
        return math.sqrt(self.bias_factor) if self.explore else 1.0

    def _deposit(self, points: FloatArray, step: int) -> None:
        before, _ = self._density.evaluate(np.ascontiguousarray(points), **self._form)
        log_weights = np.asarray(before) / self.kT
        weights = np.exp(log_weights)
        first, sigmas = self._kernel_widths(len(points))
        self.n_deposited += len(points)
        self._weights += float(weights.sum())
        self._squared_weights += float(weights @ weights)
        samples = self.n_deposited if self.explore else self.n_eff
        sigmas = sigmas * (samples * (self.n_cvs + 2) / 4) ** (-1 / (self.n_cvs + 4))  # Silverman's rule
        sigmas = np.maximum(sigmas, 0.0 if self.sigma_min is None else self.sigma_min)
        heights = np.prod(first / sigmas, axis=1)
        if not self.explore:
            heights *= weights
        self._density.add(np.ascontiguousarray(points), sigmas, heights)
        self._refresh()
        if self._file is not None:
            self._file.append(step * self.timestep, points, sigmas, heights, log_weights)

    def _kernel_widths(self, walkers: int) -> tuple[FloatArray, FloatArray]:
        """First widths (d,), and those of each walker's kernel (W, d) before they are scaled."""
        if self._widths is None:
            assert self._first_sigma is not None  # noqa: S101 (given where they are not measured)
            return self._first_sigma, np.repeat(self._first_sigma[None, :], walkers, axis=0)
        factor = 1.0 if self.explore else self.bias_factor
        floor = np.zeros(self.n_cvs) if self.sigma_min is None else self.sigma_min
        if self._first_sigma is None:
            widths = np.maximum(self._widths.widths(1.0) * self._broader, floor)
            if not (widths > 0).all():
                raise ValueError(
                    f"a variable did not change in {self.adaptive_stride} steps, so there is no width to be "
                    "measured; give sigma, or sigma_min"
                )
            self._widths.widen(self.bias_factor)  # all so far was without bias
            self._first_sigma = np.maximum(np.sqrt((self._widths.widths(factor) ** 2).mean(axis=0)), floor)
        return self._first_sigma, np.maximum(self._widths.widths(factor), floor)

    def _empty(self) -> KernelDensity:
        from ase_mlsample import _core

        return _core.KernelDensity(
            low=[0.0 if domain is None else domain[0] for domain in self.domains],
            periods=[0.0 if domain is None else domain[1] - domain[0] for domain in self.domains],
            cutoff=self.cutoff**2,
            threshold=self.compression**2,
        )

    def _kernels_file(self, path: str | Path) -> KernelsFile:
        details = {"bias_factor": self.bias_factor, "epsilon": self.epsilon, "cutoff": self.cutoff}
        return KernelsFile(
            path, self.names, self.domains, explore=self.explore, compression=self.compression, **details
        )

    def _refresh(self) -> None:
        """Set what turns the sum of kernels into V."""
        self._form = {
            "scale": self._prefactor * self.kT,
            "factor": 1 / (self._norm * self.zed),
            "floor": self.epsilon,
        }

    def _require_floor(self) -> None:
        if self.sigma_min is not None and self._first_sigma is not None:
            above = self.sigma_min > self._first_sigma
            if above.any():
                raise ValueError(
                    f"sigma_min={self.sigma_min.tolist()} must not be above the first widths, "
                    f"{self._first_sigma.tolist()}"
                )

    def _stride(self, given: int | None) -> int:
        if given is None:
            return 10 * self.pace
        if self.sigma is not None:
            raise ValueError(
                f"adaptive_stride={given!r} is for widths that are measured; leave it or sigma out"
            )
        if whole(given, "adaptive_stride") < self.pace:
            raise ValueError(f"adaptive_stride={given} must not be below pace={self.pace}")
        return int(given)

    def _state(self) -> dict[str, Any]:
        centers, sigmas, heights = self._density.kernels()
        return {
            "n_deposited": self.n_deposited,
            "weights": self._weights,
            "squared_weights": self._squared_weights,
            "centers": centers,
            "sigmas": sigmas,
            "heights": heights,
            "overlap": self._density.overlap,
            "first_sigma": None if self._first_sigma is None else self._first_sigma.copy(),
            "widths": None if self._widths is None else self._widths.state(),
            "file_bytes": None if self._file is None else self._file.size,
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        file_bytes, n_deposited = state["file_bytes"], int(state["n_deposited"])
        if self._file is not None and file_bytes is None and n_deposited > 1:
            raise ValueError(
                f"the state is of a run that wrote no KERNELS file, so {self._file.path} would lack its "
                f"first {n_deposited - 1} kernels; continue without a file, or start a new run"
            )
        arrays = (np.array(state[name], dtype=np.float64) for name in ("centers", "sigmas", "heights"))
        centers, sigmas, heights = arrays
        density, shape = self._empty(), (-1, self.n_cvs)
        density.set_kernels(
            centers.reshape(shape), sigmas.reshape(shape), heights, overlap=float(state["overlap"])
        )
        if self._widths is not None:
            self._widths.load_state(state["widths"])
        if self._file is not None:
            self._file.resume(None if file_bytes is None else int(file_bytes))
        first = state["first_sigma"]
        self._first_sigma = None if first is None else np.array(first, dtype=np.float64)
        self._density, self.n_deposited = density, n_deposited
        self._weights, self._squared_weights = float(state["weights"]), float(state["squared_weights"])
        self._refresh()
