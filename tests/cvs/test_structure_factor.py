import copy
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample.cvs import StructureFactor, StructureFactorPeak, StructureFactors
from ase_mlsample.testing.continuity import check_continuity
from ase_mlsample.testing.cv import check_cv
from tests.cvs.order_structures import approaching, frames, silicon

WINDOWS = {"lorch": np.sinc, "nodal": np.sinc, "hann": lambda x: 0.5 + 0.5 * np.cos(np.pi * x)}


def direct(atoms, q, cutoff, window):
    i, d = neighbor_list("id", atoms, cutoff)
    terms = WINDOWS[window](d / cutoff) * np.sinc(q * d / np.pi)
    return 1.0 + np.bincount(i, terms, minlength=len(atoms))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("q", [0.3, 1.96, 7.0])
def test_sums_are_those_of_debyes_formula(window, q):
    for name, atoms in {**frames(), "large": silicon((5, 4, 4)), "dense": silicon(3, a=5.2)}.items():
        order = StructureFactor(q, 7.5, window=window)
        expected = direct(atoms, q, order.cutoff, window)
        np.testing.assert_allclose(order.values(atoms), expected, rtol=0, atol=1e-11, err_msg=name)


def test_a_pair_of_atoms():
    atoms = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.4]])
    x, y = np.pi * 2.4 / 8, 1.96 * 2.4
    expected = 1 + np.sin(x) / x * np.sin(y) / y
    values = StructureFactor(1.96, 8.0, window="lorch").values(atoms)
    np.testing.assert_allclose(values, [expected, expected], rtol=1e-13)


def test_the_published_window_at_silicons_peak():
    atoms = bulk("Si", a=5.431, cubic=True) * 3
    assert StructureFactor(1.96, 8.0, window="lorch").mean()(atoms)[0] == pytest.approx(
        direct(atoms, 1.96, 8.0, "lorch").mean(), abs=1e-12
    )
    nodal = StructureFactor(1.96)
    assert nodal.cutoff == pytest.approx(5 * np.pi / 1.96, rel=1e-14)
    # The window that ends at the zero of sin(qr) next to 8 Å is as good as the published one.
    assert nodal.mean()(atoms)[0] == pytest.approx(direct(atoms, 1.96, 8.0, "lorch").mean(), abs=0.01)


@pytest.mark.parametrize(
    "order",
    [
        StructureFactor(1.96, 7.0, window="hann"),
        StructureFactor(1.96),
        StructureFactors([1.8, 2.0, 3.5], 7.0),
        StructureFactorPeak([1.8, 1.9, 2.0, 2.1], 7.0),
    ],
    ids=["hann", "nodal", "several", "peak"],
)
def test_contract(order):
    # The second derivative jumps at the cutoff: small steps cross it rarely.
    check_cv(order, frames(), strain=2e-5, displacement=2e-4, tolerance=5e-6)


def test_contract_of_many_atoms():
    check_cv(StructureFactor(1.96), silicon((5, 4, 4)), strain=2e-6, displacement=1e-4)


@pytest.mark.parametrize("window", ["nodal", "hann"])
def test_nothing_jumps_where_neighbours_enter(window):
    order = StructureFactor(1.96, window=window)
    path = list(approaching(np.linspace(order.cutoff - 0.6, order.cutoff + 0.6, 40)))
    check_continuity(order.mean(), path, tolerance=1e-12, gradient_tolerance=1e-6)


def test_forces_jump_with_the_published_window_as_documented():
    order = StructureFactor(2.1, 8.0, window="lorch").mean()
    inside, outside = (order.evaluate(atoms).gradient[0, 1, 0] for atoms in approaching([8 - 1e-9, 8 + 1e-9]))
    jump = np.sin(2.1 * 8) / (2.1 * 64) * 2 / 4  # two of four atoms
    assert outside - inside == pytest.approx(jump, rel=1e-5)


def test_an_ideal_gas_scatters_as_its_atoms():
    rng = np.random.default_rng(1)
    atoms = Atoms("Ar2000", positions=rng.uniform(0, 34.2, (2000, 3)), cell=[34.2] * 3, pbc=True)
    assert StructureFactor(6.0, 9.0).mean()(atoms)[0] == pytest.approx(1.0, abs=0.05)


