"""Deep-VES around any integrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.drawn import DrawnDynamics, checked_plot
from ase_mlsample.dynamics.run_checks import joined, refuse_unknown, require_variable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings
from ase_mlsample.dynamics.shared_bias import only_of_first, own_term, packed_walkers, with_walkers

if TYPE_CHECKING:
    from ase_mlsample.biases.deep_ves import DeepVESBias
    from ase_mlsample.biases.shared_samples import SharedSamples
    from ase_mlsample.biases.targets import Target

__all__ = ["DeepVES", "bounds_of"]

_OF_BIAS = (
    "tau", "decay", "hidden", "activation", "learning_rate", "weight_decay", "bins", "target_points",
    "kl_threshold", "static_below", "constant_iterations",
)  # fmt: skip
_KJ_PER_MOL = units.kJ / units.mol


class DeepVES(DrawnDynamics):
    """Dynamics with a neural network as the bias, trained on the way until the target is sampled.

    The log has further columns: ``kl``, the divergence of what is sampled from the target; ``rate_scale``,
    the factor on the learning rate; ``phase``, 0 while the rate stays, 1 while it falls, 2 from when the
    bias is static: only those lines are to be reweighted, by e^{V/k_BT}; and ``inside``, the share of the
    last samples within the bounds, from which alone the bias learns.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
    cv : CollectiveVariable
    temperature_K : float
    bounds : sequence
        (low, high) of each variable, which hold all it is to visit; None for a periodic one. None altogether
        when all are periodic. Beyond them the bias neither pushes nor pulls: add walls as ``extra_bias``
        where nothing else holds the system.
    rng : numpy.random.Generator
        For the first parameters of the network, and the target's sample of many variables; the same for all
        walkers.
    bias_factor : float, optional
        γ of the well-tempered target: barriers are lowered to 1/γ.
    target : Target, optional
        Another one, instead.
    pace : int
        Steps from one change of the bias to the next.
    energy_unit : float
        In eV, of V where the network's output is 1: sets how fast V changes. 1 kJ/mol.
    plot : path, optional
        Figure of the convergence, ``.svg``, ``.pdf`` or ``.png``, drawn anew every ``plot_interval``
        iterations.
    plot_interval : int
    walkers : SharedSamples, optional
        Other runs that build up the same bias, with the same settings. The first of them writes ``plot``.
    extra_bias : Bias, optional
        Added, such as walls.
    **settings
        Of the bias, as of :class:`~ase_mlsample.biases.DeepVESBias`: ``tau``, ``decay``, ``hidden``,
        ``activation``, ``learning_rate``, ``weight_decay``, ``bins``, ``target_points``, ``kl_threshold``,
        ``static_below``, ``constant_iterations``. Files and intervals, as of :class:`BiasedDynamics`:
        ``trajectory``, ``trajectory_interval``, ``logfile``, ``log_interval``, ``checkpoint``,
        ``checkpoint_interval``, ``progress``.

    Attributes
    ----------
    deep_bias : DeepVESBias
        The network, without ``extra_bias``.

    Raises
    ------
    ValueError, TypeError
        For settings out of range, and as :class:`BiasedDynamics`.
    FileExistsError
        For a checkpoint of an earlier run.

    References
    ----------
    L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019).

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
    >>> how = {"bounds": [(2.0, 3.0)], "bias_factor": 10, "pace": 5, "rng": rng}
    >>> with DeepVES(langevin, Distance(0, 1), temperature_K=300, **how) as dynamics:
    ...     _ = dynamics.run(20)
    >>> dynamics.deep_bias.iterations
    4
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        *,
        temperature_K: float,
        bounds: Sequence[Domain] | None,
        rng: np.random.Generator,
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        energy_unit: float = _KJ_PER_MOL,
        plot: str | Path | None = None,
        plot_interval: int = 1000,
        walkers: SharedSamples | None = None,
        extra_bias: Bias | None = None,
        **settings: Any,
    ) -> None:
        from ase_mlsample.biases.deep_ves import DeepVESBias

        require_variable(cv)
        refuse_unknown(DeepVES, settings, _OF_BIAS)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
        figure, plot_interval = checked_plot(plot, plot_interval)
        of_run = BiasedRunSettings.taken_from(settings)
        # checked before the bias is made, which needs it
        BiasedRunSettings(temperature_K=temperature_K)
        deep = DeepVESBias(
            kT=units.kB * temperature_K,
            domains=cv.domains,
            bounds=bounds_of(cv, bounds),
            bias_factor=bias_factor,
            target=target,
            pace=pace,
            energy_unit=energy_unit,
            seed=int(rng.integers(2**62)),
            **settings,
        )
        shared, directory = packed_walkers(walkers)
        details = {
            "bias": deep.settings(),
            "plot_interval": plot_interval,
            "walkers": shared,
            "files": {"plot": only_of_first(figure, walkers), "walkers": directory},
        }
        run = BiasedRunSettings(temperature_K=temperature_K, details=details, **of_run)
        self._set_up(integrator, cv, joined(with_walkers(deep, details), extra_bias), run)

    @property
    def deep_bias(self) -> DeepVESBias:
        """The network, without walls and other biases."""
        return own_term(self.bias)  # type: ignore[no-any-return]

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias:  # noqa: ARG003
        from ase_mlsample.biases.deep_ves import DeepVESBias

        return with_walkers(DeepVESBias(**settings.details["bias"]), settings.details)

    def _summary(self) -> str:
        bias = self.deep_bias
        learned = f"{bias.phase}, KL {bias.divergence:.3g}, rate x {bias.scale:.3g}"
        return f"{super()._summary()}, {learned}"


def bounds_of(cv: CollectiveVariable, bounds: Sequence[Domain] | None) -> list[Domain]:
    """Return the bounds of each variable, None for all where none are given (ValueError for others)."""
    given: list[Domain] = [None] * cv.n_cvs if bounds is None else list(bounds)
    if len(given) != cv.n_cvs or any(isinstance(one, int | float) for one in given):
        raise ValueError(
            f"bounds must hold (low, high), or None, for each of {', '.join(cv.names)}, such as "
            f"{[(0.0, 1.0)] * cv.n_cvs}; got {bounds!r}"
        )
    return given
