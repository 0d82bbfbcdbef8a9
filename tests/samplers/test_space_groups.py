"""Random crystals have the symmetry asked for and keep their windows."""

from collections import Counter

import numpy as np
import pytest
import spglib
from ase.data import atomic_masses
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers import RandomSpaceGroup, Strain
from ase_mlsample.samplers.lattices import checked_shape, lattice_vectors, random_lattice
from ase_mlsample.samplers.site_choice import SiteChoice
from ase_mlsample.samplers.wyckoff import space_group, symmetry_deviation
from ase_mlsample.testing import check_sampler

# spglib announces a change of its error handling at every call
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

GRAM_PER_CM3 = 1.66053906660
SILICON = {"composition": "Si", "density": (2.0, 2.8)}


def density_of(atoms):
    return atoms.get_masses().sum() * GRAM_PER_CM3 / atoms.get_volume()


def found_group(atoms):
    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return spglib.get_symmetry_dataset(crystal, symprec=1e-3).number


def test_contract():
    check_sampler(RandomSpaceGroup(**SILICON), n=20, min_distance=2.21)


def test_every_group_has_its_symmetry():
    exact = []
    for number in range(1, 231):
        sampler = RandomSpaceGroup(**SILICON, spacegroups=number, n_atoms=(1, 32 if number < 221 else 64))
        for atoms in sampler.sample(1, np.random.default_rng(number)):
            assert symmetry_deviation(atoms, number) < 1e-9
            assert len(neighbor_list("d", atoms, 2.22)) == 0
            assert 2.0 - 1e-9 <= density_of(atoms) <= 2.8 + 1e-9
            assert atoms.info["density_g_cm3"] == pytest.approx(density_of(atoms))
            assert 1 <= len(atoms) <= 64
            assert atoms.info["spacegroup"] == number
            exact.append(found_group(atoms) == number)
    assert np.mean(exact) > 0.8


@pytest.mark.parametrize("number", [3, 81, 142, 160, 200, 215, 216, 219])
def test_at_least_half_have_exactly_the_group(number):
    sampler = RandomSpaceGroup(**SILICON, spacegroups=number)
    found = [found_group(atoms) for atoms in sampler.sample(20, np.random.default_rng(1))]
    assert found.count(number) >= 10


@settings(max_examples=25, deadline=None)
@given(
    number=st.integers(1, 230),
    seed=st.integers(0, 2**32 - 1),
    density=st.floats(0.8, 2.4),
    cell=st.sampled_from(["primitive", "conventional"]),
    aspect=st.floats(1.2, 3.0),
)
def test_windows_and_distances_hold(number, seed, density, cell, aspect):
    group = space_group(number)
    sampler = RandomSpaceGroup(
        "Si", spacegroups=number, n_atoms=(2, 48), density=density, cell=cell, aspect=aspect, min_distance=2.0
    )
    (atoms,) = sampler.sample(1, np.random.default_rng(seed))
    per_cell = group.n_centrings if cell == "conventional" else 1
    assert 2 <= len(atoms) / per_cell <= 48
    assert density_of(atoms) == pytest.approx(density)
    assert len(neighbor_list("d", atoms, 2.0)) == 0
    assert symmetry_deviation(atoms, number, cell=cell) < 1e-9
    assert atoms.cell.handedness == 1
    assert atoms.pbc.all()
    scaled = np.linalg.solve(atoms.cell.array.T, atoms.positions.T)
    assert scaled.min() > -1e-9
    assert scaled.max() < 1 - 1e-13
    labels = atoms.info["wyckoff"].split("+")
    multiplicity = {one.label: one.size for one in group.wyckoff}
    assert sum(multiplicity[label] for label in labels) * per_cell == len(atoms)
    fixed = {one.label for one in group.wyckoff if one.n_free == 0}
    assert all(count == 1 for label, count in Counter(labels).items() if label in fixed)


@pytest.mark.parametrize("cell", ["primitive", "conventional"])
def test_stoichiometry_and_pair_distances(cell):
    pairs = {"Al-Al": 2.4, "Al-Ni": 2.2, "Ni-Ni": 2.1}
    sampler = RandomSpaceGroup({"Al": 2, "Ni": 6}, density=(4.0, 5.5), min_distance=pairs, cell=cell)
    frames = list(sampler.sample(40, np.random.default_rng(0)))
    for atoms in frames:
        count = Counter(atoms.get_chemical_symbols())
        assert count["Ni"] == 3 * count["Al"]
        distances = {tuple(pair.split("-")): distance for pair, distance in pairs.items()}
        assert len(neighbor_list("d", atoms, distances)) == 0
        group = space_group(atoms.info["spacegroup"])
        assert symmetry_deviation(atoms, group.number, cell=cell) < 1e-9
        multiplicity = {one.label: one.multiplicity for one in group.wyckoff}
        copies = 1 if cell == "conventional" else group.n_centrings
        for text, symbol in zip(atoms.info["wyckoff"].split(" "), ("Al", "Ni"), strict=True):
            species, labels = text.split(":")
            assert species == symbol
            assert sum(multiplicity[label] for label in labels.split("+")) == count[symbol] * copies
    assert len({len(atoms) for atoms in frames}) > 3


