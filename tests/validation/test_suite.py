import json
from functools import partial
from pathlib import Path

import pytest

from ase_mlsample.active.executors import SerialExecutor
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation import evaluation
from ase_mlsample.validation import suite as suite_module
from ase_mlsample.validation.checks import SUITES, chosen, suite
from ase_mlsample.validation.evaluation import Source, Task, answer
from ase_mlsample.validation.progress import COSTS, Progress
from ase_mlsample.validation.suite import run_suite
from tests.validation.silicon_potentials import silicon_committee

_, SYMBOL, CHECKS = suite("silicon", ["Si"])
FEW = chosen(CHECKS, only=["elastic", "tin_path"])


def stillinger_weber(precision, **parameters):
    return StillingerWeber(**parameters)


def committee(precision):
    return silicon_committee()


MODEL = Source("three potentials", committee, "three")
REFERENCE = Source("Stillinger–Weber", partial(stillinger_weber), "sw")


def run(folder, **settings):
    arguments = {"suite": "silicon", "folder": folder, "executor": SerialExecutor(), "quick": True}
    return run_suite(FEW, SYMBOL, MODEL, **arguments | settings)


def test_results_are_written_and_compared(tmp_path):
    seen = []
    found = run(tmp_path, reference=REFERENCE, progress=lambda now: seen.append((now.done, now.words())))
    assert [outcome.check for outcome in found.outcomes] == ["elastic", "tin_path"]
    rows = {(row.check, row.key): row for row in found.rows}
    first = rows["elastic", "C11"]
    assert first.reference == pytest.approx(151.42, abs=0.1)
    assert first.literature.value == pytest.approx(165.78)
    assert first.std > 0
    assert first.verdict == "agrees"
    assert found.count("agrees") + found.count("within error") + found.count("differs") > 10
    assert seen[:3] == [(0, "elastic, model"), (1, ""), (1, "elastic, reference")]
    assert seen[-1] == (10, "")  # two checks of the model, the reference and three members
    content = json.loads((tmp_path / "validation.json").read_text())
    assert content == found.to_dict()
    assert len(list((tmp_path / "answers").glob("*.json"))) == 10


def test_a_second_start_takes_up_what_is_there(tmp_path, monkeypatch):
    first = run(tmp_path)
    calls = []
    original = evaluation.Check.run

    def counted(self, *args, **settings):
        calls.append(self.name)
        return original(self, *args, **settings)

    monkeypatch.setattr(evaluation.Check, "run", counted)
    assert run(tmp_path) == first
    assert calls == []
    (tmp_path / "answers" / "elastic.member-1.json").unlink()
    assert run(tmp_path).rows == first.rows
    assert calls == ["elastic"]
    other = Source("another", committee, "another fingerprint")
    task = Task(FEW[0], SYMBOL, other, "model", quick=True)
    assert task.key != Task(FEW[0], SYMBOL, MODEL, "model", quick=True).key
    answer(task, tmp_path / "answers")
    assert calls == ["elastic", "elastic"]  # an answer of another model does not count


def test_what_was_done_before_an_interruption_is_kept(tmp_path, monkeypatch):
    seen = []

    def interrupted(now):
        seen.extend(task.name for task in now.running)
        if now.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupted)
    assert seen[:2] == ["elastic, model", "elastic, member 0"]  # told as they come
    assert len(list((tmp_path / "answers").glob("*.json"))) == 5
    content = json.loads((tmp_path / "validation.json").read_text())
    assert content["outcomes"][0]["check"] == "elastic"
    calls = []
    original = evaluation.Check.run

    def counted(self, *args, **settings):
        calls.append(self.name)
        return original(self, *args, **settings)

    monkeypatch.setattr(evaluation.Check, "run", counted)
    run(tmp_path)
    assert calls == ["tin_path"] * 3


def test_results_hold_no_check_before_all_its_answers_are_there(tmp_path, monkeypatch):
    original = suite_module._answered

    def models_first(*words):
        yield from sorted(original(*words), key=lambda pair: pair[0].who != "model")

    def saved(found, path):
        assert all(one.reference is not None for one in found.outcomes)
        assert all(len(q.members) == 3 for one in found.outcomes for q in one.result)
        sizes.append(len(found.outcomes))
        return write(found, path)

    write, sizes = suite_module._saved, []
    monkeypatch.setattr(suite_module, "_answered", models_first)
    monkeypatch.setattr(suite_module, "_saved", saved)
    run(tmp_path, reference=REFERENCE)
    assert sizes == [0, 1, 2, 2]


