"""Structures to look at: the worst of the held-out set, and those that the ensemble was least sure of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from ase_mlsample.active.ledger import LabelRow, Ledger
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.report.predictions import HeldOutPredictions

__all__ = ["ShownStructure", "element_table", "most_uncertain", "worst_held_out"]

ERROR, SIGMA = "true |ΔF|", "predicted force_sigma"

# what is told of a structure, where it is known; key, wording, unit
_FACTS = (
    ("config_type", "class", ""),
    ("source", "made by", ""),
    ("start_source", "started from", ""),
    ("stage", "stage", ""),
    ("generation", "generation", ""),
    ("trust", "trust window says", ""),
    ("stop_reason", "trajectory", ""),
    ("time_fs", "time", "fs"),
    ("temperature_K", "temperature", "K"),
    ("pressure_GPa", "pressure", "GPa"),
    ("bias_height_eV", "bias on the uncertainty", "eV"),
    ("force_sigma_max", "largest force_sigma", "eV/Å"),
    ("force_sigma_relative", "largest σ / (1 + |F| / level)", "eV/Å"),
    ("energy_std", "σ of the energy", "eV"),
)


@dataclass(frozen=True)
class ShownStructure:
    """A structure with what its atoms are coloured by.

    Attributes
    ----------
    group
        "worst" or "uncertain".
    title
        One line.
    atoms
        As labelled or predicted.
    scalars
        (N,) arrays in eV/Å by name; the first is shown first.
    facts
        Words and values.
    """

    group: str
    title: str
    atoms: Atoms
    scalars: Mapping[str, NDArray[np.float64]]
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the page: positions wrapped into the cell, Å, to 0.001; scalars to four digits."""
        wrapped = Atoms(
            self.atoms.numbers, positions=self.atoms.positions, cell=self.atoms.cell, pbc=self.atoms.pbc
        )
        wrapped.wrap(eps=1e-6)
        return {
            "group": self.group,
            "title": self.title,
            "symbols": wrapped.get_chemical_symbols(),
            "positions": np.round(wrapped.positions, 3).tolist(),
            "cell": np.round(wrapped.cell.array, 4).tolist(),
            "pbc": wrapped.pbc.tolist(),
            "scalars": {name: [_short(x) for x in values] for name, values in self.scalars.items()},
            "facts": dict(self.facts),
        }


def worst_held_out(
    predictions: HeldOutPredictions, frames: Sequence[Atoms], *, most: int = 8
) -> list[ShownStructure]:
    """Held-out frames with the largest error of an atom's force: the worst of each class, then the next.

    Parameters
    ----------
    predictions
        Of ``frames``.
    frames
        The held-out set.
    most
        How many at most.

    Returns
    -------
    list of ShownStructure
        The worst first.
    """
    largest = np.zeros(len(frames))
    np.maximum.at(largest, predictions.frame_of_atom, predictions.atom_errors)
    order = [int(n) for n in np.argsort(-largest, kind="stable")]
    first = {predictions.class_of_frame[n]: n for n in reversed(order)}
    chosen = [n for n in order if n in first.values()][:most]
    chosen += [n for n in order if n not in chosen][: most - len(chosen)]
    shown = []
    for n in sorted(chosen, key=order.index):
        atoms, mine = frames[n], predictions.frame_of_atom == n
        kind = str(predictions.class_of_frame[n])
        error = predictions.energies[n] - predictions.reference_energies[n]
        facts = {
            "frame of the held-out set": str(n),
            **_known(atoms.info),
            "atoms": str(len(atoms)),
            "largest true |ΔF|": f"{largest[n]:.3g} eV/Å",
            "energy error": f"{1000 * error:+.3g} meV/atom",
        }
        scalars = {ERROR: predictions.atom_errors[mine], SIGMA: predictions.force_sigma[mine]}
        title = f"{kind}, frame {n}: |ΔF| up to {largest[n]:.3g} eV/Å"
        shown.append(ShownStructure("worst", title, atoms, scalars, facts))
    return shown


