"""Free energies as files: text that plots directly and that PLUMED's tools know, or NumPy's npz."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ase_mlsample._files import write_atomic
from ase_mlsample.analysis.free_energy import FreeEnergy

__all__ = ["read_free_energy", "write_free_energy"]


def write_free_energy(path: str | Path, F: FreeEnergy, *, names: Sequence[str], unit: str) -> None:
    """Write a free energy; whatever happens, the file holds the old or all of the new.

    Parameters
    ----------
    path : str or Path
        ``.npz``: arrays ``axis0`` …, ``values``, ``errors``, ``kT``, ``names``, ``unit``, ``domains`` (NaN:
        not periodic). Else text in the format of PLUMED's grids: the variables, F, its error where known.
    F : FreeEnergy
    names : sequence of str
        Of the variables.
    unit : str
        Of F.

    Raises
    ------
    ValueError
        For another number of names than of variables.
    """
    if len(names) != len(F.axes):
        raise ValueError(f"a free energy of {len(F.axes)} variables needs as many names, got {names!r}")
    target = Path(path)
    write_atomic(target, _npz(F, names, unit) if target.suffix == ".npz" else _text(F, names, unit).encode())


def read_free_energy(path: str | Path) -> tuple[FreeEnergy, tuple[str, ...], str]:
    """Read an ``.npz`` of :func:`write_free_energy`: the free energy, names of its variables, its unit.

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For another file.
    """
    content = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            names = tuple(str(name) for name in file["names"])
            axes = tuple(file[f"axis{k}"] for k in range(len(names)))
            domains = tuple(
                None if np.isnan(low) else (float(low), float(high)) for low, high in file["domains"]
            )
            errors = file["errors"] if "errors" in file.files else None
            F = FreeEnergy(axes, file["values"], float(file["kT"]), domains, errors=errors)
            return F, names, str(file["unit"])
    except Exception as error:  # zip archives and arrays raise many kinds when their bytes are wrong
        raise ValueError(f"{path} is no free energy of ours in npz, or is damaged ({error})") from error


def _npz(F: FreeEnergy, names: Sequence[str], unit: str) -> bytes:
    arrays = {f"axis{k}": axis for k, axis in enumerate(F.axes)}
    arrays |= {"values": F.values, "kT": np.array(F.kT), "names": np.array(names), "unit": np.array(unit)}
    arrays["domains"] = np.array([(np.nan, np.nan) if domain is None else domain for domain in F.domains])
    if F.errors is not None:
        arrays["errors"] = F.errors
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _text(F: FreeEnergy, names: Sequence[str], unit: str) -> str:
    columns = [*names, "free", *(["error"] if F.errors is not None else [])]
    lines = [f"#! FIELDS {' '.join(columns)}"]
    for name, axis, domain in zip(names, F.axes, F.domains, strict=True):
        low, high = (axis[0], axis[-1]) if domain is None else domain
        bins = len(axis) - (domain is None)
        settings = {"min": f"{low:.12g}", "max": f"{high:.12g}", "nbins": bins}
        settings["periodic"] = "false" if domain is None else "true"
        lines += [f"#! SET {key}_{name} {value}" for key, value in settings.items()]
    lines.append(f"# free energy in {unit}, kT = {F.kT:.10g} {unit}")
    previous = None
    for index in itertools.product(*(range(len(axis)) for axis in F.axes)):
        if previous is not None and len(index) > 1 and index[0] != previous:
            lines.append("")  # a new block, for gnuplot
        previous = index[0]
        numbers = [axis[k] for axis, k in zip(F.axes, index, strict=True)]
        numbers += [F.values[index], *([F.errors[index]] if F.errors is not None else [])]
        lines.append(" ".join(f"{number: .9g}" for number in numbers))
    return "\n".join([*lines, ""])
