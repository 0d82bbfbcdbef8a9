import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import _amu, _e, kB

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.phonons import harmonic, phonon_bands, thermal_functions
from ase_mlsample.validation.quasi_harmonic import quasi_harmonic_expansion
from ase_mlsample.validation.relaxation import relaxed_crystal

#: eV/Å²/amu as a squared angular frequency, in THz of ordinary frequency.
THZ = np.sqrt(_e * 1e20 / _amu) / (2 * np.pi) * 1e-12


def force_constants(calc, crystal, repeats, delta=0.01):
    """Force constants (3n, units, 3n) of the atoms of the first unit, from finite displacements."""
    cell = crystal.repeat(repeats)
    cell.calc = calc
    n, start = len(crystal), cell.positions.copy()
    rows = []
    for row in range(3 * n):
        forces = []
        for sign in (1, -1):
            cell.positions = start
            cell.positions[row // 3, row % 3] += sign * delta
            forces.append(cell.get_forces())
        rows.append(-(forces[0] - forces[1]) / (2 * delta))
    cell.positions = start
    # atoms come unit by unit; in a supercell that q fits into, any image of a unit will do
    return np.array(rows).reshape(3 * n, -1, 3 * n), start[::n] - start[0]


def by_hand(constants, lattice, crystal, q):
    """Frequencies (THz) at one q: D_ij = Σ_R Φ_ij(R) e^{iq·R} / √(m_i m_j)."""
    phase = np.exp(2j * np.pi * lattice @ np.linalg.inv(crystal.cell.array) @ q)
    masses = np.repeat(crystal.get_masses(), 3)
    dynamical = np.einsum("r,irx->ix", phase, constants) / np.sqrt(np.outer(masses, masses))
    squares = np.linalg.eigvalsh((dynamical + dynamical.conj().T) / 2)
    return THZ * np.sign(squares) * np.sqrt(np.abs(squares))


@pytest.mark.parametrize(
    ("calc", "symbol", "name", "width"),
    [(StillingerWeber(), "Si", "diamond", 12.0), (EMT(), "Al", "fcc", 9.0)],
)
def test_frequencies_against_a_dynamical_matrix_by_hand(calc, symbol, name, width):
    crystal = relaxed_crystal(calc, crystal_of(symbol, name))
    phonon = harmonic(calc, crystal, width=width)
    repeats = tuple(phonon.supercell_matrix.diagonal())
    assert repeats == (4, 4, 4)
    constants, lattice = force_constants(calc, crystal, repeats)
    for q in ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5)):  # Γ, X, L
        phonon.run_qpoints([q])
        # the sum rule is imposed on one and not on the other
        expected = by_hand(constants, lattice, crystal, np.array(q))
        assert np.sort(phonon.qpoints.frequencies[0]) == pytest.approx(expected, abs=5e-3)


def test_stillinger_weber_silicon():
    result = phonon_bands(StillingerWeber(), crystal_of("Si", "diamond"), width=12.0, mesh=10)
    assert result["G.LTO"].value == pytest.approx(17.83, abs=0.03)
    assert result["highest"].value == result["G.LTO"].value
    assert abs(result["lowest"].value) < 1e-3
    bands = np.array(result.curves["bands"].y)
    assert bands.shape == (6, 180)
    assert (np.diff(bands, axis=0) >= 0).all()
    frequencies, dos = np.array(result.curves["dos"].x), np.array(result.curves["dos"].y)
    assert np.trapezoid(dos, frequencies) == pytest.approx(3.0, rel=0.02)  # modes of an atom


def test_thermal_functions_are_those_of_oscillators():
    crystal = relaxed_crystal(EMT(), crystal_of("Al", "fcc"))
    phonon = harmonic(EMT(), crystal, width=9.0)
    temperatures = np.array([100.0, 298.15, 1000.0])
    free, entropy, capacity = thermal_functions(phonon, temperatures, mesh=7)
    phonon.run_mesh([7] * 3, is_mesh_symmetry=False, is_gamma_center=True)
    energy = 4.135667696e-3 * phonon.mesh.frequencies.ravel()  # h ν, eV
    energy = energy[energy > 4.135667696e-3 * 0.01]
    for k, temperature in enumerate(temperatures):
        x = energy / (kB * temperature)
        heat = (x**2 * np.exp(x) / np.expm1(x) ** 2).sum() / 7**3
        assert capacity[k] == pytest.approx(8.314462618 * heat, rel=1e-4)
        total = (energy / 2 + kB * temperature * np.log(-np.expm1(-x))).sum() / 7**3
        assert free[k] == pytest.approx(1000 * total, abs=1e-2)
    assert capacity[2] < 3 * 8.3145
    assert (np.diff(entropy) > 0).all()


def test_an_unstable_crystal_has_no_heat_capacity():
    result = phonon_bands(EMT(), crystal_of("Al", "sc"), width=8.0, mesh=6, branches={})
    assert result["lowest"].value < -0.5
    assert "dynamically unstable" in result.notes[0]
    with pytest.raises(KeyError, match="entropy"):
        result["entropy"]


def test_quasi_harmonic_expansion_of_copper():
    crystal = bulk("Cu", a=3.6)
    result = quasi_harmonic_expansion(EMT(), crystal, width=5.5, mesh=6, points=5, highest_K=320.0)
    # Grüneisen: α = γ C_V / 3 B V with γ from the frequencies of two volumes
    ground = relaxed_crystal(EMT(), crystal)
    free = []
    for ratio in (0.995, 1.005):
        atoms = ground.copy()
        atoms.set_cell(ground.cell.array * ratio, scale_atoms=True)
        free.append(thermal_functions(harmonic(EMT(), atoms, width=5.5), [290.0, 310.0], mesh=6))
    # ∂α: −(1/3BV) ∂²F/∂V∂T, V = 1e-3 eV per meV
    slope = [(f[0][1] - f[0][0]) / 20.0 / 1000 for f in free]
    volumes = [ground.get_volume() * ratio**3 for ratio in (0.995, 1.005)]
    mixed = -(slope[1] - slope[0]) / (volumes[1] - volumes[0])
    expected = 1e6 * mixed / (3 * result["bulk"].value / 160.21766208)
    # the first order of an expansion that softens: a tenth
    assert result["expansion"].value == pytest.approx(expected, rel=0.1)
    assert result["length"].value > 1
