"""Labelled frames: reading, checking, summarising and writing them."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, overload

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.formats import string2index
from numpy.typing import NDArray

from ase_mlsample._files import write_atomic
from ase_mlsample.training.deepmd_systems import is_deepmd_folder, read_systems, write_systems
from ase_mlsample.training.labels import Labels, read_labels
from ase_mlsample.training.settings import DataSettings

__all__ = ["Dataset"]

_KEYS = ("REF_energy", "REF_forces", "REF_stress")


class Dataset(Sequence[Atoms]):
    """A checked list of labelled frames.

    The frames are copies without calculator, with the labels under ``info["REF_energy"]`` (eV),
    ``arrays["REF_forces"]`` (eV/Å) and ``info["REF_stress"]`` ((6,), eV/Å³, Voigt xx yy zz yz xz xy).
    Every frame has an energy; forces and stress may be missing. ``info["config_weight"]`` scales a frame in
    the loss (1 where absent); ``info["config_type"]`` names its kind in reports, ``info["dataset"]`` the set
    that it came from.

    Parameters
    ----------
    frames
        Labelled frames.
    energy_key, forces_key, stress_key
        Where other people keep the labels. The names ``energy``, ``free_energy``, ``forces`` and ``stress``
        are also looked up in the frame's calculator, where ASE's readers put them.
    calculator_labels
        Take energy (the free energy where stored), forces and stress from each frame's calculator.

    Raises
    ------
    ValueError
        If there are no frames, or a label is not finite or of wrong shape.
    KeyError
        If a frame has no energy.
    """

    def __init__(
        self,
        frames: Iterable[Atoms],
        *,
        energy_key: str = "REF_energy",
        forces_key: str = "REF_forces",
        stress_key: str = "REF_stress",
        calculator_labels: bool = False,
    ) -> None:
        self._frames: list[Atoms] = []
        self._labels: list[Labels] = []
        for index, atoms in enumerate(frames):
            if not isinstance(atoms, Atoms):
                raise TypeError(f"frame {index} is a {type(atoms).__name__}; a data set holds ase.Atoms")
            keys = (energy_key, forces_key, stress_key)
            if calculator_labels:
                free = atoms.calc is not None and "free_energy" in atoms.calc.results
                keys = ("free_energy" if free else "energy", "forces", "stress")
            labels = read_labels(
                atoms, index=index, energy_key=keys[0], forces_key=keys[1], stress_key=keys[2]
            )
            self._frames.append(_normalised(atoms, labels, drop=keys))
            self._labels.append(labels)
        if not self._frames:
            raise ValueError("the data set is empty; it needs at least one labelled frame")

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        index: str | int = ":",
        energy_key: str = "REF_energy",
        forces_key: str = "REF_forces",
        stress_key: str = "REF_stress",
        calculator_labels: bool = False,
    ) -> Self:
        """Read frames from any file that ASE reads (extxyz, traj), an ase.db or a folder of deepmd-kit's.

        From an ase.db, key-value pairs and the data dictionary count as ``info``; data of shape (N, 3) under
        ``forces_key`` as forces. deepmd-kit's data systems say themselves where their labels are, see
        `from_deepmd`.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError, KeyError
            As for the class; unreadable files raise ValueError.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"the data set {path} does not exist")
        frames: list[Atoms] | Atoms
        if is_deepmd_folder(path):
            if calculator_labels or (energy_key, forces_key, stress_key) != _KEYS:
                raise ValueError(
                    f"{path} is a folder of deepmd-kit's systems, whose labels have no other keys"
                )
            frames = read_systems(path)[_slice(index)]
        elif path.suffix in {".db", ".json"}:
            frames = _read_database(path, forces_key)
        else:
            try:
                frames = ase.io.read(path, index=index)
            except Exception as error:  # each reader raises its own kinds
                raise ValueError(f"{path} cannot be read as a list of frames: {error}") from error
        return cls(
            [frames] if isinstance(frames, Atoms) else frames,
            energy_key=energy_key,
            forces_key=forces_key,
            stress_key=stress_key,
            calculator_labels=calculator_labels,
        )

    @classmethod
    def read_all(cls, sources: "Sequence[DataSettings]") -> Self:
        """Read files and, where there are several or one has a weight or a name, `combine` them.

        Raises
        ------
        ValueError
            If there is no source, or two have the same name.
        """
        if not sources:
            raise ValueError("no data are given; name at least one file of labelled frames")
        keys = {"energy_key", "forces_key", "stress_key", "calculator_labels"}
        sets = [cls.read(source.path, **source.model_dump(include=keys)) for source in sources]
        only = sources[0]
        if len(sources) == 1 and only.name is None and only.weight == 1.0:
            return sets[0]
        names = [source.name or source.path.stem for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"sets of data must have different names, not {', '.join(names)}; set `name`")
        weights = [source.weight for source in sources]
        return cls.combine(dict(zip(names, zip(sets, weights, strict=True), strict=True)))

    @classmethod
    def from_deepmd(
        cls,
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        type_map: Sequence[str] | None = None,
    ) -> Self:
        """Read deepmd-kit's data systems (npy): ``type.raw`` and, in each ``set.*``, coord, box, energy, ….

        Virials become stresses, -virial / V. Systems of mixed types are read too. Where several systems are
        read, ``config_type`` names the folder of each.

        Parameters
        ----------
        path
            A system, or a folder with systems at any depth, or several of these.
        type_map
            Elements by type index, for systems without a ``type_map.raw``.

        Raises
        ------
        FileNotFoundError
            If a folder, a coordinate, box or energy file is missing.
        ValueError
            If files do not fit together, types are not elements, or energies depend on more than the atoms.

        References
        ----------
        deepmd-kit 3, documentation, "System".
        """
        return cls(read_systems(path, type_map=type_map))

    def to_deepmd(
        self,
        folder: str | os.PathLike[str],
        *,
        type_map: Sequence[str] | None = None,
        dtype: str = "float64",
    ) -> list[Path]:
        """Write deepmd-kit's data systems (npy) into a new folder, which appears whole or not at all.

        Frames with the same elements in the same order, the same periodicity and the same kinds of labels
        share a system. ``config_type`` and other ``info`` have no place in that format.

        Parameters
        ----------
        folder
            Where to; it must not hold anything yet.
        type_map
            Elements in the order of the types; default: :attr:`symbols`.
        dtype
            "float64" or "float32"; energies are always in double precision.

        Returns
        -------
        list of Path
            The systems' folders, named after their formulas.

        Raises
        ------
        FileExistsError
            If the folder holds something.
        ValueError
            For frames periodic in some directions only, or with a weight other than 1.
        """
        elements = self.symbols if type_map is None else tuple(type_map)
        return write_systems(self._frames, self._labels, folder, type_map=elements, dtype=dtype)

    @classmethod
    def combine(cls, sets: "Mapping[str, Dataset | tuple[Dataset, float]]") -> Self:
        """One set of several, each with a name and, where given, a weight.

        The name goes to ``info["dataset"]`` (a training then gives errors for each set too), the weight
        multiplies ``info["config_weight"]``: a frame of weight 2 counts as two of weight 1. A set may lack
        forces or stress. ``a + b`` joins sets as they are.

        Parameters
        ----------
        sets
            ``{"name": dataset, "other": (dataset, weight)}``.

        Raises
        ------
        ValueError
            If there are no sets, or a weight is negative or not finite.
        TypeError
            If something is not a data set.
        """
        frames = []
        for name, entry in sets.items():
            dataset, weight = entry if isinstance(entry, tuple) else (entry, 1.0)
            if not isinstance(dataset, Dataset):
                raise TypeError(f"the set {name!r} is a {type(dataset).__name__}, not a Dataset")
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of the set {name!r} is {weight!r}; it must not be negative")
            for atoms, labels in zip(dataset, dataset.labels, strict=True):
                frame = atoms.copy()
                frame.info["dataset"] = name
                frame.info["config_weight"] = labels.weight * float(weight)
                frames.append(frame)
        return cls(frames)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the set as extended XYZ under the standard keys; the file appears whole or not at all.

        Raises
        ------
        ValueError
            If the name does not end in ``.xyz`` or ``.extxyz``: other formats drop the labels.
        """
        path = Path(path)
        if path.suffix not in {".xyz", ".extxyz"}:
            raise ValueError(
                f"a data set is written as .extxyz or .xyz, not {path.suffix!r}: others drop labels"
            )
        text = io.StringIO()
        ase.io.write(text, self._frames, format="extxyz")
        write_atomic(path, text.getvalue().encode())

    @overload
    def __getitem__(self, index: int) -> Atoms: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Atoms | Dataset":
        if isinstance(index, slice):
            return self.subset(range(*index.indices(len(self))))
        return self._frames[index]

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Atoms]:
        return iter(self._frames)

    def __add__(self, other: "Dataset") -> "Dataset":
        if not isinstance(other, Dataset):
            return NotImplemented
        return Dataset([*self._frames, *other._frames])

    def __repr__(self) -> str:
        forces = sum(labels.forces is not None for labels in self._labels)
        stress = sum(labels.stress is not None for labels in self._labels)
        return (
            f"Dataset({len(self)} frames of {'-'.join(self.symbols)}, {int(self.n_atoms.sum())} atoms, "
            f"forces on {forces}, stress on {stress})"
        )

    def subset(self, indices: Iterable[int]) -> "Dataset":
        """The frames with the given indices, in that order (ValueError if there are none)."""
        return Dataset([self._frames[index] for index in indices])

    @property
    def labels(self) -> Sequence[Labels]:
        """The labels of every frame."""
        return tuple(self._labels)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The elements present, by atomic number."""
        present = {symbol for atoms in self._frames for symbol in set(atoms.get_chemical_symbols())}
        return tuple(sorted(present, key=lambda symbol: atomic_numbers[symbol]))

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """(S,) atoms in each frame."""
        return np.array([len(atoms) for atoms in self._frames], dtype=np.int64)

    @property
    def energies(self) -> NDArray[np.float64]:
        """(S,) energies in eV."""
        return np.array([labels.energy for labels in self._labels])

    @property
    def weights(self) -> NDArray[np.float64]:
        """(S,) ``config_weight`` of each frame."""
        return np.array([labels.weight for labels in self._labels])

    @property
    def config_types(self) -> tuple[str, ...]:
        """(S,) ``config_type`` of each frame ("" where absent)."""
        return tuple(str(atoms.info.get("config_type", "")) for atoms in self._frames)

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """(S,) name of the set that each frame came from, ``info["dataset"]`` ("" where absent)."""
        return tuple(str(atoms.info.get("dataset", "")) for atoms in self._frames)

    def composition(self, symbols: Sequence[str]) -> NDArray[np.float64]:
        """(S, len(symbols)) atoms of each element in each frame.

        Raises
        ------
        ValueError
            If a frame holds an element that is not among `symbols`.
        """
        missing = [symbol for symbol in self.symbols if symbol not in symbols]
        if missing:
            raise ValueError(
                f"the data set holds {', '.join(missing)}, for which the model has no parameters; "
                f"it covers {', '.join(symbols)}"
            )
        numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
        return np.array(
            [(atoms.numbers[:, None] == numbers).sum(axis=0) for atoms in self._frames], dtype=float
        )


def _normalised(atoms: Atoms, labels: Labels, *, drop: Sequence[str]) -> Atoms:
    """A copy without calculator, its labels under the standard keys only."""
    copy = atoms.copy()
    copy.calc = None
    for key in drop:
        copy.info.pop(key, None)
        if key in copy.arrays and key not in {"numbers", "positions"}:
            del copy.arrays[key]
    copy.info["REF_energy"] = labels.energy
    for store, key, value in (
        (copy.arrays, "REF_forces", labels.forces),
        (copy.info, "REF_stress", labels.stress),
    ):
        store.pop(key, None)
        if value is not None:
            store[key] = value
    return copy


def _slice(index: str | int) -> slice | int:
    return index if isinstance(index, int) else string2index(index)


def _read_database(path: Path, forces_key: str) -> list[Atoms]:
    frames = []
    with ase.db.connect(path) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            data = dict(row.data)
            forces = data.pop(forces_key, None)
            if forces is not None:
                atoms.arrays[forces_key] = np.asarray(forces)
            atoms.info.update(data)
            frames.append(atoms)
    return frames
