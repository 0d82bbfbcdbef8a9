"""deepmd-kit's own models, evaluated by deepmd-kit, as one of the package's calculators."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.deepmd_files import NATIVE_SUFFIXES, require_deepmd
from ase_mlsample.calculators.prediction import Calibration, Prediction, mean_over_members
from ase_mlsample.calculators.structures import (
    checked_frames,
    element_names,
    naming,
    right_handed,
    volume_of,
)

__all__ = ["DeepmdEnsemble"]

_VOIGT = np.array([0, 4, 8, 5, 2, 1])
#: How much wider than the cutoff the gap is between atoms and their images that must not see each other, Å.
_MARGIN = 0.1

Array = NDArray[np.float64]


class DeepmdEnsemble(MLCalculator):
    """Models of deepmd-kit 3 of any descriptor, as members of an ensemble.

    deepmd-kit itself knows two periodicities, all directions or none. Structures that are periodic in one or
    two directions are given to it in a cell that is wider than atoms and cutoff together along the others, so
    that no atom has a neighbour there. Structures with the same elements are evaluated in one call of the
    model. Where an atom has more neighbours of an element than the ``sel`` of the model, deepmd-kit leaves
    the farthest ones out.

    Parameters
    ----------
    files : path, or sequence of paths
        Frozen models (``.pb``, ``.pth``) or checkpoints (``.pt``), one a member, compressed or not, for the
        same elements in any order.
    calibration : Calibration, optional
        Factors that ``get_spread().calibrated`` applies.

    Raises
    ------
    ImportError
        If deepmd-kit is not installed.
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file is no model that gives forces, a model names no elements, needs inputs besides the atoms,
        or is for other elements than the first.

    Examples
    --------
    >>> calc = DeepmdEnsemble(["graph.0.pb", "graph.1.pb"])  # doctest: +SKIP
    >>> calc.get_spread(atoms).force_sigma  # doctest: +SKIP
    """

    implemented_properties: list[str] = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        listed = [files] if isinstance(files, str | os.PathLike) else list(files)
        if not listed:
            raise ValueError("no model files are given; name one for each member")
        self._files = [Path(path).absolute() for path in listed]
        self._calibration = calibration or Calibration()
        self.parameters = {"files": [str(path) for path in self._files]}
        self._load()

    @property
    def n_members(self) -> int:
        """Number of models."""
        return len(self._files)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Elements, in the order of the first model's types."""
        return tuple(self._models[0].get_type_map())

    @property
    def cutoff(self) -> float:
        """Å; the longest of the models."""
        return max(float(model.get_rcut()) for model in self._models)

    @property
    def calibration(self) -> Calibration:
        """Factors that the calibrated spread is multiplied by."""
        return self._calibration

    @property
    def supports_spread(self) -> bool:
        """Whether there are at least two models."""
        return self.n_members > 1

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        """Energy, forces and, where the cell has a volume, stress.

        Parameters
        ----------
        atoms : Atoms
            Any structure of the models' elements; it is not changed.
        members : bool
            Give the spread and every member's energy, forces and stress too.

        Raises
        ------
        ValueError
            For unknown elements, NaN, periodicity along dependent vectors, or `members` of a single model.
        """
        return self.evaluate_many([atoms], members=members)[0]

    def evaluate_many(self, frames: Iterable[Atoms], members: bool = False) -> list[Prediction]:
        """Evaluate structures; those with the same elements in the same order go to deepmd-kit together.

        Parameters
        ----------
        frames : iterable of Atoms
        members : bool
            As for :meth:`evaluate`.

        Raises
        ------
        TypeError, ValueError
            For a single ``Atoms``, and as :meth:`evaluate`, naming the structure.
        """
        if members and not self.supports_spread:
            raise ValueError(
                "a spread needs at least two members, this ensemble has 1 model: give more files"
            )
        checked = checked_frames(frames)
        groups: dict[tuple[bytes, bool], list[int]] = {}
        boxes: list[Array | None] = []
        for index, atoms in enumerate(checked):
            with naming(index if len(checked) > 1 else None, atoms):
                self._require_evaluable(atoms)
                boxes.append(_box(atoms, self.cutoff + _MARGIN))
            groups.setdefault((atoms.numbers.tobytes(), boxes[-1] is None), []).append(index)
        found: dict[int, Prediction] = {}
        for indices in groups.values():
            group = [checked[index] for index in indices]
            predictions = self._evaluate_group(group, [boxes[index] for index in indices], members)
            found |= dict(zip(indices, predictions, strict=True))
        return [found[index] for index in range(len(checked))]

    def _require_evaluable(self, atoms: Atoms) -> None:
        foreign = atoms.numbers[~np.isin(atoms.numbers, list(self._types[0]))]
        if len(foreign):
            raise ValueError(
                f"the models are for {', '.join(self.symbols)}, "
                f"but the structure has {element_names(foreign)}"
            )
        partly = atoms.pbc.any() and not atoms.pbc.all()
        if partly and any(getattr(model.deep_eval, "dm", None) for model in self._models):
            raise ValueError(
                "a model with long-range electrostatics is periodic in all directions or none; the structure "
                f"is along {atoms.pbc.tolist()}: give it a full cell with pbc=True, or pbc=False"
            )

    def _evaluate_group(
        self, frames: Sequence[Atoms], boxes: Sequence[Array | None], members: bool
    ) -> list[Prediction]:
        coordinates = np.array([atoms.positions.reshape(-1) for atoms in frames])
        cells = None if boxes[0] is None else np.array([np.ravel(np.asarray(box)) for box in boxes])
        found = []
        with self._lock:  # deepmd-kit's evaluators are not made for several threads
            for model, types in zip(self._models, self._types, strict=True):
                numbers = [types[number] for number in frames[0].numbers.tolist()]
                found.append(model.eval(coordinates, cells, numbers)[:3])
        energies, forces, virials = (np.array(parts, dtype=float) for parts in zip(*found, strict=True))
        shape = (len(self._models), len(frames))
        return [
            self._prediction(
                atoms,
                energies.reshape(shape)[:, k],
                forces.reshape(*shape, -1, 3)[:, k],
                virials.reshape(*shape, 9)[:, k],
                members,
            )
            for k, atoms in enumerate(frames)
        ]

    def _prediction(
        self, atoms: Atoms, energies: Array, forces: Array, virials: Array, members: bool
    ) -> Prediction:
        volume = volume_of(atoms)
        stress = None
        if volume is not None:
            matrices = virials.reshape(-1, 3, 3)
            symmetric = 0.5 * (matrices + matrices.transpose(0, 2, 1))
            stress = -symmetric.reshape(-1, 9)[:, _VOIGT] / volume
        if members:
            return Prediction.from_members(energies, forces, stress=stress, calibration=self._calibration)
        mean_stress = None if stress is None else mean_over_members(stress)
        mean_energy = float(mean_over_members(energies))
        return Prediction(energy=mean_energy, forces=mean_over_members(forces), stress=mean_stress)

    def _load(self) -> None:
        self._lock = Lock()
        infer = require_deepmd("deepmd.infer", "evaluating deepmd-kit's models")
        self._models = [_model(infer.DeepPot, path) for path in self._files]
        self._types = [
            {atomic_numbers[symbol]: index for index, symbol in enumerate(model.get_type_map())}
            for model in self._models
        ]
        for path, types in zip(self._files, self._types, strict=True):
            if set(types) != set(self._types[0]):
                raise ValueError(
                    f"{path} is for {element_names(list(types))}, {self._files[0]} for "
                    f"{element_names(list(self._types[0]))}: members must be for the same elements"
                )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_models"], state["_types"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()


