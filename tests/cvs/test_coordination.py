import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample import testing
from ase_mlsample.cvs import Coordination
from ase_mlsample.cvs.switching import StretchedSwitch, rational

FRAMES = testing.contract_frames("Si", "diamond", 5.431)
SMALL = {name: atoms for name, atoms in FRAMES.items() if name != "large"}


def brute_force(atoms, first, second, switch):
    """Σ over pairs of the groups, images by an explicit sum."""
    counts = [range(-4, 5) if periodic else (0,) for periodic in atoms.pbc]
    shifts = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, 3)
    total = 0.0
    for i in first:
        for j in second:
            d = np.linalg.norm(atoms.positions[j] - atoms.positions[i] + shifts @ atoms.cell.array, axis=1)
            d = d[(d < switch.d_max) & (d > 1e-9)]
            total += switch(d)[0].sum()
    return total


class TestContract:
    def test_by_symbol(self):
        testing.check_cv(Coordination("Si", r0=2.5, d_max=5.0), SMALL)

    def test_by_index(self):
        frames = {name: atoms for name, atoms in SMALL.items() if len(atoms) > 2}
        testing.check_cv(Coordination([0, 1], [1, 2], r0=2.5, d0=0.4, mm=13), frames, permutation=False)


@given(st.integers(0, 2**32 - 1), st.tuples(st.booleans(), st.booleans(), st.booleans()))
@settings(deadline=None, max_examples=25)
def test_against_brute_force(seed, pbc):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3.0, 5.0, 3)) + np.tril(rng.uniform(-1.0, 1.0, (3, 3)), -1)
    atoms = Atoms("H3O2", rng.uniform(-4.0, 4.0, (5, 3)), cell=cell, pbc=pbc)
    lengths = {"r0": 1.7, "d0": 0.2, "nn": 6, "mm": 10, "d_max": 4.5}
    switch = StretchedSwitch(**lengths)
    for first, second, once in (("H", "O", 1.0), ([0, 1, 3], [1, 2, 3], 1.0), ("H", None, 0.5)):
        groups = [np.flatnonzero(atoms.symbols == g) if isinstance(g, str) else g for g in (first, second)]
        groups[1] = groups[0] if second is None else groups[1]
        found = Coordination(first, second, **lengths)(atoms)[0]
        assert found == pytest.approx(once * brute_force(atoms, *groups, switch), rel=1e-10, abs=1e-12)


def test_supercells_count_more():
    primitive = bulk("Si", a=5.431)
    cv = Coordination("Si", r0=2.6)
    assert cv(primitive * (2, 3, 2))[0] == pytest.approx(12 * cv(primitive)[0])


def test_four_bonds_an_atom():
    cv = Coordination("Si", r0=2.9, nn=36, d_max=3.7)
    assert cv(bulk("Si", a=5.431, cubic=True))[0] == pytest.approx(16, abs=0.05)


class TestSwitch:
    @given(st.integers(2, 20), st.integers(1, 20), st.floats(-1.0, 6.0))
    @settings(max_examples=80)
    def test_as_the_formula(self, nn, more, x):
        mm = nn + more
        s, slope = (values[0] for values in rational(np.array([x]), nn, mm))
        if x <= 0:
            assert (s, slope) == (1.0, 0.0)
        elif abs(x - 1) > 1e-3:
            assert s == pytest.approx((1 - x**nn) / (1 - x**mm), rel=1e-9)
        above, below = (rational(np.array([x + h]), nn, mm)[0][0] for h in (1e-6, -1e-6))
        assert slope == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-5)

    def test_at_the_threshold(self):
        for nn, mm in ((6, 12), (6, 13), (12, 24)):
            s, slope = rational(np.array([1.0]), nn, mm)
            assert s[0] == pytest.approx(nn / mm)
            assert slope[0] == pytest.approx(nn * (nn - mm) / (2 * mm))
        assert rational(np.array([1e30]), 12, 24)[0][0] == pytest.approx(0, abs=1e-90)

    @pytest.mark.parametrize("cutoff", ["smooth", "plumed"])
    def test_ends(self, cutoff):
        switch = StretchedSwitch(r0=2.0, d0=1.0, d_max=4.0, cutoff=cutoff)
        s, slope = switch(np.array([0.0, 1.0, 4.0]))
        np.testing.assert_allclose(s, [1, 1, 0], atol=1e-15)
        assert (abs(slope[2]) < 1e-12) == (cutoff == "smooth")

    def test_plumeds_end(self):
        assert StretchedSwitch(r0=2.0, nn=6, mm=12).d_max == pytest.approx(2.0 * 1e5 ** (1 / 6))


def approaching(n=120):
    """One atom that passes another from beyond the cutoff to beyond it."""
    return [
        Atoms("Si3", [[0, 0, 0], [0, 2.4, 0], [x, 0.8, 0.3]], cell=[30, 30, 30], pbc=True)
        for x in np.linspace(-7.0, 7.0, n)
    ]


def test_continuous_through_the_cutoff():
    cv = Coordination("Si", r0=2.5, d_max=5.0)
    testing.check_continuity(cv, approaching(), tolerance=1e-9, gradient_tolerance=1e-6)
    plumed = Coordination("Si", r0=2.5, d_max=5.0, cutoff="plumed")
    testing.check_continuity(plumed, approaching(), tolerance=1e-9)
    with pytest.raises(testing.ContractError, match="the gradient jumps by"):
        testing.check_continuity(plumed, approaching(), gradient_tolerance=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"first": "Si", "r0": 0.0}, ValueError, "must be positive"),
        ({"first": "Si", "r0": 2.0, "d_max": 0.0}, ValueError, "beyond d0"),
        ({"first": "Si", "r0": 2.0, "d_max": 0.4}, ValueError, "too little to stretch"),
        ({"first": "Si", "r0": 2.0, "nn": 6, "mm": 6}, ValueError, "nn < mm"),
        ({"first": "Si", "r0": 2.0, "cutoff": "hard"}, ValueError, "'smooth'"),
        ({"first": "Qq", "r0": 2.0}, KeyError, "chemical symbol"),
        ({"first": [0, 0], "r0": 2.0}, ValueError, "not repeated"),
    ],
)
def test_bad_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        Coordination(**arguments)


def test_groups_that_are_not_there():
    with pytest.raises(ValueError, match="there is no C in"):
        Coordination("C", r0=2.0)(FRAMES["primitive"])
    with pytest.raises(ValueError, match="no atom 7"):
        Coordination([7], r0=2.0)(FRAMES["primitive"])
