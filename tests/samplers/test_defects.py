"""Point defects: as many as asked, where they may be, on any structure."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers import PerturbedCrystal, Rattle
from ase_mlsample.samplers.defects import Antisites, Interstitials, Substitute, Vacancies
from ase_mlsample.testing import check_sampler

SALT = bulk("NaCl", "rocksalt", a=5.64, cubic=True)


@pytest.mark.parametrize(
    "transform",
    [Vacancies(2), Interstitials(2), Interstitials(site="random"), Antisites((2, 3)), Substitute("MgO")],
)
def test_input_is_untouched_and_seed_decides(transform):
    atoms = SALT.copy()
    atoms.calc, before = EMT(), atoms.copy()
    atoms.info["config_type"] = "salt"
    changed = transform(atoms, np.random.default_rng(0))
    assert atoms == before
    assert changed.calc is None
    assert changed != before
    assert changed == transform(atoms, np.random.default_rng(0))
    assert changed.info["config_type"] == "salt"
    assert changed.info["transforms"] == type(transform).__name__
    assert any(transform(atoms, np.random.default_rng(seed)) != changed for seed in range(1, 5))


def test_chains_keep_the_sampler_contract():
    crystal = PerturbedCrystal(["fcc", "diamond"], symbol="Al", n_atoms=(8, 32), rattle=0.05)
    check_sampler(crystal | Vacancies((1, 2)) | Interstitials() | Rattle(0.02), n=6, min_distance=1.4)


def test_vacancies_are_counted():
    atoms, rng = bulk("Al", cubic=True) * 3, np.random.default_rng(0)
    numbers = Counter()
    for _ in range(60):
        changed = Vacancies((1, 3))(atoms, rng)
        assert len(changed) == 108 - changed.info["n_vacancies"]
        # those that stay are where they were
        assert {tuple(row) for row in changed.positions} <= {tuple(row) for row in atoms.positions}
        numbers[changed.info["n_vacancies"]] += 1
    assert set(numbers) == {1, 2, 3}
    assert len(Vacancies(fraction=0.25)(atoms, rng)) == 81
    sodium = Vacancies(2, symbol="Na")(SALT, rng)
    assert Counter(sodium.get_chemical_symbols()) == {"Na": 2, "Cl": 4}
    assert len(Vacancies(0)(atoms, rng)) == 108


def test_vacancies_need_atoms():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"leave nothing.*Supercell"):
        Vacancies(1)(bulk("Al"), rng)
    with pytest.raises(ValueError, match="5 vacancies among 4 atoms of Na"):
        Vacancies(5, symbol="Na")(SALT, rng)
    with pytest.raises(ValueError, match="no atoms of K"):
        Vacancies(symbol="K")(SALT, rng)


def test_interstitials_sit_in_the_holes():
    silicon = bulk("Si", a=5.43, cubic=True) * 2
    places = set()
    for seed in range(8):
        changed = Interstitials()(silicon, np.random.default_rng(seed))
        assert len(changed) == 65
        distances = np.sort(changed.get_distances(64, range(64), mic=True))
        # four neighbours at the tetrahedral site, six at the hexagonal one, which is 4 % smaller
        tetrahedral, hexagonal = 5.43 * np.sqrt(3) / 4, 5.43 * np.sqrt(11) / 8
        expected = tetrahedral if distances[0] > 2.3 else hexagonal
        np.testing.assert_allclose(distances[: 4 if distances[0] > 2.3 else 6], expected, atol=1e-6)
        places.add(tuple(changed.positions[64].round(3)))
    assert len(places) > 4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), site=st.sampled_from(["hole", "random"]), distance=st.floats(1.5, 2.1))
def test_interstitials_keep_their_distance(seed, site, distance):
    atoms = bulk("Al", "fcc", a=4.05) * (3, 3, 2)
    changed = Interstitials((1, 2), site=site, min_distance=distance)(atoms, np.random.default_rng(seed))
    assert len(changed) == 18 + changed.info["n_interstitials"]
    assert len(neighbor_list("d", changed, distance)) == 0


def test_interstitials_of_another_element_and_in_slabs():
    rng = np.random.default_rng(1)
    slab = fcc111("Al", (2, 2, 4), vacuum=8.0)
    slab.pbc = True
    for _ in range(5):
        changed = Interstitials(symbol="H")(slab, rng)
        assert changed.get_chemical_symbols()[-1] == "H"
        # not in the middle of the vacuum
        assert changed.get_distances(16, range(16), mic=True).min() < 2.5
    with pytest.raises(ValueError, match="no hole between its atoms"):
        Interstitials()(Atoms("Al"), rng)
    with pytest.raises(RuntimeError, match="could not be parted"):
        Interstitials(min_distance=2.9)(bulk("Al") * 2, rng)


def test_antisites_exchange_unlike_atoms():
    rng = np.random.default_rng(0)
    changed = Antisites(3)(SALT, rng)
    assert Counter(changed.get_chemical_symbols()) == Counter(SALT.get_chemical_symbols())
    assert (changed.numbers != SALT.numbers).sum() == 6
    assert changed.info["n_antisites"] == 3
    np.testing.assert_array_equal(changed.positions, SALT.positions)
    everything = Antisites(fraction=1.0)(SALT, rng)
    assert (everything.numbers != SALT.numbers).all()
    with pytest.raises(ValueError, match="one element"):
        Antisites()(bulk("Al", cubic=True), rng)
    with pytest.raises(ValueError, match="4 pairs of unlike atoms"):
        Antisites(5)(SALT, rng)


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_all_pairs_can_be_exchanged(counts, seed):
    symbols = [symbol for symbol, n in zip(("Al", "Ni", "Ti", "Cu"), counts, strict=False) for _ in range(n)]
    atoms = Atoms(symbols, positions=np.arange(3.0 * len(symbols)).reshape(-1, 3))
    most = min(sum(counts) // 2, sum(counts) - max(counts))
    changed = Antisites(most)(atoms, np.random.default_rng(seed))
    assert (changed.numbers != atoms.numbers).sum() == 2 * most
    assert sorted(changed.numbers) == sorted(atoms.numbers)


def test_substitution_meets_the_shares():
    rng = np.random.default_rng(0)
    atoms = bulk("Al", cubic=True) * 2
    quarter = Substitute({"Al": 3, "Ni": 1})(atoms, rng)
    assert Counter(quarter.get_chemical_symbols()) == {"Al": 24, "Ni": 8}
    assert quarter.info["n_substituted"] == 8
    counts = [
        Substitute({"Al": 0.9, "Mg": 0.1})(atoms, rng).symbols.formula.count()["Mg"] for _ in range(300)
    ]
    assert set(counts) == {3, 4}
    assert np.mean(counts) == pytest.approx(3.2, abs=0.1)
    potassium = Substitute({"Na": 1, "K": 1}, on="Na")(SALT, rng)
    assert Counter(potassium.get_chemical_symbols()) == {"Na": 2, "K": 2, "Cl": 4}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vacancies((3, 1)),
        lambda: Vacancies(0.5),
        lambda: Vacancies(1, fraction=0.1),
        lambda: Vacancies(fraction=1.5),
        lambda: Vacancies(symbol="Xq"),
        lambda: Interstitials(site="bridge"),
        lambda: Interstitials(min_distance=-1.0),
        lambda: Interstitials(min_distance={"Si-Si": 0.0}),
        lambda: Interstitials(min_distance={("Si", "Xq"): 2.0}),
        lambda: Antisites(-1),
        lambda: Substitute({"Al": -1.0}),
        lambda: Substitute({}),
        lambda: Substitute({"Xq": 1.0}),
    ],
)
def test_bad_settings(make):
    with pytest.raises(ValueError, match=r"must|not a chemical|not both|names no element"):
        make()
