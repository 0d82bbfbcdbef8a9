import json
from dataclasses import replace

import pytest

from ase_mlsample.validation.files import load_validation
from tests.report.fabricated_validation import validation


def test_what_is_saved_is_read_again(tmp_path):
    found = validation()
    found.save(tmp_path / "validation.json")
    again = load_validation(tmp_path / "validation.json")
    assert again.to_dict() == found.to_dict()
    assert [outcome.rows[:3] for outcome in again.outcomes] == [
        outcome.rows[:3] for outcome in found.outcomes
    ]
    assert again.outcomes[1].result["C12"].std == found.outcomes[1].result["C12"].std


def _without(key):
    def damage(content):
        del content[key]

    return damage


def _changed(value, *path):
    def damage(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_without("fingerprint"), "lacks 'fingerprint'"),
        (_changed("granite", "suite"), "no suite 'granite'"),
        (_changed("three", "members"), "ValueError"),
        (_changed(None, "model"), "TypeError: None is no text"),
        (_changed({}, "outcomes", 1, "rows", 0), "lacks"),
        (_changed("x", "outcomes", 1, "rows", 0, "value"), "ValueError"),
        (_changed([1], "outcomes", 1, "result", "curves"), "AttributeError"),
    ],
)
def test_damage_is_named_with_what_to_do(tmp_path, damage, what):
    path = tmp_path / "validation.json"
    content = validation().to_dict()
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=what) as error:
        load_validation(path)
    assert str(path) in str(error.value)
    assert "run `mlsample validate` again" in str(error.value)


def test_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_validation(tmp_path / "validation.json")


def checks_of(found):
    return [outcome.check for outcome in found.outcomes]


def parts(*names, **changes):
    found = validation(**changes)
    return replace(found, outcomes=tuple(one for one in found.outcomes if one.check in names))


def test_checks_of_before_stay_in_the_order_of_the_suite():
    first, second = parts("tin_path", "elastic"), parts("liquid", "eos", "elastic", members=0)
    joined = second.joined(first)
    assert checks_of(joined) == ["eos", "elastic", "tin_path", "liquid"]
    assert joined.outcomes[1] is second.outcomes[1]
    assert joined.members == 3
    assert second.joined(None) is second


@pytest.mark.parametrize("change", [{"fingerprint": "g"}, {"version": "0"}, {"suite": "tin"}])
def test_checks_of_another_model_or_version_go(change):
    assert checks_of(parts("eos").joined(parts("elastic", **change))) == ["eos"]


def test_checks_compared_with_another_reference_go():
    before = parts("elastic", "liquid")  # the liquid was not compared
    other = {"reference": "another", "reference_fingerprint": "s"}
    assert checks_of(parts("eos", **other).joined(before)) == ["eos", "liquid"]
    none = {"reference": "", "reference_fingerprint": ""}
    joined = parts("eos", **none).joined(before)
    assert checks_of(joined) == ["eos", "elastic", "liquid"]
    assert (joined.reference, joined.reference_fingerprint) == ("reference", "r")