def most_uncertain(
    ledger: Ledger,
    generation: int,
    candidates: Iterable[Atoms],
    calculator: MLCalculator | None = None,
    *,
    most: int = 8,
) -> list[ShownStructure]:
    """Frames chosen for labelling in an exploration that had the largest ``force_sigma``.

    Parameters
    ----------
    ledger
        Of the run.
    generation
        Of the exploration.
    candidates
        Frames of that exploration with ``force_sigma``, to colour by, where there are such.
    calculator
        The model that explored: then labelled frames show its true error, and others what it is unsure of.
    most
        How many at most.

    Returns
    -------
    list of ShownStructure
        The least certain first. Frames that neither the candidates nor a
        calculator tell about have no scalars.
    """
    proposals = ledger.proposals(generation)
    pairs = zip(proposals, ledger.atoms(proposals), strict=True)
    explored = [pair for pair in pairs if "force_sigma_max" in pair[1].info]
    labels = ledger.labels(ledger.meta("reference"))
    chosen = sorted(explored, key=lambda pair: -float(pair[1].info["force_sigma_max"]))[:most]
    sigmas = {
        (len(atoms), float(atoms.info["force_sigma_max"])): atoms.arrays["force_sigma"]
        for atoms in candidates
        if "force_sigma_max" in atoms.info and "force_sigma" in atoms.arrays
    }
    shown = []
    for number, (proposal, atoms) in enumerate(chosen):
        largest = float(atoms.info["force_sigma_max"])
        scalars = _scalars(atoms, sigmas.get((len(atoms), largest)), calculator)
        facts = {**_known(atoms.info), "atoms": str(len(atoms)), **_label(labels.get(proposal.structure))}
        if ERROR in scalars:
            facts["largest true |ΔF|"] = f"{scalars[ERROR].max():.3g} eV/Å"
        kind = atoms.info.get("config_type") or "unnamed"
        title = f"{number + 1}. {kind}: force_sigma up to {largest:.3g} eV/Å"
        shown.append(ShownStructure("uncertain", title, atoms, scalars, facts))
    return shown


def element_table(shown: Sequence[ShownStructure]) -> dict[str, dict[str, Any]]:
    """Covalent radius in Å and Jmol's colour of each element in the structures."""
    table = {}
    for atoms in (structure.atoms for structure in shown):
        for symbol, number in zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True):
            red, green, blue = (round(255 * float(x)) for x in jmol_colors[number])
            table[symbol] = {"radius": float(covalent_radii[number]), "colour": [red, green, blue]}
    return table


def _scalars(
    atoms: Atoms, sigma: NDArray[np.float64] | None, calculator: MLCalculator | None
) -> dict[str, NDArray[np.float64]]:
    scalars: dict[str, NDArray[np.float64]] = {} if sigma is None else {SIGMA: np.asarray(sigma, dtype=float)}
    if calculator is not None:
        bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        prediction = calculator.evaluate(bare, members=True)
        if SIGMA not in scalars and prediction.spread is not None:
            scalars[SIGMA] = prediction.spread.calibrated.force_sigma
        if "REF_forces" in atoms.arrays:
            scalars[ERROR] = np.linalg.norm(prediction.forces - atoms.arrays["REF_forces"], axis=1)
    return scalars


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None  # JSON has no word for others


def _label(label: LabelRow | None) -> dict[str, str]:
    if label is None:
        return {"label": "not yet"}
    force = "" if label.max_force is None else f", forces up to {label.max_force:.3g} eV/Å"
    return {"label": (label.error or "failed") if label.status == "failed" else label.status + force}


def _known(info: Mapping[str, Any]) -> dict[str, str]:
    # extended XYZ reads "1 2 3" as an array, which is no fact
    known = {key: value for key, value in info.items() if isinstance(value, str | int | float | np.number)}
    return {word: _valued(known[key], unit) for key, word, unit in _FACTS if known.get(key, "") != ""}


def _valued(value: Any, unit: str) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()
