"""What ensembles of networks on the neighbours of atoms have in common, as ASE calculators."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.calculators.ani_graph import (
    Graph,
    MemberSums,
    Neighbors,
    batches,
    concatenate,
    place,
    species_table,
)
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Calibration, Prediction
from ase_mlsample.calculators.structures import checked_frames, require_finite, volume_of

if TYPE_CHECKING:
    from ase_mlsample._core import NeighborList
    from ase_mlsample.calculators.repulsion import Repulsion

__all__ = ["NetworkEnsemble", "Runtime"]

#: Of a flattened 3 × 3 matrix and of its transpose, the entries xx yy zz yz xz xy.
_ROWS_FIRST, _COLUMNS_FIRST = np.array([0, 4, 8, 5, 2, 1]), np.array([0, 4, 8, 7, 6, 3])


class _Model(Protocol):
    """Networks and all that belongs to them, as data."""

    self_energies: dict[str, float]
    repulsion: Repulsion | None
    calibration: Calibration

    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def n_members(self) -> int: ...
    @property
    def cutoff(self) -> float: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self: ...


class _Backend(Protocol):
    def evaluate(self, graph: Graph, *, members: bool) -> MemberSums: ...


class _Placed(Protocol):
    def __call__(
        self, species: NDArray[np.int32], neighbors: NeighborList, *, members: bool
    ) -> MemberSums: ...


class Runtime(NamedTuple):
    """What is not part of a calculator's state: kernels, and neighbour lists that no thread is using.

    Parameters
    ----------
    backend : object
        With `evaluate(graph, members=...)`.
    placed : callable or None
        The same for one structure without a graph of all pairs, if that is possible.
    lists : list
        Of `Neighbors`.
    """

    backend: _Backend
    placed: _Placed | None
    lists: list[Neighbors]


class NetworkEnsemble(MLCalculator):
    """Ensembles whose members give atoms energies by their neighbours within a cutoff.

    Subclasses say how a model is loaded and which kernels evaluate it.

    Parameters
    ----------
    model : object
        Networks and all that belongs to them.
    device : str
        "cpu", or a CUDA device as torch names it; on CUDA the torch backend is used.
    dtype : str
        "float32" or "float64".
    backend : str
        "native" or "torch".
    with_spread : bool
        Evaluate all members each time, so that a spread at every step costs no second evaluation.

    Raises
    ------
    ValueError
        For an unknown device, dtype or backend, or a spread of one member.
    TypeError
        For a path instead of a model: `load` reads files.
    """

    model: _Model

    def __init__(
        self,
        model: _Model,
        *,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        backend: Literal["native", "torch"] = "native",
        with_spread: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(model, str | os.PathLike):
            raise TypeError(f"a model is needed, not a path: use {self._label}.load({os.fspath(model)!r})")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
        if backend not in ("native", "torch"):
            raise ValueError(f"backend must be 'native' or 'torch', not {backend!r}")
        _check_device(device)
        self.model = model
        self.device = device
        self.dtype = dtype
        self.backend = "torch" if device != "cpu" else backend
        self.parameters = {"elements": list(model.symbols), "members": model.n_members, "dtype": dtype}
        self._symbols = model.symbols
        self._table = species_table(model.symbols)
        self._self_energies = np.array([model.self_energies[symbol] for symbol in model.symbols])
        self._runtime: Runtime | None = None
        self._lock = Lock()  # the kernels let other Python threads run
        self._check_members(with_spread)
        self.with_spread = with_spread

    def __getstate__(self) -> dict[str, Any]:
        # Kernels and neighbour lists are made anew where they are needed.
        state = self.__dict__ | {"_runtime": None}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        backend: Literal["native", "torch"] = "native",
        with_spread: bool = False,
    ) -> Self:
        """Read a model file (safetensors); no code from the file is run.

        Parameters
        ----------
        path : str or path
            The file.
        device, dtype, backend, with_spread
            As for the class.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is corrupt, of another program or kind, newer than this package, or incomplete.
        """
        model = cls._model_class().load(path)
        return cls(model, device=device, dtype=dtype, backend=backend, with_spread=with_spread)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file atomically: the path holds the old file or the whole new one.

        Parameters
        ----------
        path : str or path
            Usually with the suffix .safetensors; the weights are written as the model has them, whatever the
            dtype of the calculator.

        Raises
        ------
        ValueError
            If the model holds NaN.
        OSError
            If the file cannot be written.
        """
        self.model.save(path)

    @property
    def n_members(self) -> int:
        """Number of ensemble members."""
        return self.model.n_members

    @property
    def supports_spread(self) -> bool:
        """Whether there are at least two members."""
        return self.n_members > 1

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        """Energy, forces and stress of one structure.

        Parameters
        ----------
        atoms : Atoms
            Any structure of the model's elements; it is not changed.
        members : bool
            Give the spread and every member's energy, forces and stress too.

        Raises
        ------
        ValueError
            For unknown elements, NaN, atoms on top of each other, or `members` of an ensemble of one.
        """
        self._check_members(members)
        runtime = self._runtime or self._start()
        try:
            neighbors = runtime.lists.pop()
        except IndexError:  # other threads have them all
            neighbors = self._new_neighbors(runtime)
        try:
            return self._evaluate(atoms, runtime, neighbors, members)
        except ValueError:
            require_finite(atoms)  # says what is wrong in terms of the atoms
            raise
        finally:
            runtime.lists.append(neighbors)

    def _evaluate(self, atoms: Atoms, runtime: Runtime, neighbors: Neighbors, members: bool) -> Prediction:
        if len(atoms) == 0:
            require_finite(atoms)
        if runtime.placed is None:
            return self._predict((atoms,), self._graph((atoms,), neighbors.all), runtime.backend, members)[0]
        species = place(atoms, neighbors.all, self._table, self._symbols)
        sums = runtime.placed(species, neighbors.all, members=members)
        if neighbors.close is None:
            self._scale(sums, species)
        else:
            self._complete(sums, self._graph((atoms,), neighbors.close))
        return self._prediction(sums.energies, sums.gradient, sums.virial[:, 0], atoms, members)

    def evaluate_many(
        self, frames: Iterable[Atoms], members: bool = False, *, batch_atoms: int = 2048
    ) -> list[Prediction]:
        """Evaluate any mixture of structures, many at a time.

        Parameters
        ----------
        frames : iterable of Atoms
            Structures of any size, cell and periodicity.
        members : bool
            As for `evaluate`.
        batch_atoms : int
            Structures are joined up to this number of atoms; it sets the memory, not the results.

        Raises
        ------
        ValueError
            As `evaluate`, naming the structure.
        TypeError
            For a single ``Atoms``.
        """
        from ase_mlsample import _core

        if batch_atoms < 1:
            raise ValueError(f"batch_atoms must be at least 1, not {batch_atoms}")
        checked = checked_frames(frames)
        self._check_members(members)
        backend = (self._runtime or self._start()).backend
        neighbors = _core.NeighborList(self.model.cutoff)
        predictions: list[Prediction] = []
        for batch in batches(checked, batch_atoms):
            start = len(predictions) if len(checked) > 1 else None
            graph = self._graph(batch, neighbors, start)
            predictions += self._predict(batch, graph, backend, members)
        return predictions

    def _check_members(self, members: bool) -> None:
        if members and self.n_members < 2:
            raise ValueError("this ensemble has one member, which has no spread: train at least two members")

    def _graph(self, frames: Sequence[Atoms], neighbors: NeighborList, start: int | None = None) -> Graph:
        shifts = self.backend == "torch"
        return concatenate(frames, neighbors, self._table, self._symbols, shifts=shifts, start=start)

    def _start(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = self._made_runtime()
            return self._runtime

    @classmethod
    @abstractmethod
    def _model_class(cls) -> type[_Model]:
        """The class of models, whose import may be slow."""

    @abstractmethod
    def _made_runtime(self) -> Runtime:
        """Kernels and weights for the backend, the dtype and the device."""

    @property
    def _unit(self) -> float:
        """What one unit of the networks' output is worth, eV."""
        return 1.0

    def _new_neighbors(self, runtime: Runtime) -> Neighbors:
        repulsion = None if runtime.placed is None else self.model.repulsion
        close = None if repulsion is None else repulsion.cutoff(self._symbols)
        return Neighbors.within(self.model.cutoff, close)

    def _predict(
        self, frames: Sequence[Atoms], graph: Graph, backend: _Backend, members: bool
    ) -> list[Prediction]:
        sums = backend.evaluate(graph, members=members)
        self._complete(sums, graph)
        if len(frames) == 1:
            return [self._prediction(sums.energies, sums.gradient, sums.virial[:, 0], frames[0], members)]
        predictions = []
        for index, atoms in enumerate(frames):
            part = slice(int(graph.frame_first[index]), int(graph.frame_first[index + 1]))
            energies, forces = sums.energies[:, part].copy(), sums.gradient[:, part].copy()
            predictions.append(self._prediction(energies, forces, sums.virial[:, index], atoms, members))
        return predictions

    def _complete(self, sums: MemberSums, graph: Graph) -> None:
        """Turn the networks' output into energies, forces and virials, in place."""
        self._scale(sums, graph.species)
        if self.model.repulsion is not None:
            edges = (graph.first, graph.second, graph.vectors, graph.frame_first)
            short_energies, gradient, short_virial = self.model.repulsion.evaluate(graph.numbers, *edges)
            energies, forces, virial = sums.energies, sums.gradient, sums.virial
            energies += short_energies
            forces -= gradient
            virial += short_virial

    def _scale(self, sums: MemberSums, species: NDArray[np.int32]) -> None:
        energies, forces, virial = sums.energies, sums.gradient, sums.virial
        unit = self._unit
        energies *= unit
        energies += self._self_energies.take(species)
        forces *= -unit
        virial *= unit

    def _prediction(
        self,
        energies: NDArray[np.float64],
        forces: NDArray[np.float64],
        virial: NDArray[np.float64],
        atoms: Atoms,
        members: bool,
    ) -> Prediction:
        volume = volume_of(atoms)
        stress = None if volume is None else _voigt(virial, volume)
        if members:
            return Prediction.from_members(
                energies.sum(axis=1),
                forces,
                stress=stress,
                atomic_energies=energies,
                calibration=self.model.calibration,
            )
        atomic, mean_stress = energies[0], None if stress is None else stress[0]
        return Prediction(energy=float(atomic.sum()), forces=forces[0], energies=atomic, stress=mean_stress)


def _voigt(virial: NDArray[np.float64], volume: float) -> NDArray[np.float64]:
    """Stress (m, 6) in the order xx yy zz yz xz xy from virials (m, 3, 3)."""
    flat = virial.reshape(-1, 9)
    return (flat.take(_ROWS_FIRST, axis=1) + flat.take(_COLUMNS_FIRST, axis=1)) * (0.5 / volume)


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    if device.partition(":")[0] != "cuda":
        raise ValueError(f"device must be 'cpu' or a CUDA device such as 'cuda:0', not {device!r}")
    if not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not available: torch {torch.__version__} finds no CUDA here")
