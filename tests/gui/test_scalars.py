import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.gui.scalars import NO_VALUE, colors, find_scalars, palette, pick_scalar, value_range
from tests.gui.frames import bare, coloured


def test_all_that_some_frame_has_is_listed_with_units():
    titles = [scalar.title for scalar in find_scalars([bare(), coloured()])]
    assert titles == [
        "force_sigma (eV/Å)",
        "|F| (eV/Å)",
        "|ΔF|, against REF_forces (eV/Å)",
        "|REF_forces| (eV/Å)",
    ]


def test_vectors_and_words_are_no_scalars():
    atoms = bare()
    atoms.new_array("residue", np.array(["a", "b"]))
    atoms.new_array("tensor", np.zeros((2, 3, 3)))
    atoms.set_momenta(np.ones((2, 3)))
    assert find_scalars([atoms]) == []


@pytest.mark.parametrize(("key", "value"), [("force", 5.0), ("force_error", 5.0), ("|REF_forces|", 0.0)])
def test_lengths(key, value):
    scalar = pick_scalar([coloured()], key)
    assert scalar.values(coloured()) == pytest.approx(np.full(8, value))
    assert scalar.values(bare()) is None


def test_the_error_is_that_of_each_atom():
    atoms = coloured()
    atoms.arrays["REF_forces"][0] = [3.0, 0.0, 3.5]
    assert pick_scalar([atoms], "force_error").values(atoms)[0] == pytest.approx(0.5)


def test_an_array_goes_before_what_is_derived():
    atoms = coloured()
    atoms.new_array("force", np.arange(8.0))
    assert pick_scalar([atoms], "force").values(atoms) == pytest.approx(np.arange(8.0))


def test_whole_numbers_are_scalars():
    atoms = bare()
    atoms.new_array("cluster", np.array([1, 2]))
    assert value_range(pick_scalar([atoms], "cluster"), [atoms]) == (1.0, 2.0)


def test_the_range_spans_all_frames_and_finite_values():
    other = bulk("Si")
    other.new_array("force_sigma", np.array([np.nan, 1.5]))
    third = bulk("Si")
    third.new_array("force_sigma", np.array([np.inf, 0.3]))
    frames = [coloured(), bare(), other, third]
    assert value_range(pick_scalar(frames, "force_sigma"), frames) == (0.1, 1.5)


def test_a_range_without_outliers_is_not_stretched_by_one_atom():
    atoms = bulk("Si", cubic=True) * (5, 5, 5)
    atoms.new_array("force_sigma", np.append(np.linspace(0, 1, 999), 1000.0))
    scalar = pick_scalar([atoms], "force_sigma")
    assert value_range(scalar, [atoms], outliers=0.02) == pytest.approx((0.01, 0.99), abs=0.002)


def test_no_values_no_range():
    assert pick_scalar([bare()], "force_sigma") is None
    empty = bare()
    empty.new_array("force_sigma", np.full(2, np.nan))
    assert value_range(pick_scalar([empty], "force_sigma"), [empty]) is None


def test_vectors_cannot_be_colours_but_their_lengths_can():
    with pytest.raises(ValueError, match=r"shape \(8, 3\).*\|REF_forces\|"):
        pick_scalar([bare(), coloured()], "REF_forces")
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        pick_scalar([bare()], "positions")


def test_colours_run_from_dark_to_bright_and_stay_in_the_scale():
    values = np.array([0.0, 1.0, 0.5, -9.0, np.inf, np.nan])
    found = colors(values, (0.0, 1.0), 6)
    scale = palette()
    assert found == [scale[0], scale[-1], scale[32], scale[0], scale[-1], NO_VALUE]
    luminance = [sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in scale]
    assert luminance[0] < luminance[32] < luminance[-1]


def test_logarithmic_colours():
    scale = palette()
    values = np.array([0.01, 1.01, 100.0, 0.0, -1.0, np.nan])
    found = colors(values, (0.01, 100.0), 6, log=True)
    assert found == [scale[0], scale[32], scale[-1], scale[0], scale[0], NO_VALUE]
    assert colors(values[:2], (0.0, 1.0), 2, log=True) == [scale[21], scale[-1]]  # from a thousandth on


def test_one_value_has_the_middle_colour_and_none_is_white():
    assert colors(np.full(3, 0.2), (0.2, 0.2), 3) == [palette()[32]] * 3
    assert colors(None, (0.0, 1.0), 3) == [NO_VALUE] * 3
