from pathlib import Path

import pytest
from ase.io import read

from ase_mlsample.active.config_file import parse_config
from ase_mlsample.active.explore import explore

LO = 0.2


@pytest.fixture
def audited(values):
    """A configuration whose trajectories pass through certain frames."""
    values["selection"] = {"batch": 2, "lo": LO, "hi": 40.0, "audit": 3}
    values["explore"] |= {"n": 8}
    values["explore"]["dynamics"] |= {"temperature_K": [300, 600]}
    values["stop"] = {"max_generations": 2}
    return values


def looked_at(values):
    """Frames of generation 1 by verdict."""
    frames = read(Path(values["directory"]) / "candidates/0001.extxyz", ":")
    return {
        verdict: [atoms for atoms in frames if atoms.info["trust"] == verdict]
        for verdict in ("learned", "candidate")
    }


def chosen(frames):
    return [atoms.positions.tobytes() for atoms in frames if atoms.info["selected"]]


def test_certain_frames_are_labelled_besides_candidates(audited, run_here):
    summary = run_here(audited)
    found = looked_at(audited)
    assert len(chosen(found["learned"])) == 3
    assert len(chosen(found["candidate"])) == 2
    assert summary["generations"][1]["select"]["proposed"] == 5
    assert all(atoms.info["force_sigma_max"] < LO for atoms in found["learned"])
    trajectories = [atoms.info["ramp_start_K"] for atoms in found["learned"]]
    assert len(trajectories) == len(set(trajectories)) <= 8


def test_the_audit_follows_the_seed(audited, run_here, tmp_path):
    run_here(audited)
    again = audited | {"directory": str(tmp_path / "again")}
    run_here(again)
    assert chosen(looked_at(again)["learned"]) == chosen(looked_at(audited)["learned"])


def test_the_audit_leaves_the_choice_of_candidates_alone(audited, run_here, tmp_path):
    run_here(audited)
    without = audited | {
        "directory": str(tmp_path / "without"),
        "selection": audited["selection"] | {"audit": 0},
    }
    run_here(without)
    assert chosen(looked_at(without)["learned"]) == []
    assert chosen(looked_at(without)["candidate"]) == chosen(looked_at(audited)["candidate"])


@pytest.mark.parametrize(("lo", "certain"), [(30.0, 1), (1e-6, 0)])
def test_a_trajectory_keeps_one_certain_frame(audited, run_here, lo, certain):
    audited["stop"] = {"max_generations": 1}
    run_here(audited)
    config = parse_config(audited, source="test")
    found = explore(
        model=str(Path(audited["directory"]) / "models/0000"),
        start=config.explore.start[0],
        dynamics=config.explore.dynamics,
        lo=lo,
        hi=40.0,
        seed=(1, 2),
    )
    kept = [frame["info"]["stop_reason"] for frame in found["frames"]]
    assert sum(reason in ("running", "finished") for reason in kept) == certain
    assert len(kept) == 1
    assert found["run"]["stop_reason"] == ("finished" if certain else "uncertain")
