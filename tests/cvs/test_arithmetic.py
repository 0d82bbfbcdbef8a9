import copy
import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample import testing
from ase_mlsample.cvs import (
    CollectiveVariable,
    Coordination,
    CVValue,
    Dihedral,
    Distance,
    LinearCombination,
    Volume,
    cos,
    harmonic_lda,
    lda,
    sin,
    stack,
)

A, B = Distance(0, 1), Distance(1, 2, name="other")
VOLUME, DIHEDRAL = Volume(), Dihedral(0, 1, 2, 3)
ATOMS = bulk("Si", a=5.431, cubic=True)
ATOMS.rattle(0.2, seed=1)

EXPRESSIONS = {
    "(distance+2)": (lambda: A + 2, lambda a, b, v: a + 2),
    "(-distance+2)": (lambda: 2 - A, lambda a, b, v: 2 - a),
    "(distance-0.5)": (lambda: A - 0.5, lambda a, b, v: a - 0.5),
    "3*distance": (lambda: 3 * A, lambda a, b, v: 3 * a),
    "0.25*distance": (lambda: A / 4, lambda a, b, v: a / 4),
    "(3/distance)": (lambda: 3 / A, lambda a, b, v: 3 / a),
    "-distance": (lambda: -A, lambda a, b, v: -a),
    "(distance+other)": (lambda: A + B, lambda a, b, v: a + b),
    "(distance-other)": (lambda: A - B, lambda a, b, v: a - b),
    "(distance*volume)": (lambda: A * VOLUME, lambda a, b, v: a * v),
    "(volume/distance)": (lambda: VOLUME / A, lambda a, b, v: v / a),
    "cos(distance)": (lambda: cos(A), lambda a, b, v: np.cos(a)),
    "((distance*distance)-other)": (lambda: A * A - B, lambda a, b, v: a * a - b),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_operators(name):
    make, expected = EXPRESSIONS[name]
    cv = make()
    assert cv.names == (name,)
    assert cv(ATOMS)[0] == pytest.approx(expected(A(ATOMS)[0], B(ATOMS)[0], VOLUME(ATOMS)[0]))
    testing.check_cv(cv, ATOMS, permutation=False)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3))
@settings(deadline=None, max_examples=25)
def test_numbers_do_as_in_algebra(offset, factor):
    found = (factor * A + offset - offset) / factor
    assert found(ATOMS)[0] == pytest.approx(A(ATOMS)[0], abs=1e-9)
    np.testing.assert_allclose(found.evaluate(ATOMS).gradient, A.evaluate(ATOMS).gradient, atol=1e-12)


def test_numpy_numbers_from_the_left():
    cv = np.float64(2.0) * A
    assert isinstance(cv, CollectiveVariable)
    assert cv(ATOMS)[0] == pytest.approx(2 * A(ATOMS)[0])


def test_stack():
    cv = stack(A, DIHEDRAL, VOLUME)
    assert cv.names == ("distance", "dihedral", "volume")
    assert cv.domains == (None, (-np.pi, np.pi), None)
    assert cv.n_cvs == 3
    np.testing.assert_array_equal(cv(ATOMS), np.concatenate([A(ATOMS), DIHEDRAL(ATOMS), VOLUME(ATOMS)]))
    testing.check_cv(cv, ATOMS, permutation=False)
    with pytest.raises(ValueError, match=r"distance; rename one with \.named"):
        stack(A, Distance(1, 3))
    assert stack(A, Distance(1, 3).named("d2")).names == ("distance", "d2")
    with pytest.raises(TypeError, match="not float"):
        stack(A, 1.0)
    with pytest.raises(ValueError, match="one variable at least"):
        stack()


def test_one_component_meets_all():
    cv = stack(A, B) * VOLUME
    assert cv.names == ("(distance*volume)", "(other*volume)")
    np.testing.assert_allclose(cv(ATOMS), stack(A, B)(ATOMS) * VOLUME(ATOMS))
    testing.check_cv(cv, ATOMS, permutation=False)
    with pytest.raises(ValueError, match="do not combine"):
        stack(A, B) + stack(A, B, VOLUME)


class TestPeriodic:
    def test_numbers_move_the_domain(self):
        assert (DIHEDRAL + 1).domains[0] == pytest.approx((1 - np.pi, 1 + np.pi))
        assert (-2 * DIHEDRAL).domains[0] == pytest.approx((-2 * np.pi, 2 * np.pi))
        testing.check_cv(1 - 2 * DIHEDRAL, ATOMS, permutation=False)

    @pytest.mark.parametrize(
        "make",
        [lambda: DIHEDRAL + A, lambda: A * DIHEDRAL, lambda: 1 / DIHEDRAL, lambda: DIHEDRAL - DIHEDRAL],
    )
    def test_what_would_jump_is_refused(self, make):
        with pytest.raises(ValueError, match="dihedral is periodic"):
            make()

    def test_cosine_and_sine_have_no_period(self):
        cv = stack(cos(DIHEDRAL), sin(DIHEDRAL))
        assert cv.domains == (None, None)
        assert (cv(ATOMS) ** 2).sum() == pytest.approx(1)
        testing.check_cv(cv, ATOMS, permutation=False)
        assert cos(2 * DIHEDRAL).domains == (None,)
        with pytest.raises(ValueError, match="cos jumps"):
            cos(0.5 * DIHEDRAL)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: A + "x", TypeError),
        (lambda: A * True, TypeError),
        (lambda: A * [1, 2], TypeError),
        (lambda: A / 0, ValueError),
        (lambda: A * 0, ValueError),
        (lambda: A + np.nan, ValueError),
    ],
)
def test_what_does_not_combine(make, error):
    with pytest.raises(error):
        make()


