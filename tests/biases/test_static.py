import math

import numpy as np
import pytest

from ase_mlsample.biases import StaticBias
from ase_mlsample.testing import check_bias

PERIOD = (-math.pi, math.pi)
PHI = np.linspace(*PERIOD, 40, endpoint=False)
X = np.linspace(-1, 2, 31)


def mixed():
    return StaticBias([PHI, X], np.cos(PHI)[:, None] * np.sin(X), domains=[PERIOD, None])


@pytest.mark.parametrize(
    "bias",
    [
        StaticBias([X], X**3),
        StaticBias([PHI], np.cos(PHI), domains=[PERIOD]),
        mixed(),
        StaticBias([X, X, X[:10]], np.random.default_rng(0).normal(size=(31, 31, 10))),
    ],
    ids=["line", "torsion", "mixed", "three"],
)
def test_contract(bias):
    points = np.random.default_rng(1).uniform(-0.9, -0.2, (5, bias.n_cvs))
    check_bias(bias, points, steps=3, tolerance=1e-5)


def test_a_cubic_polynomial_is_exact():
    x, y = X, np.linspace(0, 1, 7)
    bias = StaticBias([x, y], (x**3 - x)[:, None] * (1 + y**2))
    rng = np.random.default_rng(0)
    s = rng.uniform([-1, 0], [2, 1], (50, 2))
    values, gradients = bias.potential(s)
    a, b = s.T
    assert values == pytest.approx((a**3 - a) * (1 + b**2), abs=1e-12)
    assert gradients[:, 0] == pytest.approx((3 * a**2 - 1) * (1 + b**2), abs=1e-11)
    assert gradients[:, 1] == pytest.approx((a**3 - a) * 2 * b, abs=1e-11)


def test_periodic_and_smooth():
    bias = mixed()
    s = np.array([[math.pi - 1e-9, 0.5], [-math.pi + 1e-9, 0.5], [3.0, 0.5], [3.0 + 2 * math.pi, 0.5]])
    values, gradients = bias.potential(s)
    assert values[0] == pytest.approx(values[1], abs=1e-8)
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-7)
    assert values[2] == pytest.approx(values[3], abs=1e-12)
    assert values[2] == pytest.approx(math.cos(3) * math.sin(0.5), abs=1e-4)


def test_flat_beyond():
    bias = StaticBias([X], X**2)
    value, gradient = bias.potential([5.0])
    assert (value, gradient[0]) == (pytest.approx(4.0), 0)


class TestFiles:
    def test_round_trip(self, tmp_path):
        bias = mixed()
        bias.write(tmp_path / "bias.npz")
        back = StaticBias.read(tmp_path / "bias.npz")
        s = np.random.default_rng(0).uniform(-1, 2, (20, 2))
        assert np.array_equal(back.potential(s)[0], bias.potential(s)[0])
        assert back.domains == bias.domains
        minus = StaticBias.read(tmp_path / "bias.npz", scale=-2.0)
        assert minus.potential(s)[0] == pytest.approx(-2 * bias.potential(s)[0])

    def test_a_grid_of_plumed(self, tmp_path):
        lines = ["#! FIELDS phi x file.free der_phi der_x"]
        for name, low, high, nbins, periodic in (("phi", "-pi", "pi", 40, "true"), ("x", -1, 2, 30, "false")):
            lines += [f"#! SET min_{name} {low}", f"#! SET max_{name} {high}"]
            lines += [f"#! SET nbins_{name} {nbins}", f"#! SET periodic_{name} {periodic}"]
        for x in X:
            lines += [f" {phi:.9f} {x:.9f} {math.cos(phi) * math.sin(x):.9f} 0.0 0.0" for phi in PHI] + [""]
        (tmp_path / "fes.dat").write_text("\n".join(lines) + "\n")
        bias = StaticBias.read(tmp_path / "fes.dat", scale=-1)
        assert bias.domains[0] == pytest.approx(PERIOD, abs=1e-8)
        s = np.random.default_rng(0).uniform(-1, 2, (20, 2))
        assert bias.potential(s)[0] == pytest.approx(-mixed().potential(s)[0], abs=1e-7)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xff\xfe", "neither a bias"),
            (b"x y\n1 2\n", "neither a bias"),
            (b"#! FIELDS time d sigma_d height biasf\n", "neither a bias"),
            (b"#! FIELDS x f\n#! SET nbins_x 3\n0 1\n1 a\n", "rows must hold 2"),
            (b"#! FIELDS x y f\n#! SET nbins_x 2\n#! SET nbins_y 2\n0 0 1\n1 1 2\n0 1 1\n", "3 rows"),
        ],
    )
    def test_foreign(self, content, message, tmp_path):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            StaticBias.read(tmp_path / "file")

    def test_foreign_arrays(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=X)
        with pytest.raises(ValueError, match="it holds x"):
            StaticBias.read(tmp_path / "a.npz")

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            StaticBias.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("axes", "values", "settings", "message"),
    [
        ([], 0.0, {}, "one to three"),
        ([X[:3]], X[:3], {}, "at least four"),
        ([X**3], X, {}, "equal steps"),
        ([X[::-1]], X, {}, "equal steps"),
        ([X], X[1:], {}, "shape"),
        ([X], np.where(X > 1, np.nan, X), {}, "not finite"),
        ([X], X, {"domains": [PERIOD]}, "equal steps and cover the period"),
        ([PHI], PHI, {"domains": [(0.0, 2 * math.pi)]}, "low end"),
        ([X], X, {"derivatives": X}, "derivatives must be"),
    ],
)
def test_bad_input(axes, values, settings, message):
    with pytest.raises(ValueError, match=message):
        StaticBias(axes, values, **settings)
