import pytest
import reference_toy
from ase import Atoms
from ase.units import GPa
from reference_toy import toy

from ase_mlsample.references.convergence import (
    Tolerances,
    convergence_study,
    default_values,
    formatted,
)
from ase_mlsample.references.convergence_plot import plot_convergence


@pytest.fixture
def frames():
    return [Atoms("Si2", [(x, 0, 0), (x + 2, 0, 0)], cell=[5, 5, 5], pbc=True) for x in (0.0, 1.0, 2.0)]


def test_deviations_from_the_finest(frames):
    (study,) = convergence_study(toy, {}, frames, {"cutoff": [20, 10, 40]})
    assert [point.value for point in study.points] == [10, 20, 40]
    coarse, _, finest = study.points
    error = 1 - 100 / 40**2
    assert coarse.offset == pytest.approx(1000 * error * 1.01)
    # without the mean, 0.01 Å⁻¹ of the error is left at either end
    assert coarse.energy == pytest.approx(1000 * error * 0.01)
    assert coarse.forces == pytest.approx(1000 * error)
    assert coarse.stress == pytest.approx(0.01 * error / GPa)
    assert (finest.offset, finest.energy, finest.forces, finest.stress) == (0, 0, 0, 0)


def test_one_structure_keeps_its_offset(frames):
    (study,) = convergence_study(toy, {}, frames[:1], {"cutoff": [10, 40]})
    assert study.points[0].energy == pytest.approx(1000 * (1 - 100 / 1600))


def test_fine_is_small_for_spacings_and_other_settings_stay(frames):
    reference_toy.CALLS.clear()
    studies = convergence_study(
        toy, {"cutoff": 30, "k_spacing": 0.3}, frames, {"k_spacing": [0.1, 0.4], "cutoff": [10, 20]}
    )
    assert [study.name for study in studies] == ["k_spacing", "cutoff"]
    assert [point.value for point in studies[0].points] == [0.4, 0.1]
    assert reference_toy.CALLS == [(30, 0.4), (30, 0.1), (10, 0.3), (20, 0.3)]


@pytest.mark.parametrize(("forces", "expected"), [(1000, 10), (100, 40), (50, 40), (5, None)])
def test_recommends_the_coarsest_that_is_good_enough(frames, forces, expected):
    # 4, 1, 0.25 and 0.0625 eV/Å, less the 0.0156 of the finest
    axes = {"cutoff": [5, 10, 20, 40, 80]}
    limits = Tolerances(energy=1e4, forces=forces, stress=1e4)
    (study,) = convergence_study(toy, {}, frames, axes, tolerances=limits)
    assert study.recommended == expected
    text = formatted([study], limits)
    assert text.count(" <") == (expected is not None)
    assert ("study finer values" in text) == (expected is None)


def test_a_value_that_is_good_by_chance_is_not_recommended(frames):
    def odd(*, cutoff):
        return toy(cutoff=1e6 if cutoff == 10 else cutoff)

    (study,) = convergence_study(odd, {}, frames, {"cutoff": [10, 20, 1e6]})
    assert study.points[0].forces < 1
    assert study.recommended is None


def test_codes_without_stress(frames):
    (study,) = convergence_study(toy, {"with_stress": False}, frames, {"cutoff": [10, 1e4, 2e4]})
    assert study.points[0].stress is None
    assert study.recommended == 1e4
    assert "      -  " in formatted([study], Tolerances())


def test_plot(frames, tmp_path):
    axes = {"cutoff": [10, 20, 40], "k_spacing": [0.4, 0.2]}
    studies = convergence_study(toy, {"cutoff": 20}, frames, axes)
    plot_convergence(studies, Tolerances(), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_refused(frames):
    with pytest.raises(ValueError, match="at least one structure"):
        convergence_study(toy, {}, [], {"cutoff": [1, 2]})
    with pytest.raises(ValueError, match="'bands' is not one of cutoff, k_spacing, smearing_width"):
        convergence_study(toy, {}, frames, {"bands": [1, 2]})
    with pytest.raises(ValueError, match="two values or more"):
        convergence_study(toy, {}, frames, {"cutoff": [2, 2.0]})
    with pytest.raises(ValueError, match="forces, 0, must be positive"):
        Tolerances(forces=0)


def test_default_values_go_from_coarse_to_fine():
    assert default_values("cutoff", 400) == (280, 340, 400, 500, 640)
    assert default_values("k_spacing", 0.2) == (0.4, 0.3, 0.2, 0.15, 0.1)
    assert default_values("smearing_width", 0.0)[0] == 0.2
