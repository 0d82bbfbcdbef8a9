"""Slabs and grain boundaries: areas, planes, angles, and a crystal away from the cut."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers import PerturbedCrystal, Rattle
from ase_mlsample.samplers.packing import closest_pair
from ase_mlsample.samplers.surfaces import GrainBoundary, Slab
from ase_mlsample.testing import check_sampler

ALUMINIUM = bulk("Al", a=4.05, cubic=True)
SILICON = bulk("Si", a=5.43, cubic=True)
SALT = bulk("NaCl", "rocksalt", a=5.64, cubic=True)


def coordination(atoms, reach):
    return np.bincount(neighbor_list("i", atoms, reach), minlength=len(atoms))


@pytest.mark.parametrize("transform", [Slab(), GrainBoundary()])
def test_input_is_untouched_and_seed_decides(transform):
    atoms = ALUMINIUM.copy()
    atoms.info["config_type"] = "fcc"
    atoms.calc, before = EMT(), atoms.copy()
    changed = transform(atoms, np.random.default_rng(0))
    assert atoms == before
    assert changed.calc is None
    again = transform(atoms, np.random.default_rng(0))
    assert changed == again
    assert changed.info == again.info
    assert changed.info["config_type"] == "fcc"
    assert changed.info["transforms"] == type(transform).__name__


def test_chains_keep_the_sampler_contract():
    crystal = PerturbedCrystal(["fcc", "diamond"], symbol="Si", n_atoms=(1, 8), rattle=0, strain=0.02)
    check_sampler(crystal | Slab() | Rattle(0.05), n=6, min_distance=1.4)
    check_sampler(crystal | GrainBoundary(max_atoms=120) | Rattle(0.02), n=4, min_distance=1.4)


@pytest.mark.parametrize(
    ("atoms", "miller", "area", "layer", "neighbours"),
    [
        # area of the primitive surface cell, distance of layers, neighbours of a surface atom and of the bulk
        (ALUMINIUM, (1, 0, 0), 4.05**2 / 2, 4.05 / 2, (8, 12)),
        (ALUMINIUM, (1, 1, 1), 4.05**2 * np.sqrt(3) / 4, 4.05 / np.sqrt(3), (9, 12)),
        (ALUMINIUM, (1, 1, 0), 4.05**2 / np.sqrt(2), 4.05 / np.sqrt(8), (7, 12)),
        (SILICON, (1, 0, 0), 5.43**2 / 2, 5.43 / 2, (2, 4)),
        (SILICON, (1, 1, 1), 5.43**2 * np.sqrt(3) / 4, 5.43 / np.sqrt(3), (3, 4)),
    ],
)
def test_surfaces_of_crystals(atoms, miller, area, layer, neighbours):
    slab = Slab(miller, thickness=12.0, vacuum=10.0, termination="widest")(atoms, np.random.default_rng(0))
    assert np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])) == pytest.approx(area)
    assert slab.info["slab_thickness_A"] == pytest.approx(round(12.0 / layer) * layer)
    assert slab.cell[2, 2] == pytest.approx(slab.info["slab_thickness_A"] + 10.0)
    assert slab.cell.angles()[:2] == pytest.approx([90, 90])
    assert slab.pbc.all()
    assert slab.get_volume() == pytest.approx(area * slab.cell[2, 2])
    density = len(slab) / (area * slab.info["slab_thickness_A"])
    assert density == pytest.approx(len(atoms) / atoms.get_volume())
    near = coordination(slab, 1.1 * neighbor_list("d", atoms, 3.0).min())
    order = np.argsort(slab.positions[:, 2])
    assert (near[order[0]], near[order[len(slab) // 2]], near[order[-1]]) == (*neighbours, neighbours[0])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    miller=st.tuples(*[st.integers(-2, 2)] * 3).filter(any),
    vacuum=st.floats(5.0, 20.0),
    width=st.floats(0.0, 9.0),
)
def test_slabs_of_any_crystal(seed, miller, vacuum, width):
    rng = np.random.default_rng(seed)
    cell = 4 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    atoms = Atoms("SiO2", cell=cell, scaled_positions=rng.random((3, 3)), pbc=True)
    slab = Slab(miller, thickness=(6, 12), vacuum=vacuum, width=width)(atoms, rng)
    counts = slab.symbols.formula.count()
    assert counts["O"] == 2 * counts["Si"]
    thickness, height = slab.info["slab_thickness_A"], slab.cell[2, 2]
    assert height - thickness == pytest.approx(vacuum)
    # all atoms within the thickness: the vacuum is empty
    assert (
        vacuum / 2 - 1e-6
        <= slab.positions[:, 2].min()
        <= slab.positions[:, 2].max()
        <= height - vacuum / 2 + 1e-6
    )
    assert len(slab) / (slab.get_volume() * thickness / height) == pytest.approx(3 / atoms.get_volume())
    widths = 1 / np.linalg.norm(np.linalg.inv(slab.cell.array[:2, :2]), axis=0)
    assert widths.min() >= width - 1e-6
    # no pair that the crystal does not have
    own = np.unique(neighbor_list("d", atoms, 5.0).round(4))
    found = np.unique(neighbor_list("d", slab, 4.9).round(4))
    assert np.abs(found[:, None] - own[None, :]).min(axis=1, initial=9.0).max(initial=0.0) < 3e-4


def test_slab_choices():
    rng = np.random.default_rng(0)
    slabs = [Slab()(SILICON, rng) for _ in range(30)]
    assert len({slab.info["miller"] for slab in slabs}) > 8
    # two cuts of (111): through one bond or through three for each surface atom
    cuts = {int(coordination(slab, 2.5).min()) for slab in (Slab((1, 1, 1))(SILICON, rng) for _ in range(12))}
    assert cuts == {1, 3}
    open_slab = Slab(periodic=False)(SILICON, rng)
    assert open_slab.pbc.tolist() == [True, True, False]
    assert open_slab.cell.rank == 3


def misorientation(atoms, grain, reach):
    """Angle of one neighbour direction in the plane of the boundary, far from it, in degrees."""
    middle = atoms.positions[atoms.arrays["grain"] == grain, 2].mean()
    first, vectors = neighbor_list("iD", atoms, reach)
    inside = (np.abs(atoms.positions[first, 2] - middle) < 3.0) & (np.abs(vectors[:, 2]) < 0.3)
    return np.degrees(np.arctan2(vectors[inside, 1], vectors[inside, 0]))


@pytest.mark.parametrize(("angle", "sigma"), [(36.87, 5), (22.62, 13), (28.07, 17)])
def test_twist_boundaries_of_aluminium(angle, sigma):
    transform = GrainBoundary(
        (1, 0, 0), kind="twist", angle=(angle - 0.1, angle + 0.1), thickness=12.0, max_atoms=300
    )
    atoms = transform(ALUMINIUM, np.random.default_rng(0))
    assert atoms.info["gb_strain"] < 1e-6
    assert atoms.info["gb_angle_deg"] == pytest.approx(angle, abs=0.01)
    assert np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])) == pytest.approx(sigma * 4.05**2 / 2)
    directions = [misorientation(atoms, grain, 3.1) for grain in (0, 1)]
    turn = (directions[1][:, None] - directions[0][None, :]) % 90.0
    np.testing.assert_allclose(np.minimum(np.abs(turn - angle), np.abs(turn - angle - 90)), 0.0, atol=1.0)
    # bulk away from the two boundaries, fewer or more neighbours at them
    heights, boundary = atoms.positions[:, 2], atoms.cell[2, 2] / 2
    near = coordination(atoms, 3.3)
    apart = np.minimum(np.abs(heights - boundary), np.minimum(heights, 2 * boundary - heights))
    assert (near[apart > 3.5] == 12).all()
    assert (near[apart < 1.5] != 12).any()


def test_twin_and_symmetric_tilt_boundaries():
    rng = np.random.default_rng(0)
    twin = GrainBoundary((1, 1, 1), kind="tilt", thickness=10.0)(ALUMINIUM, rng)
    assert twin.info["gb_angle_deg"] == 180
    assert np.linalg.norm(np.cross(twin.cell[0], twin.cell[1])) == pytest.approx(4.05**2 * np.sqrt(3) / 4)
    tilt = GrainBoundary((2, 1, 0), kind="tilt", thickness=14.0)(ALUMINIUM, rng)
    assert tilt.info["gb_strain"] < 1e-9
    heights, boundary = tilt.positions[:, 2], tilt.cell[2, 2] / 2
    apart = np.minimum(np.abs(heights - boundary), np.minimum(heights, 2 * boundary - heights))
    assert (coordination(tilt, 3.3)[apart > 4.5] == 12).all()
    # a turn by 180° about a fourfold or twofold axis is no boundary
    for miller in ((1, 0, 0), (1, 1, 0)):
        with pytest.raises(ValueError, match="no tilt boundary"):
            GrainBoundary(miller, kind="tilt")(ALUMINIUM, rng)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), which=st.sampled_from(["Al", "Si", "NaCl", "Mg"]))
def test_boundaries_keep_their_limits(seed, which):
    atoms = {"Al": ALUMINIUM, "Si": SILICON, "NaCl": SALT, "Mg": bulk("Mg")}[which]
    changed = GrainBoundary(max_atoms=150, max_strain=0.04, merge=0.0)(atoms, np.random.default_rng(seed))
    assert len(changed) <= 150
    assert changed.info["gb_strain"] <= 0.04
    assert changed.info["gb_removed"] == 0
    assert changed.symbols.formula.reduce()[0] == atoms.symbols.formula.reduce()[0]
    assert closest_pair(changed, fraction=0.88)[0] >= 1
    widths = np.linalg.norm(changed.cell.array[:2], axis=1)
    assert widths.max() <= 4.01 * widths.min()
    volume = atoms.get_volume() / len(atoms)
    assert changed.get_volume() / len(changed) == pytest.approx(volume, rel=0.05)
    assert set(changed.arrays["grain"]) == {0, 1}


def test_count_of_removed_atoms_is_true():
    slab = Atoms("Al", positions=[[0, 0, 0]], cell=[2.8, 2.8, 2.8], pbc=True)
    top, bottom = slab.copy(), slab.copy()
    top.positions[:, 2], bottom.positions[:, 2] = 2.7, 0.1
    joined, removed = GrainBoundary()._stacked(top, bottom)
    assert (len(joined), removed) == (2, 0)  # the last atom of a slab stays
    both = bottom + Atoms("Al", positions=[[1.4, 1.4, 1.5]])
    joined, removed = GrainBoundary()._stacked(top, both)
    assert (len(joined), removed) == (2, 1)
    assert joined.arrays["grain"].tolist() == [0, 1]


def signed_volume(atoms, centre):
    """Signed volume of the nearest Si, Al and Cu around an atom."""
    rows = [atoms.get_distances(centre, atoms.numbers == z, mic=True, vector=True) for z in (14, 13, 29)]
    return np.linalg.det([row[np.argmin(np.linalg.norm(row, axis=1))] for row in rows])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), left=st.booleans())
def test_boundaries_keep_the_handedness_of_the_crystal(seed, left):
    cell = np.diag([5.0, 5.0, 5.0])[[1, 0, 2] if left else [0, 1, 2]]
    places = [[2.5, 2.5, 2.5], [4.0, 2.4, 2.6], [2.6, 4.2, 2.4], [2.3, 2.6, 4.3]]
    atoms = Atoms("AuSiAlCu", cell=cell, positions=places, pbc=True)
    limits = {"kind": "twist", "angle": (30, 60), "max_strain": 0.01, "merge": 0, "min_distance": 0.1}
    transform = GrainBoundary((0, 0, 1), thickness=15.0, max_atoms=300, **limits)
    changed = transform(atoms, np.random.default_rng(seed))
    for grain in (0, 1):
        middle = changed.cell[2, 2] * (0.25 + 0.5 * grain)
        gold = np.flatnonzero((changed.numbers == 79) & (changed.arrays["grain"] == grain))
        inner = gold[np.argmin(np.abs(changed.positions[gold, 2] - middle))]
        assert signed_volume(changed, inner) == pytest.approx(signed_volume(atoms, 0), rel=0.05)


def test_rattled_supercells_work_too():
    atoms = PerturbedCrystal("fcc", symbol="Al", n_atoms=8, rattle=0.1)
    (crystal,) = atoms.sample(1, np.random.default_rng(0))
    boundary = GrainBoundary(kind="tilt", thickness=6.0)(crystal, np.random.default_rng(0))
    assert len(boundary) >= 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slab((0, 0, 0)), "miller"),
        (lambda: Slab(thickness=0.0), "thickness"),
        (lambda: Slab(vacuum=(5, 3)), "vacuum"),
        (lambda: Slab(termination="top"), "termination"),
        (lambda: GrainBoundary(kind="bent"), "kind"),
        (lambda: GrainBoundary(angle=(10, 200)), "angle"),
        (lambda: GrainBoundary(max_strain=0.5), "max_strain"),
        (lambda: GrainBoundary(merge=2.0), "merge"),
        (lambda: GrainBoundary(max_atoms=1), "max_atoms"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("transform", [Slab(), GrainBoundary()])
def test_bad_structures(transform):
    with pytest.raises(ValueError, match="periodic in three directions"):
        transform(Atoms("Al"), np.random.default_rng(0))


def test_limits_that_no_boundary_meets():
    with pytest.raises(ValueError, match="no twist boundary of Al4 fits"):
        GrainBoundary(kind="twist", max_atoms=4)(ALUMINIUM, np.random.default_rng(0))
