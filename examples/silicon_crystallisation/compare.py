"""The free energy of the learned potential beside the reference's own, from what run.py and learned.py made.

    python examples/silicon_crystallisation/compare.py

By perturbation: F₂(n) − F₁(n) from U₂ − U₁ in frames of the study, which the reference sampled, and the other
way round from frames of the learned run. Directly: from the learned run, once it has crossed with its last
model. Into the folder of the learned run go learned.png and summary_learned.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from analyse import (
    BLOCKS,
    KT,
    at_rest,
    barriers,
    describe,
    draw_energies,
    from_network,
    from_samples_at_rest,
    reweighted,
    transitions,
)
from ase import Atoms
from ase.io import read
from learned import ensemble, rounds
from run import FOLDER, N_ATOMS, TIMESTEP_FS

from ase_mlsample.analysis import Perturbation, perturb_free_energy, read_colvar
from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.analysis.reweighting import bias_weights
from ase_mlsample.calculators import ANIEnsemble, StillingerWeber

BINS = np.arange(4.5, N_ATOMS, 9.0)  # of the difference
EQUILIBRATION = 0.05  # ns left out after a change of model, and at the start


class Samples(NamedTuple):
    """Frames along n, with weights that undo the bias."""

    frames: list[Atoms]
    weights: np.ndarray | None

    @property
    def n(self) -> np.ndarray:
        """The variable."""
        return np.array([atoms.info["cv"] for atoms in self.frames])


def weighted(frames: list[Atoms]) -> Samples:
    """Frames under a bias that did not change."""
    return Samples(frames, bias_weights([atoms.info["bias"] for atoms in frames], kT=KT))


def of_study(study: Path) -> tuple[Samples, str]:
    """Frames under the bias at rest; until it went both ways, all frames, each standing for its own n alone.

    Weights matter as far as the bias varies within a bin, and learning does not as far as all else follows n.
    """
    frames: list[Atoms] = read(study / "run.extxyz", ":")
    times, n, rest = at_rest(study)
    if 0 not in transitions(n[rest]):
        return weighted(
            [atoms for atoms in frames if atoms.info["time_fs"] >= 1000 * times[rest][0]]
        ), "at rest"
    return Samples(after(frames, EQUILIBRATION), None), "learning"


def after(frames: list[Atoms], time_ns: float) -> list[Atoms]:
    """Frames from a time on; the last one if there are none."""
    return [atoms for atoms in frames if atoms.info["time_fs"] >= time_ns * 1e6] or frames[-1:]


def differences(frames: list[Atoms], learned: ANIEnsemble) -> np.ndarray:
    """U₂ − U₁ of frames, learned less reference, in k_BT."""
    reference = StillingerWeber()
    first = [reference.evaluate(atoms).energy for atoms in frames]
    return (np.array([found.energy for found in learned.evaluate_many(frames)]) - np.array(first)) / KT


def perturbed(samples: Samples, delta: np.ndarray) -> Perturbation | None:
    """F₂ − F₁ in k_BT, from samples of the first; None for too few."""
    blocks = min(max(BLOCKS), len(delta) // 2)
    if blocks < 2:
        return None
    return perturb_free_energy(samples.n, delta, BINS, kT=1.0, weights=samples.weights, n_blocks=blocks)


class Difference(NamedTuple):
    """F₂ − F₁ in bins, zero in the first one that is known, with errors."""

    values: np.ndarray
    errors: np.ndarray
    estimate: str

    @classmethod
    def of(cls, found: Perturbation, sign: float = 1.0) -> "Difference":
        """The exponential average where all bins have the samples for it, else the cumulants."""
        sampled = np.isfinite(found.cumulant)
        exact = bool(np.isfinite(found.exponential[sampled]).all())
        values = sign * (found.exponential if exact else found.cumulant)
        errors = found.exponential_error if exact else found.cumulant_error
        zero = int(np.argmax(sampled))
        return cls(
            values - values[zero], np.hypot(errors, errors[zero]), "exponential" if exact else "cumulants"
        )

    def between(self, low: float, high: float) -> tuple[float, float] | None:
        """Change from one n to another, and its error; None where samples do not suffice."""
        ends = [int(np.argmin(np.abs(BINS - place))) for place in (low, high)]
        change = self.values[ends[1]] - self.values[ends[0]]
        return (float(change), float(self.errors[ends].max())) if np.isfinite(change) else None

    def added_to(self, curve: FreeEnergy) -> FreeEnergy | None:
        """The second free energy from the first."""
        known = np.isfinite(self.values)
        if not known.any():
            return None
        added = np.interp(curve.axes[0], BINS[known], self.values[known])
        return FreeEnergy(curve.axes, curve.values + added, 1.0, (None,))


def reference_curves(study: Path) -> list[FreeEnergy]:
    """F₁ of the study: reweighted, in both numbers of blocks, or of the network while it learns."""
    return from_samples_at_rest(study) or [from_network(study)]


def direct_curves(log: dict[str, np.ndarray], since_ns: float) -> list[FreeEnergy] | None:
    """F₂ of the learned run with its last model, if it went across with it."""
    late = log["time"] >= since_ns * 1000
    if sum(transitions(log["n"][late])) == 0 or late.sum() < 2 * max(BLOCKS):
        return None
    return [reweighted(log["n"][late], log["bias"][late], blocks) for blocks in BLOCKS]


def draw(
    path: Path,
    curves: dict[str, FreeEnergy],
    found: dict[str, Difference],
    log: dict[str, np.ndarray],
    changes: list[float],
) -> None:
    """Profiles, their difference with errors, and n in the learned run."""
    figure, panels = plt.subplots(3, figsize=(7.2, 9.6), layout="constrained", height_ratios=(3, 2, 2))
    draw_energies(panels[0], curves)
    for label, difference in found.items():
        known = np.isfinite(difference.values)
        style = {"fmt": "o-", "markersize": 3, "linewidth": 1, "capsize": 2}
        panels[1].errorbar(
            BINS[known], difference.values[known], difference.errors[known], label=label, **style
        )
    panels[1].axhline(0, color="0.3", linewidth=0.8)
    title = r"$F_\mathrm{learned} - F_\mathrm{reference}$, $k_\mathrm{B}T$"
    panels[1].set(xlabel="cubic-diamond atoms n", ylabel=title, xlim=(-3, N_ATOMS + 3))
    if found:
        panels[1].legend(frameon=False)
    panels[2].plot(log["time"] / 1000, log["n"], ".", markersize=1, rasterized=True)
    for number, place in enumerate(changes):
        panels[2].axvline(place, color="0.6", linewidth=0.8, label=None if number else "trained again")
    panels[2].set(xlabel="time of the learned run, ns", ylabel="n", ylim=(-5, 1.2 * N_ATOMS))
    if changes:
        panels[2].legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=160)
    plt.close(figure)


def stated(difference: Difference, places: dict[str, float] | None) -> dict[str, Any]:
    """The difference in words of barriers: at the top and in the crystal, above the liquid."""
    if places is None:
        return {"estimate": difference.estimate}
    top = difference.between(places["liquid"], places["top"])
    crystal = difference.between(places["liquid"], places["crystal"])
    return {"estimate": difference.estimate, "top_less_liquid": top, "crystal_less_liquid": crystal}


def all_differences(
    samples: Samples, own: Samples, first: ANIEnsemble | None, last: ANIEnsemble
) -> dict[str, Difference]:
    """By perturbation from the study's samples and from the learned run's own, which see the other side."""
    found = {}
    if first is not None and (before := perturbed(samples, differences(samples.frames, first))):
        found["before the rounds, from the study's frames"] = Difference.of(before)
    if forward := perturbed(samples, differences(samples.frames, last)):
        found["now, from the study's frames"] = Difference.of(forward)
    if backward := perturbed(own, -differences(own.frames, last)):
        found["now, from the learned run's frames"] = Difference.of(backward, -1.0)
    return found


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=FOLDER)
    parser.add_argument("--folder", type=Path, help="of the learned run; default: learned in the study's")
    options = parser.parse_args()
    folder = options.folder or options.study / "learned"
    done, names = rounds(folder), ["time", "n", "bias"]
    log = dict(zip(names, read_colvar(folder / "COLVAR").columns(names).T, strict=True))
    changes = [line["step"] * TIMESTEP_FS / 1e6 for line in done]
    since = EQUILIBRATION + max(changes, default=0.0)

    samples, phase = of_study(options.study)
    own = weighted(after(read(folder / "run.extxyz", ":"), since))
    found = all_differences(samples, own, ensemble(folder, 0) if done else None, ensemble(folder))
    reference = reference_curves(options.study)
    curves, results = {"reference": reference[-1]}, {"reference": barriers(reference)}
    forward = found.get("now, from the study's frames")
    if forward and (learned := forward.added_to(reference[-1])):
        curves["learned, by perturbation"] = learned
        results["learned, by perturbation"] = barriers([learned])
    if direct := direct_curves(log, since):
        curves["learned, its own run"], results["learned, its own run"] = direct[-1], barriers(direct)
    for label, result in results.items():
        print(describe(label, result))
    froze, melted = transitions(log["n"])
    summary = {
        "learned_time_ns": float(log["time"][-1]) / 1000,
        "froze": froze,
        "melted": melted,
        "rounds": len(done),
        "labels": sum(line["labels"] for line in done),
        "frames": {"study": len(samples.frames), "bias": phase, "learned": len(own.frames)},
        "free_energy": results,
        "learned_less_reference": {
            label: stated(difference, results["reference"]) for label, difference in found.items()
        },
    }
    (folder / "summary_learned.json").write_text(json.dumps(summary, indent=1))
    draw(folder / "learned.png", curves, found, log, changes)
    print(json.dumps(summary["learned_less_reference"], indent=1))
    print(f"the learned run froze {froze} and melted {melted} times; see {folder / 'learned.png'}")


if __name__ == "__main__":
    main()
