"""Trajectories that are interrupted go on as if nothing had happened."""

from dataclasses import asdict

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.dynamics import Guards, MeltQuench, RampedMD, UncertaintyGate
from ase_mlsample.dynamics.snapshot import Snapshot


def silicon():
    atoms = bulk("Si", a=5.43, cubic=True).repeat((2, 1, 1))
    atoms.info = {"config_type": "diamond", "source": "PerturbedCrystal"}
    return atoms


def committee():
    return Committee([StillingerWeber(), StillingerWeber(epsilon=2.3), StillingerWeber(lambda_=19.5)])


def rng(seed=3):
    return np.random.default_rng(seed)


HOT = {"temperature_K": (500, 2000), "duration_ps": 0.19, "check_every": 12, "keep_every": 1}
CERTAIN = {"gate": UncertaintyGate(1e6)}
EXPLORERS = {
    "density": (RampedMD(**HOT, **CERTAIN), committee),
    "volume": (RampedMD(**HOT, density=None), StillingerWeber),
    "pressure": (RampedMD(**HOT, pressure_GPa=(-2, 5), barostat_fs=100), StillingerWeber),
    "pressure and gate": (RampedMD(**HOT, **CERTAIN, pressure_GPa=(-2, 5), barostat_fs=100), committee),
    "melt": (
        MeltQuench(
            heat_ps=0.1,
            melt_ps=0.1,
            end_ps=0.05,
            rate_K_per_ps=30_000,
            pressure_GPa=1,
            check_every=20,
            keep_every=2,
        ),
        StillingerWeber,
    ),
}


def assert_same(mine, theirs):
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.cell.array, b.cell.array)
        np.testing.assert_array_equal(a.numbers, b.numbers)
        np.testing.assert_array_equal(a.pbc, b.pbc)
        assert a.arrays.keys() == b.arrays.keys()
        np.testing.assert_array_equal(a.arrays.get("force_sigma", 0), b.arrays.get("force_sigma", 0))
        assert a.info == b.info


def assert_same_summary(mine, theirs):
    for name, value in asdict(mine).items():
        np.testing.assert_equal(value, getattr(theirs, name), err_msg=name)


@pytest.mark.parametrize("name", EXPLORERS)
@pytest.mark.parametrize("taken", [5, 8])
def test_abandoned_trajectories_go_on_exactly(name, taken, tmp_path):
    explorer, calc = EXPLORERS[name]
    whole, summary = explorer.run(calc(), silicon(), rng())
    taken = min(taken, len(whole) - 1)
    path = tmp_path / "run.npz"
    begun = explorer.explore(calc(), silicon(), rng(), checkpoint=path, checkpoint_every=3)
    first = []
    for frame in begun:
        first.append(frame)
        frame.positions += 1.0  # what is done to frames must not reach the checkpoint
        if len(first) == taken:
            break
    begun.close()
    assert path.exists()
    rest = list(explorer.explore(calc(), silicon(), rng(), checkpoint=path))
    assert len(whole) - taken <= len(rest) < len(whole)
    assert_same(rest, whole[-len(rest) :])
    again, end = explorer.run(calc(), silicon(), rng(), checkpoint=path)
    assert_same(again, whole)
    assert_same_summary(end, summary)


def test_checkpoints_change_nothing(tmp_path):
    explorer, calc = EXPLORERS["density"]
    plain, summary = explorer.run(calc(), silicon(), rng())
    kept, end = explorer.run(calc(), silicon(), rng(), checkpoint=tmp_path / "run.npz", checkpoint_every=1)
    assert_same(kept, plain)
    assert_same_summary(end, summary)
    assert list(tmp_path.iterdir()) == [tmp_path / "run.npz"]


class Killed(BaseException):
    """As a signal would."""


def test_the_last_sane_frame_is_part_of_a_checkpoint(tmp_path):
    """The check that follows the checkpoint finds the atoms unphysical and looks back."""

    class Closes(UncertaintyGate):
        """Certain at the first check, unphysical at the next, a candidate between them."""

        def check(self, calc, atoms):
            reading = super().check(calc, atoms)
            at_check, still = atoms.has("momenta"), np.array_equal(atoms.positions, silicon().positions)
            decision = "candidate" if not at_check else "accurate" if still else "unphysical"
            return type(reading)(reading.value, decision, reading.force_sigma)

    explorer = RampedMD(temperature_K=800, density=None, duration_ps=0.1, check_every=25, gate=Closes(1e-3))
    path = tmp_path / "run.npz"
    whole, summary = explorer.run(committee(), silicon(), rng(), checkpoint=path, checkpoint_every=1)
    assert (summary.stop_reason, summary.steps) == ("unphysical", 25)
    assert [frame.info["time_fs"] for frame in whole] == [20]
    assert Snapshot.load(path).state["step"] == 25
    again, end = explorer.run(committee(), silicon(), rng(), checkpoint=path)
    assert_same(again, whole)
    assert_same_summary(end, summary)


