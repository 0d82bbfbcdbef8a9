"""A bias that does not change as an explorer: what a cheap potential has found drives a learned one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms

from ase_mlsample import biases
from ase_mlsample.biases.base import Bias, BiasSum
from ase_mlsample.biases.comparison import differences
from ase_mlsample.biases.hills_file import read_hills
from ase_mlsample.biases.static import StaticBias
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased_exploration import BiasedExplorer, BiasedRun, ExploringSettings
from ase_mlsample.dynamics.checkpoint import read_checkpoint
from ase_mlsample.dynamics.gate import GateReading

__all__ = ["StaticBiasExplorer", "read_bias"]


class _StaticRun(BiasedRun):
    """A trajectory with a bias from a file."""

    def __init__(self, explorer: StaticBiasExplorer, *arguments: Any) -> None:
        super().__init__(explorer, *arguments)
        self._file = explorer.path.name

    def _frame(self, atoms: Atoms, step: int, reason: str, reading: GateReading | None) -> Atoms:
        frame = super()._frame(atoms, step, reason, reading)
        frame.info["static_bias"] = self._file
        return frame


class StaticBiasExplorer(BiasedExplorer):
    """Dynamics with a bias that stays as it is, until the ensemble is uncertain.

    A bias that was found with a cheap potential, in a long run, takes the trajectories of a learned one over
    the same barriers from the first step on. Gate, guards and frames are those of
    :class:`MetadynamicsExplorer`; frames have the name of the file as ``static_bias``.

    Parameters
    ----------
    cv : CollectiveVariable
        That of the bias. The same for all structures that the explorer is given: a count of atoms belongs to
        the number of them with which the bias was found.
    temperature_K : float
    bias : path
        A checkpoint of :class:`Metadynamics`, :class:`OPES`, :class:`VES`, :class:`DeepVES` or
        :class:`UmbrellaSampling`, whose bias is taken as it is there, walls included; a file of
        :meth:`StaticBias.write`; a HILLS file in eV; or a grid file of PLUMED.
    scale : float
        Factor to V: −1 makes a grid file of a free energy the bias that flattens it.
    **settings
        As of :class:`BiasedExplorer`: ``duration_ps``, ``pressure_GPa``, ``timestep_fs``,
        ``friction_per_ps``, ``thermostat_fs``, ``barostat_fs``, ``compressibility_per_GPa``, ``gate``,
        ``guards``, ``check_every``, ``keep_every``.

    Raises
    ------
    TypeError, ValueError
        At construction, for settings out of range, what is no collective variable, a file of another kind or
        of another variable, and if nothing could be yielded.
    FileNotFoundError
        Without the file.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_mlsample.biases import StaticBias
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> grid = np.linspace(2.0, 4.0, 41)
    >>> StaticBias([grid], -2.0 * grid).write("bias.npz")
    >>> explorer = StaticBiasExplorer(
    ...     cv=Distance(0, 1), temperature_K=300, bias="bias.npz", duration_ps=0.1, keep_every=1
    ... )
    >>> rng, crystal = np.random.default_rng(0), bulk("Si", cubic=True)
    >>> frames, summary = explorer.run(StillingerWeber(), crystal, rng)
    >>> frames[0].info["static_bias"]
    'bias.npz'
    """

    _run = _StaticRun

    def __init__(
        self,
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        bias: str | Path,
        scale: float = 1.0,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        super().__init__(cv=cv, temperature_K=temperature_K, **settings)
        self.path, self._scale = Path(bias), float(scale)
        self._bias = read_bias(self.path, cv, scale=self._scale)

    def carried_bias(self) -> Bias:
        """Return the bias, which is the same in all trajectories."""
        return self._bias

    def _told(self) -> dict[str, float]:
        return {"static_scale": self._scale}


class _Scaled(Bias):
    """A bias times a factor."""

    def __init__(self, bias: Bias, factor: float) -> None:
        self.n_cvs, self.domains = bias.n_cvs, bias.domains
        self._bias, self._factor = bias, factor

    def potential(self, s: Any) -> tuple[Any, Any]:
        """Return V and dV/ds; see :meth:`Bias.potential`."""
        V, slope = self._bias.potential(s)
        return self._factor * V, self._factor * slope

    def settings(self) -> dict[str, Any]:
        """Return the factor and all that the bias is."""
        return {"bias": self._bias.state_dict(), "factor": self._factor}


def read_bias(path: str | Path, cv: CollectiveVariable, *, scale: float = 1.0) -> Bias:
    """Read a bias for use as it is; see :class:`StaticBiasExplorer`.

    Parameters
    ----------
    path : path
    cv : CollectiveVariable
        That it has to be of: a checkpoint tells its own; of other files number and periods are compared.
    scale : float
        Factor to V.

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For a file of another kind or another variable, or a factor that is not finite or zero.
    TypeError
        For a checkpoint with a bias of a class that is not one of :mod:`ase_mlsample.biases`.
    """
    path = Path(path)
    if not np.isfinite(scale) or scale == 0:
        raise ValueError(f"scale must be a finite number other than zero, got {scale!r}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} with a bias")
    bias = _read(path, cv)
    if bias.n_cvs != cv.n_cvs or (bias.domains is not None and bias.domains != cv.domains):
        raise ValueError(
            f"the bias in {path} is of {bias.n_cvs} variable(s) with the periods {bias.domains}, but cv has "
            f"{cv.n_cvs} with {cv.domains}: {', '.join(cv.names)}"
        )
    return bias if scale == 1 else _Scaled(bias, scale)


def _read(path: Path, cv: CollectiveVariable) -> Bias:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_hills = b"sigma_" in file.readline()
        return StaticBias.from_hills(read_hills(path)) if is_hills else StaticBias.read(path)
    with np.load(path, allow_pickle=False) as archive:
        is_checkpoint = "head" in archive
    if not is_checkpoint:
        return StaticBias.read(path)
    checkpoint = read_checkpoint(path)
    if not checkpoint.bias:
        raise ValueError(f"{path} is the checkpoint of a run without a bias")
    different = differences(cv.todict(), checkpoint.extra["cv"])
    if different:
        raise ValueError(f"{path} is of a run with another variable: {different}")
    return _made(checkpoint.bias, path)


def _made(state: dict[str, Any], path: Path) -> Bias:
    """Build a bias from its ``state_dict()``; it writes no files."""
    if state["class"] == BiasSum.__name__:
        keys = sorted(state["state"], key=int)
        return BiasSum([_made(state["state"][key], path) for key in keys])
    if state["class"] == "SharedBias":  # what walkers have learned together
        return _made(state["state"]["bias"], path)
    if state["class"] not in biases.__all__:
        raise TypeError(
            f"{path} has a bias of the class {state['class']}, which is not one of ase_mlsample.biases; "
            "write it on a grid, with StaticBias.write"
        )
    bias: Bias = getattr(biases, state["class"])(**state["settings"])
    bias.load_state_dict(state)
    return bias
