import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry.rdf import get_rdf

from ase_mlsample.analysis.pair_structure import (
    bond_angles,
    first_minimum,
    radial_distribution,
    structure_factor,
)


def gas(n=60, edge=9.0, seed=0, cell=None):
    cell = np.eye(3) * edge if cell is None else cell
    rng = np.random.default_rng(seed)
    return Atoms(f"H{n}", scaled_positions=rng.random((n, 3)), cell=cell, pbc=True)


def test_radial_distribution_against_ase():
    frames = [gas(seed=seed) for seed in range(3)]
    _, g = radial_distribution(frames, r_max=4.0, bins=20)
    expected = np.mean([get_rdf(atoms, 4.0, 20)[0] for atoms in frames], axis=0)
    assert g == pytest.approx(expected * 60 / 59, rel=1e-9)  # ASE's ideal gas has N other atoms, not N − 1


def test_radial_distribution_beyond_half_the_cell_and_in_any_cell():
    cell = [[7.0, 0, 0], [2.5, 6.5, 0], [-1.0, 2.0, 7.5]]
    atoms = gas(30, cell=cell)
    supercell = atoms.repeat(3)
    r, g = radial_distribution([atoms], r_max=6.0, bins=24)
    _, expected = radial_distribution([supercell], r_max=6.0, bins=24)
    # only the number of other atoms in the norm differs
    assert g * 29 / 30 == pytest.approx(expected * 809 / 810, rel=1e-9)
    near = r < 2.5
    _, minimum_image = radial_distribution([atoms], r_max=2.5, bins=10)
    assert g[near] == pytest.approx(minimum_image, rel=1e-9)


def test_an_ideal_gas_has_g_and_s_of_one():
    frames = [gas(200, 12.0, seed) for seed in range(100)]
    _, g = radial_distribution(frames, r_max=6.0, bins=6)
    assert g[1:] == pytest.approx(1.0, abs=0.03)
    q, s = structure_factor(frames, q_max=5.0, bins=10)
    # |Σ|²/N of random phases is exponential: 100 frames and up to 60 wave vectors give 0.013
    assert s[q > 1.5] == pytest.approx(1.0, abs=0.06)


def test_structure_factor_against_direct_summation():
    atoms = gas(25, cell=[[8.0, 0, 0], [1.0, 7.0, 0], [0, -2.0, 9.0]])
    q, s = structure_factor([atoms], q_max=2.0, bins=200, per_bin=1000)
    reciprocal = 2 * np.pi * atoms.cell.reciprocal()
    apart = atoms.positions[:, None] - atoms.positions[None]
    checked = 0
    for whole in ((1, 0, 0), (0, 1, 1), (1, -1, 0)):
        vector = np.array(whole) @ reciprocal
        direct = np.cos(apart @ vector).sum() / len(atoms)
        alone = np.flatnonzero(np.abs(q - np.linalg.norm(vector)) < 1e-9)
        assert len(alone) == 1  # a shell of this wave vector and no other
        assert s[alone[0]] == pytest.approx(direct, rel=1e-9)
        checked += 1
    assert checked == 3


def test_bragg_peaks_of_diamond():
    atoms = bulk("Si", a=5.43, cubic=True).repeat(3)
    q, s = structure_factor([atoms], q_max=5.0, bins=400, per_bin=1000)
    length = 2 * np.pi / 5.43
    # (111) scatters with N/2; its shell has 8 of them and 24 of (5 1 1)/3, which do not scatter
    assert s[np.argmin(np.abs(q - length * 3**0.5))] == pytest.approx(216 / 2 * 8 / 32)
    assert s[np.argmin(np.abs(q - length * 2))] == pytest.approx(0.0, abs=1e-9)  # (200) is forbidden


def test_angles_and_neighbours_of_diamond():
    atoms = bulk("Si", a=5.43, cubic=True).repeat(2)
    angles, density, coordination = bond_angles([atoms], cutoff=2.6, bins=180)
    assert coordination == 4
    assert density.sum() == pytest.approx(1.0)
    assert angles[np.argmax(density)] == pytest.approx(np.degrees(np.arccos(-1 / 3)), abs=0.5)


def test_first_minimum():
    r = np.linspace(0.025, 6, 240)
    g = 1 + 2 * np.exp(-((r - 2.5) ** 2) / 0.05) - 0.5 * np.exp(-((r - 3.2) ** 2) / 0.05) - np.exp(-(r**2))
    assert first_minimum(r, g) == pytest.approx(3.2, abs=0.05)
    with pytest.raises(ValueError, match="raise r_max"):
        first_minimum(r[:110], g[:110])


@pytest.mark.parametrize("frames", [[], gas(), [Atoms("H2", [[0, 0, 0], [0, 0, 1]])]])
def test_what_are_no_frames(frames):
    with pytest.raises(ValueError, match="frames must"):
        radial_distribution(frames, r_max=3.0)


def test_angles_one_by_one():
    atoms = gas(40)
    angles, density, coordination = bond_angles([atoms], cutoff=2.5, bins=12)
    found = []
    for i in range(40):
        near = [j for j in range(40) if j != i and atoms.get_distance(i, j, mic=True) < 2.5]
        vectors = [atoms.get_distance(i, j, mic=True, vector=True) for j in near]
        for k, u in enumerate(vectors):
            found += [
                np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for v in vectors[:k]
            ]
    expected, _ = np.histogram(found, bins=12, range=(0, 180))
    assert density == pytest.approx(expected / len(found) / 15.0)
    assert angles[0] == 7.5
    assert coordination > 2