def test_several_compositions():
    sampler = RandomSpaceGroup(["Al", "Ni", {"Al": 1, "Ni": 1}], density=(3.0, 4.0), min_distance=2.2)
    formulas = Counter(
        tuple(sorted(set(atoms.get_chemical_symbols())))
        for atoms in sampler.sample(60, np.random.default_rng(0))
    )
    assert set(formulas) == {("Al",), ("Ni",), ("Al", "Ni")}
    assert min(formulas.values()) > 8


def test_diamond_comes_out_of_its_own_position():
    density = 8 * atomic_masses[14] * GRAM_PER_CM3 / 5.431**3
    sampler = RandomSpaceGroup("Si", spacegroups="Fd-3m", n_atoms=2, density=density, cell="conventional")
    (atoms,) = sampler.sample(1, np.random.default_rng(0))
    assert len(atoms) == 8
    np.testing.assert_allclose(atoms.cell.cellpar(), [5.431] * 3 + [90] * 3)
    np.testing.assert_allclose(neighbor_list("d", atoms, 2.6), np.sqrt(3) / 4 * 5.431)
    assert atoms.info["wyckoff"] in {"8a", "8b"}
    assert atoms.info["spacegroup_symbol"] == "Fd-3m"


def test_choices_are_varied():
    sampler = RandomSpaceGroup(**SILICON, spacegroups="Pmmm")
    frames = list(sampler.sample(60, np.random.default_rng(0)))
    assert len({atoms.info["wyckoff"] for atoms in frames}) > 45
    used = Counter(label for atoms in frames for label in atoms.info["wyckoff"].split("+"))
    assert len(used) > 20  # of 27
    assert used["8A"] > 30
    assert len({len(atoms) for atoms in frames}) > 12


def test_general_share():
    def share(value):
        sampler = RandomSpaceGroup(**SILICON, spacegroups="P-3m1", general_share=value)
        return np.mean(
            ["12j" in atoms.info["wyckoff"] for atoms in sampler.sample(40, np.random.default_rng(0))]
        )

    assert share(1.0) == 1.0
    assert share(0.0) < 0.8


def test_general_share_holds_for_a_single_attempt():
    sampler = RandomSpaceGroup(
        "Si",
        spacegroups=225,
        n_atoms=(1, 48),
        density=0.5,
        min_distance=0.01,
        general_share=1,
        max_attempts=1,
    )
    assert all("192l" in atoms.info["wyckoff"] for atoms in sampler.sample(5, np.random.default_rng(0)))


def test_every_sum_of_site_choices_is_right():
    rng = np.random.default_rng(0)
    for number in (2, 47, 123, 194, 216, 225, 227):
        sites = SiteChoice(space_group(number).wyckoff)
        for needs in [(n, m) for n in range(0, 15, 2) for m in range(1, 15, 3)]:
            if not sites.fits(needs):
                with pytest.raises(ValueError, match="no set of Wyckoff positions"):
                    sites.draw(needs, rng)
                continue
            chosen = sites.draw(needs, rng)
            totals = [sum(sites.positions[i].size for i, kind in chosen if kind == k) for k in (0, 1)]
            assert totals == list(needs)
            fixed = [i for i, _ in chosen if sites.positions[i].n_free == 0]
            assert len(set(fixed)) == len(fixed)


def test_fits_is_exact():
    # F-43m: four fixed places of one atom, free ones of 4 and more; two species of 3 need six fixed places
    sites = SiteChoice(space_group("F-43m").wyckoff)
    assert [n for n in range(1, 9) if sites.fits([n])] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert sites.fits([3, 1])
    assert not sites.fits([3, 3])
    assert sites.fits([4, 7])
    assert not sites.fits([3, 5, 1])
    assert not sites.fits([23], general=True)
    assert sites.fits([1, 24], general=True)


def test_windows_that_no_group_fits():
    with pytest.raises(
        ValueError, match=r"no choice of Wyckoff positions of Fd-3m holds Si with 1 to 1 atoms.*widen n_atoms"
    ):
        RandomSpaceGroup(**SILICON, spacegroups=227, n_atoms=1)
    with pytest.raises(ValueError, match=r"no choice .* of any of 2 groups holds Si"):
        RandomSpaceGroup(**SILICON, spacegroups=["Fd-3m", "Ia-3d"], n_atoms=1)
    sampler = RandomSpaceGroup(**SILICON, spacegroups=["Fd-3m", "P1"], n_atoms=1)
    assert {atoms.info["spacegroup"] for atoms in sampler.sample(5, np.random.default_rng(0))} == {1}


