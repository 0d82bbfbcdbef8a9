import copy
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111

from ase_mlsample import _core
from ase_mlsample.cvs.environment import EnvironmentSimilarity
from ase_mlsample.cvs.templates import Template, find_templates
from ase_mlsample.testing import check_continuity, check_cv

SILICON = bulk("Si", a=5.431)


def silicon(**kwargs):
    return EnvironmentSimilarity.from_crystal(SILICON, sigma=0.4, **kwargs)


def rattled(atoms, width, seed=1):
    atoms = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    atoms.rattle(width, seed=seed)
    return atoms


def liquid(n=40, symbols=("Si",), seed=2, cell=10.0):
    """Atoms at random, not closer than 1.9 Å, in an oblique cell."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(cell=[[cell, 0, 0], [2, cell, 0], [-1, 1, cell]], pbc=True)
    while len(atoms) < n:
        trial = atoms + Atoms(rng.choice(symbols), positions=[rng.uniform(size=3) @ atoms.cell.array])
        if len(trial) == 1 or trial.get_distances(-1, range(len(atoms)), mic=True).min() > 1.9:
            atoms = trial
    return atoms


def slab():
    """Two cells of the cubic crystal between vacuum."""
    atoms = bulk("Si", a=5.431, cubic=True) * (2, 1, 2)
    atoms.center(vacuum=3.0, axis=2)
    atoms.pbc = (True, True, False)
    return atoms


def by_definition(atoms, cv, inner, outer):
    """The formula, pair by pair."""
    result = []
    repeat = [range(-3, 4) if p else range(1) for p in atoms.pbc]
    shifts = np.array([[i, j, k] for i in repeat[0] for j in repeat[1] for k in repeat[2]]) @ atoms.cell.array
    for center, origin in enumerate(atoms.positions):
        values = []
        for template in cv.templates:
            if template.center != atoms[center].symbol:
                continue
            k = 0.0
            for other, position in enumerate(atoms.positions):
                for d in position - origin + shifts:
                    r = np.linalg.norm(d)
                    if r < 1e-9 or r >= outer:
                        continue
                    u = np.clip((r - inner) / max(outer - inner, 1e-300), 0, 1)
                    weight = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5
                    for symbol, place in zip(template.symbols, template.positions, strict=True):
                        if symbol == atoms[other].symbol:
                            k += weight * np.exp(-np.sum((d - place) ** 2) / (4 * cv.sigma**2))
            values.append(k / len(template))
        result.append(np.log(np.sum(np.exp(cv.lam * np.array(values)))) / cv.lam if values else 0.0)
    return np.array(result)


class TestValues:
    @pytest.mark.parametrize(
        ("width", "mean", "count"), [(0.0, 1.0, 215.9472785), (0.1, 0.91306896, 215.78415643)]
    )
    def test_silicon_as_plumed_has_it(self, width, mean, count):
        cv = silicon(cutoff="plumed")
        atoms = bulk("Si", a=5.431, cubic=True) * 3
        if width:
            atoms.rattle(width, seed=1)
        assert cv.mean()(atoms)[0] == pytest.approx(mean, abs=5e-9)
        assert cv.count(threshold=0.5, nn=12, mm=24)(atoms)[0] == pytest.approx(count, abs=5e-8)

    @pytest.mark.parametrize(
        ("crystal", "sigma"),
        [
            (bulk("Cu"), 0.3),
            (bulk("Na"), 0.5),
            (bulk("Po", "sc", a=3.3), 0.4),
            (bulk("Mg"), 0.35),
            (bulk("ZnS", "zincblende", a=5.41), 0.4),
            (bulk("CsCl", "cesiumchloride", a=4.1), 0.4),
        ],
    )
    def test_perfect_crystals_have_one(self, crystal, sigma):
        cv = EnvironmentSimilarity.from_crystal(crystal, sigma=sigma)
        np.testing.assert_allclose(cv.values(crystal), 1.0, atol=0.03)
        np.testing.assert_allclose(cv.values(crystal * (2, 3, 1)), cv.values(crystal)[0], atol=1e-12)

    @pytest.mark.parametrize("cutoff", ["smooth", "plumed", 3.6])
    def test_definition(self, cutoff):
        atoms, cv = liquid(12, cell=6.5), silicon(cutoff=cutoff, lam=30.0)
        np.testing.assert_allclose(cv.values(atoms), by_definition(atoms, cv, *cv.radii), atol=1e-13)

    def test_definition_with_species(self):
        crystal = bulk("CsCl", "cesiumchloride", a=3.0)
        cv = EnvironmentSimilarity.from_crystal(crystal, sigma=0.3)
        atoms = liquid(16, symbols=("Cs", "Cl", "Si"), cell=6.5)
        assert len(set(atoms.symbols)) == 3
        values = cv.values(atoms)
        np.testing.assert_allclose(values, by_definition(atoms, cv, *cv.radii), atol=1e-13)
        assert not values[atoms.symbols == "Si"].any()

    def test_smooth_maximum_has_no_one_over_their_number(self):
        far_apart = Atoms("Si2", positions=[[0, 0, 0], [20, 0, 0]])
        np.testing.assert_allclose(silicon().values(far_apart), np.log(2) / 100, rtol=1e-12)

    def test_the_other_sublattice_and_the_wrong_orientation(self):
        cv = silicon(cutoff="plumed")
        turned = bulk("Si", a=5.431, cubic=True) * 2
        turned.rotate(45, "z", rotate_cell=True)
        assert cv.values(turned).max() < 0.2
        one = EnvironmentSimilarity(cv.templates[:1], 0.4, cutoff="plumed").values(SILICON * (2, 2, 2))
        np.testing.assert_allclose(sorted(set(one.round(6).tolist())), [0.000147, 1.0], atol=1e-3)

    def test_swapped_species_do_not_match(self):
        cv = EnvironmentSimilarity.from_crystal(bulk("ZnS", "zincblende", a=5.41), sigma=0.4, cutoff="plumed")
        swapped = bulk("ZnS", "zincblende", a=5.41)
        swapped.symbols = ["S", "Zn"]
        assert cv.values(swapped).max() < 0.01
        alloy = bulk("ZnS", "zincblende", a=5.41, cubic=True)
        alloy.symbols[[1]] = "Se"
        values = cv.values(alloy)
        assert values[1] == 0.0
        assert values[0] == pytest.approx(0.75, abs=1e-3)


FRAMES = {
    "crystal": rattled(bulk("Si", a=5.431, cubic=True) * 2, 0.15),
    "primitive cell": rattled(SILICON, 0.2),
    "liquid": liquid(),
    "slab": rattled(slab(), 0.15),
    "cluster": Atoms("Si30", positions=liquid(30).positions),
}


class TestContract:
    @pytest.mark.parametrize("name", FRAMES)
    def test_silicon(self, name):
        check_cv(silicon(), {name: FRAMES[name]})
        check_cv(silicon().count(threshold=0.4), {name: FRAMES[name]})

    def test_few_templates_far_apart_and_soft_maximum(self):
        check_cv(silicon(lam=2.0, cutoff=3.2), FRAMES["liquid"])

    @pytest.mark.parametrize(
        "crystal",
        [bulk("ZnS", "zincblende", a=5.41, cubic=True), bulk("CsCl", "cesiumchloride", a=4.1) * (2, 1, 1)],
    )
    def test_two_species(self, crystal):
        cv = EnvironmentSimilarity.from_crystal(crystal, sigma=0.4)
        check_cv(
            cv, {"rattled": rattled(crystal, 0.2), "liquid": liquid(24, symbols=list(set(crystal.symbols)))}
        )

    def test_metal_slab(self):
        cv = EnvironmentSimilarity.from_crystal(fcc111("Al", (1, 1, 3), a=4.05, periodic=True), sigma=0.4)
        assert [len(t) for t in cv.templates] == [12]
        check_cv(cv, rattled(fcc111("Al", (2, 2, 4), a=4.05, vacuum=5.0), 0.2))

    def test_lab_frame(self):
        cv = silicon()
        assert cv.lab_fixed
        assert cv.mean().lab_fixed
        assert cv.name == "crystallinity"

    def test_some_atoms_of_a_structure(self):
        atoms = FRAMES["crystal"]
        cv = silicon().mean(indices=[3, 5])
        check_cv(cv, atoms, permutation=False)
        assert cv(atoms)[0] == pytest.approx(cv.variable.values(atoms)[[3, 5]].mean(), rel=1e-14)


class TestContinuity:
    def path(self, steps=400):
        """One atom moves from afar through all cutoffs of a crystal's, and through their places."""
        atoms = bulk("Si", a=5.431, cubic=True)
        atoms.pbc = False
        line = np.linspace([-9.0, 1.0, 2.0], [1.5, 3.1, 3.9], steps)
        return [atoms + Atoms("Si", positions=[place]) for place in line]

    @pytest.mark.parametrize("cutoff", ["smooth", 3.4])
    def test_no_jump_where_neighbours_enter_and_leave(self, cutoff):
        cv = silicon(cutoff=cutoff)
        check_continuity(cv.mean(), self.path(), tolerance=1e-9, gradient_tolerance=1e-6)
        check_continuity(cv.count(threshold=0.3), self.path(), tolerance=1e-6)

    def test_the_smooth_cutoff_changes_means_little(self):
        smooth, hard = silicon().mean(), silicon(cutoff="plumed").mean()
        for atoms in (rattled(bulk("Si", a=5.431, cubic=True) * 3, 0.2), liquid(60, seed=5)):
            assert smooth(atoms)[0] == pytest.approx(hard(atoms)[0], abs=1e-3)

    def test_the_jump_of_the_hard_cut(self):
        with pytest.raises(AssertionError, match="jumps"):
            check_continuity(silicon(cutoff="plumed").mean(), self.path())

    def test_second_derivatives_are_continuous(self):
        cv = silicon()
        for radius in cv.radii:
            slopes = []
            for r in radius + np.array([-2, -1, 0, 1, 2]) * 1e-5:
                place = r * np.array([1, 1, 1]) / np.sqrt(3)
                pair = Atoms("Si2", positions=[[0, 0, 0], place])
                slopes.append(cv.mean().evaluate(pair).gradient[0, 1, 0])
            change = np.diff(slopes) / 1e-5
            assert abs(change[0] - change[-1]) < 1e-3


