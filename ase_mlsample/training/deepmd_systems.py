"""Data systems of deepmd-kit: folders of npy arrays, one for each list of atom types."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ase_mlsample.calculators.structures import right_handed
from ase_mlsample.training.labels import Labels

__all__ = ["find_systems", "is_deepmd_folder", "read_systems", "write_systems"]

#: Inputs besides the atoms on which the energies of a system depend; the models here have none.
_FURTHER_INPUTS = ("fparam", "aparam", "spin", "charge_spin")
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])

Array = NDArray[Any]


def is_deepmd_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with data systems in it."""
    return Path(path).is_dir() and next(Path(path).rglob("type.raw"), None) is not None


def find_systems(path: str | os.PathLike[str]) -> list[Path]:
    """Return the folders that hold a ``type.raw``: the path itself, or any below it, sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no system in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"{folder} {what}; a folder of deepmd-kit data systems is needed")
    found = sorted(file.parent for file in folder.rglob("type.raw"))
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no deepmd-kit data system: there is no type.raw in or below it"
        )
    return found


def read_systems(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    type_map: Sequence[str] | None = None,
) -> list[Atoms]:
    """Frames of data systems, with the labels that they have.

    Parameters
    ----------
    paths : path, or iterable of paths
        Systems, or folders with systems at any depth.
    type_map : sequence of str, optional
        Elements by type index, for systems without a ``type_map.raw`` of their own.

    Returns
    -------
    list of Atoms
        With ``info["REF_energy"]`` (eV), ``arrays["REF_forces"]`` (eV/Å) and ``info["REF_stress"]`` (3 × 3,
        eV/Å³, minus the virial by the volume); ``info["config_type"]`` is the folder where there are several.

    Raises
    ------
    FileNotFoundError
        If a folder or a file that a system must have is missing.
    ValueError
        If files of a system do not fit together, its types have no elements, its energies depend on more than
        the atoms, or the given folders overlap.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise ValueError("no folders are given; name at least one deepmd-kit data system")
    systems = [system for path in listed for system in find_systems(path)]
    resolved = [system.resolve() for system in systems]
    if repeated := sorted({str(path) for path in resolved if resolved.count(path) > 1}):
        raise ValueError(
            f"{', '.join(repeated)} would be read more than once: the given folders overlap, name each once"
        )
    frames = []
    for system in systems:
        named = _read_system(system, type_map)
        for atoms in named if len(systems) > 1 else ():
            atoms.info["config_type"] = system.name
        frames += named
    return frames


def _read_system(system: Path, type_map: Sequence[str] | None) -> list[Atoms]:
    try:
        types = np.array([int(word) for word in (system / "type.raw").read_text().split()], dtype=int)
    except ValueError as error:
        raise ValueError(f"{system / 'type.raw'} does not hold one whole number an atom: {error}") from error
    if len(types) == 0:
        raise ValueError(f"{system / 'type.raw'} is empty: a system needs at least one atom")
    elements = _elements(system, type_map)
    folders = sorted(folder for folder in system.glob("set.*") if folder.is_dir())
    if not folders:
        raw = " (its .raw text files can be converted with dpdata)" if (system / "coord.raw").exists() else ""
        raise FileNotFoundError(f"{system} has a type.raw but no set.* folder of npy arrays{raw}")
    periodic = not (system / "nopbc").is_file()
    return [atoms for folder in folders for atoms in _read_set(folder, types, elements, periodic)]


def _elements(system: Path, given: Sequence[str] | None) -> NDArray[np.int64]:
    """Atomic numbers by type index."""
    file = system / "type_map.raw"
    if file.is_file():
        names = file.read_text().split()
    elif given is not None:
        names = list(given)
    else:
        raise ValueError(
            f"{system} has no type_map.raw, so nothing says which elements its types are: "
            "give type_map=[...] in the order of the types"
        )
    unknown = [name for name in names if name not in atomic_numbers or name == "X"]
    if unknown or not names:
        raise ValueError(
            f"the types {unknown} of {system} are no chemical elements; "
            "a data set of atoms needs one in every line of type_map.raw"
        )
    return np.array([atomic_numbers[name] for name in names])


