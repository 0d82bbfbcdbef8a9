import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_masses
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.samplers.packing import AMU_PER_A3
from ase_mlsample.validation.conservation import _line, _means, energy_conservation
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.liquid_state import liquid_properties
from ase_mlsample.validation.melting import AxialPressure, melting_point
from ase_mlsample.validation.simulation import constant_pressure, constant_volume, thermalised
from ase_mlsample.validation.thermal_expansion import expansion_by_dynamics, mean_length
from tests.validation.silicon_potentials import silicon_committee

SILICON = crystal_of("Si", "diamond", conventional=True)


def test_momenta_have_the_temperature_and_no_sum():
    atoms = thermalised(bulk("Cu", cubic=True).repeat(6), EMT(), 500.0, np.random.default_rng(0))
    free = 3 * len(atoms) - 3
    assert 2 * atoms.get_kinetic_energy() / (free * units.kB) == pytest.approx(500, rel=4 * (2 / free) ** 0.5)
    assert atoms.get_momenta().sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_constant_volume_holds_temperature_and_volume():
    atoms = thermalised(SILICON.repeat(2), StillingerWeber(), 1000.0, np.random.default_rng(1))
    volume, kinetic = atoms.get_volume(), []
    constant_volume(
        atoms,
        temperature_K=500.0,
        duration_ps=4.0,
        timestep_fs=2.0,
        rng=np.random.default_rng(2),
        sample=lambda: kinetic.append(atoms.get_kinetic_energy()),
    )
    free = 3 * len(atoms) - 3
    temperatures = 2 * np.array(kinetic[50:]) / (free * units.kB)
    # the kinetic energy forgets itself in 0.1 ps: some 30 samples of relative width √(2/N_f)
    assert temperatures.mean() == pytest.approx(500, rel=4 * (2 / free / 30) ** 0.5)
    assert atoms.get_volume() == volume


def test_a_phase_that_flies_apart_is_said_to():
    atoms = thermalised(SILICON, StillingerWeber(), 30_000.0, np.random.default_rng(3))
    how = {"temperature_K": 30_000.0, "timestep_fs": 1.0, "rng": np.random.default_rng(4)}
    with pytest.raises(FloatingPointError, match=r"does not hold this phase together"):
        constant_pressure(atoms, duration_ps=20.0, **how)


def test_energy_is_conserved_better_with_a_shorter_step():
    short, long = (
        energy_conservation(StillingerWeber(), SILICON, timestep_fs=step, duration_ps=2.0)
        for step in (1.0, 4.0)
    )
    # velocity Verlet: the fluctuation goes with the square of the step
    assert long["fluctuation"].value / short["fluctuation"].value == pytest.approx(16, rel=0.4)
    assert abs(short["drift"].value) < 0.05
    assert short.facts["mean_temperature_K"] == pytest.approx(600, rel=0.2)


def test_the_error_of_a_drift_is_that_of_correlated_samples():
    rng, time = np.random.default_rng(0), 0.01 * np.arange(1, 1001)
    slopes, errors = [], []
    for noise in rng.standard_normal((200, 1000)):
        values = np.convolve(noise, np.ones(10), mode="same")  # remembers ten samples
        slope, _, error = _line(_means(time), _means(values))
        slopes.append(slope)
        errors.append(error)
    # 200 runs know their scatter to 5 %; means of 20 samples still remember a little of each other
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(slopes), rel=0.3)
    naive = np.sqrt(np.polyfit(time, values, 1, cov=True)[1][0, 0])
    assert naive < 0.5 * np.std(slopes)


def test_a_run_too_short_for_a_drift_is_refused():
    with pytest.raises(ValueError, match="2 blocks of 100 steps give no error of a drift; raise duration_ps"):
        energy_conservation(StillingerWeber(), SILICON, n_atoms=8, duration_ps=0.4)


def test_axial_pressure_brings_the_normal_stress_to_zero_and_leaves_the_cross_section():
    atoms = SILICON.repeat((2, 2, 3))
    atoms.set_cell(atoms.cell.array * [1.0, 1.0, 0.98], scale_atoms=True)
    atoms = thermalised(atoms, StillingerWeber(), 600.0, np.random.default_rng(5))
    width = atoms.cell.lengths()[:2]
    integrator = VelocityVerlet(atoms, 2 * units.fs)
    integrator.attach(AxialPressure(integrator, taup=100 * units.fs))
    stresses = []
    integrator.attach(lambda: stresses.append(atoms.get_stress(include_ideal_gas=True)[2] / units.GPa))
    before = atoms.get_stress(include_ideal_gas=True)[2] / units.GPa
    integrator.run(1500)
    assert before < -1.0
    assert np.mean(stresses[750:]) == pytest.approx(0.0, abs=0.1)
    assert (atoms.cell.lengths()[:2] == width).all()


