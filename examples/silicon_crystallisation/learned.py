"""The crystallisation with a learned potential: the study's variable and bias, the ensemble's forces.

    make demo                                                             # learns the ensemble, minutes
    python examples/silicon_crystallisation/learned.py --steps 1000000

The bias of the study is taken as it is at the first call and does not change. Every CHECK steps the ensemble
is asked how far its members disagree about forces. Frames beyond the trust window of the active loop (factors
of examples/silicon.yaml) are kept; when there are enough, the reference labels them, the ensemble is trained
on from what it was, and the dynamics goes on with the new one: a round, a line in rounds.jsonl. Each call
makes further steps, also after a kill. compare.py sets the free energies side by side.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from analyse import load_bias, transitions
from ase import Atoms
from ase.io import read, write
from run import FOLDER, SHORT, TEMPERATURE_K, integrator, variable

from ase_mlsample.active.config import SelectionSettings
from ase_mlsample.active.select import TrustWindow
from ase_mlsample.analysis import read_colvar
from ase_mlsample.biases import StaticBias
from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.dynamics import BiasedDynamics, UncertaintyGate
from ase_mlsample.dynamics.checkpoint import read_checkpoint
from ase_mlsample.training import Dataset, TrainingSettings, train_ensemble

MODEL = Path("runs/silicon/model.safetensors")
SELECTION = SelectionSettings(lo_factor=1.3, hi_factor=8.0)
CHECK = 100  # steps from one look at the disagreement to the next
APART = 2000  # steps between frames that are kept, so that a round sees some of the way
BATCH = 30  # of them make a round
TRAINING: dict[str, Any] = {
    "recipe": "fine-tuning",
    "learning_rate": 3e-3,
    "final_learning_rate": 1e-5,
    "epochs": 40,
}
INTERVALS = {"log_interval": 100, "trajectory_interval": 1000, "checkpoint_interval": 10_000}
if SHORT:
    CHECK, APART, BATCH, TRAINING["epochs"] = 5, 10, 2, 2
    INTERVALS = {"log_interval": 5, "trajectory_interval": 10, "checkpoint_interval": 20}


class UnphysicalError(RuntimeError):
    """The members disagree so much that the frame is not worth a label."""


class Watch:
    """Looks at the disagreement during a run and keeps frames that the ensemble is unsure of."""

    def __init__(self, dynamics: BiasedDynamics, path: Path, wanted: int) -> None:
        self.dynamics, self.path, self.wanted = dynamics, path, wanted
        window = trust_window(dynamics.calc.calc)
        self.gate = UncertaintyGate(window.lo, upper=window.hi)
        known: list[Atoms] = read(path, ":") if path.exists() and path.stat().st_size else []
        # what a kill took from the run is found again when it goes on from its checkpoint
        self.kept = [atoms for atoms in known if atoms.info["step"] <= dynamics.step]
        write(path, self.kept, format="extxyz")

    @property
    def full(self) -> bool:
        """Whether there are enough frames for a round."""
        return 0 < self.wanted <= len(self.kept)

    def __call__(self) -> None:
        """Look once."""
        step, atoms = self.dynamics.step, self.dynamics.atoms
        reading = self.gate.check(self.dynamics.calc, atoms)
        if reading.decision == "unphysical":
            raise UnphysicalError(f"at step {step} the members disagree by {reading.value:.2f} eV/Å")
        near = self.kept and step < self.kept[-1].info["step"] + APART
        if reading.decision == "accurate" or near or not self.wanted:
            return
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info = {"step": step, "n": float(self.dynamics.calc.cv_value.value[0]), "sigma": reading.value}
        self.kept.append(frame)
        write(self.path, frame, format="extxyz", append=True)


def trust_window(calc: ANIEnsemble) -> TrustWindow:
    """The window of the active loop, from the ensemble's errors on frames held out of its training."""
    held_out = calc.model.metadata.get("training", {}).get("held_out")
    if held_out is None:
        raise SystemExit("the model does not say how wrong it is on frames that it did not learn from")
    return TrustWindow.adaptive(SELECTION, held_out["forces_rmse"])


