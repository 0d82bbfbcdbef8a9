"""Programmes say what holds when, and windows are checked."""

import numpy as np
import pytest

from ase_mlsample.dynamics.programme import Course, Programme, Ramp, as_window


def test_course_goes_in_straight_lines():
    course = Course((0.0, 100.0, 100.0, 300.0), (300.0, 900.0, 900.0, 500.0))
    assert [course(t) for t in (0, 50, 100, 200, 300, 900)] == [300, 600, 900, 700, 500, 500]
    assert Course((0.0,), (2.5,))(77.0) == 2.5


def test_ramp_is_drawn_from_its_windows():
    ramp = Ramp.draw(((1, 2), (3, 4), (0, 0.5), (2, 5)), 1000.0, np.random.default_rng(0))
    assert 1 <= ramp.start <= 2
    assert 3 <= ramp.end <= 4
    assert 0 <= ramp.amplitude <= 0.5
    assert 2000 <= ramp.period_fs <= 5000
    assert ramp.duration_fs == 1000


def test_targets():
    plain = Programme(10, 1.0, Course((0.0,), (300.0,)))
    assert plain.targets(5.0) == {"temperature_K": 300.0}
    staged = Programme(
        10, 1.0, Course((0.0,), (300.0,)), pressure=Course((0.0,), (-2.0,)), stages=((4.0, "a"), (10.0, "b"))
    )
    assert staged.targets(4.0) == {"temperature_K": 300.0, "pressure_GPa": -2.0, "stage": "a"}
    assert staged.targets(5.0)["stage"] == staged.targets(11.0)["stage"] == "b"


def test_windows():
    assert as_window("x", 3) == (3.0, 3.0)
    assert as_window("x", (0, 1), zero=True) == (0.0, 1.0)
    assert as_window("x", (-2, 1), signed=True) == (-2.0, 1.0)
    assert as_window("x", 0, signed=True) == (0.0, 0.0)
    for wrong, options in [
        ((2, 1), {}),
        (0, {}),
        (-1, {"zero": True}),
        ((0, np.inf), {"signed": True}),
        ((-np.inf, 0), {"signed": True}),
        (np.nan, {"signed": True}),
    ]:
        with pytest.raises(ValueError, match="x must be"):
            as_window("x", wrong, **options)
    with pytest.raises(TypeError, match="x must be a number or a window"):
        as_window("x", "1")
