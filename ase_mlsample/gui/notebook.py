"""Structures beside a map of their properties, in a notebook (chemiscope)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.gui.ase_viewers import as_frames
from ase_mlsample.gui.frame_numbers import FrameNumbers
from ase_mlsample.gui.run_files import read_shown
from ase_mlsample.gui.scalars import find_scalars

if TYPE_CHECKING:
    from chemiscope.widget import ChemiscopeWidget

__all__ = ["notebook_input", "open_notebook"]

# words of ``info`` that sort frames
_WORDS = (
    "generation",
    "source",
    "start_source",
    "config_type",
    "dataset",
    "trust",
    "selected",
    "stop_reason",
)
# axes of the map in the order of preference; of a trajectory, its time goes before
_X = ("force_sigma_max", "energy_std")
_Y = ("energy", "REF_energy", "force_error_max", "energy_std", "bias", "temperature_K", "force_sigma_max")


def open_notebook(
    frames: Atoms | Iterable[Atoms] | str | Path,
    *,
    x: str | None = None,
    y: str | None = None,
    color: str | None = None,
    atom_color: str | None = None,
) -> ChemiscopeWidget:
    """Show structures beside a map of what is known of them; a click on a point shows its structure.

    The map has disagreement, energies (eV/atom), collective variables, bias and every other number of
    ``info``, and the words that frames are sorted by: generation, source, kind. Atoms can be coloured by each
    per-atom scalar that all frames have.

    Parameters
    ----------
    frames
        A structure, several, a `Dataset`, a file, or the folder of a run: the candidates of all its
        generations.
    x, y, color
        Names of properties for axes and colour of the map; by default time where frames are a trajectory,
        else the disagreement or the volume, with variable or energy, coloured by generation or source.
    atom_color
        Name of the scalar that atoms are coloured by; by default ``force_sigma`` where frames have it.

    Returns
    -------
    chemiscope.widget.ChemiscopeWidget
        Shown by a notebook at the end of a cell; its ``save("map.json.gz")`` is for chemiscope.org.

    Raises
    ------
    ImportError
        Without the extra ``notebook``.
    ValueError
        If there are no structures, or no property has the name given.
    TypeError
        If something is no structure.

    References
    ----------
    G. Fraux, R. K. Cersonsky, M. Ceriotti, J. Open Source Softw. 5(51), 2117 (2020).

    Examples
    --------
    >>> open_notebook("runs/silicon")                                               # doctest: +SKIP
    """
    try:
        import chemiscope
    except ImportError as error:
        raise ImportError(
            "structures in notebooks need chemiscope, which is not installed: "
            "pip install 'ase-mlsample[notebook]'"
        ) from error
    content = notebook_input(frames, x=x, y=y, color=color, atom_color=atom_color)
    with warnings.catch_warnings():
        # it complains outside of notebooks, where the widget can still be saved
        warnings.filterwarnings("ignore", message="chemiscope.show only displays")
        return chemiscope.show(**content)


def notebook_input(
    frames: Atoms | Iterable[Atoms] | str | Path,
    *,
    x: str | None = None,
    y: str | None = None,
    color: str | None = None,
    atom_color: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of ``chemiscope.show`` and ``chemiscope.write_input``; see `open_notebook`."""
    if isinstance(frames, str | Path):
        name, shown = Path(frames).resolve().name, read_shown(Path(frames), every=True)[1]
    else:
        shown = as_frames(frames)
        name = shown[0].get_chemical_formula() if len(shown) == 1 else f"{len(shown)} structures"
    numbers = FrameNumbers(shown)
    of_frames = _frame_properties(shown, numbers)
    of_atoms = _atom_properties(shown)
    axes = _axes(of_frames, numbers, {"x": x, "y": y, "color": color})
    colored = _known(of_atoms, atom_color or "force_sigma", required=atom_color is not None)
    settings = _settings(shown, axes, of_frames, of_atoms, colored, is_moving=numbers.is_one_trajectory)
    content: dict[str, Any] = {
        "structures": shown,
        "properties": of_frames | of_atoms,
        "settings": settings,
        "metadata": {"name": name},
    }
    if of_atoms:
        content["environments"] = [
            (frame, atom, _CUTOFF) for frame, atoms in enumerate(shown) for atom in range(len(atoms))
        ]
    return content


