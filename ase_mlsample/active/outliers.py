"""Labels that are too far off: against isolated atoms, and against the ensemble that asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.label import bare, compute_label, structure_hash
from ase_mlsample.active.models import has_model, load_model
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Workspace

__all__ = ["OutlierCheck"]


class OutlierCheck:
    """Looks at labels before they count, as ``reference.outliers`` says; without that it lets all pass.

    Parameters
    ----------
    workspace : of the run.
    generation : that the labels are for; the model of the one before is asked.
    """

    def __init__(self, workspace: Workspace, generation: int) -> None:
        self.settings = workspace.config.reference.outliers
        self._workspace, self._generation = workspace, generation
        self._isolated: Mapping[str, float] | None = None

    def __call__(self, atoms: Atoms, result: dict[str, Any]) -> dict[str, Any]:
        """The result as it is, or rejected with the reason."""
        if self.settings is None or result["status"] != "labelled":
            return result
        reason = self._against_atoms(atoms, result["energy"]) or self._against_model(atoms, result["energy"])
        if reason is None:
            return result
        error = {"type": "Outlier", "message": reason, "tail": "", "kind": "outlier"}
        return {**result, "status": "rejected", "error": error}

    def _against_atoms(self, atoms: Atoms, energy: float) -> str | None:
        if self.settings is None or self.settings.isolated_atoms is None:
            return None
        isolated = self._isolated_energies()
        symbols = atoms.get_chemical_symbols()
        missing = sorted(set(symbols) - set(isolated))
        if missing:
            raise ValueError(
                f"reference.outliers.isolated_atoms lacks {', '.join(missing)}; give its energy in eV"
            )
        bound = (energy - sum(isolated[symbol] for symbol in symbols)) / len(atoms)
        lo, hi = self.settings.window_eV
        if lo <= bound <= hi:
            return None
        return f"{bound:.3f} eV/atom relative to isolated atoms, outside [{lo:g}, {hi:g}]"

    def _isolated_energies(self) -> Mapping[str, float]:
        if self._isolated is None:
            assert self.settings is not None  # noqa: S101 - for mypy
            given = self.settings.isolated_atoms
            self._isolated = given if isinstance(given, Mapping) else self._compute(self.settings.box)
        return self._isolated

    def _compute(self, box: float) -> dict[str, float]:
        workspace = self._workspace
        frames = {
            symbol: Atoms(symbol, positions=[(box / 2,) * 3], cell=[box] * 3, pbc=True)
            for symbol in workspace.config.elements
        }
        settings, reference = workspace.config.reference, workspace.directory.reference
        tasks = [
            Task(
                workspace.label_key(structure_hash(atoms)),
                compute_label,
                {"atoms": bare(atoms), "reference": reference},
                retries=settings.retries,
                timeout_s=settings.timeout_s,
                by_kind=True,
                recipes=len(reference.recipes) - 1,
            )
            for atoms in frames.values()
        ]
        results = workspace.run("label", "isolated", self._generation, tasks)
        energies = {}
        for symbol, (task, result) in zip(frames, results, strict=True):
            if result["status"] == "failed":
                workspace.store.remove(task.key)
                error = result["error"]
                raise RuntimeError(
                    f"the isolated atom {symbol} failed ({error['type']}: {error['message']}); "
                    "give reference.outliers.isolated_atoms as energies in eV by element"
                )
            energies[symbol] = float(result["energy"])
        return energies

    def _against_model(self, atoms: Atoms, energy: float) -> str | None:
        if self.settings is None or self.settings.deviation_eV is None or self._generation == 0:
            return None
        folder = self._workspace.directory.model(self._generation - 1)
        if not has_model(folder):
            return None
        found = load_model(folder).evaluate(bare(atoms), members=True)
        off = abs(energy - found.energy) / len(atoms)
        sigma = 0.0 if found.spread is None else found.spread.calibrated.energy_std / len(atoms)
        limit = max(self.settings.deviation_eV, self.settings.deviation_sigma * sigma)
        if off <= limit or not np.isfinite(limit):
            return None
        return f"{off:.3f} eV/atom off the ensemble's energy, beyond {limit:.3f}"
