"""What must agree before a biased run starts, or goes on."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import units

from ase_mlsample import biases
from ase_mlsample.biases.base import Bias, BiasSum
from ase_mlsample.biases.comparison import differences
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.integrator_facts import changes_cell_shape, known_temperature
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

__all__ = [
    "added_terms",
    "compare_run",
    "compare_temperature",
    "joined",
    "refuse_unknown",
    "require_absent",
    "require_folders",
    "require_new",
    "require_orientation",
    "require_variable",
]


def compare_temperature(integrator: Any, bias: Bias | None, temperature_K: float) -> None:
    """Refuse a temperature that is not the integrator's or the bias's, where they have one (ValueError)."""
    known = known_temperature(integrator)
    if known is not None and not np.allclose(known, temperature_K, rtol=1e-6, atol=0):
        shown = f"{known:.6g}" if known.ndim == 0 else f"{known.min():.6g} to {known.max():.6g}"
        raise ValueError(
            f"temperature_K={temperature_K:g}, but {type(integrator).__name__} holds {shown} K; "
            "they must be the same"
        )
    for term in () if bias is None else bias.terms():
        kT = getattr(term, "kT", None)
        if kT is not None and not np.isclose(kT, units.kB * temperature_K, rtol=1e-6, atol=0):
            raise ValueError(
                f"temperature_K={temperature_K:g} is kT={units.kB * temperature_K:.8g} eV, but the "
                f"{type(term).__name__} was made with kT={kT:.8g}; pass kT=units.kB * temperature_K"
            )


def compare_run(kind: type, cv: CollectiveVariable, run: Any, path: Path) -> None:
    """Refuse what a checkpoint keeps of another kind of run, or of another variable (ValueError)."""
    if not {"run", "step", "cv", "settings"} <= set(run):
        raise ValueError(f"{path} is the checkpoint of something else than a biased run")
    if run["run"] != kind.__name__:
        raise ValueError(f"{path} is of a {run['run']}; continue it with {run['run']}.load")
    different = differences(cv.todict(), run["cv"])
    if different:
        raise ValueError(f"{path} is of a run with another variable: {different}")


def added_terms(state: Mapping[str, Any]) -> Bias | None:
    """Build the terms after the first of a sum, such as walls, from the sum's state; None for a single bias.

    Raises
    ------
    TypeError
        For a class that is not one of :mod:`ase_mlsample.biases`, naming it.
    """
    if state["class"] != BiasSum.__name__:
        return None
    terms = [state["state"][key] for key in sorted(state["state"], key=int)[1:]]
    for term in terms:
        if term["class"] not in biases.__all__:
            raise TypeError(
                f"the run had a bias of the class {term['class']} besides: give load() one as `bias`"
            )
    made = [getattr(biases, term["class"])(**term["settings"]) for term in terms]
    return made[0] if len(made) == 1 else BiasSum(made)


def require_orientation(integrator: Any, cv: CollectiveVariable) -> None:
    """Refuse a barostat that could turn the crystal beneath a variable fixed in space (ValueError)."""
    if cv.lab_fixed and changes_cell_shape(integrator):
        raise ValueError(
            f"{', '.join(cv.names)} depends on the orientation of the crystal, which "
            f"{type(integrator).__name__} may change together with the shape of the cell; take a barostat "
            "that changes only its size, such as StochasticCellRescaling"
        )


def joined(own: Bias, extra: Any) -> Bias:
    """Return a run's own bias together with what the user added to it, if anything (TypeError)."""
    if extra is not None and not isinstance(extra, Bias):
        kind = extra.__name__ if isinstance(extra, type) else type(extra).__name__
        raise TypeError(f"extra_bias must be a bias, such as UpperWall(4.0, 10.0), got {kind}")
    return own if extra is None else BiasSum([own, extra])


def require_variable(cv: Any) -> None:
    """Refuse what is no collective variable (TypeError)."""
    if not isinstance(cv, CollectiveVariable):
        hint = "; pool it, with .mean() or .count()" if hasattr(cv, "mean") else ""
        raise TypeError(f"cv must be a CollectiveVariable, got {type(cv).__name__}{hint}")


def refuse_unknown(kind: type, settings: Iterable[str], further: Iterable[str] = ()) -> None:
    """Refuse settings that a run of this class does not have (TypeError), naming the nearest that it has.

    Parameters
    ----------
    kind : type
        The class of the run.
    settings : iterable of str
        Names of what was given besides its own arguments.
    further : iterable of str
        What its bias takes from them.
    """
    own = [name for name in inspect.signature(kind).parameters if name not in {"integrator", "settings"}]
    shared = [one.name for one in fields(BiasedRunSettings) if one.name not in {"details", "temperature_K"}]
    for name in settings:
        if name not in shared and name not in set(further):
            close = difflib.get_close_matches(name, [*own, *shared, *further], n=1)
            hint = f"did you mean {close[0]!r}?" if close else "its docstring lists what there is"
            raise TypeError(f"{kind.__name__} has no setting {name!r}; {hint}")


def require_folders(settings: BiasedRunSettings) -> None:
    """Refuse files of a run in folders that are not there (FileNotFoundError)."""
    own = {name: path for name, path in settings.details.get("files", {}).items() if name != "walkers"}
    for name, path in {**settings.files, **own}.items():
        if path is not None and not Path(path).parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {Path(path).parent} for {name}={path}; make it first"
            )


def require_new(path: str | Path | None, option: str, kind: type) -> None:
    """Refuse to start anew into a file of an earlier run (FileExistsError)."""
    if path is not None and Path(path).exists():
        raise FileExistsError(
            f"{path} exists: continue its run with {kind.__name__}.load(checkpoint, integrator, cv), "
            f"move it away, or give {option}= another name"
        )


def require_absent(checkpoint: str | None) -> None:
    """Refuse to start anew over the checkpoint of a run (FileExistsError)."""
    if checkpoint is None:
        return
    path = Path(checkpoint)
    if path.exists():
        raise FileExistsError(
            f"the checkpoint {path} is there already: go on with load({str(path)!r}, integrator, cv), "
            "or remove it to start anew"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for the checkpoint {path}; make it first")
