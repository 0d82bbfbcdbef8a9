"""Variationally enhanced sampling around any integrator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.drawn import DrawnDynamics, checked_plot
from ase_mlsample.dynamics.integrator_facts import timestep_ps
from ase_mlsample.dynamics.run_checks import joined, refuse_unknown, require_new, require_variable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings
from ase_mlsample.dynamics.shared_bias import only_of_first, own_term, packed_walkers, with_walkers

if TYPE_CHECKING:
    from ase_mlsample.biases.basis import Basis
    from ase_mlsample.biases.shared_samples import SharedSamples
    from ase_mlsample.biases.targets import Target
    from ase_mlsample.biases.variational import VariationalBias

__all__ = ["VES", "require_same_periods"]

_OF_BIAS = ("target_pace", "grid_cells", "quadrature", "coefficients_interval")


class VES(DrawnDynamics):
    """Variationally enhanced sampling of one to three collective variables, with a linear basis.

    The log has further columns: ``kl``, the divergence of what is sampled from the target; ``gradient``, the
    largest difference of a function's averages in the run and in the target; and ``inside``, the share of the
    last samples within the intervals, from which alone the bias learns.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
    cv : CollectiveVariable
    temperature_K : float
    bases : Basis, or sequence of Basis
        One for each variable, on the interval that it is to visit: ``Legendre(20, (low, high))``,
        :class:`Chebyshev`, :class:`Gaussians`, :class:`CubicSplines`; for a periodic variable
        :class:`Fourier`, or the latter two with ``periodic=True``. Beyond the interval the bias neither
        pushes nor pulls: add walls as ``extra_bias`` where nothing else holds the system.
    bias_factor : float, optional
        γ of the well-tempered target: barriers are lowered to 1/γ.
    target : Target, optional
        Another one, instead: ``Uniform()``, or your own, ``GivenTarget(density)``.
    pace : int
        Steps of an iteration, after which the bias changes.
    step_size : float, optional
        μ in eV; 0.4 k_BT unless given, about 1 kJ/mol at 300 K.
    average_window : int or float, optional
        Iterations in which the averaged coefficients forget, or below 1 the share of those done; all count
        alike unless given.
    coefficients : path or None
        File of coefficients for PLUMED's VES module, with times in ps; it must not exist.
    plot : path, optional
        Figure of the convergence, ``.svg``, ``.pdf`` or ``.png``, drawn anew every ``plot_interval``
        iterations.
    plot_interval : int
    walkers : SharedSamples, optional
        Other runs that build up the same bias, with the same settings. The first writes ``coefficients``
        and ``plot``.
    extra_bias : Bias, optional
        Added, such as walls.
    **settings
        Of the bias, as of :class:`~ase_mlsample.biases.VariationalBias`: ``target_pace``, ``grid_cells``,
        ``quadrature``, ``coefficients_interval``. Files and intervals, as of :class:`BiasedDynamics`:
        ``trajectory``, ``trajectory_interval``, ``logfile``, ``log_interval``, ``checkpoint``,
        ``checkpoint_interval``, ``progress``.

    Attributes
    ----------
    ves_bias : VariationalBias
        The bias without ``extra_bias``.

    Raises
    ------
    ValueError, TypeError
        For settings out of range, bases that are not periodic where variables are, or the other way round,
        and as :class:`BiasedDynamics`.
    FileExistsError
        For a file of coefficients or a checkpoint of an earlier run.

    References
    ----------
    O. Valsson, M. Parrinello, Phys. Rev. Lett. 113, 090601 (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.langevin import Langevin
    >>> from ase_mlsample.biases import Legendre
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = StillingerWeber()
    >>> rng = np.random.default_rng(0)
    >>> langevin = Langevin(
    ...     atoms, 2 * units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng
    ... )
    >>> how = {"bases": Legendre(8, (2.0, 3.0)), "bias_factor": 10, "pace": 5, "coefficients": None}
    >>> with VES(langevin, Distance(0, 1), temperature_K=300, **how) as dynamics:
    ...     _ = dynamics.run(20)
    >>> dynamics.ves_bias.iterations
    4
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        *,
        temperature_K: float,
        bases: Basis | Mapping[str, Any] | Sequence[Basis | Mapping[str, Any]],
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        step_size: float | None = None,
        average_window: float | None = None,
        coefficients: str | Path | None = "COEFFS",
        plot: str | Path | None = None,
        plot_interval: int = 100,
        walkers: SharedSamples | None = None,
        extra_bias: Bias | None = None,
        **settings: Any,
    ) -> None:
        from ase_mlsample.biases.variational import VariationalBias

        require_variable(cv)
        refuse_unknown(VES, settings, _OF_BIAS)
        figure, plot_interval = checked_plot(plot, plot_interval)
        of_run = BiasedRunSettings.taken_from(settings)
        # checked before the bias is made, which needs it
        BiasedRunSettings(temperature_K=temperature_K)
        bias = VariationalBias(
            kT=units.kB * temperature_K,
            bases=bases,
            bias_factor=bias_factor,
            target=target,
            pace=pace,
            step_size=step_size,
            average_window=average_window,
            names=cv.names if cv.n_cvs == _count(bases) else None,
            timestep=timestep_ps(integrator),
            **settings,
        )
        shared, directory = packed_walkers(walkers)
        coefficients = only_of_first(coefficients, walkers)
        written = None if coefficients is None else os.fspath(coefficients)
        details = {
            "bias": bias.settings(),
            "plot_interval": plot_interval,
            "walkers": shared,
            "files": {
                "coefficients": written,
                "plot": only_of_first(figure, walkers),
                "walkers": directory,
            },
        }
        run = BiasedRunSettings(temperature_K=temperature_K, details=details, **of_run)
        require_new(coefficients, "coefficients", VES)
        self._set_up(integrator, cv, joined(self._own_bias(run, cv), extra_bias), run)

    @property
    def ves_bias(self) -> VariationalBias:
        """The bias without walls and other biases."""
        return own_term(self.bias)  # type: ignore[no-any-return]

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias:
        from ase_mlsample.biases.variational import VariationalBias

        details = settings.details
        ves = VariationalBias(**details["bias"], coefficients=details["files"]["coefficients"])
        require_same_periods(cv, ves.domains)
        return with_walkers(ves, details)

    def _summary(self) -> str:
        return f"{super()._summary()}, KL {self.ves_bias.divergence:.3g}"


def _count(bases: Any) -> int:
    return len(bases) if isinstance(bases, Sequence) else 1


def require_same_periods(cv: CollectiveVariable, domains: Sequence[Domain]) -> None:
    """Refuse bases that are not of a variable each, or of other periods (ValueError)."""
    if len(domains) != cv.n_cvs:
        raise ValueError(
            f"there are {len(domains)} bases, but one is needed for each of {', '.join(cv.names)}"
        )
    for name, period, own in zip(cv.names, cv.domains, domains, strict=True):
        if (period is None) == (own is None) and (own is None or np.allclose(period, own, rtol=1e-9)):  # type: ignore[arg-type]
            continue
        if period is None:
            raise ValueError(
                f"{name} is not periodic, but its basis is, with the period {own}; take another, such as "
                "Legendre(order, (low, high))"
            )
        wrong = "none" if own is None else own
        raise ValueError(
            f"{name} has the period {period}, but its basis has {wrong}; take "
            f"Fourier(order, {period}), or Gaussians or CubicSplines with periodic=True"
        )
