import pytest

from ase_mlsample.active.config import StopSettings
from ase_mlsample.active.stop import generation_error, stop_reason


def stages(*rounds):
    """Ledger summaries from (uncertain fraction, worst force error)."""
    return {
        number: {
            "select": {} if fraction is None else {"uncertain_fraction": fraction},
            "train": {"force_rmse": 9.9},
            "evaluate": {
                "classes": {
                    "a": {"force_error": error / 2},
                    "b": {"force_error": error},
                    "all": {"force_error": 99},
                }
            },
        }
        for number, (fraction, error) in enumerate(rounds)
    }


SETTINGS = StopSettings(max_generations=9, uncertain_fraction=0.1, rounds=2, flat=0.05)


def test_error_is_that_of_the_worst_class_or_of_validation():
    (found,) = stages((None, 0.4)).values()
    assert generation_error(found) == 0.4
    assert generation_error({"train": {"force_rmse": 0.2}}) == 0.2
    assert generation_error({}) is None


@pytest.mark.parametrize(
    ("rounds", "stops"),
    [
        ([(None, 1.0)], False),
        ([(None, 1.0), (0.05, 0.5), (0.05, 0.5)], True),
        ([(None, 1.0), (0.05, 0.5), (0.05, 0.3)], False),  # still getting better
        ([(None, 1.0), (0.2, 0.5), (0.05, 0.5)], False),  # only one round
        ([(None, 1.0), (0.05, 0.5)], False),
        ([(None, 1.0), (0.05, 0.5), (0.05, 0.6)], True),
    ],
)
def test_few_candidates_and_flat(rounds, stops):
    assert (stop_reason(stages(*rounds), SETTINGS) is not None) == stops


def test_target_reached():
    settings = SETTINGS.model_copy(update={"force_error": 0.3})
    assert stop_reason(stages((None, 1.0), (0.05, 0.5), (0.05, 0.25)), settings)
    assert not stop_reason(stages((None, 1.0), (0.05, 0.5), (0.05, 0.35)), settings)


def test_enough_generations():
    settings = StopSettings(max_generations=2)
    assert stop_reason(stages((None, 1.0)), settings) is None
    assert "2 generations" in stop_reason(stages((None, 1.0), (0.9, 0.5)), settings)
    assert stop_reason({}, settings) is None
