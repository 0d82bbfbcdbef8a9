import dataclasses
import pickle

import numpy as np
import pytest

from ase_mlsample.calculators import Calibration, Prediction, Spread
from ase_mlsample.calculators.prediction import mean_over_members, std_over_members

FORCES = np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]], [[0.0, 0.0, 0.0], [3.0, 2.0, 6.0]]])


def test_standard_deviation_of_two_members() -> None:
    spread = Spread.from_members(
        [1.0, 2.0], FORCES, stress=[[0.0] * 6, [1.0] * 6], atomic_energies=[[0, 1], [0, 2]]
    )
    # Two values d apart have the sample standard deviation d/√2.
    assert spread.energy_std == pytest.approx(1 / np.sqrt(2))
    np.testing.assert_allclose(spread.forces_std, [[0, 0, 0], [np.sqrt(2), 0, np.sqrt(8)]])
    np.testing.assert_allclose(spread.force_sigma, [0.0, np.sqrt(10)])
    np.testing.assert_allclose(spread.stress_std, np.full(6, 1 / np.sqrt(2)))
    np.testing.assert_allclose(spread.energies_std, [0, 1 / np.sqrt(2)])


def test_what_is_handed_out_cannot_be_changed() -> None:
    """A calculator gives the same spread until the atoms change."""
    spread = Spread.from_members([1.0, 2.0], FORCES, stress=[[0.0] * 6, [1.0] * 6])
    for values in (spread.forces_std, spread.stress_std, spread.calibrated.forces_std):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 2.0
    mine = np.ones((2, 3))
    Spread(0.0, None, mine, None)
    mine += 1.0  # an array that was given stays writable


def test_parts_that_a_model_lacks_stay_none() -> None:
    spread = Spread.from_members([1.0, 2.0], FORCES)
    assert spread.energies_std is None
    assert spread.stress_std is None
    assert spread.calibrated.stress_std is None
    assert spread.calibration == Calibration()


def test_identical_members_do_not_differ_by_rounding(rng: np.random.Generator) -> None:
    values = rng.normal(size=(5, 3)) * 1e3
    same = np.stack([values] * 7)
    assert not std_over_members(same).any()
    assert np.array_equal(mean_over_members(same), values)


def test_agrees_with_numpy(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 5, 3)) - 150.0
    np.testing.assert_allclose(std_over_members(values), values.std(axis=0, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(mean_over_members(values), values.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("members", [0, 1])
def test_one_member_cannot_disagree(members: int) -> None:
    with pytest.raises(ValueError, match=f"at least two members, got {members}"):
        Spread.from_members(np.zeros(members), np.zeros((members, 2, 3)))


def test_calibration_is_applied_once() -> None:
    factors = Calibration(energy=2.0, forces=3.0, stress=0.5)
    raw = Spread.from_members(
        [0.0, 1.0],
        FORCES,
        stress=[[0.0] * 6, [2.0] * 6],
        atomic_energies=[[0, 1], [0, 2]],
        calibration=factors,
    )
    once = raw.calibrated
    assert once.energy_std == pytest.approx(2 * raw.energy_std)
    np.testing.assert_allclose(once.energies_std, 2 * raw.energies_std)
    np.testing.assert_allclose(once.forces_std, 3 * raw.forces_std)
    np.testing.assert_allclose(once.force_sigma, 3 * raw.force_sigma)
    np.testing.assert_allclose(once.stress_std, 0.5 * raw.stress_std)
    assert once.calibration == Calibration()
    np.testing.assert_array_equal(once.calibrated.forces_std, once.forces_std)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_calibration_factors_are_positive(value: float) -> None:
    with pytest.raises(ValueError, match=r"forces=.*positive finite"):
        Calibration(forces=value)


def test_prediction_of_members() -> None:
    prediction = Prediction.from_members([1.0, 2.0], FORCES, stress=[[0.0] * 6, [1.0] * 6])
    assert prediction.energy == 1.5
    np.testing.assert_array_equal(prediction.forces, [[0, 0, 0], [2, 2, 4]])
    np.testing.assert_array_equal(prediction.stress, np.full(6, 0.5))
    assert prediction.energies is None
    assert prediction.member_forces.shape == (2, 2, 3)
    assert prediction.spread.energy_std == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"forces": np.zeros((2, 2))},
        {"energies": np.zeros(3)},
        {"stress": np.zeros((3, 3))},
        {"member_energies": np.zeros(4), "member_forces": np.zeros((3, 2, 3))},
        {"member_energies": np.zeros(4), "member_stress": np.zeros(6)},
    ],
)
def test_wrong_shapes_are_named(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="of shape"):
        Prediction(**{"energy": 0.0, "forces": np.zeros((2, 3)), **wrong})


def test_values_are_frozen_and_travel() -> None:
    prediction = Prediction.from_members([1.0, 2.0], FORCES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.energy = 0.0
    twin = pickle.loads(pickle.dumps(prediction))  # noqa: S301 (our own bytes)
    assert twin.energy == prediction.energy
    np.testing.assert_array_equal(twin.spread.forces_std, prediction.spread.forces_std)
