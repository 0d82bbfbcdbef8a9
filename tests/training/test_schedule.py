import itertools

import pytest
from pydantic import ValidationError

from ase_mlsample.training import AEVSettings, ModelSettings, TrainingSettings
from ase_mlsample.training.schedule import Schedule


@pytest.mark.parametrize("kind", ["cosine", "exponential"])
def test_decaying_schedules_go_from_first_to_final_rate(kind: str) -> None:
    settings = TrainingSettings(schedule=kind, learning_rate=1e-2, final_learning_rate=1e-4, warmup_steps=4)
    schedule = Schedule(settings, total_steps=101)
    rates = [schedule.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.25e-2, rel=0.01)
    assert rates[50] == pytest.approx(5.05e-3 if kind == "cosine" else 1e-3, rel=1e-6)
    assert rates[-1] == pytest.approx(1e-4)
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))
    assert schedule.rate(10**6) == pytest.approx(1e-4)


def test_plateau_halves_after_patience_and_ends_below_the_final_rate() -> None:
    settings = TrainingSettings(
        schedule="plateau", learning_rate=1e-3, final_learning_rate=2e-4, plateau_patience=2, warmup_steps=0
    )
    schedule = Schedule(settings, total_steps=10)
    assert schedule.validated(1.0)
    assert schedule.validated(0.5)
    assert schedule.validated(0.6)
    assert schedule.rate(3) == 1e-3
    assert schedule.validated(0.6)
    assert schedule.rate(3) == 5e-4
    other = Schedule(settings, total_steps=10)
    other.restore(schedule.state())
    for which in (schedule, other):
        assert [which.validated(0.7) for _ in range(4)] == [True, True, True, False]


def test_unknown_settings_name_the_nearest() -> None:
    with pytest.raises(
        ValidationError, match=r"unknown setting 'learning_rat'; did you mean 'learning_rate'"
    ):
        TrainingSettings.model_validate({"learning_rat": 1e-3})
    with pytest.raises(ValidationError, match=r"unknown setting 'layers'; known: .*hidden"):
        ModelSettings.model_validate({"layers": 3})
    with pytest.raises(ValidationError, match=r"final_learning_rate 0\.1 is above learning_rate"):
        TrainingSettings(final_learning_rate=0.1)
    with pytest.raises(ValidationError, match="nothing to learn"):
        TrainingSettings(energy_weight=0, forces_weight=0, stress_weight=0)


def test_descriptors_by_preset_or_by_numbers() -> None:
    assert AEVSettings().parameters(("Si",)).radial_cutoff == pytest.approx(6.42)
    assert AEVSettings(preset="ani2x").parameters(("H", "C")).radial_cutoff == pytest.approx(5.1)
    own = AEVSettings(radial_cutoff=5.2, angular_cutoff=4.2)
    assert own.preset == "custom"
    assert own.parameters(("Si",)).length == 16 + 32
    with pytest.raises(ValidationError, match="takes no other settings"):
        AEVSettings(preset="metal", radial_cutoff=5.0)
    with pytest.raises(ValidationError, match="needs radial_cutoff and angular_cutoff"):
        AEVSettings(n_radial=4)
