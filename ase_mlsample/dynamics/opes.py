"""OPES around any integrator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import units
from numpy.typing import ArrayLike

from ase_mlsample.biases.arguments import per_variable
from ase_mlsample.biases.base import Bias
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased import BiasedDynamics
from ase_mlsample.dynamics.integrator_facts import timestep_ps
from ase_mlsample.dynamics.run_checks import joined, refuse_unknown, require_new, require_variable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings
from ase_mlsample.dynamics.shared_bias import only_of_first, own_term, packed_walkers, with_walkers

if TYPE_CHECKING:
    from ase_mlsample.biases.opes import OPESBias
    from ase_mlsample.biases.shared_samples import SharedSamples

__all__ = ["OPES"]


class OPES(BiasedDynamics):
    """On-the-fly probability enhanced sampling of collective variables, or its explore variant.

    The log has further columns: ``rct``, c in eV, which becomes constant as the bias does; ``zed``, Z, which
    becomes constant as nothing new is explored; ``neff``, the effective number of samples; and ``nker``, the
    number of kernels.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
    cv : CollectiveVariable
    temperature_K : float
    barrier : float
        In eV: the free energy to be overcome at most. Too low, and it is not; much too high costs time.
    pace : int
        Steps from kernel to kernel.
    sigma : float or array_like (d,), optional
        Width of the first kernels; measured during the first ``adaptive_stride`` steps unless given. One
        number serves all variables.
    bias_factor : float, optional
        γ; barrier/k_BT unless given, ``inf`` for a flat target.
    explore : bool
        Whether the bias changes faster, and is less exact.
    sigma_min : float or array_like (d,), optional
        Kernels become no narrower.
    adaptive_stride : int, optional
        10 times ``pace`` unless given.
    compression : float
        Distance in widths below which kernels are merged.
    kernels : path or None
        KERNELS file for PLUMED's tools, with times in ps; it must not exist.
    walkers : SharedSamples, optional
        Other runs that build up the same bias, with the same settings. The first of them writes ``kernels``.
    extra_bias : Bias, optional
        Added, such as walls.
    **settings
        Files and intervals, as of :class:`BiasedDynamics`: ``trajectory``, ``trajectory_interval``,
        ``logfile``, ``log_interval``, ``checkpoint``, ``checkpoint_interval``, ``progress``.

    Attributes
    ----------
    opes_bias : OPESBias
        The bias without ``extra_bias``.

    Raises
    ------
    ValueError, TypeError
        For settings out of range, and as :class:`BiasedDynamics`.
    FileExistsError
        For a KERNELS file or a checkpoint of an earlier run.

    References
    ----------
    M. Invernizzi, M. Parrinello, J. Phys. Chem. Lett. 11, 2731 (2020); M. Invernizzi, M. Parrinello, J. Chem.
    Theory Comput. 18, 3988 (2022).

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.langevin import Langevin
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = StillingerWeber()
    >>> rng = np.random.default_rng(0)
    >>> langevin = Langevin(
    ...     atoms, 2 * units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng
    ... )
    >>> how = {"barrier": 0.3, "pace": 5, "kernels": None}
    >>> with OPES(langevin, Distance(0, 1), temperature_K=300, **how) as dynamics:
    ...     _ = dynamics.run(60)
    >>> dynamics.opes_bias.n_deposited
    4
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        *,
        temperature_K: float,
        barrier: float,
        pace: int,
        sigma: ArrayLike | None = None,
        bias_factor: float | None = None,
        explore: bool = False,
        sigma_min: ArrayLike | None = None,
        adaptive_stride: int | None = None,
        compression: float = 1.0,
        kernels: str | Path | None = "KERNELS",
        walkers: SharedSamples | None = None,
        extra_bias: Bias | None = None,
        **settings: Any,
    ) -> None:
        require_variable(cv)
        refuse_unknown(OPES, settings)
        shared, directory = packed_walkers(walkers)
        kernels = only_of_first(kernels, walkers)
        details = {
            "barrier": barrier,
            "pace": pace,
            "sigma": _plain(sigma, "sigma", cv),
            "bias_factor": bias_factor,
            "explore": explore,
            "sigma_min": _plain(sigma_min, "sigma_min", cv),
            "adaptive_stride": adaptive_stride,
            "compression": compression,
            "timestep": timestep_ps(integrator),
            "walkers": shared,
            "files": {"kernels": None if kernels is None else os.fspath(kernels), "walkers": directory},
        }
        run = BiasedRunSettings(temperature_K=temperature_K, details=details, **settings)
        require_new(kernels, "kernels", OPES)
        self._set_up(integrator, cv, joined(self._own_bias(run, cv), extra_bias), run)

    @property
    def opes_bias(self) -> OPESBias:
        """The bias without walls and other biases."""
        return own_term(self.bias)  # type: ignore[no-any-return]

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias:
        from ase_mlsample.biases.opes import OPESBias

        details = dict(settings.details)
        files, _ = details.pop("files"), details.pop("walkers")
        opes = OPESBias(
            kT=units.kB * settings.temperature_K,
            n_cvs=cv.n_cvs,
            domains=cv.domains,
            names=cv.names,
            kernels=files["kernels"],
            **details,
        )
        return with_walkers(opes, settings.details)


def _plain(value: ArrayLike | None, name: str, cv: CollectiveVariable) -> list[float] | None:
    return None if value is None else per_variable(value, name, n_cvs=cv.n_cvs).tolist()