class TestKeeping:
    def test_threads_and_pickles_change_no_bit(self):
        atoms, cv = rattled(bulk("Si", a=5.431, cubic=True) * 5, 0.2), silicon().count()
        before, found = _core.num_threads(), []
        try:
            for threads in (1, 3):
                _core.set_num_threads(threads)
                found.append(cv.evaluate(atoms))
        finally:
            _core.set_num_threads(before)
        found += [c.evaluate(atoms) for c in (pickle.loads(pickle.dumps(cv)), copy.deepcopy(cv))]  # noqa: S301
        for other in found[1:]:
            for name in ("value", "gradient", "virial", "per_atom"):
                np.testing.assert_array_equal(getattr(found[0], name), getattr(other, name))

    def test_pullbacks_keep_their_own_structure(self):
        a, b = FRAMES["crystal"], rattled(FRAMES["crystal"], 0.1)
        cv = silicon()
        _, pull = cv.forward(a)
        cv.forward(b)
        np.testing.assert_array_equal(pull(np.ones(len(a)) / len(a))[0], cv.mean().evaluate(a).gradient[0])

    def test_parameters_make_the_same_again(self):
        cv = silicon(cutoff=3.9, lam=50.0)
        kept = dict(cv.parameters)
        templates = [Template(**one) for one in kept.pop("templates")]
        np.testing.assert_array_equal(
            EnvironmentSimilarity(templates, **kept).values(FRAMES["liquid"]), cv.values(FRAMES["liquid"])
        )
        assert len(repr(cv)) < 250


