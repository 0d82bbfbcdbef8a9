import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from scipy.special import sph_harm_y

from ase_mlsample.cvs import AveragedSteinhardt, LocalBondOrder, Steinhardt
from ase_mlsample.testing.continuity import check_continuity
from ase_mlsample.testing.cv import check_cv
from tests.cvs.order_structures import frames, silicon

KINDS = [Steinhardt, AveragedSteinhardt, LocalBondOrder]

# Lechner, Dellago, J. Chem. Phys. 129, 114707 (2008), table I, and Mickel, Kapfer, Schröder-Turk, Mecke,
# J. Chem. Phys. 138, 044501 (2013), table I, with more digits; bcc with its two shells of neighbours.
LATTICES = {
    "fcc": (bulk("Cu", a=3.6, cubic=True), 3.1, {4: 0.190941, 6: 0.574524}),
    "hcp": (bulk("Mg", "hcp", a=3.2, c=3.2 * np.sqrt(8 / 3)), 3.9, {4: 0.097222, 6: 0.484762}),
    "bcc": (bulk("Na", a=4.3, cubic=True), 5.2, {4: 0.036370, 6: 0.510688}),
    "sc": (bulk("Po", "sc", a=3.3), 4.0, {4: 0.763763, 6: 0.353553}),
}


def direct(atoms, degree, cutoff, inner):
    """All three kinds from complex spherical harmonics."""
    i, j, D, d = neighbor_list("ijDd", atoms, cutoff)
    n = len(atoms)
    t = np.clip((d - inner) / (cutoff - inner), 0, 1)
    s = 1 - t**3 * (10 - 15 * t + 6 * t * t)
    polar, azimuth = np.arccos(np.clip(D[:, 2] / d, -1, 1)), np.arctan2(D[:, 1], D[:, 0])
    q = np.zeros((n, 2 * degree + 1), complex)
    for m in range(-degree, degree + 1):
        np.add.at(q[:, m + degree], i, s * sph_harm_y(degree, m, polar, azimuth))
    number = np.bincount(i, s, minlength=n)
    q /= number[:, None]
    averaged = q.copy()
    np.add.at(averaged, i, s[:, None] * q[j])
    averaged /= (1 + number)[:, None]
    unit = q / np.linalg.norm(q, axis=1)[:, None]
    products = np.bincount(i, s * (unit[i] * unit[j].conj()).sum(axis=1).real, minlength=n) / number
    factor = np.sqrt(4 * np.pi / (2 * degree + 1))
    return factor * np.linalg.norm(q, axis=1), factor * np.linalg.norm(averaged, axis=1), products


@pytest.mark.parametrize("name", LATTICES)
def test_perfect_lattices(name):
    crystal, cutoff, expected = LATTICES[name]
    for degree, value in expected.items():
        np.testing.assert_allclose(
            Steinhardt(degree, cutoff=cutoff).values(crystal), value, rtol=0, atol=1e-6
        )
        averaged = AveragedSteinhardt(degree, cutoff=cutoff).values(crystal)
        np.testing.assert_allclose(averaged, value, rtol=0, atol=1e-6)
        order = LocalBondOrder(degree, cutoff=cutoff).values(crystal)
        np.testing.assert_allclose(order, 1.0, rtol=0, atol=1e-5)