def test_division_by_a_variable_that_is_zero():
    atoms = Atoms("H3", [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    with pytest.raises(ValueError, match="is zero"):
        (A / (A - B))(atoms)


def test_plain_values_and_copies():
    cv = stack(2 * A - B, Coordination("Si", r0=2.5), cos(DIHEDRAL))
    described = json.loads(json.dumps(cv.todict()))
    assert described["names"] == list(cv.names)
    assert described["of"][0]["left"]["of"]["indices"] == [0, 1]
    for twin in (copy.deepcopy(cv), copy.copy(cv), pickle.loads(pickle.dumps(cv))):  # noqa: S301
        np.testing.assert_array_equal(twin(ATOMS), cv(ATOMS))


def test_lab_fixed_is_passed_on():
    fixed = copy.copy(A)
    fixed.lab_fixed = True
    assert not (A + B).lab_fixed
    for cv in (fixed + B, B * fixed, -fixed, cos(fixed), stack(B, fixed), LinearCombination(fixed, [1.0])):
        assert cv.lab_fixed


class TestValues:
    def test_what_is_no_number_is_refused(self):
        with pytest.raises(ValueError, match="NaN or infinite"):
            CVValue(np.array([np.nan]), np.zeros((1, 2, 3)), np.zeros((1, 3, 3)))
        with pytest.raises(ValueError, match="gradient"):
            CVValue(np.zeros(1), np.full((1, 2, 3), np.inf), np.zeros((1, 3, 3)))

    def test_shapes_belong_together(self):
        with pytest.raises(TypeError, match="belong together"):
            CVValue(np.zeros(1), np.zeros((2, 2, 3)), np.zeros((1, 3, 3)))


class TestDiscriminants:
    def test_linear_combination(self):
        cv = LinearCombination(stack(A, B, VOLUME), [[1, -1, 0], [0, 0, 2]], offset=[0, 1], names=["x", "y"])
        a, b, v = stack(A, B, VOLUME)(ATOMS)
        np.testing.assert_allclose(cv(ATOMS), [a - b, 2 * v + 1])
        testing.check_cv(cv, ATOMS, permutation=False)
        with pytest.raises(ValueError, match=r"shape \(k, 2\)"):
            LinearCombination(stack(A, B), [1.0, 2.0, 3.0])

    def test_formulas(self, rng):
        first = rng.multivariate_normal([1.0, 2.0], [[0.5, 0.2], [0.2, 0.3]], 200)
        second = rng.multivariate_normal([0.0, 3.0], [[0.1, 0.0], [0.0, 0.4]], 300)
        difference = first.mean(axis=0) - second.mean(axis=0)
        a, b = np.cov(first.T), np.cov(second.T)
        values = stack(A, B)(ATOMS)
        expected = difference @ np.linalg.solve(a + b, values)
        assert lda(stack(A, B), first, second)(ATOMS)[0] == pytest.approx(expected)
        expected = difference @ (np.linalg.inv(a) + np.linalg.inv(b)) @ values
        assert harmonic_lda(stack(A, B), first, second)(ATOMS)[0] == pytest.approx(expected)

    def test_from_structures(self):
        def state(stretch):
            frames = []
            for seed in range(12):
                atoms = ATOMS.copy()
                atoms.rattle(0.05, seed=seed)
                atoms.positions[1] *= stretch
                frames.append(atoms)
            return frames

        cv = lda(stack(A, B), state(1.3), state(1.0), name="stretch")
        assert cv.names == ("stretch",)
        far = np.mean([cv(atoms)[0] for atoms in state(1.3)])
        assert far > np.mean([cv(atoms)[0] for atoms in state(1.0)])

    def test_refused(self, rng):
        good = rng.normal(size=(20, 2))
        dependent = good[:, [0, 0]]
        with pytest.raises(ValueError, match="singular"):
            harmonic_lda(stack(A, B), dependent, good)
        with pytest.raises(ValueError, match="singular"):
            lda(stack(A, B), dependent, dependent + 1)
        assert harmonic_lda(stack(A, B), dependent, good, ridge=0.01).n_cvs == 1
        assert lda(stack(A, B), dependent, good).n_cvs == 1
        with pytest.raises(ValueError, match="two structures at least"):
            lda(stack(A, B), good[:1], good)
        with pytest.raises(ValueError, match="NaN"):
            lda(stack(A, B), good * np.nan, good)
        with pytest.raises(ValueError, match="periodic"):
            lda(stack(A, DIHEDRAL), good, good)