def _read_set(folder: Path, types: NDArray[np.int64], elements: Array, periodic: bool) -> list[Atoms]:
    n_atoms = len(types)
    coordinates = _array(folder, "coord", n_atoms * 3, required=True)
    assert coordinates is not None  # noqa: S101 - required
    n_frames = len(coordinates)
    for name in _FURTHER_INPUTS:
        if (folder / f"{name}.npy").exists():
            raise ValueError(
                f"{folder} has {name}.npy: its energies depend on more than the atoms, which no model here "
                "can learn; remove the file if it is the same in every frame"
            )
    boxes = _array(folder, "box", 9, n_frames, required=periodic)
    energies = _array(folder, "energy", 1, n_frames, required=True)
    forces = _array(folder, "force", n_atoms * 3, n_frames)
    virials = _array(folder, "virial", 9, n_frames)
    mixed = _array(folder, "real_atom_types", n_atoms, n_frames)
    assert energies is not None  # noqa: S101 - required
    frames = []
    for index in range(n_frames):
        of_frame = types if mixed is None else mixed[index].astype(int)
        # mixed systems are filled up with atoms of type -1
        real = np.flatnonzero(of_frame != -1) if mixed is not None else np.arange(n_atoms)
        atoms = Atoms(
            _numbers(of_frame[real], elements, folder),
            positions=coordinates[index].reshape(-1, 3)[real],
            cell=None if boxes is None else boxes[index].reshape(3, 3),
            pbc=periodic,
        )
        atoms.info["REF_energy"] = float(energies[index, 0])
        if forces is not None:
            atoms.arrays["REF_forces"] = forces[index].reshape(-1, 3)[real]
        if virials is not None:
            atoms.info["REF_stress"] = _stress(virials[index].reshape(3, 3), atoms, folder, index)
        frames.append(atoms)
    return frames


def _numbers(types: NDArray[np.int64], elements: Array, folder: Path) -> Array:
    if len(types) and types.max() >= len(elements):
        known = ", ".join(f"{index} {chemical_symbols[z]}" for index, z in enumerate(elements))
        raise ValueError(
            f"{folder} has atoms of type {types.max()}; the type map ends with {len(elements) - 1} ({known})"
        )
    if len(types) and types.min() < 0:
        raise ValueError(
            f"{folder} has atoms of type {types.min()}; types begin with 0, and only systems of mixed types "
            "(with real_atom_types.npy) are filled up with -1"
        )
    numbers: Array = elements[types]
    return numbers


def _array(
    folder: Path, name: str, width: int, n_frames: int | None = None, *, required: bool = False
) -> NDArray[np.float64] | None:
    """An array (frames, width) in double precision."""
    file = folder / f"{name}.npy"
    if not file.is_file():
        if required:
            raise FileNotFoundError(f"{folder} has no {name}.npy, which every set of this kind needs")
        return None
    try:
        values = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file} is no npy array, or is cut short: {error}") from error
    if n_frames is None:  # one frame may be written without its axis
        n_frames = 1 if values.ndim == 1 else len(values)
    if values.size != n_frames * width or (values.ndim > 1 and len(values) != n_frames):
        raise ValueError(
            f"{file} has shape {values.shape}; {n_frames} frames of this system need ({n_frames}, {width})"
        )
    try:
        return np.asarray(values, dtype=np.float64).reshape(n_frames, width)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} holds {values.dtype}, no numbers") from error


def _stress(virial: Array, atoms: Atoms, folder: Path, index: int) -> Array:
    if atoms.cell.rank < 3:
        raise ValueError(
            f"frame {index} of {folder} has a virial but no box with a volume, so there is no stress: "
            "remove virial.npy or add the box"
        )
    stress: Array = -virial / atoms.get_volume()
    return stress


