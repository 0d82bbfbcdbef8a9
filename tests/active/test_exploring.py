"""Several explorers, biases, limits and measures in one run, and trajectories shown while they run."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from active_helpers import data_set
from ase import Atoms
from ase.io import read

from ase_mlsample.active import explore as explore_module
from ase_mlsample.active import live
from ase_mlsample.active.config_file import parse_config
from ase_mlsample.active.explore import MEASURES, explore, stream, trust_gate
from ase_mlsample.active.models import load_model
from ase_mlsample.active.store import ResultStore
from ase_mlsample.dynamics import RampedMD


class Shaker:
    """An explorer of a user: a few rattled copies, no summary of its own."""

    def __init__(self, gate, keep_every, amplitude=0.05):
        self.amplitude = amplitude

    def explore(self, calc, atoms, rng):
        for _ in range(3):
            frame = atoms.copy()
            frame.positions += rng.normal(0, self.amplitude, frame.positions.shape)
            frame.info = {"source": "Shaker"}
            yield frame


@pytest.fixture
def model(values, run_here):
    """Folder of a model, and the values that it was made from."""
    run_here(values | {"stop": {"max_generations": 1}})
    return str(Path(values["directory"]) / "models/0000")


def one(values, model, *, lo=1e3, hi=1e4, seed=(1, 2), **arguments):
    config = parse_config(values, source="test")
    return explore(
        model=model,
        start=config.explore.start[0],
        dynamics=config.explore.explorers[0],
        lo=lo,
        hi=hi,
        seed=seed,
        **arguments,
    )


def dynamics_of(values, **changes):
    """The toy's dynamics with changes."""
    return {**values["explore"]["dynamics"], **changes}


def infos(values, generation=1):
    frames = read(Path(values["directory"]) / f"candidates/{generation:04d}.extxyz", ":")
    return [atoms.info for atoms in frames]


def test_a_list_of_one_is_the_same_as_a_mapping(values, run_here, tmp_path):
    run_here(values)
    listed = values | {
        "directory": str(tmp_path / "listed"),
        "explore": values["explore"] | {"dynamics": [dynamics_of(values, weight=7.0)]},
    }
    run_here(listed)
    assert data_set(listed) == data_set(values)


def test_explorers_are_drawn_by_weight(values, run_here):
    values["stop"] = {"max_generations": 2}
    values["explore"] |= {
        "n": 12,
        "dynamics": [
            dynamics_of(values, weight=1.0),
            dynamics_of(values, weight=2.0, explorer="RampedMD", temperature_K=[3000, 3001], amplitude_K=0),
            {"explorer": "test_exploring:Shaker", "weight": 1.0, "amplitude": 0.1},
        ],
    }
    run_here(values)
    found = Counter(
        "Shaker" if info["source"] == "Shaker" else "hot" if info["ramp_start_K"] >= 3000 else "first"
        for info in infos(values)
    )
    assert all(found[name] >= 1 for name in ("Shaker", "hot", "first")), found
    results = ResultStore(Path(values["directory"]) / "results")
    runs = [results.read(key)["run"] for key in sorted(results.keys()) if "explore" in key]
    shaken = [run for run in runs if "steps" not in run]
    assert shaken
    assert all(run == {"stop_reason": "finished", "checks": 3} for run in shaken)


def test_melt_quench_by_name(values, model):
    pytest.importorskip("ase_mlsample.dynamics.melt_quench")
    values["explore"]["dynamics"] = {
        "explorer": "MeltQuench", "melt_K": 2000, "rate_K_per_ps": 1e5, "start_K": 500, "end_K": 500,
        "heat_ps": 0.01, "melt_ps": 0.02, "end_ps": 0.01, "check_every": 5,
    }  # fmt: skip
    found = one(values, model)
    assert found["run"]["stop_reason"] == "finished"
    assert found["frames"][0]["info"]["source"] == "MeltQuench"


def test_a_bias_drives_the_trajectory_and_not_its_judgement(values, model):
    plain = one(values, model)
    for height, same in ((0.0, True), (50.0, False)):
        values["explore"]["dynamics"]["uncertainty_bias"] = {"height_eV": height, "width": 0.5}
        found = one(values, model)
        (packed,), (expected,) = found["frames"], plain["frames"]
        assert np.allclose(packed["positions"], expected["positions"], atol=1e-6) is same
        assert packed["info"]["bias_height_eV"] == height
        frame = Atoms(
            packed["numbers"], positions=packed["positions"], cell=packed["cell"], pbc=packed["pbc"]
        )
        sigma = load_model(model).get_spread(frame).calibrated.force_sigma
        np.testing.assert_allclose(packed["arrays"]["force_sigma"], sigma)
    assert "bias_height_eV" not in plain["frames"][0]["info"]


def test_limits_reach_the_guards_and_a_start_has_its_own(values, run_here, monkeypatch):
    seen = []
    built = explore_module.build_explorer

    def watched(name, arguments, **options):
        seen.append(options["limits"])
        return built(name, arguments, **options)

    monkeypatch.setattr(explore_module, "build_explorer", watched)
    first = values["explore"]["start"][0]
    values["explore"] |= {
        "n": 8,
        "limits": {"contact_fraction": 0.5, "max_step": 0.4},
        "start": [first, {**first, "limits": {"max_step": 1e-4}}],
    }
    values["selection"] |= {"lo": 1e3, "hi": 1e4}
    values["stop"] = {"max_generations": 2}
    summary = run_here(values)
    assert {(limits["contact_fraction"], limits["max_step"]) for limits in seen} == {(0.5, 0.4), (0.5, 1e-4)}
    strict = sum(limits["max_step"] == 1e-4 for limits in seen)
    assert summary["generations"][1]["select"]["ends"].get("exploded", 0) >= strict > 0