def begin(folder: Path, study: Path, model: Path, start: str) -> None:
    """Take the study's bias and a frame of it, the ensemble and the labels it was made from."""
    data = model.with_name("dataset.extxyz")
    for needed, what in ((model, "make demo, or give --model"), (data, "a model's labels lie beside it")):
        if not needed.exists():
            raise SystemExit(f"there is no {needed}: {what}")
    bias = load_bias(study)
    frames: list[Atoms] = read(study / "run.extxyz", ":")
    first = (min if start == "liquid" else max)(frames, key=lambda atoms: atoms.info["cv"])
    told = {"model": str(model), "study": str(study), "n": first.info["cv"]}
    told |= {"iterations": bias.iterations, "phase": bias.phase}

    partial = folder.with_name(folder.name + ".new")
    (partial / "models" / "0").mkdir(parents=True, exist_ok=True)
    shutil.copy(data, partial / "dataset.extxyz")
    shutil.copy(model, partial / "models" / "0" / "model.safetensors")
    bias.freeze().write(partial / "bias.npz")
    write(partial / "start.extxyz", first, columns=["symbols", "positions", "momenta"], write_results=False)
    (partial / "begun.json").write_text(json.dumps(told))
    partial.rename(folder)


def rounds(folder: Path) -> list[dict[str, Any]]:
    """The rounds so far."""
    path = folder / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ensemble(folder: Path, number: int | None = None) -> ANIEnsemble:
    """The ensemble after a round, by default the last."""
    number = len(rounds(folder)) if number is None else number
    return ANIEnsemble.load(folder / "models" / str(number) / "model.safetensors")


def start_or_continue(folder: Path, seed: int) -> BiasedDynamics:
    """The dynamics in a folder, from its checkpoint if there is one."""
    checkpoint, rng = folder / "checkpoint", np.random.default_rng([seed, 2])
    bias = StaticBias.read(folder / "bias.npz")
    driver = integrator(read(folder / "start.extxyz"), ensemble(folder), rng)
    if checkpoint.exists():
        return BiasedDynamics.load(checkpoint, driver, variable(), bias)
    return BiasedDynamics(
        driver,
        variable(),
        bias,
        temperature_K=TEMPERATURE_K,
        logfile=folder / "COLVAR",
        trajectory=folder / "run.extxyz",
        checkpoint=checkpoint,
        **INTERVALS,
    )


def advance(folder: Path, seed: int, steps: int, most_rounds: int) -> tuple[int, list[Atoms]]:
    """Make steps until a round is due; returns how many the run has got on, and the frames to label."""
    wanted = BATCH if len(rounds(folder)) < most_rounds else 0
    with start_or_continue(folder, seed) as dynamics:
        begun = dynamics.step
        watch = Watch(dynamics, folder / "unsure.extxyz", wanted)
        dynamics.attach(watch, CHECK)
        try:
            for _ in dynamics.irun(steps):
                if watch.full:
                    break
        except UnphysicalError as error:
            if not watch.kept:
                raise
            print(f"{error}: trained on, the run goes on from its checkpoint")
            return read_step(folder) - begun, watch.kept
    return dynamics.step - begun, watch.kept if watch.full else []


def read_step(folder: Path) -> int:
    """Step of the checkpoint, 0 without one."""
    path = folder / "checkpoint"
    return int(read_checkpoint(path).extra["step"]) if path.exists() else 0


