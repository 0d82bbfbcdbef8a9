import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample.cvs import LocalPairEntropy, PairEntropy
from ase_mlsample.testing.continuity import check_continuity
from ase_mlsample.testing.cv import check_cv
from tests.cvs.order_structures import approaching, frames, silicon

END = np.array([95 / 288, 317 / 240, 23 / 30, 793 / 720, 157 / 160])


def quadrature(atoms, cutoff, width, points=3000):
    """Global and local entropies with exact Gaussians on a fine grid."""
    r = np.linspace(0, cutoff, points + 1)[1:]
    density = len(atoms) / atoms.get_volume()
    i, d = neighbor_list("id", atoms, cutoff + 9 * width)
    own = [(r[:, None] - d[i == k]) / width for k in range(len(atoms))]
    g = np.array([np.exp(-0.5 * x**2).sum(axis=1) for x in own])
    g /= np.sqrt(2 * np.pi) * width * 4 * np.pi * density * r**2
    shares = np.ones(points)
    shares[:-6:-1] = END

    def entropy(g):
        log = np.log(np.where(g > 1e-300, g, 1.0))
        return -2 * np.pi * density * (shares * (g * log - g + 1) * r**2).sum(axis=-1) * r[0]

    return entropy(g.mean(axis=0)), entropy(g)


@pytest.mark.parametrize("width", [0.125, 0.25])
def test_values_are_those_of_the_integral(width):
    aluminium = bulk("Al", a=4.05, cubic=True) * 2
    aluminium.rattle(0.12, seed=1)
    for atoms in (aluminium, silicon(2), silicon((3, 1, 1))):
        total, local = quadrature(atoms, 6.0, width)
        assert PairEntropy(6.0, width=width)(atoms)[0] == pytest.approx(total, rel=1e-6)
        np.testing.assert_allclose(LocalPairEntropy(6.0, width=width).values(atoms), local, rtol=1e-5)


def test_an_ideal_gas_has_none():
    n, box = 3000, 39.1
    rng = np.random.default_rng(1)
    atoms = Atoms(f"Ar{n}", positions=rng.uniform(0, box, (n, 3)), cell=[box] * 3, pbc=True)
    # What is left is the noise of g: s = -r_m / (4 sqrt(pi) N width) to the second order
    noise = -7.0 / (4 * np.sqrt(np.pi) * n * 0.125)
    assert PairEntropy()(atoms)[0] == pytest.approx(noise, abs=1e-2)


def test_crystals_have_less_than_disorder():
    crystal = bulk("Al", a=4.05, cubic=True) * 4
    warm, hot = crystal.copy(), crystal.copy()
    warm.rattle(0.1, seed=1)
    hot.rattle(0.6, seed=1)
    for entropy in (PairEntropy(), LocalPairEntropy().mean()):
        values = [entropy(atoms)[0] for atoms in (crystal, warm, hot)]
        assert values == sorted(values)
        assert values[0] < -15
        assert values[2] > -4


def test_atoms_of_a_crystal_have_the_entropy_of_all():
    crystal = bulk("Cu", a=3.6, cubic=True) * 2
    total = PairEntropy(6.0)(crystal)[0]
    np.testing.assert_allclose(LocalPairEntropy(6.0).values(crystal), total, rtol=1e-12)


def test_the_density_may_be_given():
    atoms = silicon(2)
    density = len(atoms) / atoms.get_volume()
    for kind in (PairEntropy, lambda *a, **k: LocalPairEntropy(*a, **k).mean()):
        own, given = kind(6.0).evaluate(atoms), kind(6.0, density=density).evaluate(atoms)
        assert own.value == pytest.approx(given.value, abs=1e-13)
        np.testing.assert_allclose(own.gradient, given.gradient, rtol=0, atol=1e-13)
        change = own.virial[0] - given.virial[0]  # by the volume alone
        step = 1e-5
        up, down = (kind(6.0, density=density * (1 + x))(atoms)[0] for x in (step, -step))
        np.testing.assert_allclose(change, -np.eye(3) * (up - down) / (2 * step), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [PairEntropy, LocalPairEntropy])
def test_contract(kind):
    periodic = {name: atoms for name, atoms in frames().items() if atoms.pbc.all()}
    check_cv(kind(5.0), periodic)
    check_cv(kind(5.0, density=0.05), frames())


def test_contract_of_many_atoms():
    check_cv(PairEntropy(5.0), silicon((5, 4, 4)), n_components=2)


@pytest.mark.parametrize("kind", [PairEntropy, LocalPairEntropy])
def test_nothing_jumps_where_neighbours_enter(kind):
    entropy = kind(5.0, density=0.05)
    entropy = entropy.mean() if isinstance(entropy, LocalPairEntropy) else entropy
    path = list(approaching(np.linspace(4.8, 6.2, 50)))
    check_continuity(entropy, path, tolerance=1e-9, gradient_tolerance=1e-6)


def test_pullbacks_stay_with_their_structure():
    entropy = LocalPairEntropy(5.0)
    _, pull = entropy.forward(silicon(2))
    before = pull(np.ones(64))[0]
    entropy.forward(silicon(2, seed=8))
    assert np.array_equal(pull(np.ones(64))[0], before)


def test_bad_settings():
    for arguments in ({"cutoff": 0.0}, {"width": -0.1}, {"density": np.inf}):
        with pytest.raises(ValueError, match="must be positive"):
            PairEntropy(**arguments)
    with pytest.raises(ValueError, match="no narrow one"):
        LocalPairEntropy(2.0, width=1.0)


def test_bad_structures():
    slab = silicon(2, pbc=(True, True, False))
    for entropy in (PairEntropy(5.0), LocalPairEntropy(5.0).mean()):
        with pytest.raises(ValueError, match=r"pbc = \[True, True, False\]: give density="):
            entropy(slab)
        with pytest.raises(ValueError, match="no atoms"):
            entropy(Atoms(cell=[5, 5, 5], pbc=True))
