"""Well-tempered metadynamics around any integrator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from numpy.typing import ArrayLike

from ase_mlsample.biases.arguments import per_variable
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased import BiasedDynamics
from ase_mlsample.dynamics.integrator_facts import timestep_ps
from ase_mlsample.dynamics.run_checks import joined, refuse_unknown, require_new, require_variable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

if TYPE_CHECKING:
    from ase_mlsample.biases.hills import MetadynamicsBias
    from ase_mlsample.biases.shared_hills import SharedHills

__all__ = ["Metadynamics"]


class Metadynamics(BiasedDynamics):
    """Metadynamics of one to three collective variables, well-tempered or plain.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
    cv : CollectiveVariable
    temperature_K : float
    sigma : float or array_like (d,)
        Width of the hills: about half of how far the variable fluctuates in one basin. One number serves all
        variables.
    height : float
        Of the first hills in eV; about k_BT, or a tenth of it where hills come often.
    bias_factor : float or None
        γ, above 1: barriers of γ k_BT are filled; None for hills that keep their height.
    pace : int
        Steps from hill to hill.
    hills : path or None
        HILLS file for PLUMED's tools, with times in ps; it must not exist. With ``walkers`` it is theirs. In
        its names, as in the log's, what PLUMED stumbles over is "_": ``sq_1_96`` for ``sq_1.96``.
    grid_spacing, bounds
        Of the grid, as of :class:`MetadynamicsBias`.
    walkers : SharedHills, optional
        Directory through which this run and others share their hills.
    extra_bias : Bias, optional
        Added, such as walls.
    **settings
        Files and intervals, as of :class:`BiasedDynamics`: ``trajectory``, ``trajectory_interval``,
        ``logfile``, ``log_interval``, ``checkpoint``, ``checkpoint_interval``, ``progress``.

    Attributes
    ----------
    hills_bias : MetadynamicsBias
        The hills, without ``extra_bias``.

    Raises
    ------
    ValueError, TypeError
        For settings out of range, and as :class:`BiasedDynamics`.
    FileExistsError
        For a HILLS file or a checkpoint of an earlier run.

    References
    ----------
    A. Barducci, G. Bussi, M. Parrinello, Phys. Rev. Lett. 100, 020603 (2008).

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
    >>> how = {"sigma": 0.1, "height": 0.02, "bias_factor": 10, "pace": 5, "hills": None}
    >>> with Metadynamics(langevin, Distance(0, 1), temperature_K=300, **how) as dynamics:
    ...     _ = dynamics.run(20)
    >>> dynamics.hills_bias.n_hills
    4
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        *,
        temperature_K: float,
        sigma: ArrayLike,
        height: float,
        bias_factor: float | None,
        pace: int,
        hills: str | Path | None = "HILLS",
        grid_spacing: ArrayLike | None = None,
        bounds: Sequence[Domain] | None = None,
        walkers: SharedHills | None = None,
        extra_bias: Bias | None = None,
        **settings: Any,
    ) -> None:
        require_variable(cv)
        refuse_unknown(Metadynamics, settings)
        _require_shared(walkers)
        if walkers is not None and hills == "HILLS":
            hills = None
        details = {
            "sigma": per_variable(sigma, "sigma", n_cvs=cv.n_cvs).tolist(),
            "height": height,
            "bias_factor": bias_factor,
            "pace": pace,
            "grid_spacing": _plain(grid_spacing),
            "bounds": None if bounds is None else [None if b is None else list(b) for b in bounds],
            "timestep": timestep_ps(integrator),
            "walkers": None if walkers is None else {"walker": walkers.walker, "pace": walkers.pace},
            "files": {
                "hills": None if hills is None else os.fspath(hills),
                "walkers": None if walkers is None else os.fspath(walkers.directory),
            },
        }
        run = BiasedRunSettings(temperature_K=temperature_K, details=details, **settings)
        written = hills if walkers is None else walkers.path
        require_new(written, "hills", Metadynamics)
        self._set_up(integrator, cv, joined(self._own_bias(run, cv), extra_bias), run)

    @property
    def hills_bias(self) -> MetadynamicsBias:
        """The hills, without walls and other biases."""
        found: Any = self.bias.terms()[0]
        return found  # type: ignore[no-any-return]

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias:
        from ase_mlsample.biases.hills import MetadynamicsBias

        details = dict(settings.details)
        files, walkers = details.pop("files"), details.pop("walkers")
        if walkers is not None:
            from ase_mlsample.biases.shared_hills import SharedHills

            walkers = SharedHills(files["walkers"], **walkers)
        return MetadynamicsBias(
            kT=units.kB * settings.temperature_K,
            domains=cv.domains,
            names=cv.names,
            hills=files["hills"],
            walkers=walkers,
            **details,
        )


def _require_shared(walkers: Any) -> None:
    """Refuse what are no walkers of metadynamics (TypeError)."""
    if walkers is None:
        return
    from ase_mlsample.biases.shared_hills import SharedHills

    if not isinstance(walkers, SharedHills):
        raise TypeError(
            "walkers must be SharedHills(directory, walker=0, pace=5000) or the like, got "
            f"{type(walkers).__name__}"
        )


def _plain(value: ArrayLike | None) -> Any:
    return None if value is None else np.asarray(value, dtype=float).tolist()