def test_what_another_process_adds_meanwhile_stays(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    settings = {"suite": "silicon", "executor": SerialExecutor(), "quick": True, "members": "none"}
    run_suite(FEW[1:], SYMBOL, MODEL, folder=other, **settings)

    def meanwhile(now):
        if now.done == 0:
            (own / "validation.json").write_bytes((other / "validation.json").read_bytes())

    found = run_suite(FEW[:1], SYMBOL, MODEL, folder=own, progress=meanwhile, **settings)
    assert [outcome.check for outcome in found.outcomes] == ["elastic", "tin_path"]
    assert json.loads((own / "validation.json").read_text()) == found.to_dict()


def test_a_damaged_answer_is_named_with_what_to_do(tmp_path):
    first = run(tmp_path, members="none")
    path = tmp_path / "answers" / "elastic.model.json"
    whole = path.read_bytes()
    for damage in (whole[:100], b"[]", whole.replace(b'"quantities"', b'"quantity"')):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"elastic\.model\.json is damaged .* Remove it and start again"):
            run(tmp_path, members="none")
    path.unlink()
    assert run(tmp_path, members="none").rows == first.rows


def test_settings_and_members_change_the_key():
    task = Task(FEW[0], SYMBOL, MODEL, "model")
    keys = {task.key, Task(FEW[1], SYMBOL, MODEL, "model").key}
    keys.add(Task(FEW[0], SYMBOL, MODEL, "member 0", member=0).key)
    keys.add(Task(FEW[1], SYMBOL, MODEL, "model", quick=True).key)
    assert len(keys) == 4


def test_a_check_that_fails_does_not_stop_the_others(tmp_path):
    soft = Source("soft", partial(stillinger_weber, lambda_=1.0), "soft")
    found = run_suite(
        FEW, SYMBOL, soft, suite="silicon", folder=tmp_path, executor=SerialExecutor(), quick=True
    )
    by_name = {outcome.check: outcome for outcome in found.outcomes}
    assert set(by_name) == {"elastic", "tin_path"}
    assert by_name["tin_path"].result is None
    assert "RuntimeError" in by_name["tin_path"].failure
    json.loads((tmp_path / "validation.json").read_text())


def test_members_or_none(tmp_path):
    assert all(row.std is None for row in run(tmp_path, members="none").rows)
    with pytest.raises(ValueError, match="members must be"):
        run(tmp_path, members="some")
    with pytest.raises(ValueError, match="workers must be at least one, got 0"):
        run(tmp_path, workers=0)


def test_failures_are_tried_again_when_asked_to(tmp_path, monkeypatch):
    first = run(tmp_path)
    calls = []
    original = evaluation.Check.run

    def failing(self, *args, **settings):
        calls.append(self.name)
        if self.name == "tin_path" and len(calls) < 4:
            raise RuntimeError("out of luck")
        return original(self, *args, **settings)

    monkeypatch.setattr(evaluation.Check, "run", failing)
    for path in (tmp_path / "answers").glob("tin_path.*"):
        path.unlink()
    broken = run(tmp_path)
    assert broken.outcomes[1].failure == "RuntimeError: out of luck"
    assert run(tmp_path) == broken
    assert len(calls) == 4  # failures of the model and of two members
    mended = run(tmp_path, retry_failed=True)
    assert mended.rows == first.rows
    assert calls == ["tin_path"] * 7


def test_time_left():
    now = [0.0]
    model = [Task(check, SYMBOL, MODEL, "model") for check in FEW]
    members = [Task(FEW[0], SYMBOL, MODEL, f"member {k}", member=k) for k in range(2)]
    cheap, dear = COSTS["elastic_constants"], 1.0
    state = Progress([model[0], *members, model[1]], Path(), Path(), workers=2, clock=lambda: now[0])
    state.begin(model[0])
    assert (state.words(), state.seconds_left()) == ("elastic, model", None)
    state.end(model[0], 8.0)
    # members as their check's cost says until one is done, then as that one
    assert state.seconds_left() == pytest.approx((8.0 * 2 + 8.0 * dear / cheap) / 2)
    state.begin(members[0])
    now[0] = 3.0
    assert state.seconds_left() == pytest.approx((8.0 * 2 - 3.0 + 8.0 * dear / cheap) / 2)
    state.end(members[0], 2.0)
    assert state.seconds_left() == pytest.approx((2.0 + 5.0 * dear / cheap) / 2)
    state.end(members[1], 2.0)
    state.end(model[1], 1.0)
    assert (state.done, state.seconds_left()) == (4, 0.0)


def test_costs_are_those_of_properties():
    functions = {check.function.partition(":")[2] for name in SUITES for check in suite(name, [])[2]}
    assert set(COSTS) <= functions