def test_killed_between_checks(tmp_path):
    """What ends the process before the next checkpoint costs only the steps since the last one."""

    class Kills(StillingerWeber):
        left = 70

        def evaluate(self, atoms, members=False):
            self.left -= 1
            if not self.left:
                raise Killed
            return super().evaluate(atoms, members)

    class OpensLate(UncertaintyGate):
        """Certain at checks, uncertain between them."""

        def check(self, calc, atoms):
            reading = super().check(calc, atoms)
            between = atoms.has("momenta")
            return type(reading)(reading.value, "accurate" if between else "candidate", reading.force_sigma)

    explorer = RampedMD(
        temperature_K=(2000, 4000),
        density=None,
        duration_ps=1.0,
        check_every=25,
        gate=OpensLate(1e-3),
        guards=Guards(contact_fraction=0.9),
    )
    members = [StillingerWeber(epsilon=2.3), StillingerWeber(lambda_=19.5)]
    whole, summary = explorer.run(Committee([StillingerWeber(), *members]), silicon(), rng(1))
    assert summary.stop_reason == "collapsed"
    assert len(whole) == 1
    assert summary.steps > 70
    path = tmp_path / "run.npz"
    with pytest.raises(Killed):
        explorer.run(Committee([Kills(), *members]), silicon(), rng(1), checkpoint=path, checkpoint_every=1)
    assert Snapshot.load(path).state["step"] in (25, 50)
    again, end = explorer.run(Committee([StillingerWeber(), *members]), silicon(), rng(1), checkpoint=path)
    assert_same(again, whole)
    assert_same_summary(end, summary)


def test_calculators_of_ase(tmp_path):
    explorer = RampedMD(temperature_K=600, pressure_GPa=1, duration_ps=0.04, check_every=10, keep_every=1)
    atoms, path = bulk("Cu", cubic=True).repeat((2, 2, 1)), tmp_path / "run.npz"
    whole, _ = explorer.run(EMT(), atoms, rng())
    begun = explorer.explore(EMT(), atoms, rng(), checkpoint=path, checkpoint_every=1)
    for _ in range(3):
        next(begun)
    rest = list(explorer.explore(EMT(), atoms, rng(), checkpoint=path))
    assert len(rest) == 2
    # EMT's neighbour list remembers its history, and sums in that order
    for mine, theirs in zip(rest, whole[2:], strict=True):
        np.testing.assert_allclose(mine.positions, theirs.positions, rtol=0, atol=1e-9)


def test_snapshots_keep_everything(tmp_path):
    frames = [silicon() for _ in range(3)]
    frames[1].arrays["force_sigma"] = rng().random(16)
    frames[2].info = {"value": 0.1 + 0.2, "count": np.int64(3), "name": "liquid"}
    arrays = {"positions": rng().random((16, 3)), "momenta": rng().random((16, 3)), "cell": np.eye(3) / 3}
    state = {"step": 7, "sigma_max": float("nan"), "rng": rng().bit_generator.state}
    written = Snapshot("abc", state, frames=frames, **arrays)
    written.save(tmp_path / "s.npz")
    read = Snapshot.load(tmp_path / "s.npz")
    assert read.trajectory == "abc"
    assert np.isnan(read.state.pop("sigma_max"))
    assert read.state == {"step": 7, "rng": state["rng"]}
    for name, values in arrays.items():
        np.testing.assert_array_equal(getattr(read, name), values)
    assert_same(read.frames, frames)
    assert type(read.frames[2].info["count"]) is int
    Snapshot("abc", state, **arrays).save(tmp_path / "s.npz")
    assert Snapshot.load(tmp_path / "s.npz").frames == []
    frames[0].info = {"list": [np.zeros(3)]}
    with pytest.raises(TypeError, match="strings and numbers, got ndarray"):
        written.save(tmp_path / "s.npz")
    assert Snapshot.load(tmp_path / "s.npz").frames == []


def test_what_is_no_checkpoint_of_this_trajectory(tmp_path):
    explorer, calc = EXPLORERS["volume"]
    path = tmp_path / "run.npz"
    explorer.run(calc(), silicon(), rng(), checkpoint=path, checkpoint_every=5)
    other = RampedMD(**HOT | {"check_every": 10}, density=None)
    moved = silicon()
    moved.positions[0, 0] += 1e-12
    for wrong in ((explorer, silicon(), rng(4)), (explorer, moved, rng()), (other, silicon(), rng())):
        with pytest.raises(ValueError, match="another trajectory"):
            wrong[0].explore(calc(), *wrong[1:], checkpoint=path)
    for content in (b"", b"nothing", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no checkpoint of a trajectory"):
            explorer.explore(calc(), silicon(), rng(), checkpoint=path)
    np.savez(path, head=np.array('{"format": "of tomorrow"}'))
    with pytest.raises(ValueError, match="format 'of tomorrow'"):
        explorer.explore(calc(), silicon(), rng(), checkpoint=path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        explorer.explore(calc(), silicon(), rng(), checkpoint=tmp_path / "none" / "run.npz")
    with pytest.raises(ValueError, match="checkpoint_every"):
        explorer.explore(calc(), silicon(), rng(), checkpoint=tmp_path / "x", checkpoint_every=0)