def test_the_ways_to_the_pairs_agree():
    # By minimum images, and by the neighbour list: the same crystal with a box of few atoms, and of many.
    small = silicon(3, shear=False)
    large = small * (2, 2, 1)
    order = StructureFactor(1.96)
    np.testing.assert_allclose(np.tile(order.values(small), 4), order.values(large), rtol=0, atol=1e-13)


def test_results_do_not_depend_on_the_age_of_the_list():
    order = StructureFactor(1.96)
    atoms = silicon((5, 4, 4))
    order.values(atoms)
    atoms.positions += np.random.default_rng(3).uniform(-0.1, 0.1, atoms.positions.shape)
    aged, pull = order.forward(atoms)
    fresh, fresh_pull = StructureFactor(1.96).forward(atoms)
    weights = np.random.default_rng(4).normal(size=len(atoms))
    assert np.array_equal(aged, fresh)
    for a, b in zip(pull(weights), fresh_pull(weights), strict=True):
        assert np.array_equal(a, b)


def test_a_pullback_stays_with_its_structure():
    order = StructureFactor(1.96)
    first, second = silicon(2), silicon(2, seed=9)
    _, pull = order.forward(first)
    before = pull(np.ones(64))[0]
    order.forward(second)
    assert np.array_equal(pull(np.ones(64))[0], before)


def test_several_are_the_means_of_each():
    atoms = silicon(2)
    q = [1.5, 2.5, 9.0]
    both = StructureFactors(q, 6.5).evaluate(atoms)
    for k, value in enumerate(q):
        one = StructureFactor(value, 6.5, window="hann").mean().evaluate(atoms)
        assert both.value[k] == pytest.approx(one.value[0], abs=1e-12)
        np.testing.assert_allclose(both.gradient[k], one.gradient[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(both.virial[k], one.virial[0], rtol=0, atol=1e-11)


def test_the_peak_is_a_smooth_maximum():
    atoms = bulk("Si", a=5.5, cubic=True) * 2
    q = np.linspace(1.7, 2.2, 26)
    values = StructureFactors(q)(atoms)
    assert values.mean() < StructureFactorPeak(q)(atoms)[0] < values.max()
    assert StructureFactorPeak(q, sharpness=3e3)(atoms)[0] == pytest.approx(values.max(), abs=2e-3)
    assert StructureFactorPeak([1.9], sharpness=5)(atoms)[0] == pytest.approx(
        StructureFactors([1.9])(atoms)[0], abs=1e-14
    )


def test_copies_start_anew():
    order = StructureFactor(1.96)
    atoms = silicon(2)
    values = order.values(atoms)
    for other in (copy.deepcopy(order), pickle.loads(pickle.dumps(order))):  # noqa: S301 (our own)
        assert np.array_equal(other.values(atoms), values)
        assert other.todict() == order.todict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"q": 0.0}, "wave number q = 0.0 must be positive"),
        ({"q": np.nan}, "must be positive"),
        ({"q": 2.0, "cutoff": -1.0}, "cutoff = -1.0 must be a positive length"),
        ({"q": 2.0, "window": "boxcar"}, "'nodal', 'lorch' or 'hann'"),
        ({"q": 100.0, "cutoff": 8.0}, "shorten either"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        StructureFactor(**arguments)


def test_bad_settings_of_several():
    with pytest.raises(ValueError, match="one wave number at least"):
        StructureFactors([])
    with pytest.raises(ValueError, match="'hann' or 'lorch'"):
        StructureFactors([1.0], window="nodal")
    with pytest.raises(ValueError, match="sharpness = 0 must be positive"):
        StructureFactorPeak([1.0], sharpness=0)


def test_bad_structures():
    order = StructureFactor(1.96)
    with pytest.raises(ValueError, match="no atoms"):
        order.values(Atoms())
    atoms = silicon(3)
    atoms.positions[5] = atoms.positions[77]
    with pytest.raises(ValueError, match=r"atoms 5 and 77 are on top of each other"):
        order.values(atoms)
    atoms = silicon(3)
    atoms.positions[3, 1] = np.nan
    with pytest.raises(ValueError, match="position of atom 3 is not finite"):
        order.values(atoms)
    with pytest.raises(ValueError, match="singular"):
        order.values(Atoms("Si2", positions=[[0, 0, 0], [2, 0, 0]], pbc=True))
