import numpy as np
import pytest

from ase_mlsample.analysis.fes_files import read_free_energy, write_free_energy
from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.biases.plumed_grid import read_plumed_grid


@pytest.fixture
def surface():
    x, y = np.linspace(0, 1, 4), -np.pi + 2 * np.pi * np.arange(5) / 5
    values = x[:, None] ** 2 + np.cos(y) + 1
    values[0, 0] = np.inf
    return FreeEnergy((x, y), values, 0.5, (None, (-np.pi, np.pi)), errors=0.1 * np.ones((4, 5)))


def test_npz_comes_back(tmp_path, surface):
    write_free_energy(tmp_path / "F.npz", surface, names=["x", "y"], unit="kT")
    F, names, unit = read_free_energy(tmp_path / "F.npz")
    assert (names, unit, F.kT, F.domains) == (("x", "y"), "kT", 0.5, surface.domains)
    np.testing.assert_array_equal(F.values, surface.values)
    np.testing.assert_array_equal(F.errors, surface.errors)
    np.testing.assert_array_equal(F.axes[1], surface.axes[1])


def test_text_is_a_table_and_a_grid_of_plumed(tmp_path, surface):
    path = tmp_path / "fes.dat"
    write_free_energy(path, surface, names=["x", "y"], unit="eV")
    table = np.loadtxt(path)
    assert table.shape == (20, 4)
    np.testing.assert_allclose(table[:, 2].reshape(4, 5), surface.values, rtol=1e-8)
    grid = read_plumed_grid(path)
    assert grid.names == ("x", "y")
    np.testing.assert_allclose(grid.axes[0], surface.axes[0], atol=1e-8)
    np.testing.assert_allclose(grid.domains[1], (-np.pi, np.pi), atol=1e-7)
    assert "# free energy in eV, kT = 0.5 eV" in path.read_text()


def test_without_errors(tmp_path):
    F = FreeEnergy((np.linspace(0, 1, 3),), np.array([0.0, 1.0, 2.0]), 1.0, (None,))
    write_free_energy(tmp_path / "F.npz", F, names=["x"], unit="kT")
    assert read_free_energy(tmp_path / "F.npz")[0].errors is None
    write_free_energy(tmp_path / "F.dat", F, names=["x"], unit="kT")
    assert np.loadtxt(tmp_path / "F.dat").shape == (3, 2)


def test_bad_input(tmp_path, surface):
    with pytest.raises(ValueError, match="as many names"):
        write_free_energy(tmp_path / "F.dat", surface, names=["x"], unit="eV")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="damaged"):
        read_free_energy(tmp_path / "bad.npz")
