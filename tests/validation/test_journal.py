import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation import evaluation
from ase_mlsample.validation.checks import Check
from ase_mlsample.validation.conservation import energy_conservation
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.evaluation import Source, Task, answer
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.liquid_state import liquid_properties
from ase_mlsample.validation.melting import melting_point
from ase_mlsample.validation.quasi_harmonic import quasi_harmonic_expansion
from ase_mlsample.validation.simulation import constant_pressure, constant_volume, thermalised
from ase_mlsample.validation.thermal_expansion import expansion_by_dynamics
from tests.validation.killed_check import LIQUID, Counting

ROOT = Path(__file__).parents[2]
SILICON = crystal_of("Si", "diamond", conventional=True)


class PowerCut(BaseException):
    """Nothing is tidied up after it."""


class Stopping(Counting):
    """Counts evaluations, and raises at one of them."""

    def evaluate(self, atoms, members=False):
        if self.calls + 1 == self.fatal:
            raise PowerCut
        return super().evaluate(atoms, members)


def conservation(calc, journal):
    return energy_conservation(calc, SILICON, n_atoms=8, duration_ps=3.0, journal=journal)


def expansion(calc, journal):
    how = {"temperatures_K": (300, 900), "n_atoms": 8, "equilibration_ps": 0.1, "duration_ps": 0.8}
    return expansion_by_dynamics(calc, SILICON, **how, journal=journal)


def liquid(calc, journal):
    return liquid_properties(calc, "Si", **LIQUID, journal=journal)


def quasi_harmonic(calc, journal):
    crystal = crystal_of("Si", "diamond")
    how = {"width": 5.0, "mesh": 4, "points": 5, "highest_K": 300.0}
    return quasi_harmonic_expansion(calc, crystal, **how, journal=journal)


def melting(calc, journal):
    # a smaller bar, or a hotter one, loses one of its phases
    how = {"guess_K": 1600.0, "n_atoms": 512, "duration_ps": 2.0, "timestep_fs": 3.0}
    return melting_point(calc, SILICON, **how, attempts=1, journal=journal)


@pytest.mark.parametrize(
    "evaluate",
    [
        conservation,
        expansion,
        quasi_harmonic,
        pytest.param(liquid, marks=pytest.mark.slow),
        pytest.param(melting, marks=pytest.mark.slow),
    ],
)
def test_stopped_on_the_way_the_end_is_the_same(evaluate, tmp_path):
    whole = Counting()
    expected = evaluate(whole, None)
    for share in (0.6, 0.85):
        first, second, folder = Stopping(), Counting(), tmp_path / str(share)
        first.fatal = round(share * whole.calls)
        with pytest.raises(PowerCut):
            evaluate(first, Journal(folder, interval_s=0.0))
        assert evaluate(second, Journal(folder, interval_s=0.0)) == expected  # to the last bit
        assert first.calls + second.calls < 1.3 * whole.calls
        third = Counting()
        assert evaluate(third, Journal(folder)) == expected
        assert third.calls < 0.2 * whole.calls  # the crystal's relaxation and the like


def test_killed_on_the_way(tmp_path):
    whole = Counting()
    expected = liquid(whole, None)
    words = [sys.executable, "-m", "tests.validation.killed_check", tmp_path, str(whole.calls * 2 // 3)]
    done = subprocess.run(words, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    second = Counting()
    assert liquid(second, Journal(tmp_path, interval_s=0.0)) == expected
    assert second.calls < 0.5 * whole.calls


def _run(journal, *, seed=0, temperature=600.0):
    atoms = thermalised(bulk("Si", cubic=True), StillingerWeber(), 600.0, np.random.default_rng(seed))
    how = {"temperature_K": temperature, "timestep_fs": 2.0, "rng": np.random.default_rng(seed)}
    volumes = constant_pressure(atoms, duration_ps=0.1, sample=atoms.get_volume, journal=journal, **how)
    positions = constant_volume(
        atoms, duration_ps=0.1, sample=lambda: atoms.positions, journal=journal, **how
    )
    return volumes, positions, atoms


def test_samples(tmp_path):
    volumes, positions, atoms = _run(Journal(tmp_path))
    assert volumes.shape == (5,)
    assert positions.shape == (5, 8, 3)
    assert volumes[-1] == atoms.get_volume()
    assert np.ptp(volumes) > 0
    assert (positions[-1] == atoms.positions).all()
    again = _run(Journal(tmp_path))
    assert (again[0] == volumes).all()
    assert (again[1] == positions).all()
    assert (again[2].get_momenta() == atoms.get_momenta()).all()


@pytest.mark.parametrize("other", [{"seed": 1}, {"temperature": 700.0}])
def test_an_entry_of_another_start_does_not_count(other, tmp_path):
    expected = _run(None, **other)
    _run(Journal(tmp_path))
    found = _run(Journal(tmp_path), **other)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


def test_a_damaged_entry_is_computed_anew(tmp_path):
    expected = _run(None)
    _run(Journal(tmp_path))
    (tmp_path / "001.npz").write_bytes(b"nothing")
    assert (_run(Journal(tmp_path))[1] == expected[1]).all()


def test_what_a_run_is_at(tmp_path):
    _run(Journal(tmp_path))
    assert Journal.now(tmp_path) == "constant pressure at 600 K, 20%"  # told once in a while


def test_kept_results(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return [1.0, np.nan]

    for journal in (Journal(tmp_path), Journal(tmp_path)):
        assert journal.kept("it", compute, [1.0, 2.0])[0] == 1.0
    assert len(calls) == 1
    Journal(tmp_path).kept("it", compute, [1.0, 2.5])
    assert len(calls) == 2
    assert Journal.now(tmp_path) == "it"
    assert Journal.now(tmp_path / "nowhere") == ""


def long_property(calc, crystal, *, members, journal):
    return quasi_harmonic(calc, journal)


def test_an_answer_leaves_no_journal_behind(tmp_path, monkeypatch):
    check = Check("long", "long", f"{__name__}:long_property", crystal="diamond", journal=True)
    task = Task(check, "Si", Source("sw", lambda precision: StillingerWeber(), "sw"), "model")
    stale = tmp_path / f"long.model.{'0' * 16}.journal"
    stale.mkdir()
    seen = []
    run = evaluation.Check.run

    def watched(self, *args, journal, **settings):
        seen.extend(path.name for path in tmp_path.glob("long*"))
        return run(self, *args, journal=journal, **settings)

    monkeypatch.setattr(evaluation.Check, "run", watched)
    assert answer(task, tmp_path).failure == ""
    assert seen == [task.journal_name]
    assert [path.name for path in tmp_path.glob("long*")] == ["long.model.json"]


def test_of_two_who_want_an_answer_one_computes_it(tmp_path, monkeypatch):
    calls = []
    run = evaluation.Check.run

    def counted(self, *args, **settings):
        calls.append(self.name)
        return run(self, *args, **settings)

    monkeypatch.setattr(evaluation.Check, "run", counted)
    check = Check("long", "long", f"{__name__}:long_property", crystal="diamond", journal=True)
    task = Task(check, "Si", Source("sw", lambda precision: StillingerWeber(), "sw"), "reference")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: answer(task, tmp_path), range(2))
    assert first == second
    assert calls == ["long"]