def test_bounded_effort_ends_in_an_error():
    thin = RandomSpaceGroup("Si", spacegroups=229, n_atoms=1, density=2.3, min_distance=3.02, max_attempts=7)
    with pytest.raises(
        RuntimeError, match=r"Si in Im-3m \(No. 229\) in 7 attempts.*reason, 7 times: .*n_atoms"
    ):
        next(thin.sample(1, np.random.default_rng(0)))
    crowded = RandomSpaceGroup("Si", density=5.9, n_atoms=(9, 11), spacegroups=[1, 2], max_attempts=2)
    with pytest.raises(RuntimeError, match=r"20 space groups.*40 attempts.*lower the density"):
        next(crowded.sample(1, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacegroups": 231}, "1 to 230"),
        ({"spacegroups": "Fd3q"}, "no space group is called"),
        ({"spacegroups": []}, "spacegroups is empty"),
        ({"n_atoms": (9, 8)}, "n_atoms"),
        ({"density": (0, 2)}, "density must be positive"),
        ({"density": (2, 9)}, "cannot be met"),
        ({"cell": "unit"}, "'primitive' or 'conventional'"),
        ({"angles": (10, 120)}, "angles"),
        ({"angles": (118, 119)}, "angles"),
        ({"angles": (20, 21)}, "angles"),
        ({"aspect": 0.5}, "aspect"),
        ({"general_share": 2}, "general_share"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"composition": []}, "composition"),
        ({"composition": {"Al": 0.9, "Mg": 0.1}}, "whole-number shares"),
        ({"composition": "SiO2", "n_atoms": (4, 5)}, "formula unit"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        RandomSpaceGroup(**(SILICON | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacegroups": 227.0}, "a space group is a number or"),
        ({"spacegroups": None}, "a space group is a number or"),
        ({"composition": 5}, "a composition is a formula or a mapping, got 5"),
        ({"composition": ["Si", 5]}, "a composition is a formula or a mapping, got 5"),
    ],
)
def test_settings_of_the_wrong_kind(change, message):
    with pytest.raises(TypeError, match=message):
        RandomSpaceGroup(**(SILICON | change))


def test_one_group_may_be_a_numpy_number():
    assert RandomSpaceGroup(**SILICON, spacegroups=np.int64(5)).spacegroups == (5,)


@pytest.mark.parametrize("angles", [(20, 40), 40, 90, 110, (110, 140)])
@pytest.mark.parametrize("system", ["triclinic", "monoclinic", "rhombohedral"])
def test_allowed_angles_make_cells(angles, system):
    window, _ = checked_shape(angles if isinstance(angles, tuple) else (angles, angles), 2.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.linalg.det(random_lattice(system, 50.0, rng, angles=window)) == pytest.approx(50.0)


def test_draws_do_not_depend_on_what_was_drawn_before():
    fresh, used = (RandomSpaceGroup(**SILICON, n_atoms=(1, 6)) for _ in range(2))
    list(used.sample(5, np.random.default_rng(1)))
    pairs = zip(
        fresh.sample(5, np.random.default_rng(2)), used.sample(5, np.random.default_rng(2)), strict=True
    )
    assert all(one == two for one, two in pairs)


def test_composes_with_transforms():
    (atoms,) = (RandomSpaceGroup(**SILICON) | Strain(0.05)).sample(1, np.random.default_rng(0))
    assert atoms.info["source"].startswith("RandomSpaceGroup")
    assert atoms.info["config_type"] == "spacegroup"


@pytest.mark.parametrize("number", [1, 3, 16, 75, 143, 146, 195])
def test_lattices_have_the_symmetry_of_their_system(number):
    group = space_group(number)
    rng = np.random.default_rng(0)
    lattices = [random_lattice(group.lattice, 100.0, rng) for _ in range(50)]
    for vectors in lattices:
        assert np.linalg.det(vectors) == pytest.approx(100.0)
        metric = (group.primitive @ vectors) @ (group.primitive @ vectors).T
        rotations, _ = group.operations()
        np.testing.assert_allclose(
            rotations.transpose(0, 2, 1) @ metric @ rotations,
            np.broadcast_to(metric, rotations.shape),
            atol=1e-9,
        )
    lengths = np.array([np.linalg.norm(vectors, axis=1) for vectors in lattices])
    if group.lattice != "rhombohedral":
        assert (lengths.max(axis=1) / lengths.min(axis=1)).max() <= 2.0001
    if group.lattice != "cubic":
        assert lengths.std(axis=0).max() > 0.3


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), distance=st.floats(0.5, 6.0))
def test_lattice_vectors_miss_no_image(seed, distance):
    rng = np.random.default_rng(seed)
    cell = random_lattice("triclinic", 60.0, rng, angles=(50, 130))
    vectors = lattice_vectors(cell, distance)
    np.testing.assert_array_equal(vectors[0], 0)
    wrapped = (rng.random((50, 3)) - 0.5) @ cell
    grid = (np.indices((9, 9, 9)).reshape(3, -1).T - 4) @ cell
    complete = np.sort(np.linalg.norm(wrapped[:, None] + grid, axis=2), axis=1)
    listed = np.sort(np.linalg.norm(wrapped[:, None] + vectors, axis=2), axis=1)
    for all_distances, some in zip(complete, listed, strict=True):
        np.testing.assert_allclose(some[some < distance], all_distances[all_distances < distance], rtol=1e-9)
    assert lattice_vectors(np.diag([1.0, 1.0, 1e-4]), 3.0) is None
