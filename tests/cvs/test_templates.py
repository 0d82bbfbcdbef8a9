import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene

from ase_mlsample.cvs.templates import Template, find_templates


@pytest.mark.parametrize(
    ("crystal", "sizes"),
    [
        (bulk("Si", a=5.431), [4, 4]),
        (bulk("Si", a=5.431, cubic=True), [4, 4]),
        (bulk("Cu"), [12]),
        (bulk("Cu", cubic=True), [12]),
        (bulk("Fe"), [14]),
        (bulk("Fe", cubic=True) * 2, [14]),
        (bulk("Po", "sc", a=3.35), [6]),
        (bulk("Mg"), [12, 12]),
        (bulk("Zn"), [12, 12]),
        (bulk("ZnS", "zincblende", a=5.41, cubic=True), [4, 4]),
        (bulk("NaCl", "rocksalt", a=5.64), [6, 6]),
        (bulk("CsCl", "cesiumchloride", a=4.12), [14, 14]),
        (bulk("ZnO", "wurtzite", a=3.25, c=5.2), [4, 4, 4, 4]),
        (graphene(vacuum=5.0), [3, 3]),
    ],
    ids=lambda value: str(value.symbols) if isinstance(value, Atoms) else "",
)
def test_environments_of_crystals(crystal, sizes):
    assert [len(one) for one in find_templates(crystal)] == sizes


def test_diamond_has_even_and_odd_signs():
    even, odd = find_templates(bulk("Si", a=5.431, cubic=True))
    signs = np.sign(even.positions)
    np.testing.assert_allclose(even.positions, signs * 5.431 / 4, atol=1e-12)
    assert (signs.prod(axis=1) == 1).all()
    assert odd.matches(Template("Si", ["Si"] * 4, -even.positions))


def test_bcc_has_eight_and_six():
    (template,) = find_templates(bulk("Na", a=4.32))
    lengths = np.linalg.norm(template.positions, axis=1) / 4.32
    np.testing.assert_allclose(lengths, [np.sqrt(3) / 2] * 8 + [1.0] * 6)


@pytest.mark.parametrize("a", [1.7, 2.4, 2.9, 3.3, 4.1])
def test_the_first_of_equal_gaps_ends_the_environment(a):
    # distances 1, √2, 2: both gaps are √2, up to rounding
    layer = Atoms("Cu", cell=[a, a, 20], pbc=[True, True, False])
    assert [len(one) for one in find_templates(layer)] == [4]


def test_neighbours_by_species():
    cs, cl = find_templates(bulk("CsCl", "cesiumchloride", a=4.12))
    assert (cs.center, cs.symbols) == ("Cs", ("Cl",) * 8 + ("Cs",) * 6)
    assert (cl.center, cl.symbols) == ("Cl", ("Cs",) * 8 + ("Cl",) * 6)


@pytest.mark.parametrize(
    ("kwargs", "sizes"),
    [({"n_neighbors": 8}, [8]), ({"shell_radius": 4.4}, [14]), ({"shell_radius": 4.0}, [8])],
)
def test_other_shells(kwargs, sizes):
    assert [len(one) for one in find_templates(bulk("Na", a=4.32), **kwargs)] == sizes


def test_a_distorted_crystal_keeps_its_orientations_within_the_tolerance():
    crystal = bulk("Si", a=5.431, cubic=True) * 2
    crystal.rattle(0.01, seed=1)
    assert len(find_templates(crystal, tolerance=0.2)) == 2
    assert len(find_templates(crystal, tolerance=1e-4)) == 64


def test_matching():
    places = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    template = Template("Na", ["Na", "Cl"], places)
    assert template.matches(Template("Na", ["Cl", "Na"], places[::-1]))
    assert not template.matches(Template("Na", ["Na", "Cl"], places[::-1]))
    assert not template.matches(Template("Cl", ["Na", "Cl"], places))
    assert not template.matches(Template("Na", ["Na", "Cl"], places + 0.1))
    assert template.matches(Template("Na", ["Na", "Cl"], places + 0.1), tolerance=0.3)
    close = Template("Na", ["Na", "Na"], [[1.0, 0, 0], [1.03, 0, 0]])
    assert not close.matches(Template("Na", ["Na", "Na"], [[1.01, 0, 0], [3.0, 0, 0]]))


def test_plain_values_make_the_same_again():
    (template,) = find_templates(bulk("Cu"))
    again = Template(**template.todict())
    np.testing.assert_array_equal(again.positions, template.positions)
    assert again.symbols == template.symbols
    assert repr(template) == "<Template Cu: 12 Cu within 2.553 Å>"
    with pytest.raises(ValueError, match="read-only"):
        template.positions[0, 0] = 1.0


@pytest.mark.parametrize(
    ("crystal", "kwargs", "message"),
    [
        (bulk("Na"), {"n_neighbors": 8, "shell_radius": 4.0}, "not both"),
        (bulk("Na"), {"n_neighbors": 10}, "8 or 14 would be whole shells"),
        (bulk("Na"), {"n_neighbors": 0}, "at least one neighbour"),
        (bulk("Na"), {"shell_radius": 2.0}, "atom 0 has no neighbour"),
        (Atoms("Na"), {}, "periodic crystal"),
        (Atoms(), {}, "periodic crystal"),
        (Atoms("Na", cell=[5, 0, 0], pbc=[1, 0, 0]), {"n_neighbors": 30}, "no 31 neighbours within 60"),
    ],
)
def test_what_is_no_environment(crystal, kwargs, message):
    with pytest.raises(ValueError, match=message):
        find_templates(crystal, **kwargs)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("Xx", ["Si"], np.ones((1, 3))), KeyError, "'Xx' is not a chemical symbol"),
        (("Si", [], np.ones((0, 3))), ValueError, "n >= 1 neighbours"),
        (("Si", ["Si"], np.ones((2, 3))), ValueError, "1 symbols came with an array of shape"),
        (("Si", ["Si"], np.zeros((1, 3))), ValueError, "on top of each other"),
        (("Si", ["Si"], np.full((1, 3), np.nan)), ValueError, "finite vectors"),
    ],
)
def test_bad_templates(arguments, error, message):
    with pytest.raises(error, match=message):
        Template(*arguments)
