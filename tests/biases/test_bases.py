"""Functions of linear biases, against numpy's and scipy's, and what they do at and beyond their ends."""

import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev, legendre
from scipy.interpolate import BSpline

from ase_mlsample.biases import Chebyshev, CubicSplines, Fourier, Gaussians, Legendre
from ase_mlsample.biases.bases import basis_list

LINE, CIRCLE = (-1.5, 2.5), (-0.5, 3.5)
OPEN = [Legendre(9, LINE), Chebyshev(9, LINE), Gaussians(8, LINE), CubicSplines(7, LINE)]
CLOSED = [Fourier(5, CIRCLE), Gaussians(14, CIRCLE, periodic=True), CubicSplines(7, CIRCLE, periodic=True)]


def points(basis, n=60):
    low, high = basis.interval
    return np.random.default_rng(1).uniform(low, high, n)


def scaled(basis, s):
    low, high = basis.interval
    return (2 * s - low - high) / (high - low)


class TestDefinitions:
    @pytest.mark.parametrize(("kind", "module"), [(Legendre, legendre), (Chebyshev, chebyshev)])
    def test_polynomials(self, kind, module):
        basis = kind(12, LINE)
        s = points(basis)
        t = scaled(basis, s)
        values, slopes = basis.evaluate(s)
        vander = module.legvander if module is legendre else module.chebvander
        derive = module.legder if module is legendre else module.chebder
        evaluate = module.legval if module is legendre else module.chebval
        np.testing.assert_allclose(values, vander(t, 12), atol=1e-13)
        expected = evaluate(t, derive(np.eye(13), axis=0)).T * 2 / (LINE[1] - LINE[0])
        np.testing.assert_allclose(slopes, expected, atol=1e-11)

    def test_fourier(self):
        s = points(Fourier(3))
        values, _ = Fourier(3).evaluate(s)
        expected = [np.ones_like(s)] + [f(k * s) for k in (1, 2, 3) for f in (np.cos, np.sin)]
        np.testing.assert_allclose(values, np.transpose(expected), atol=1e-13)

    @pytest.mark.parametrize("periodic", [False, True])
    def test_splines(self, periodic):
        basis = CubicSplines(7, LINE, periodic=periodic)
        s, h, low = points(basis), basis.step, LINE[0]
        assert basis.n_functions == (8 if periodic else 11)
        values, slopes = basis.evaluate(s)
        for k in range(1, basis.n_functions):
            center = low + (k - 2) * h
            images = (-7, 0, 7) if periodic else (0,)
            splines = [
                BSpline.basis_element(center + h * (m + np.arange(-2, 3)), extrapolate=False) for m in images
            ]
            expected = sum(np.nan_to_num(spline(s)) for spline in splines)
            np.testing.assert_allclose(values[:, k], 3 * expected, atol=1e-13)
            expected = sum(np.nan_to_num(spline.derivative()(s)) for spline in splines)
            np.testing.assert_allclose(slopes[:, k], 3 * expected, atol=1e-12)

    def test_splines_add_up_to_a_constant(self):
        for basis in (CubicSplines(6, LINE), CubicSplines(6, LINE, periodic=True)):
            np.testing.assert_allclose(basis.evaluate(points(basis))[0][:, 1:].sum(axis=1), 3, atol=1e-13)

    def test_gaussians(self):
        basis = Gaussians(8, LINE, width=0.3)
        s = points(basis)
        centers = np.linspace(LINE[0] - 0.5, LINE[1] + 0.5, 11)
        expected = np.exp(-0.5 * ((s[:, None] - centers) / 0.3) ** 2)
        np.testing.assert_allclose(basis.evaluate(s)[0][:, 1:], expected, atol=1e-14)
        assert Gaussians(8, LINE).width == pytest.approx(0.5)


@pytest.mark.parametrize("basis", OPEN + CLOSED, ids=lambda basis: type(basis).__name__)
class TestAll:
    def test_slopes(self, basis):
        s, h = points(basis), 1e-5
        quotient = (basis.evaluate(s + h)[0] - basis.evaluate(s - h)[0]) / (2 * h)
        np.testing.assert_allclose(basis.evaluate(s)[1], quotient, atol=2e-7)

    def test_values_alone(self, basis):
        s = np.linspace(-4, 6, 77)
        np.testing.assert_array_equal(basis.values(s), basis.evaluate(s)[0].T)
        assert np.all(basis.values(s)[0] == 1)

    def test_made_again(self, basis):
        (again,) = basis_list(basis.todict())
        np.testing.assert_array_equal(again.evaluate(points(basis))[0], basis.evaluate(points(basis))[0])
        assert again.todict() == basis.todict()

    def test_bad_points(self, basis):
        with pytest.raises(ValueError, match="not finite: nan"):
            basis.evaluate([0.0, math.nan])
        with pytest.raises(ValueError, match="points"):
            basis.evaluate([[0.0]])


@pytest.mark.parametrize("basis", OPEN, ids=lambda basis: type(basis).__name__)
def test_beyond_the_ends(basis):
    low, high = basis.interval
    values, slopes = basis.evaluate([low - 1, low, high, high + 0.1])
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[2], values[3])
    assert not slopes[[0, 3]].any()
    assert slopes[1].any()
    assert basis.contains(np.array([low - 1, low, high, high + 0.1])).tolist() == [False, True, True, False]
    assert basis.domain is None


@pytest.mark.parametrize("basis", CLOSED, ids=lambda basis: type(basis).__name__)
def test_periods(basis):
    s = points(basis)
    for one, other in zip(basis.evaluate(s), basis.evaluate(s + 8), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)
    assert basis.contains(s + 100).all()
    assert basis.domain == CIRCLE


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (lambda: Legendre(0, LINE), "order must be a whole number, at least 1, got 0"),
            (lambda: Chebyshev(2.5, LINE), "order must be a whole number"),
            (lambda: Fourier(True), "order must be a whole number"),
            (lambda: Legendre(4, (1, 1)), "interval must be"),
            (lambda: Legendre(4, (0, math.inf)), "interval must be"),
            (lambda: Legendre(4, (0, 1, 2)), "interval must be"),
            (lambda: CubicSplines(3, LINE), "intervals must be a whole number, at least 4"),
            (lambda: Gaussians(5, LINE, width=0.0), "width must be a positive"),
            (lambda: Gaussians(8, CIRCLE, periodic=True), "at most a twelfth"),
            (lambda: basis_list([]), "one to three variables, got 0"),
            (lambda: basis_list([Legendre(2, LINE)] * 4), "one to three variables, got 4"),
            (lambda: basis_list({"class": "Wavelets"}), "no basis 'Wavelets'; known are Legendre"),
        ],
    )
    def test_values(self, make, text):
        with pytest.raises(ValueError, match=text):
            make()

    def test_types(self):
        for given in (Legendre, "Legendre", 3):
            with pytest.raises(TypeError, match="a basis is, for example"):
                basis_list(given)
        with pytest.raises(
            TypeError, match="a Legendre takes order, interval; it was given without interval"
        ):
            basis_list({"class": "Legendre", "order": 4})
        with pytest.raises(TypeError, match="it was given with 'degree'"):
            basis_list({"class": "Legendre", "order": 4, "interval": [0, 1], "degree": 4})
        with pytest.raises(ValueError, match=r"interval must be .*, got '0:1'"):
            Legendre(4, "0:1")
        with pytest.raises(TypeError, match="a basis is"):
            basis_list([3])