def test_diamond():
    # A tetrahedron: q3 = sqrt(5)/3; its neighbours are turned by inversion, which odd degrees see.
    crystal = bulk("Si", a=5.431, cubic=True)
    q3 = np.sqrt(5) / 3
    np.testing.assert_allclose(Steinhardt(3, cutoff=3.0).values(crystal), q3, rtol=0, atol=1e-7)
    np.testing.assert_allclose(AveragedSteinhardt(3, cutoff=3.0).values(crystal), 0.6 * q3, rtol=0, atol=1e-7)
    np.testing.assert_allclose(LocalBondOrder(3, cutoff=3.0).values(crystal), -1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(Steinhardt(4, cutoff=3.0).values(crystal), 0.509175, rtol=0, atol=1e-6)
    np.testing.assert_allclose(Steinhardt(6, cutoff=3.0).values(crystal), 0.628539, rtol=0, atol=1e-6)


def test_icosahedron():
    # Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28, 784 (1983): q4 = 0, q6 = 0.663
    golden = (1 + np.sqrt(5)) / 2
    corners = [np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    atoms = Atoms("Cu13", positions=[[0, 0, 0], *corners])
    assert Steinhardt(4, cutoff=2.3).values(atoms)[0] == pytest.approx(0, abs=1e-12)
    assert Steinhardt(6, cutoff=2.3).values(atoms)[0] == pytest.approx(0.66332, abs=1e-5)


@pytest.mark.parametrize("degree", range(1, 17))
def test_values_are_those_of_spherical_harmonics(degree):
    atoms = bulk("Al", a=4.05, cubic=True) * (2, 2, 1)
    atoms.rattle(0.15, seed=1)
    for kind, expected in zip(KINDS, direct(atoms, degree, 4.2, 3.0), strict=True):
        values = kind(degree, cutoff=4.2, inner=3.0).values(atoms)
        # the orders of low degrees are small here, so that the floor of their length shows
        atol = 2e-5 if kind is LocalBondOrder and degree < 4 else 1e-6 if kind is LocalBondOrder else 1e-8
        np.testing.assert_allclose(values, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("degree", [1, 3, 4, 6, 9, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, degree):
    order = kind(degree, cutoff=4.0, inner=2.6)
    rattled = frames()
    chosen = rattled if degree == 6 else {name: rattled[name] for name in ("cube", "slab")}
    # The third derivative of the switch jumps at its ends.
    check_cv(order, chosen, strain=1e-4, displacement=5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_contract_of_many_atoms(kind):
    check_cv(kind(6, cutoff=4.0, inner=2.6), silicon((5, 4, 4)), n_components=2, strain=1e-4)


def walk(kind, ends, steps=60, **settings):
    """An atom walks past another that has neighbours of its own."""
    path = []
    for x in np.linspace(*ends, steps):
        positions = [[10, 10, 10], [10 + x, 10.1, 9.9], [12.1, 11.5, 10], [8.1, 11.3, 10.4], [10, 8.1, 11]]
        path.append(Atoms("Cu5", positions=positions, cell=[25] * 3, pbc=True))
    check_continuity(kind(6, cutoff=4.0, **settings).mean(), path, tolerance=1e-9, gradient_tolerance=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", [3.4, 0.0])
def test_nothing_jumps_where_neighbours_enter(kind, inner):
    walk(kind, (2.5, 8.0), inner=inner)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_neighbour_leaves_without_a_jump(kind):
    path = [Atoms("Cu2", positions=[[0, 0, 0], [x, 0, 0]]) for x in np.linspace(3.5, 4.1, 400)]
    order = kind(6, cutoff=4.0).mean()
    check_continuity(order, path, tolerance=1e-6)
    assert order(path[0])[0] == pytest.approx(1.0, abs=1e-5)
    assert order(path[-1])[0] == 0.0


def test_no_order_has_no_slope():
    crystal = bulk("Cu", a=3.6, cubic=True) * 2  # odd degrees vanish where the surroundings have a centre
    for kind in KINDS:
        found = kind(3, cutoff=3.1).mean().evaluate(crystal)
        assert abs(found.value[0]) < 1e-9
        assert np.abs(found.gradient).max() < 1e-4
    alone = Steinhardt(6, cutoff=3.0).mean().evaluate(Atoms("Cu", cell=[9, 9, 9], pbc=True))
    assert alone.value[0] == 0.0
    assert not alone.gradient.any()


def test_thread_counts_agree():
    from ase_mlsample import _core

    atoms = silicon((5, 4, 4))
    weights = np.random.default_rng(0).normal(size=len(atoms))
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            values, pull = AveragedSteinhardt(6, cutoff=4.0).forward(atoms)
            results.append((values, *pull(weights)))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l": 0, "cutoff": 3.0}, "whole number from 1 to 16"),
        ({"l": 17, "cutoff": 3.0}, "whole number from 1 to 16"),
        ({"l": 2.5, "cutoff": 3.0}, "whole number from 1 to 16"),
        ({"cutoff": 0.0}, "must be a positive length"),
        ({"cutoff": 3.0, "inner": 3.0}, "between 0 and the cutoff"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Steinhardt(**arguments)


def test_bad_structures():
    with pytest.raises(ValueError, match="no atoms"):
        Steinhardt(6, cutoff=3.0).values(Atoms())