def _settings(
    frames: Sequence[Atoms],
    axes: dict[str, str],
    of_frames: dict[str, dict[str, Any]],
    of_atoms: dict[str, dict[str, Any]],
    colored: str | None,
    *,
    is_moving: bool,
) -> dict[str, Any]:
    """What is shown at first: a structure that is on the map, and colours on one scale for all."""
    structure: dict[str, Any] = {
        "unitCell": any(atoms.cell.rank == 3 for atoms in frames),
        "keepOrientation": is_moving,
        "playbackDelay": 50 if is_moving else 500,
    }
    first = _is_known(of_frames[axes["x"]]["values"]) & _is_known(of_frames[axes["y"]]["values"])
    if colored is not None:
        values = of_atoms[colored]["values"]
        # chemiscope 1.1 loses the colours of all if they do not differ in the structure that it begins with
        varied = first & _varied(frames, values)
        if varied.any():
            first = varied
            ends = {"min": float(values.min()), "max": float(values.max())}
            structure["color"] = {"property": colored, "palette": "viridis"} | ends
    point = {key: {"property": value} for key, value in axes.items()}
    return {
        "map": {**point, "palette": "viridis", "joinPoints": is_moving},
        "structure": [structure],
        "target": "structure",
        "pinned": [int(np.argmax(first))],
    }


def _is_known(values: Sequence[Any] | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames (T,) that have a number, or a word."""
    array = np.asarray(values)
    return np.isfinite(array) if array.dtype.kind == "f" else np.ones(len(array), dtype=bool)


# environments of atoms are drawn this far, Å
_CUTOFF = 3.5


def _frame_properties(frames: Sequence[Atoms], numbers: FrameNumbers) -> dict[str, dict[str, Any]]:
    """Numbers and words that frames differ by; where a frame has none, the map leaves it out."""
    found: dict[str, dict[str, Any]] = {
        "frame": _property(np.arange(float(len(frames))), "", "number, from 0")
    }
    time = numbers.column("time_fs")
    if np.isfinite(time).any():
        found["time_fs"] = _property(time, "fs", "time")
    for quantity in numbers.quantities:
        name = quantity.key.removeprefix("cv:")
        found[name] = _property(numbers.column(quantity.key), quantity.unit, quantity.label)
    for word in _WORDS:
        words = [str(atoms.info.get(word, "")) for atoms in frames]
        if word not in found and any(words) and (word == "source" or len(set(words)) > 1):
            found[word] = _property([text or "unknown" for text in words], "", word.replace("_", " "))
    found["atoms"] = _property([float(len(atoms)) for atoms in frames], "", "number of atoms")
    volumes = [_volume(atoms) for atoms in frames]
    if np.isfinite(volumes).any():
        found["volume"] = _property(volumes, "Å³/atom", "volume")
    return found


def _volume(atoms: Atoms) -> float:
    """Volume of an atom in Å³, NaN without a cell that is periodic in three directions."""
    return float(atoms.get_volume() / len(atoms)) if len(atoms) and atoms.pbc.all() else math.nan


def _atom_properties(frames: Sequence[Atoms]) -> dict[str, dict[str, Any]]:
    """Per-atom scalars that all atoms of all frames have."""
    found = {}
    for scalar in find_scalars(frames):
        values = [scalar.values(atoms) for atoms in frames]
        known = [array for array in values if array is not None]
        if len(known) == len(frames) and np.isfinite(joined := np.concatenate(known)).all():
            found[scalar.key] = _property(joined, scalar.unit, scalar.label, target="atom")
    return found


def _varied(frames: Sequence[Atoms], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Structures (T,) whose atoms do not all have the same value."""
    ends = np.cumsum([len(atoms) for atoms in frames])
    return np.array([len(part) > 0 and np.ptp(part) > 0 for part in np.split(values, ends[:-1])])


def _property(values: Any, units: str, description: str, *, target: str = "structure") -> dict[str, Any]:
    made = {"target": target, "values": values, "description": description}
    return made | ({"units": units} if units else {})


def _axes(
    found: dict[str, dict[str, Any]], numbers: FrameNumbers, asked: dict[str, str | None]
) -> dict[str, str]:
    """Properties for axes and colour: those asked for, else what says most."""
    variables = [quantity.key.removeprefix("cv:") for quantity in numbers.variables]
    time = ["time_fs"] if numbers.is_one_trajectory else []
    usual = {
        "x": [*time, *_X, *variables, "volume", "frame"],
        "y": [*variables, *_Y, "frame"],
        "color": ["generation", *(_X if time else ()), "source", "config_type", "frame"],
    }
    axes: dict[str, str] = {}
    for key, names in usual.items():
        name = asked[key]
        if name is None:
            free = [
                other for other in names if other not in (axes.get("x"), asked["y"] if key == "x" else None)
            ]
            name = next((other for other in free if other in found), "atoms")
        axes[key] = str(_known(found, name, required=True))
    return axes


def _known(found: dict[str, dict[str, Any]], name: str, *, required: bool) -> str | None:
    if name in found:
        return name
    if required:
        raise ValueError(f"no property {name!r} is known of all of them, only {', '.join(found) or 'none'}")
    return None