def learn(folder: Path, seed: int) -> None:
    """Train on all labels from the ensemble before, and write the round down; goes on after a kill."""
    number = len(rounds(folder)) + 1
    directory, before = folder / "models" / str(number), ensemble(folder)
    labels = [read(folder / "models" / str(k) / "labelled.extxyz", ":") for k in range(1, number + 1)]
    known, added = Dataset.read(folder / "dataset.extxyz"), [atoms for few in labels for atoms in few]
    for atoms in added:  # together they count as much as all that the ensemble came from
        atoms.info["config_weight"] = len(known) / len(added)
    begun = time.perf_counter()
    result = train_ensemble(
        Dataset([*known, *added]),
        model=before.model,
        settings=TrainingSettings(**before.model.metadata["training"]["settings"] | TRAINING),
        rng=np.random.default_rng([seed, 3, number]),
        directory=directory,
    )
    frames = labels[-1]
    n, window = read_colvar(folder / "COLVAR")["n"], trust_window(before)
    line = {
        "round": number,
        "step": read_step(folder),
        "labels": len(frames),
        "n": [round(atoms.info["n"], 1) for atoms in frames],
        "window": [round(window.lo, 3), round(window.hi, 3)],
        "before": errors(before, frames),
        "after": errors(result.calculator, frames),
        "transitions": transitions(n),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"round {number}: {len(frames)} labels, before {line['before']}, after {line['after']}")


def errors(calc: ANIEnsemble, frames: list[Atoms]) -> dict[str, float]:
    """Mean and root mean square errors on labelled frames, and the members' disagreement there."""
    found = calc.evaluate_many(frames, members=True)
    energy = [(p.energy - a.info["REF_energy"]) / len(a) * 1000 for p, a in zip(found, frames, strict=True)]
    forces = [p.forces - a.arrays["REF_forces"] for p, a in zip(found, frames, strict=True)]
    numbers = {
        "energy_shift_meV": np.mean(energy),
        "energy_rmse_meV": np.sqrt(np.mean(np.square(energy))),
        "force_rmse_eV_A": np.sqrt(np.mean(np.square(forces))),
        "force_sigma_max_eV_A": np.mean([p.spread.calibrated.force_sigma.max() for p in found if p.spread]),
    }
    return {name: round(float(value), 4) for name, value in numbers.items()}


def label(folder: Path, frames: list[Atoms]) -> None:
    """Label the frames of a round with the reference."""
    directory = folder / "models" / str(len(rounds(folder)) + 1)
    directory.mkdir(parents=True, exist_ok=True)
    reference = StillingerWeber()
    for atoms in frames:
        found = reference.evaluate(atoms)
        atoms.info |= {
            "REF_energy": found.energy,
            "REF_stress": found.stress,
            "config_type": "crystallisation",
        }
        atoms.arrays["REF_forces"] = found.forces
    write(directory / "new.extxyz", frames)
    (directory / "new.extxyz").rename(directory / "labelled.extxyz")


def main() -> None:
    """Make a piece of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=60 if SHORT else 1_000_000, help="of this piece")
    parser.add_argument("--study", type=Path, default=FOLDER, help="folder of run.py")
    parser.add_argument("--model", type=Path, default=MODEL, help="ensemble; its labels lie beside it")
    parser.add_argument("--folder", type=Path, help="of this run; default: learned in that of the study")
    parser.add_argument("--start", choices=["liquid", "crystal"], default="liquid")
    parser.add_argument("--rounds", type=int, default=6, help="at most; beyond them nothing is labelled")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = options.folder or options.study / "learned"
    if not folder.exists():
        begin(folder, options.study, options.model, options.start)

    begun, done, learning = time.perf_counter(), 0, 0.0
    while True:
        if (folder / "models" / str(len(rounds(folder)) + 1) / "labelled.extxyz").exists():
            (folder / "unsure.extxyz").unlink(missing_ok=True)
            since = time.perf_counter()
            learn(folder, options.seed)
            learning += time.perf_counter() - since
        if done >= options.steps:
            break
        made, frames = advance(folder, options.seed, options.steps - done, options.rounds)
        done += made
        if frames:
            label(folder, frames)
    seconds = time.perf_counter() - begun
    told = {"steps": options.steps, "seconds": round(seconds, 1), "learning": round(learning, 1)}
    with (folder / "pieces.jsonl").open("a") as file:
        file.write(json.dumps(told) + "\n")
    froze, melted = transitions(read_colvar(folder / "COLVAR")["n"])
    print(
        f"{read_step(folder):,} steps so far, {options.steps / (seconds - learning):,.0f} a second in this "
        f"piece; {len(rounds(folder))} rounds; froze {froze} and melted {melted} times"
    )


if __name__ == "__main__":
    main()
