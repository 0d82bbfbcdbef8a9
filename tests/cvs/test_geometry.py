import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ase_mlsample import testing
from ase_mlsample.cvs import RMSD, Angle, Dihedral, Distance, RadiusOfGyration
from ase_mlsample.cvs.images import nearest_images

FRAMES = testing.contract_frames("Si", "diamond", 5.431)
PAIRS = {name: atoms for name, atoms in FRAMES.items() if len(atoms) >= 2}
GROUPS = {name: atoms for name, atoms in FRAMES.items() if len(atoms) >= 5}

seeds = st.integers(0, 2**32 - 1)
periodicities = st.tuples(st.booleans(), st.booleans(), st.booleans())


def random_atoms(seed, pbc, n=4, skew=0.7):
    """Atoms in and around a cell that may be very skewed."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(2.0, 5.0, 3)) @ (np.eye(3) + np.tril(rng.uniform(-skew, skew, (3, 3)), -1))
    assume(abs(np.linalg.det(cell)) > 1.0)
    return Atoms(f"H{n}", rng.uniform(-6.0, 6.0, (n, 3)), cell=cell, pbc=pbc)


class TestContract:
    def test_distance(self):
        testing.check_cv(Distance(1, 0), PAIRS, permutation=False)
        testing.check_cv(Distance(1, 0, mic=False), PAIRS, permutation=False, images=False)

    def test_angle(self):
        testing.check_cv(Angle(0, 1, 3), GROUPS, permutation=False)

    def test_dihedral(self):
        testing.check_cv(Dihedral(0, 1, 2, 4), GROUPS, permutation=False)

    def test_radius_of_gyration(self):
        testing.check_cv(RadiusOfGyration([0, 1, 2], mass_weighted=True), GROUPS, permutation=False)
        testing.check_cv(RadiusOfGyration(), FRAMES["molecule"])

    def test_rmsd(self, rng):
        reference = rng.normal(0, 2, (4, 3))
        testing.check_cv(RMSD(reference, [1, 0, 2, 4]), GROUPS, permutation=False)
        testing.check_cv(RMSD(reference, squared=True, mass_weighted=True), GROUPS, permutation=False)


class TestNearestImages:
    @given(seeds, periodicities)
    @settings(deadline=None, max_examples=60)
    def test_against_brute_force(self, seed, pbc):
        atoms = random_atoms(seed, pbc)
        found = nearest_images(atoms.positions, atoms)
        counts = [range(-12, 13) if periodic else (0,) for periodic in pbc]
        offsets = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, 3) @ atoms.cell.array
        shortest = np.linalg.norm(atoms.positions[:, None] + offsets, axis=2).min(axis=1)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), shortest, rtol=1e-12)
        scaled = (found - atoms.positions) @ np.linalg.inv(atoms.cell.array)
        np.testing.assert_allclose(scaled, np.round(scaled), atol=1e-9)
        assert not np.round(scaled)[:, ~np.array(pbc)].any()

    @given(seeds)
    @settings(deadline=None, max_examples=30)
    def test_the_same_lattice_by_skewed_vectors(self, seed):
        atoms = random_atoms(seed, True)
        skewed = atoms.copy()
        skewed.set_cell(np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]) @ atoms.cell.array)
        lengths = [np.linalg.norm(nearest_images(atoms.positions, a), axis=1) for a in (atoms, skewed)]
        np.testing.assert_allclose(lengths[1], lengths[0], rtol=1e-10)

    def test_very_small_cell(self):
        atoms = Atoms("H2", [[0, 0, 0], [100.3, 0, 0]], cell=[0.5, 20, 20], pbc=True)
        assert Distance(0, 1)(atoms)[0] == pytest.approx(0.2)

    def test_non_periodic_cell_vectors_may_be_missing(self):
        atoms = Atoms("H2", [[0, 0, 0], [0, 7.0, 3.0]], cell=[0, 4.0, 0], pbc=[False, True, False])
        assert Distance(0, 1)(atoms)[0] == pytest.approx(np.hypot(1.0, 3.0))

    def test_cells_without_volume_are_refused(self):
        atoms = Atoms("H2", [[0, 0, 0], [1, 0, 0]], cell=[4.0, 0, 0], pbc=True)
        with pytest.raises(ValueError, match="no volume along its periodic directions"):
            Distance(0, 1)(atoms)

    def test_a_moving_cell_is_noticed(self):
        atoms = Atoms("H2", [[0, 0, 0], [7.0, 0, 0]], cell=[8, 8, 8], pbc=True)
        cv = Distance(0, 1)
        assert cv(atoms)[0] == pytest.approx(1.0)
        atoms.set_cell([9, 9, 9])
        assert cv(atoms)[0] == pytest.approx(2.0)


class TestKnownAnswers:
    # ASE misses nearest images in very skewed cells with non-periodic directions
    @given(seeds, st.booleans())
    @settings(deadline=None, max_examples=40)
    def test_as_ase(self, seed, pbc):
        atoms = random_atoms(seed, pbc)
        for mic in (True, False):
            distance = atoms.get_distance(0, 1, mic=mic)
            assert Distance(0, 1, mic=mic)(atoms)[0] == pytest.approx(distance, abs=1e-10)
            angle = np.radians(atoms.get_angle(0, 1, 2, mic=mic))
            assume(1e-3 < angle < np.pi - 1e-3)
            assert Angle(0, 1, 2, mic=mic)(atoms)[0] == pytest.approx(angle, abs=1e-7)
            dihedral = np.radians(atoms.get_dihedral(0, 1, 2, 3, mic=mic))
            found = Dihedral(0, 1, 2, 3, mic=mic)(atoms)[0]
            assert -np.pi < found <= np.pi
            assert abs(np.angle(np.exp(1j * (found - dihedral)))) < 1e-6

    def test_water(self):
        water = molecule("H2O")
        assert np.degrees(Angle(1, 0, 2)(water)[0]) == pytest.approx(water.get_angle(1, 0, 2))

    @pytest.mark.parametrize("angle", [-3.0, -np.pi / 2, -0.4, 0.0, 0.4, np.pi / 2, 3.0])
    def test_dihedral_of_a_turned_bond(self, angle):
        # Seen along the central bond (+z), the farther bond is turned clockwise by a positive angle.
        end = [np.cos(angle), np.sin(angle), 1.5]
        atoms = Atoms("H4", [[1, 0, 0], [0, 0, 0], [0, 0, 1.5], end])
        assert Dihedral(0, 1, 2, 3)(atoms)[0] == pytest.approx(angle)

    def test_gyration_of_a_square(self):
        square = Atoms("H4", [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
        assert RadiusOfGyration()(square)[0] == pytest.approx(1.0)
        pair = Atoms("HHe", [[0, 0, 0], [2, 0, 0]], masses=[1.0, 3.0])
        assert RadiusOfGyration(mass_weighted=True)(pair)[0] == pytest.approx(np.sqrt(0.75))

    def test_gyration_of_a_chain_across_the_boundary(self):
        chain = Atoms("H5", [[1.5 * i, 0.1 * i**2, 0] for i in range(5)])
        expected = RadiusOfGyration()(chain)
        chain.set_cell([4.0, 4.0, 4.0])
        chain.pbc = True
        chain.wrap()
        np.testing.assert_allclose(RadiusOfGyration()(chain), expected, rtol=1e-12)

    @given(seeds)
    @settings(deadline=None, max_examples=30)
    def test_rmsd_sees_neither_rotation_nor_translation(self, seed):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=(5, 3))
        noise = rng.normal(0, 0.1, (5, 3))
        turn = testing.invariances.random_rotation(rng)
        atoms = Atoms("H5", (reference + noise) @ turn.T + rng.normal(size=3))
        found = RMSD(reference, squared=True)(atoms)[0]
        assert found == pytest.approx(RMSD(reference, squared=True)(Atoms("H5", reference + noise))[0])
        assert found <= (noise**2).sum() / 5
        mirrored = Atoms("H5", reference * [1, 1, -1])
        assert RMSD(reference, squared=True)(mirrored)[0] > 1e-3

    def test_rmsd_at_the_reference(self):
        atoms = molecule("CH3OH")
        found = RMSD(atoms, squared=True).evaluate(atoms)
        assert found.value[0] == pytest.approx(0.0, abs=1e-20)
        np.testing.assert_allclose(found.gradient, 0.0, atol=1e-10)
        with pytest.raises(ValueError, match="squared=True"):
            RMSD(atoms)(atoms)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Distance(0, 0), "not repeated"),
        (lambda: Distance(0, -1), "not negative"),
        (lambda: Angle(0, 1, 1.5), "whole numbers"),
        (lambda: RadiusOfGyration([]), "one at least"),
        (lambda: Distance(0, 1, name="a b"), "white space"),
        (lambda: RMSD(np.zeros((3, 2))), r"\(n, 3\)"),
        (lambda: RMSD(np.zeros((3, 3)), [0, 1]), "do not fit"),
        (lambda: RMSD(np.full((3, 3), np.nan)), "NaN"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("cv", "atoms", "message"),
    [
        (Distance(0, 2), Atoms("H2", [[0, 0, 0], [1, 0, 0]]), "no atom 2 among 2"),
        (Distance(0, 1), Atoms("H2", [[0, 0, 0], [0, 0, 0]]), "on top of each other"),
        (Distance(0, 1), Atoms("H2", [[0, 0, 0], [np.nan, 0, 0]]), "NaN or infinite, atom 1"),
        (Distance(0, 1), Atoms(), "no atoms"),
        (Angle(0, 1, 2), Atoms("H3", [[0, 0, 0], [1, 0, 0], [2, 0, 0]]), "on a line"),
        (Dihedral(0, 1, 2, 3), Atoms("H4", [[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0]]), "on a line"),
        (RadiusOfGyration(), Atoms("H"), "in one place"),
    ],
)
def test_where_a_variable_is_not_defined(cv, atoms, message):
    with pytest.raises(ValueError, match=message):
        cv.evaluate(atoms)


def test_continuous_where_a_dihedral_turns_over():
    path = []
    for angle in np.linspace(2.5, 4.0, 16):
        end = [np.cos(angle), np.sin(angle), 1.5]
        path.append(Atoms("H4", [[1, 0, 0], [0, 0, 0], [0, 0, 1.5], end]))
    testing.check_continuity(Dihedral(0, 1, 2, 3), path)


def test_values_are_told_apart_by_name():
    assert Distance(0, 1).named("d1").names == ("d1",)
    with pytest.raises(ValueError, match="cannot be named"):
        Distance(0, 1).named("a", "b")
