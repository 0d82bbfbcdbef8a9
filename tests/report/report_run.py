"""Frames, labels and errors of a small run, and its folder."""

import json

import numpy as np
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.calculators import Committee

REFERENCE = "r0123456789abcdef"
MEMBERS = [{"epsilon": e, "sigma": 3.4, "rc": 6.0, "smooth": True} for e in (0.009, 0.010, 0.012)]
CALIBRATION = {"energy": 1.0, "forces": 2.0, "stress": 1.0}
NAME = "argon <script>alert(1)</script> & 'more'"


def crystals(n, rattle):
    rng = np.random.default_rng(n)
    frames = []
    for number in range(n):
        atoms = bulk("Ar", a=5.3, cubic=True)
        atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
        atoms.info.update(config_type="cold" if number % 2 else "hot", source="PerturbedCrystal")
        frames.append(atoms)
    return frames


def explored(n, directory):
    """Frames of an exploration and the file of its candidates."""
    frames = crystals(n, 0.3)
    for number, atoms in enumerate(frames):
        atoms.info |= {"source": "RampedMD", "start_source": "PerturbedCrystal", "temperature_K": 300.0}
        atoms.info |= {"force_sigma_max": 0.1 * (number + 1), "stop_reason": "uncertain"}
    coloured = [atoms.copy() for atoms in frames]
    for atoms in coloured:
        atoms.arrays["force_sigma"] = atoms.info["force_sigma_max"] * np.array([0.25, 0.5, 0.75, 1.0])
    (directory / "candidates").mkdir()
    write(directory / "candidates/0001.extxyz", coloured, format="extxyz")
    return frames


def labelled(atoms, **changes):
    """What a reference says of a structure, as a worker hands it in."""
    atoms = atoms.copy()
    atoms.calc = LennardJones(epsilon=0.0104, sigma=3.4, rc=6.0, smooth=True)
    forces = atoms.get_forces()
    result = {"status": "labelled", "energy": atoms.get_potential_energy(), "forces": forces, "seconds": 2.0}
    return result | {"max_force": float(np.linalg.norm(forces, axis=1).max())} | changes


def evaluated(error):
    numbers = {"force_error": error, "force_rmse": error / 2, "energy_rmse": error / 100}
    numbers |= {"coverage": 0.6, "spearman": 0.7}
    return {"classes": {"cold": numbers, "all": numbers, "hot": numbers}, "members": 3}


def committee(**calibration):
    return Committee([LennardJones(**arguments) for arguments in MEMBERS], **calibration)


def write_testset(path):
    frames = crystals(6, 0.1)
    for atoms in frames:
        result = labelled(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = result["energy"], result["forces"]
    write(path, frames, format="extxyz")


def make_run(directory, testset):
    """Two generations, three or four labels each and two failures."""
    config = {
        "name": NAME,
        "seed": 17,
        "elements": ["Ar"],
        "reference": {"factory": "ase.calculators.lj:LennardJones", "kwargs": {"rc": 6.0}},
        "model": {"type": "committee", "factory": "ase.calculators.lj:LennardJones", "members": MEMBERS},
        "stop": {"force_error": 0.2, "uncertain_fraction": 0.05},
        "testset": str(testset),
    }
    ledger = Ledger.create(directory / "ledger.db", reference=REFERENCE, config=config)
    ledger.set_meta("versions", {"ase-mlsample": "0.1.0", "ase": "3.29.0"})
    window = {"lo": 0.1, "hi": 0.6, "learned": 70, "candidate": 20, "rejected": 10, "ends": {"uncertain": 3}}
    log = [{"event": "started"}]
    for generation in (0, 1):
        frames = explored(5, directory) if generation else crystals(4, 0.2)
        ledger.propose(generation, frames, stage="select", summary=window if generation else {})
        for number, (proposal, atoms) in enumerate(zip(ledger.proposals(generation), frames, strict=True)):
            result = labelled(atoms)
            if number == 3:
                error = {"type": "RuntimeError", "message": "no <b>convergence</b>"}
                result = {"status": "failed", "error": error, "attempts": 2}
            ledger.add_labels(REFERENCE, [(proposal, result)])
            ledger.add_tasks("label", generation, [(f"{generation}-{number}", {**result, "seconds": 2.0})])
        ledger.finish_stage(generation, "label", {})
        ledger.finish_stage(generation, "train", {"force_rmse": 0.1, "energy_rmse": 0.002})
        ledger.finish_stage(generation, "evaluate", evaluated(0.4 / (generation + 1)))
        log += [{"event": "stage", "generation": generation, "stage": "train", "seconds": 5.0 + generation}]
        model = directory / "models" / f"{generation:04d}"
        model.mkdir(parents=True)
        committee = {"factory": "ase.calculators.lj:LennardJones", "members": MEMBERS}
        (model / "committee.json").write_text(json.dumps({**committee, "calibration": CALIBRATION}))
    ledger.finish_stage(1, "end", {"reason": "2 generations are trained"})
    log += [log[-1]]  # a resumed stage is logged again
    (directory / "log.jsonl").write_text("\n".join(map(json.dumps, log)) + '\n{"event": "sta')
