import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.references.failures import SetupFailure
from ase_mlsample.references.settings import Accuracy, chosen_accuracy, k_grid, require_elements

READY = {
    "Si": Accuracy(cutoff=300, k_spacing=0.2, smearing_width=0.05),
    "Al": Accuracy(cutoff=250, k_spacing=0.1, smearing_width=0.1),
}
NOTHING = {"cutoff": None, "k_spacing": None, "smearing_width": None}


class TestGrid:
    def test_no_step_is_longer_than_the_spacing_and_one_point_less_would_be(self, rng):
        for _ in range(20):
            cell = rng.normal(size=(3, 3)) * 4
            spacing = rng.uniform(0.1, 0.6)
            lengths = (
                2
                * np.pi
                / np.abs(np.linalg.det(cell))
                * np.linalg.norm(
                    [np.cross(cell[1], cell[2]), np.cross(cell[2], cell[0]), np.cross(cell[0], cell[1])],
                    axis=1,
                )
            )
            for length, n in zip(lengths, k_grid(cell, spacing), strict=True):
                assert length / n <= spacing * (1 + 1e-5)
                assert n == 1 or length / (n - 1) > spacing

    @pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
    def test_even_and_odd_numbers_alike(self, n):
        cell = 5.0 * np.eye(3)
        assert k_grid(cell, 2 * np.pi / 5.0 / n) == (n, n, n)

    def test_a_supercell_has_the_grid_of_the_cell_folded(self):
        cell = bulk("Si", cubic=True)
        assert k_grid(cell.cell.array, 0.3) == (4, 4, 4)
        assert k_grid((cell * (2, 1, 4)).cell.array, 0.3) == (2, 4, 1)

    def test_directions_without_periodicity_have_one_point(self):
        assert k_grid(5 * np.eye(3), 0.2, (True, True, False)) == (7, 7, 1)


class TestChoice:
    def test_ready_settings(self):
        assert chosen_accuracy("x", READY, ["Si"], **NOTHING) == READY["Si"]

    def test_several_elements_share_the_finest(self):
        found = chosen_accuracy("x", READY, ["Si", "Al"], **NOTHING)
        assert found == Accuracy(cutoff=300, k_spacing=0.1, smearing_width=0.1)

    def test_given_numbers_go_first_one_by_one(self):
        found = chosen_accuracy("x", READY, ["Si"], **{**NOTHING, "k_spacing": 0.5})
        assert found == Accuracy(cutoff=300, k_spacing=0.5, smearing_width=0.05)

    def test_zero_width_is_a_value(self):
        assert chosen_accuracy("x", READY, ["Si"], **{**NOTHING, "smearing_width": 0}).smearing_width == 0

    def test_all_given_needs_no_elements(self):
        given = {"cutoff": 1, "k_spacing": 2, "smearing_width": 3}
        assert chosen_accuracy("x", {}, None, **given) == Accuracy(1, 2, 3)
        assert chosen_accuracy("x", READY, ["U"], **given) == Accuracy(1, 2, 3)

    @pytest.mark.parametrize(
        ("elements", "why"), [(["Si", "U"], "no ready settings for U"), (None, "elements are not given")]
    )
    def test_nothing_is_guessed(self, elements, why):
        with pytest.raises(SetupFailure, match=f"{why}; give cutoff, k_spacing, or elements among Al, Si"):
            chosen_accuracy("x", READY, elements, **{**NOTHING, "smearing_width": 0.1})

    @pytest.mark.parametrize("bad", [{"cutoff": 0}, {"k_spacing": -1}, {"smearing_width": -0.1}])
    def test_bad_numbers(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            chosen_accuracy("x", READY, ["Si"], **{**NOTHING, **bad})


def test_elements():
    assert require_elements(["Si", "Al"]) == ("Si", "Al")
    assert require_elements("Si") == ("Si",)
    assert require_elements(None) is None
    for wrong in (["Si", "Si"], ["Xx"], ["X"], []):
        with pytest.raises(ValueError, match="symbols of chemical elements"):
            require_elements(wrong)
