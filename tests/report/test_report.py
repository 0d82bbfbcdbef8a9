import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.calculators import Committee
from ase_mlsample.report import predict_held_out, read_history, write_report
from ase_mlsample.report.write import _predictions

REFERENCE = "r0123456789abcdef"
MEMBERS = [{"epsilon": e, "sigma": 3.4, "rc": 6.0, "smooth": True} for e in (0.009, 0.010, 0.012)]


def crystals(n, rattle):
    rng = np.random.default_rng(n)
    frames = []
    for number in range(n):
        atoms = bulk("Ar", a=5.3, cubic=True)
        atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
        atoms.info.update(config_type="cold" if number % 2 else "hot", source="PerturbedCrystal")
        frames.append(atoms)
    return frames


@pytest.fixture
def testset(tmp_path):
    frames = crystals(6, 0.1)
    for atoms in frames:
        atoms.calc = LennardJones(epsilon=0.0104, sigma=3.4, rc=6.0, smooth=True)
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
    path = tmp_path / "held_out.extxyz"
    write(path, frames, format="extxyz")
    return path


def evaluated(error):
    numbers = {"force_error": error, "energy_rmse": error / 100, "coverage": 0.6, "spearman": 0.7}
    return {"classes": {"cold": numbers, "all": numbers, "hot": numbers}, "members": 3}


@pytest.fixture
def run(tmp_path, testset):
    """A run's directory with two generations, three labels each and one failure."""
    directory = tmp_path / "run"
    directory.mkdir()
    config = {
        "name": "argon",
        "elements": ["Ar"],
        "reference": {"factory": "ase.calculators.lj:LennardJones"},
        "stop": {"force_error": 0.2},
        "testset": str(testset),
    }
    ledger = Ledger.create(directory / "ledger.db", reference=REFERENCE, config=config)
    log = []
    for generation in (0, 1):
        select = {
            "lo": 0.1,
            "hi": 0.6,
            "learned": 70,
            "candidate": 20,
            "rejected": 10,
            "candidate_fraction": 0.2,
        }
        frames = crystals(4 + generation, 0.2)
        ledger.propose(generation, frames, stage="select", summary=select if generation else {})
        for number, proposal in enumerate(ledger.proposals(generation)):
            result = {
                "status": "labelled",
                "energy": -1.0,
                "forces": np.zeros((4, 3)),
                "max_force": 0.0,
                "seconds": 2.0,
            }
            if number == 3:
                result = {"status": "failed", "error": {"type": "RuntimeError", "message": "no convergence"}}
            ledger.add_labels(REFERENCE, [(proposal, result)])
        ledger.finish_stage(generation, "label", {})
        ledger.finish_stage(generation, "train", {"force_rmse": 0.1})
        ledger.finish_stage(generation, "evaluate", evaluated(0.4 / (generation + 1)))
        log += [{"event": "stage", "generation": generation, "stage": "train", "seconds": 5.0 + generation}]
        model = directory / "models" / f"{generation:04d}"
        model.mkdir(parents=True)
        calibration = {"energy": 1.0, "forces": 2.0, "stress": 1.0}
        committee = {
            "factory": "ase.calculators.lj:LennardJones",
            "members": MEMBERS,
            "calibration": calibration,
        }
        (model / "committee.json").write_text(json.dumps(committee))
    log += [log[-1]]  # a resumed stage is logged again
    (directory / "log.jsonl").write_text("\n".join(map(json.dumps, log)) + '\n{"event": "sta')
    return directory


def test_history_adds_up(run):
    first, second = read_history(run).generations
    assert (first.n_labels, second.n_labels) == (3, 7)
    assert list(second.errors) == ["cold", "hot", "all"]
    assert second.errors["hot"].force_error == 0.2
    assert first.explored == {}
    assert second.explored == {"learned": 70, "candidate": 20, "rejected": 10}
    assert second.window == (0.1, 0.6)
    assert first.origins == {"PerturbedCrystal: hot": 2, "PerturbedCrystal: cold": 2}
    assert first.seconds == {"train": 5.0}
    assert second.seconds == {"train": 12.0}


def test_all_plots_and_the_summary_are_written(run):
    written = write_report(run)
    names = ["learning_curve", "candidates", "origins", "stage_times", "parity", "uncertainty"]
    assert written == [*(run / "report" / f"{name}.png" for name in names), run / "summary.json"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[:-1])
    assert not list(run.glob("**/.*part"))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["labels"] == {"labelled": 7, "failed": 2}
    assert summary["stage_seconds"]["1"] == {"train": 12.0}


def test_without_the_model_no_plot_needs_it(run):
    assert "parity.png" not in [path.name for path in write_report(run, evaluate=False)]


def test_a_run_that_has_only_proposed(tmp_path):
    config = {"name": "new", "elements": ["Ar"], "reference": {}}
    ledger = Ledger.create(tmp_path / "ledger.db", reference=REFERENCE, config=config)
    ledger.propose(0, crystals(3, 0.1), stage="select", summary={})
    assert [path.name for path in write_report(tmp_path)] == ["origins.png", "summary.json"]


def test_rare_origins_are_gathered(tmp_path):
    config = {"name": "new", "elements": ["Ar"], "reference": {}}
    ledger = Ledger.create(tmp_path / "ledger.db", reference=REFERENCE, config=config)
    frames = crystals(12, 0.1)
    for number, atoms in enumerate(frames):
        atoms.info.update(config_type="", source=f"sampler{number}")
    ledger.propose(0, frames, stage="select", summary={})
    (generation,) = read_history(tmp_path).generations
    assert generation.origins["other"] == 5
    assert sum(generation.origins.values()) == 12


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ledger"):
        write_report(tmp_path)


def test_predictions_are_the_calculators(run, testset):
    predictions = _predictions(run, read_history(run))
    assert predictions.kinds == ["hot", "cold"]
    assert predictions.members == 3
    members = [LennardJones(**arguments) for arguments in MEMBERS]
    same = predict_held_out(Committee(members), testset)
    np.testing.assert_allclose(predictions.forces, same.forces)
    np.testing.assert_allclose(predictions.forces_std, 2 * same.forces_std)
    hot = predictions.of("hot")
    assert len(hot.energies) == 3
    assert hot.frame_of_atom.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_allclose(hot.forces[4:8], predictions.forces[8:12])


def test_frames_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"frame 0 .* lacks REF_energy"):
        predict_held_out(Committee([LennardJones(), LennardJones()]), crystals(1, 0.1))