class TestRelativeMeasure:
    LEVEL = 0.5
    LO = 0.02

    def test_gate_and_frames_agree(self, values, model):
        found = one(values, model, level=self.LEVEL)
        (packed,) = found["frames"]
        measure = packed["info"][MEASURES["relative"]]
        frame = Atoms(
            packed["numbers"], positions=packed["positions"], cell=packed["cell"], pbc=packed["pbc"]
        )
        calc = load_model(model)
        sigma = calc.get_spread(frame).calibrated.force_sigma
        force = np.linalg.norm(calc.get_forces(frame), axis=1)
        assert measure == pytest.approx((sigma / (1 + force / self.LEVEL)).max(), rel=1e-9)
        assert measure < packed["info"][MEASURES["force"]]
        for factor, decision in ((0.99, "candidate"), (1.01, "accurate")):
            reading = trust_gate(factor * measure, 99.0, self.LEVEL).check(calc, frame)
            assert reading.decision == decision
        assert (
            trust_gate(0.4 * measure, 0.9 * measure, self.LEVEL).check(calc, frame).decision == "unphysical"
        )

    def test_a_run_is_judged_by_it(self, values, run_here):
        values["selection"] |= {"measure": "relative", "level": self.LEVEL, "lo": self.LO, "hi": 1.0}
        values["stop"] = {"max_generations": 2}
        summary = run_here(values)
        assert summary["generations"][1]["select"]["measure"] == "relative"
        found = infos(values)
        assert {info["trust"] for info in found} >= {"candidate"}
        for info in found:
            measure = info[MEASURES["relative"]]
            expected = "learned" if measure < self.LO else "candidate" if measure < 1.0 else "rejected"
            assert info["trust"] == expected
        stopped = [info for info in found if info["stop_reason"] == "uncertain"]
        assert stopped
        assert all(info["trust"] == "candidate" for info in stopped)


class TestLive:
    def test_each_frame_is_shown_and_the_file_is_gone_after(self, values, model, tmp_path, monkeypatch):
        shown = []
        publish = live.LiveFrames.publish

        def watched(self, atoms):
            publish(self, atoms)
            seen = read(self.path)
            assert (seen.info["trust_lo"], seen.info["trust_hi"]) == (1e3, 1e4)
            assert "trust_lo" not in atoms.info
            shown.append((self.path.exists(), atoms.info["time_fs"], "force_sigma" in atoms.arrays))

        monkeypatch.setattr(live.LiveFrames, "publish", watched)
        expected = one(values, model)
        found = one(values, model, live=(str(tmp_path / "live"), "0001-00002"))
        assert found["run"] == expected["run"]
        assert np.array_equal(found["frames"][0]["positions"], expected["frames"][0]["positions"])
        assert len(shown) == found["run"]["checks"] - 1  # the first look is before the first step
        assert all(there and scalars for there, _, scalars in shown)
        assert not list((tmp_path / "live").glob("*.extxyz"))

    def test_it_is_gone_after_an_error_too(self, values, model, tmp_path, monkeypatch):
        def broken(self, calc, atoms, rng):
            yield atoms
            raise RuntimeError("lost")

        monkeypatch.setattr(RampedMD, "explore", broken)
        with pytest.raises(RuntimeError, match="lost"):
            one(values, model, live=(str(tmp_path / "live"), "x"))
        assert not list((tmp_path / "live").glob("*.extxyz"))

    @pytest.mark.parametrize("wanted", [True, False])
    def test_a_run_shows_it_if_it_is_wanted(self, wanted, values, run_here, monkeypatch):
        opened = []

        class Recorded(live.LiveFrames):
            def __init__(self, folder, name, **notes):
                opened.append((folder, name))
                super().__init__(folder, name, **notes)

        monkeypatch.setattr(live, "LiveFrames", Recorded)
        values |= {"live": wanted, "stop": {"max_generations": 2}}
        run_here(values)
        folder = Path(values["directory"]) / "live"
        assert opened == [(folder, f"0001-{index:05d}") for index in range(4)] * wanted
        assert not list(folder.glob("*.extxyz"))
        data = data_set(values)
        values["live"] = not wanted  # may change
        run_here(values)
        assert data_set(values) == data

    def test_what_a_killed_run_left_is_cleared(self, values, run_here):
        values["stop"] = {"max_generations": 1}
        run_here(values)
        left = Path(values["directory"]) / "live/0001-00000.extxyz"
        left.parent.mkdir(exist_ok=True)
        left.write_text("1\n\nSi 0 0 0\n")
        run_here(values)
        assert not left.exists()


def test_draws_of_a_trajectory_have_streams_of_their_own():
    draws = [stream(3, 1, 1, 0, *extra).random() for extra in ((), (1,), (2,), (3,))]
    assert len(set(draws)) == 4