def _model(evaluator: Any, path: Path) -> Any:
    """A model that gives the energies and forces of atoms alone, whose types are elements."""
    if not path.exists():
        raise FileNotFoundError(f"there is no model file {path}")
    if path.suffix in NATIVE_SUFFIXES:
        raise ValueError(
            f"{path} is in deepmd-kit's portable format, which deepmd-kit evaluates without forces: make a "
            ".pth or .pb of it with `dp convert-backend`, or convert it with model_from_deepmd"
        )
    try:
        model = evaluator(str(path))
    except Exception as error:  # whatever its backends raise
        raise ValueError(
            f"deepmd-kit cannot load {path} as an energy model ({type(error).__name__}: {error})"
        ) from error
    type_map = list(model.get_type_map() or ())
    unknown = [name for name in type_map if atomic_numbers.get(name, 0) == 0]
    if unknown or not type_map:
        what = f"the types {unknown} of {path} are no elements" if unknown else f"{path} has no type_map"
        raise ValueError(
            f"{what}, so it is not known which atoms it is for: train with a type_map of elements"
        )
    inputs = {
        "frame parameters": model.get_dim_fparam(),
        "atomic parameters": model.get_dim_aparam(),
        "spins": model.get_ntypes_spin(),
    }
    needed = [name for name, number in inputs.items() if number]
    if needed:
        raise ValueError(
            f"{path} needs {' and '.join(needed)} besides the atoms, which ASE's Atoms do not hold"
        )
    return model


def _box(atoms: Atoms, gap: float) -> Array | None:
    """The cell for a code that knows full periodicity only; None without any periodicity.

    Along a direction that is not periodic the vector is replaced by one at right angles to all others, as
    long as the atoms extend and `gap` besides: no atom is then within `gap` of an image along it.
    """
    pbc = atoms.pbc
    if not pbc.any():
        return None
    cell: Array = atoms.cell.array.copy()
    periodic = cell[pbc]
    if np.linalg.matrix_rank(periodic, tol=1e-8) < len(periodic):
        raise ValueError(
            "the structure is periodic along dependent or missing vectors: "
            f"cell {cell.tolist()}, pbc {pbc.tolist()}"
        )
    if not pbc.all():
        # the last columns of Q are orthonormal and at right angles to the periodic vectors
        normals = np.linalg.qr(periodic.T, mode="complete").Q.T[len(periodic) :]
        extents = np.ptp(atoms.positions @ normals.T, axis=0)
        cell[~pbc] = normals * (extents + gap)[:, np.newaxis]
    return right_handed(cell)