class TestErrors:
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"sigma": 0.0}, "sigma = 0.0 must be positive"),
            ({"sigma": float("nan")}, "sigma = nan must be positive"),
            ({"sigma": 0.4, "lam": -1.0}, "lam = -1.0 must be positive"),
            ({"sigma": 0.4, "cutoff": 2.7}, "templates' farthest neighbour, at 2.752 Å or farther"),
            ({"sigma": 0.4, "cutoff": "hard"}, "cutoff = 'hard': 'smooth', 'plumed' or"),
            ({"sigma": 0.4, "skin": -1.0}, "skin"),
        ],
    )
    def test_parameters(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            EnvironmentSimilarity.from_crystal(SILICON, **kwargs)

    def test_no_templates(self):
        with pytest.raises(ValueError, match="at least one Template"):
            EnvironmentSimilarity([], 0.4)

    def test_other_elements(self):
        with pytest.raises(ValueError, match="environments of Si, of which Ge8 has none"):
            silicon().mean()(bulk("Ge", cubic=True))

    def test_no_atoms_and_broken_ones(self):
        with pytest.raises(ValueError, match="no atoms"):
            silicon().mean()(Atoms())
        broken = SILICON.copy()
        broken.positions[1] = np.nan
        with pytest.raises(ValueError, match="position of atom 1 is not finite"):
            silicon().values(broken)

    def test_kernel_arguments(self):
        good = {
            "center": np.zeros(1, np.int32),
            "site_first": np.array([0, 2]),
            "sites": np.ones((2, 3)),
            "site_species": np.zeros(2, np.int32),
            "sigma": 0.4,
            "lam": 100.0,
            "inner": 3.0,
            "outer": 4.0,
        }
        kernel = _core.EnvironmentKernel(**good)
        with pytest.raises(ValueError, match="inner must not be larger"):
            _core.EnvironmentKernel(**good | {"inner": 5.0})
        with pytest.raises(ValueError, match="site_first must end at the number of sites"):
            _core.EnvironmentKernel(**good | {"site_first": np.array([0, 1])})
        with pytest.raises(ValueError, match="has no neighbours"):
            _core.EnvironmentKernel(
                **good | {"site_first": np.array([0, 0, 2]), "center": np.zeros(2, np.int32)}
            )
        with pytest.raises(ValueError, match="is not finite"):
            _core.EnvironmentKernel(**good | {"sites": np.full((2, 3), np.inf)})
        with pytest.raises(RuntimeError, match="update it first"):
            kernel.compute(_core.NeighborList(4.0), np.zeros(0, np.int32))
        pairs = _core.NeighborList(3.5)
        pairs.update(SILICON.positions, SILICON.cell.array, SILICON.pbc)
        with pytest.raises(ValueError, match="before the cutoff of the environments"):
            kernel.compute(pairs, np.zeros(2, np.int32))
        with pytest.raises(ValueError, match="species must be"):
            kernel.compute(pairs, np.zeros(3, np.int32))


def test_templates_of_another_cell_of_the_crystal_are_the_same():
    a = EnvironmentSimilarity(find_templates(SILICON), 0.4).values(FRAMES["liquid"])
    b = EnvironmentSimilarity(find_templates(bulk("Si", a=5.431, cubic=True)), 0.4).values(FRAMES["liquid"])
    np.testing.assert_allclose(a, b, rtol=1e-13)


def test_crystals_in_text():
    named = EnvironmentSimilarity.from_crystal("Si:diamond:5.431", sigma=0.4)
    made = EnvironmentSimilarity.from_crystal(bulk("Si", a=5.431, cubic=True), sigma=0.4)
    atoms = bulk("Si", a=5.431, cubic=True) * 2
    atoms.rattle(0.2, seed=1)
    np.testing.assert_allclose(
        named.mean().evaluate(atoms).value, made.mean().evaluate(atoms).value, rtol=1e-12
    )
    with pytest.raises(ValueError, match="'Si:diamnd' is no crystal"):
        EnvironmentSimilarity.from_crystal("Si:diamnd", sigma=0.4)
    with pytest.raises(TypeError, match="must be Atoms, or text such as"):
        EnvironmentSimilarity.from_crystal(3, sigma=0.4)
