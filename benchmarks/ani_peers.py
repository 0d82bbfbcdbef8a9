"""TorchANI beside our ANI ensemble, for `ani_ensemble.py`."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch
from ani_cases import Call, ThereAndBack, step_call
from ase import Atoms

from ase_mlsample.calculators import ANIEnsemble

warnings.filterwarnings("ignore", message="The extensions", category=UserWarning)
# TorchANI's inference model marks ranges for a profiler of NVIDIA's, which a CPU build of torch lacks.
torch.cuda.nvtx.range_push = torch.cuda.nvtx.range_pop = lambda *_: None  # type: ignore[assignment]

from torchani.ase import Calculator, from_ase  # noqa: E402
from torchani.neighbors import AllPairs, CellList, VerletCellList  # noqa: E402
from torchani.units import HARTREE_TO_EV  # noqa: E402

ALL_PAIRS_UP_TO = 216  # atoms; the cost and the memory of all pairs grow with the square


class OnePass(Calculator):  # type: ignore[misc]
    """TorchANI's calculator, asked for everything at once: by itself it evaluates again for each property."""

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = ()) -> None:  # noqa: ARG002
        """Energy, forces and stress in one evaluation."""
        super().calculate(atoms, ["energy", "forces", "stress"], system_changes)


class TorchANI:
    """The ensemble as TorchANI's inference model, with one of its neighbour lists and kinds of stress."""

    def __init__(self, ours: ANIEnsemble, neighbors: type, stress_kind: str, *, scripted: bool) -> None:
        self.label = f"{neighbors.__name__}, {stress_kind}{', scripted' * scripted}"
        self._model = ours.to_torchani().to_infer_model()
        self._model.neighborlist = neighbors()
        module = torch.jit.script(self._model) if scripted else self._model
        self._calculator = OnePass(module, stress_kind=stress_kind)
        self._ensemble = ours.to_torchani()  # the inference model has no members of its own
        self._ensemble.neighborlist = neighbors()

    @torch.no_grad()
    def _neighbours(self, atoms: Atoms) -> tuple[Any, ...]:
        species, coordinates, cell, pbc = from_ase(atoms, dtype=torch.float32)
        indices = self._model.species_converter(species)
        pairs = self._model.neighborlist(self._model.cutoff, indices, coordinates, cell, pbc)
        return indices, coordinates, pairs

    @torch.no_grad()
    def _aev(self, inputs: tuple[Any, ...]) -> None:
        self._model.aev_computer.compute_from_neighbors(*inputs)

    def forces(self, atoms: Atoms) -> dict[str, Any]:
        """Energy, mean forces and stress."""
        self._calculator.calculate(atoms)
        results: dict[str, Any] = self._calculator.results
        return results

    def members(self, atoms: Atoms) -> np.ndarray:
        """All members' forces, (M, N, 3) in eV/Å."""
        species, coordinates, cell, pbc = from_ase(atoms, dtype=torch.float32)
        result = self._ensemble.members_forces((species, coordinates), cell, pbc)
        forces: np.ndarray = result.forces[:, 0].numpy() * HARTREE_TO_EV
        return forces

    def calls(self, atoms: Atoms, *, members: bool) -> dict[str, Call]:
        """By column of the table."""
        path, inputs = ThereAndBack(atoms), self._neighbours(atoms)
        calls: dict[str, Call] = {
            "neighbours": lambda: self._neighbours(path()),
            "aev": lambda: self._aev(inputs),
            "forces": lambda: self.forces(path()),
            "step": step_call(atoms, self._calculator),
        }
        return calls | ({"members": lambda: self.members(path())} if members else {})

    def agreement(self, ours: ANIEnsemble, atoms: Atoms, *, members: bool) -> str:
        """Both must say the same before they are timed."""
        expected, found = ours.evaluate(atoms, members=True), self.forces(atoms)
        energy = abs(found["energy"] - expected.energy) / len(atoms)
        force = _off(found["forces"], expected.forces)
        if members:
            force = max(force, _off(self.members(atoms), expected.member_forces))
        if energy > 1e-5 or force > 1e-3:
            raise SystemExit(f"TorchANI, {self.label}: off by {energy:.1e} eV/atom and forces {force:.1e}")
        stress = _off(found["stress"].ravel()[[0, 4, 8, 5, 2, 1]], expected.stress)
        wrong = f" (its stress is {100 * stress:.0f} % off)" if stress > 1e-3 else ""
        return f"TorchANI: {self.label}{wrong}; energies agree to {energy:.0e} eV/atom, forces to {force:.0e}"


def _off(found: np.ndarray, expected: np.ndarray | None) -> float:
    """Largest difference over the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max()) if expected is not None else np.inf


def fastest_torchani(ours: ANIEnsemble, atoms: Atoms) -> TorchANI:
    """Of TorchANI's variants the one with the shortest evaluation of these atoms, right stress or not."""
    lists = [CellList, VerletCellList, *([AllPairs] if len(atoms) <= ALL_PAIRS_UP_TO else [])]
    peers = [
        TorchANI(ours, neighbors, kind, scripted=scripted)
        for neighbors in lists
        for kind in ("fdotr", "scaling")
        for scripted in ((False,) if neighbors is VerletCellList else (False, True))
    ]
    costs = [_seconds(peer, atoms) for peer in peers]
    return peers[int(np.argmin(costs))]


def _seconds(peer: TorchANI, atoms: Atoms) -> float:
    spent = []
    for _ in range(4):  # a scripted module is optimised during its first calls
        start = time.perf_counter()
        peer.forces(atoms)
        spent.append(time.perf_counter() - start)
    return min(spent[1:])
