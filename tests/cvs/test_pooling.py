import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ase_mlsample import testing
from ase_mlsample.cvs import PerAtomVariable
from ase_mlsample.cvs.neighbors import Neighbors
from ase_mlsample.cvs.pooling import smooth_quantile
from ase_mlsample.cvs.switching import StretchedSwitch

FRAMES = testing.contract_frames("Si", "diamond", 5.431)
SMALL = {name: atoms for name, atoms in FRAMES.items() if name not in ("large", "atom")}


class Neighbourhood(PerAtomVariable):
    """Coordination number of every atom, times a factor."""

    name = "neighbours"

    def __init__(self, factor=1.0):
        self.factor = factor
        self.parameters = {"factor": factor}
        self._switch = StretchedSwitch(r0=2.5, d_max=5.0)
        self._neighbors = Neighbors(5.0)

    def forward(self, atoms):
        graph, n = self._neighbors.graph(atoms), len(atoms)
        centre = np.repeat(np.arange(n), np.diff(graph.first))
        s, slope = self._switch(graph.distances)

        def pullback(weights):
            pull = (self.factor * weights[centre] * slope / graph.distances)[:, None] * graph.vectors
            gradient = np.zeros((n, 3))
            np.add.at(gradient, graph.second, pull)
            np.add.at(gradient, centre, -pull)
            virial = pull.T @ graph.vectors
            return gradient, 0.5 * (virial + virial.T)

        return self.factor * np.bincount(centre, s, n), pullback


VARIABLE = Neighbourhood()


class TestContract:
    def test_quantity_of_every_atom(self):
        testing.check_cv(Neighbourhood, SMALL)

    @pytest.mark.parametrize(
        "cv",
        [
            VARIABLE.count(5.0),
            VARIABLE.count(4.0, nn=6, mm=13),
            Neighbourhood(-1.0).count(-4.0),
            VARIABLE.quantile(0.3, width=0.2),
            VARIABLE.quantile(0.9, width=1.0),
        ],
    )
    def test_pooled(self, cv):
        testing.check_cv(cv, SMALL)

    def test_some_atoms(self):
        for cv in (
            VARIABLE.mean([1, 0]),
            VARIABLE.count(5.0, indices=[1]),
            VARIABLE.quantile(0.5, indices=[0, 1]),
        ):
            testing.check_cv(cv, SMALL["sheared"], permutation=False)


class TestKnownAnswers:
    def test_mean(self):
        atoms = SMALL["slab"]
        values = VARIABLE.values(atoms)
        assert VARIABLE.mean()(atoms)[0] == pytest.approx(values.mean())
        assert VARIABLE.mean([2, 5])(atoms)[0] == pytest.approx(values[[2, 5]].mean())
        np.testing.assert_array_equal(VARIABLE.mean([2, 5]).evaluate(atoms).per_atom, values)

    def test_count(self):
        atoms = SMALL["slab"]
        x = VARIABLE.values(atoms) / 6.0
        expected = (1 - (1 - x**12) / (1 - x**24)).sum()
        assert VARIABLE.count(6.0)(atoms)[0] == pytest.approx(expected)
        assert VARIABLE.count(6.0, nn=72 - 1, mm=72)(atoms)[0] <= len(atoms)

    def test_negative_quantities_are_counted_below_a_negative_threshold(self):
        atoms = SMALL["slab"]
        assert Neighbourhood(-1.0).count(-5.0)(atoms) == pytest.approx(VARIABLE.count(5.0)(atoms))
        assert Neighbourhood(-1.0).count(5.0)(atoms)[0] == 0.0

    @given(
        arrays(float, st.integers(1, 40), elements=st.floats(-5, 5)),
        st.floats(0.02, 0.98),
        st.floats(0.01, 2.0),
    )
    @settings(max_examples=120, deadline=None)
    def test_quantile_solves_its_equation(self, values, q, width):
        t, slopes = smooth_quantile(values, q, width)
        scaled = (t - values) / width
        below = 0.5 * (1 + np.tanh(0.5 * scaled))
        assert below.sum() == pytest.approx(q * len(values), rel=1e-9, abs=1e-9)
        assert slopes.sum() == pytest.approx(1)
        assert (slopes >= 0).all()

    def test_quantile_of_a_sharp_step(self):
        values = np.arange(101.0)
        for q in (0.105, 0.495, 0.905):
            t, _ = smooth_quantile(values, q, 0.01)
            assert t == pytest.approx(np.floor(101 * q), abs=0.1)
        # In a wide gap the answer lies half way, however flat the equation is there.
        assert smooth_quantile(np.array([0.0, 0.0, 1.0, 1.0]), 0.5, 0.005)[0] == pytest.approx(0.5)

    def test_quantile_far_from_the_mean(self):
        t, slopes = smooth_quantile(np.array([0.0, 0.0, 0.0, 1.0]), 0.5, 1e-4)
        assert t == pytest.approx(1e-4 * np.log(2), rel=1e-9)
        np.testing.assert_allclose(slopes, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-12)

    def test_quantile_in_a_gap_does_not_hang_on_rounding(self):
        t, _ = smooth_quantile(np.repeat([0.0, 1.0], [7, 93]), 0.07, 0.001)
        assert 0.07 * 100 != 7
        assert t == pytest.approx(0.5 + 0.0005 * np.log(7 / 93), rel=1e-9)

    def test_quantile_of_equal_values(self):
        t, slopes = smooth_quantile(np.full(7, 2.0), 0.5, 0.1)
        assert t == pytest.approx(2.0)
        np.testing.assert_allclose(slopes, 1 / 7)


def test_names_plain_values_and_copies():
    cv = VARIABLE.count(5.0, indices=[0, 1])
    assert cv.names == ("neighbours_count",)
    described = json.loads(json.dumps(cv.todict()))
    assert described["variable"] == {"variable": "Neighbourhood", "name": "neighbours", "factor": 1.0}
    assert described["indices"] == [0, 1]
    assert (described["threshold"], described["nn"], described["mm"]) == (5.0, 12, 24)
    atoms = SMALL["wire"]
    twin = pickle.loads(pickle.dumps(cv._indices))  # noqa: S301
    np.testing.assert_array_equal(twin, [0, 1])
    assert cv.named("n")(atoms) == cv(atoms)


def test_neighbours_travel_without_their_list():
    twin = pickle.loads(pickle.dumps(Neighbors(4.0, 0.5)))  # noqa: S301
    assert (twin.cutoff, twin.skin) == (4.0, 0.5)
    atoms = SMALL["sheared"]
    np.testing.assert_array_equal(twin.graph(atoms).vectors, Neighbors(4.0).graph(atoms).vectors)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VARIABLE.count(0.0), "threshold"),
        (lambda: VARIABLE.count(np.nan), "threshold"),
        (lambda: VARIABLE.count(1.0, nn=1), "2 <= nn"),
        (lambda: VARIABLE.quantile(1.0), "between 0 and 1"),
        (lambda: VARIABLE.quantile(0.5, width=0.0), "must be positive"),
        (lambda: VARIABLE.mean([]), "one at least"),
        (lambda: VARIABLE.mean([9])(Atoms("Si2", [[0, 0, 0], [2, 0, 0]])), "no atom 9"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_only_quantities_of_atoms_are_pooled():
    with pytest.raises(TypeError, match="can be pooled"):
        type(VARIABLE.mean())(VARIABLE.mean())