LIQUID = {
    "temperature_K": 2500.0,
    "density": 2.4,
    "n_atoms": 64,
    "equilibration_ps": 0.5,
    "pressure_ps": 1.0,
    "production_ps": 1.5,
    "timestep_fs": 3.0,
    "r_max": 5.5,
    "q_max": 4.0,
    "reach": 3.1,
}


def test_liquid_of_stillinger_weber_silicon():
    result = liquid_properties(StillingerWeber(), "Si", **LIQUID)
    assert result["density"].value == pytest.approx(2.4, rel=0.1)
    assert result["first_peak"].value == pytest.approx(2.45, abs=0.15)
    assert result["diffusion"].value > 5  # it flows
    assert all(quantity.error > 0 for quantity in result)
    moved = result.curves["displacement"]
    part = slice(int(0.2 * len(moved.x)), int(0.6 * len(moved.x)))
    slope = np.polyfit(moved.x[part], moved.y[part], 1)[0]
    assert result["diffusion"].value == pytest.approx(10 * slope / 6, rel=1e-4)  # 1 Å²/ps = 1e-8 m²/s
    r, g = np.array(result.curves["rdf"].x), np.array(result.curves["rdf"].y)
    assert (g[r < 1.8] == 0).all()
    # neighbours: 4π ρ ∫ g r² dr up to the reach, with the 63 other atoms in the density
    assert result["coordination"].label == "neighbours within 3.10 Å"
    reach = LIQUID["reach"]
    density = result["density"].value / (atomic_masses[14] * AMU_PER_A3) * 63 / 64
    width = r[1] - r[0]
    share = np.clip((reach - r) / width + 0.5, 0.0, 1.0)  # of each bin inside
    found = (density * 4 * np.pi * r**2 * width * g * share).sum()
    assert result["coordination"].value == pytest.approx(found, rel=0.01)
    assert liquid_properties(StillingerWeber(), "Si", **LIQUID) == result  # the same seed, the same numbers


def test_expansion_of_stillinger_weber_silicon():
    how = {"equilibration_ps": 0.5, "duration_ps": 2.0, "timestep_fs": 4.0}
    result = expansion_by_dynamics(StillingerWeber(), SILICON, temperatures_K=(300, 1500), n_atoms=64, **how)
    # SCIENCE: a = 5.461 Å at 1,700 K from 5.431 Å, 3.2e-6/K on average; short runs of 64 atoms
    assert result["expansion"].value == pytest.approx(3.5, abs=4 * result["expansion"].error + 1.0)
    assert result["expansion"].error < 2
    assert all("errors are lower bounds" in note for note in result.notes)
    with pytest.raises(ValueError, match="at least two temperatures"):
        expansion_by_dynamics(StillingerWeber(), SILICON, temperatures_K=(300,), **how)


def test_members_of_sampled_properties_are_theirs_alone():
    how = {"equilibration_ps": 0.05, "duration_ps": 0.4, "timestep_fs": 2.0, "n_atoms": 8}
    calc = silicon_committee()
    result = expansion_by_dynamics(calc, SILICON, temperatures_K=(300, 900), **how)
    alone = [
        expansion_by_dynamics(one, SILICON, temperatures_K=(300, 900), **how) for one in calc.calculators
    ]
    assert result["expansion"].members == tuple(one["expansion"].value for one in alone)


def test_mean_length_of_a_cold_crystal_is_that_at_rest():
    cell = bulk("Si", a=5.43095, cubic=True).repeat(2)
    rng = np.random.default_rng(6)
    how = {"equilibration_ps": 0.2, "duration_ps": 1.0, "timestep_fs": 4.0}
    length = mean_length(StillingerWeber(), cell, temperature_K=1.0, rng=rng, **how)
    assert length.mean == pytest.approx(1.0, abs=2e-4 + 4 * length.error)


def test_melting_needs_a_right_angled_cell():
    with pytest.raises(ValueError, match="right-angled"):
        melting_point(StillingerWeber(), crystal_of("Si", "diamond"), guess_K=1700)


def test_a_crystal_that_melts_by_itself_is_said_to():
    short = {"n_atoms": 64, "length": 2.0, "duration_ps": 0.5, "attempts": 1, "timestep_fs": 4.0}
    with pytest.raises(RuntimeError, match=r"at 4000 K crystal and liquid cannot be told apart"):
        melting_point(StillingerWeber(), SILICON, guess_K=4000.0, **short)
