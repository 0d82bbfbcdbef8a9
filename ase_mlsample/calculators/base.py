"""The calculator contract: ASE's interface around a stateless evaluation, with a cheap and exact cache."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    BaseCalculator,
    CalculationFailed,
    PropertyNotImplementedError,
    all_changes,
)
from numpy.typing import NDArray

from ase_mlsample.calculators.prediction import Prediction, Spread
from ase_mlsample.calculators.structures import all_finite, checked_frames, has_volume, naming, require_finite

__all__ = ["MLCalculator"]

_Frozen = tuple[bytes, np.dtype[Any], tuple[int, ...]]


class _Snapshot:
    """Everything that the results depend on, as bytes: a dozen times faster to compare than arrays are."""

    __slots__ = ("_arrays", "_cell", "_pbc")

    def __init__(self, atoms: Atoms, names: Sequence[str]) -> None:
        self._arrays = {name: _frozen(atoms.arrays.get(name)) for name in names}
        self._cell = atoms.cell.array.tobytes()
        self._pbc = atoms.pbc.tobytes()

    @property
    def cell(self) -> NDArray[np.float64]:
        """The cell vectors (3, 3), Å."""
        return np.frombuffer(self._cell).reshape(3, 3).copy()

    def changes(self, atoms: Atoms) -> list[str]:
        changed = []
        for name, mine in self._arrays.items():
            yours = atoms.arrays.get(name)
            if yours is None or mine is None:
                if yours is not mine:
                    changed.append(name)
            elif mine[0] != yours.tobytes() or mine[1] != yours.dtype or mine[2] != yours.shape:
                changed.append(name)
        if self._cell != atoms.cell.array.tobytes():
            changed.append("cell")
        if self._pbc != atoms.pbc.tobytes():
            changed.append("pbc")
        return changed

    def atoms(self) -> Atoms:
        arrays = {name: _thawed(frozen) for name, frozen in self._arrays.items() if frozen is not None}
        pbc = np.frombuffer(self._pbc, dtype=bool)
        atoms = Atoms(
            numbers=arrays.pop("numbers"), positions=arrays.pop("positions"), cell=self.cell, pbc=pbc
        )
        for name, values in arrays.items():
            atoms.set_array(name, values)
        return atoms


def _frozen(values: NDArray[Any] | None) -> _Frozen | None:
    return None if values is None else (values.tobytes(), values.dtype, values.shape)


def _thawed(frozen: _Frozen) -> NDArray[Any]:
    content, dtype, shape = frozen
    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()


class MLCalculator(BaseCalculator):  # type: ignore[misc]
    """Base class of the package's calculators: subclasses write :meth:`evaluate`, this class does the rest.

    An evaluation yields energy, forces and stress in one pass and is kept until the atoms change. Whether
    they did is found by comparing positions, cell, numbers and periodicity bit by bit with copies of them.
    ``results`` holds ASE's standard keys only; the getters return copies.

    Attributes
    ----------
    results : dict
        ``energy`` and ``free_energy`` (eV, equal), ``forces`` ((N, 3), eV/Å) and, where they exist,
        ``stress`` ((6,), eV/Å³, Voigt xx yy zz yz xz xy) and ``energies`` ((N,), eV) of the structure
        evaluated last.
    state_arrays : tuple of str
        Names of the arrays of ``Atoms`` on which the results depend, besides cell and periodicity.
    with_spread : bool
        Evaluate all members each time, for runs that ask for the spread at every step; otherwise the spread
        is an evaluation of its own.
    """

    implemented_properties: list[str] = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012
    state_arrays: ClassVar[tuple[str, ...]] = ("positions", "numbers")

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.use_cache = True
        self.with_spread = False
        self.results: dict[str, Any] = {}
        self._snapshot: _Snapshot | None = None
        self._spread: Spread | None = None

    @abstractmethod
    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        """Energy, forces and stress of a structure, without touching the calculator's cached results.

        Parameters
        ----------
        atoms : Atoms
            The structure; it is not changed.
        members : bool
            Whether to give the spread and each member's prediction too.
        """

    def evaluate_many(self, frames: Iterable[Atoms], members: bool = False) -> list[Prediction]:
        """Evaluate structures of any sizes, cells and periodicities; like :meth:`evaluate` on each.

        Parameters
        ----------
        frames : iterable of Atoms
        members : bool
            Whether to give the spread and each member's prediction too.

        Raises
        ------
        TypeError
            For a single ``Atoms``.
        ValueError
            As :meth:`evaluate`, naming the structure.
        """
        checked = checked_frames(frames)
        predictions = []
        for index, atoms in enumerate(checked):
            with naming(index if len(checked) > 1 else None, atoms):
                predictions.append(self.evaluate(atoms, members=members))
        return predictions

    @property
    def supports_spread(self) -> bool:
        """Whether there are members that can disagree."""
        return False

    @property
    def atoms(self) -> Atoms | None:
        """A copy of the structure that the results belong to, or None."""
        return None if self._snapshot is None else self._snapshot.atoms()

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        # ASE's own code assigns this attribute; results belong to what was evaluated, so they go.
        self._forget()
        if atoms is not None:
            self._snapshot = _Snapshot(atoms, self.state_arrays)

    def reset(self) -> None:
        """Drop the results, the spread and the structure they belong to."""
        self._forget()

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:  # noqa: ARG002 (the comparison is exact)
        """Name what differs between the atoms and the structure evaluated last; empty if nothing does."""
        return list(all_changes) if self._snapshot is None else self._snapshot.changes(atoms)

    def calculation_required(self, atoms: Atoms, properties: Sequence[str]) -> bool:
        """Whether any of the properties is not at hand for exactly these atoms."""
        return any(name not in self.results for name in properties) or bool(self.check_state(atoms))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),  # noqa: ARG002 (one pass yields everything)
        system_changes: Sequence[str] = tuple(all_changes),  # noqa: ARG002
    ) -> None:
        """Evaluate the atoms (default: those evaluated last) and fill ``results``."""
        self._refresh(self._given_or_last(atoms), members=self.with_spread)

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Value of one property, from the cache if the atoms did not change.

        Parameters
        ----------
        name : str
            One of ``implemented_properties``.
        atoms : Atoms, optional
            Default: the structure evaluated last.
        allow_calculation : bool
            If False, return None where an evaluation would be needed; the cache is left as it is.

        Returns
        -------
        float or array
            A copy.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator does not have the property, or not for these atoms (stress without a volume).
        ValueError
            If the atoms cannot be evaluated, or none are known.
        """
        if name not in self.implemented_properties:
            known = ", ".join(self.implemented_properties)
            raise PropertyNotImplementedError(f"{self._label} has no property {name!r}; it has {known}")
        if not self.results or (atoms is not None and self.check_state(atoms)):
            if not allow_calculation:
                return None
            self._refresh(self._given_or_last(atoms), members=self.with_spread)
        value = self.results.get(name)
        if value is None and allow_calculation:
            raise PropertyNotImplementedError(self._why_missing(name))
        return value.copy() if isinstance(value, np.ndarray) else value

    def todict(self) -> dict[str, Any]:
        """Parameters as plain values, for trajectories and data bases."""
        return dict(self.parameters)

    def get_spread(self, atoms: Atoms | None = None) -> Spread:
        """Disagreement of the members, kept and dropped together with the results.

        Parameters
        ----------
        atoms : Atoms, optional
            Default: the structure evaluated last.

        Returns
        -------
        Spread
            Raw standard deviations; ``.calibrated`` applies the model's factors.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator has no members.
        ValueError
            If the atoms cannot be evaluated, or none are known.
        """
        if not self.supports_spread:
            raise PropertyNotImplementedError(
                f"{self._label} has no members that could disagree; use an ensemble or a Committee"
            )
        if self._spread is None or not self.results or (atoms is not None and self.check_state(atoms)):
            self._refresh(self._given_or_last(atoms), members=True)
        if self._spread is None:
            raise TypeError(f"{self._label}.evaluate(atoms, members=True) returned no spread")
        return self._spread

    def annotate(self, atoms: Atoms, *, calibrated: bool = False) -> None:
        """Write the disagreement where ASE's GUI and files find it.

        Sets ``atoms.arrays["force_sigma"]`` ((N,), eV/Å), ``atoms.arrays["energy_sigma"]`` ((N,), eV, if the
        model has atomic energies) and ``atoms.info["energy_std"]`` (eV).

        Parameters
        ----------
        atoms : Atoms
            The structure to evaluate and to annotate.
        calibrated : bool
            Whether to apply the model's calibration factors.

        Raises
        ------
        PropertyNotImplementedError
            If the calculator has no members.
        """
        spread = self.get_spread(atoms)
        if calibrated:
            spread = spread.calibrated
        atoms.arrays["force_sigma"] = spread.force_sigma
        # A value that another model left behind would be mistaken for ours.
        atoms.arrays.pop("energy_sigma", None)
        if spread.energies_std is not None:
            atoms.arrays["energy_sigma"] = spread.energies_std.copy()
        atoms.info["energy_std"] = spread.energy_std

    def _forget(self) -> None:
        self._snapshot = None
        self._spread = None
        self.results = {}

    @property
    def _label(self) -> str:
        return type(self).__name__

    def _given_or_last(self, atoms: Atoms | None) -> Atoms:
        if atoms is not None:
            return atoms
        if self._snapshot is None:
            raise ValueError(f"{self._label} has not evaluated any atoms yet; pass the atoms")
        return self._snapshot.atoms()

    def _refresh(self, atoms: Atoms, *, members: bool) -> None:
        # Asking for the spread must not change results by rounding: a trajectory would depend on who looks.
        known = self.results if members and not self.check_state(atoms) else {}
        self._forget()
        require_finite(atoms)
        snapshot = _Snapshot(atoms, self.state_arrays)
        prediction = self.evaluate(atoms, members=members)
        self.results = known or self._results_of(prediction, atoms)
        self._spread = prediction.spread
        self._snapshot = snapshot

    def _results_of(self, prediction: Prediction, atoms: Atoms) -> dict[str, Any]:
        energy, forces = float(prediction.energy), prediction.forces
        if len(forces) != len(atoms):
            raise TypeError(f"{self._label}.evaluate gave {len(forces)} forces for {len(atoms)} atoms")
        if not (isfinite(energy) and all_finite(forces)):
            raise CalculationFailed(
                f"{self._label} gave energy {energy} eV and largest force component "
                f"{np.abs(forces).max()} eV/Å: {atoms.symbols} as it stands is beyond what the model can take"
            )
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        if prediction.energies is not None:
            results["energies"] = prediction.energies
        if prediction.stress is not None:
            results["stress"] = prediction.stress
        return results

    def _why_missing(self, name: str) -> str:
        snapshot = self._snapshot
        if name == "stress" and snapshot is not None and not has_volume(snapshot.atoms()):
            return (
                f"no stress: the cell {snapshot.cell.tolist()} lacks three linearly independent vectors; "
                "give the atoms a full cell (atoms.center(vacuum=...)), periodic or not"
            )
        return f"{self._label} did not give {name} for these atoms"