def write_systems(
    frames: Sequence[Atoms],
    labels: Sequence[Labels],
    folder: str | os.PathLike[str],
    *,
    type_map: Sequence[str],
    dtype: str = "float64",
) -> list[Path]:
    """Write frames as data systems, one for each list of elements, periodicity and kind of labels.

    Left-handed cell vectors, which deepmd-kit refuses, are written with the opposite sign: the same lattice.

    Parameters
    ----------
    frames, labels
        Of a data set.
    folder : path
        Made here; one that exists must be empty.
    type_map : sequence of str
        Elements in the order of the types.
    dtype : str
        "float64" or "float32" (energies stay in double precision).

    Returns
    -------
    list of Path
        The systems' folders, named after their formulas.

    Raises
    ------
    FileExistsError
        If the folder holds something: systems of two sets would mix.
    ValueError
        For frames that deepmd-kit cannot express: periodic in some directions only, or weighted.
    """
    folder = Path(folder)
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', not {dtype!r}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something already; name a new folder for the systems")
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, (atoms, label) in enumerate(zip(frames, labels, strict=True)):
        _require_expressible(atoms, label, index, type_map)
        boxed = atoms.cell.rank == 3
        key = (
            atoms.numbers.tobytes(),
            bool(atoms.pbc.all()),
            boxed,
            label.forces is None,
            label.stress is None,
        )
        groups.setdefault(key, []).append(index)
    # whole or absent: what is half written stays under a name of its own, and is removed
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    names: list[str] = []
    try:
        for indices in groups.values():
            names.append(_name(frames[indices[0]], names))
            members = [(frames[i], labels[i]) for i in indices]
            _write_system(temporary / names[-1], members, list(type_map), np.dtype(dtype))
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in names]


def _require_expressible(atoms: Atoms, label: Labels, index: int, type_map: Sequence[str]) -> None:
    where = f"frame {index} ({atoms.get_chemical_formula()})"
    if atoms.pbc.any() and not atoms.pbc.all():
        raise ValueError(
            f"{where} is periodic in some directions only, which deepmd-kit's data cannot say: add vacuum "
            "wider than the models' cutoff along the others and set atoms.pbc = True"
        )
    if atoms.pbc.all() and atoms.cell.rank < 3:
        raise ValueError(f"{where} is periodic but lacks three independent cell vectors")
    if label.weight != 1.0:
        raise ValueError(
            f"{where} has the config_weight {label.weight}; deepmd-kit's data have no weights of frames: "
            "set them to 1 or leave the frame out"
        )
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(type_map))
    if foreign:
        raise ValueError(f"{where} has {', '.join(foreign)}, which the type map {list(type_map)} lacks")


def _name(atoms: Atoms, taken: Sequence[str]) -> str:
    name = atoms.get_chemical_formula()
    others = sum(other.partition("_")[0] == name for other in taken)
    return f"{name}_{others + 1}" if others else name


def _write_system(
    system: Path, members: Sequence[tuple[Atoms, Labels]], type_map: list[str], dtype: np.dtype[Any]
) -> None:
    first, label = members[0]
    folder = system / "set.000"
    folder.mkdir(parents=True)
    types = [type_map.index(symbol) for symbol in first.get_chemical_symbols()]
    (system / "type.raw").write_text("".join(f"{index}\n" for index in types))
    (system / "type_map.raw").write_text("".join(f"{symbol}\n" for symbol in type_map))
    if not first.pbc.all():
        (system / "nopbc").touch()
    arrays = {"coord": [atoms.positions.reshape(-1) for atoms, _ in members]}
    if first.cell.rank == 3:
        arrays["box"] = [right_handed(atoms.cell.array).reshape(-1) for atoms, _ in members]
    if label.forces is not None:
        arrays["force"] = [np.ravel(np.asarray(labels.forces)) for _, labels in members]
    if label.stress is not None:
        arrays["virial"] = [_virial(labels.stress, atoms) for atoms, labels in members]
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.array(values, dtype=dtype))
    np.save(folder / "energy.npy", np.array([labels.energy for _, labels in members]))


def _virial(stress: Array | None, atoms: Atoms) -> Array:
    return np.asarray(-atoms.get_volume() * np.asarray(stress)[_VOIGT].reshape(-1))
