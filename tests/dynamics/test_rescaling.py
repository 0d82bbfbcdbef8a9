"""Stochastic cell rescaling as an ASE dynamics: conserved energy, exact restarts, and what it refuses."""

import io
import json

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.dynamics import StochasticCellRescaling
from ase_mlsample.dynamics.base import internal_temperature
from tests.dynamics.rescaling_systems import ElasticGas, gas, silicon


def state_of(atoms):
    return np.concatenate([atoms.positions, atoms.get_momenta(), atoms.cell.array])


def test_conserved_energy_fluctuates_with_the_square_of_the_time_step():
    """Measured 18, 4.4 and 1.1 meV for 4, 2 and 1 fs with 64 atoms; thermostat and barostat take eV."""
    spread, drift = [], []
    for timestep in (4.0, 2.0, 1.0):
        atoms, dynamics = silicon(timestep=timestep * units.fs, taup=100 * units.fs, seed=3)
        dynamics.run(round(400 / timestep))
        taken = dynamics.thermostat.exchanged
        energies = []
        for _ in range(40):
            dynamics.run(round(20 / timestep))
            energies.append(dynamics.conserved_energy())
        assert abs(dynamics.thermostat.exchanged - taken) > 0.2
        spread.append(np.std(energies))
        drift.append(abs(np.mean(energies[20:]) - np.mean(energies[:20])) / len(atoms))
    orders = np.log2(np.array(spread[:-1]) / spread[1:])
    assert orders == pytest.approx(2.0, abs=0.6)
    assert max(drift) < 1e-3  # eV an atom in 0.4 ps, at 4 fs; 1e-4 at 2 fs
    assert max(drift[1:]) < 1e-4


def test_books_balance_for_a_gas_at_rest():
    """Without forces only the barostat's integration is left: the error goes down with the time step."""
    drifts = []
    for timestep in (10.0, 2.5):
        pressure = 0.005
        _, dynamics = gas(
            ElasticGas(0.05, 160.0),
            8,
            temperature_K=1000,
            pressure_au=pressure,
            volume=160.0,
            compressibility_au=20.0,
            timestep=timestep * units.fs,
        )
        start = dynamics.conserved_energy()
        moved = []
        for _ in range(round(4000 / timestep)):
            dynamics.step()
            moved.append(dynamics.conserved_energy() - start)
        drifts.append(np.std(moved))
    assert drifts[1] < drifts[0] / 2
    assert drifts[1] < 5e-3  # eV; k_BT is 86 meV


def test_one_evaluation_a_step_and_no_drift_of_the_centre():
    class Pulled(StillingerWeber):
        count = 0

        def evaluate(self, atoms, members=False):
            self.count += 1
            prediction = super().evaluate(atoms, members)
            prediction.forces[:] += [0.05, 0.0, 0.0]  # a net force, as from rounding or a bias
            return prediction

    calc = Pulled()
    atoms, dynamics = silicon(calc=calc)
    dynamics.run(100)
    assert calc.count == 101
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-10)
    inside = atoms.get_scaled_positions(wrap=False).mean(axis=0)
    np.testing.assert_allclose(inside, silicon()[0].get_scaled_positions().mean(axis=0), atol=1e-10)


def test_shape_and_volume():
    atoms, dynamics = silicon(pressure_au=5 * units.GPa, taup=100 * units.fs)
    atoms.set_cell(atoms.cell.array @ np.array([[1, 0.02, 0], [0, 1, -0.01], [0.03, 0, 1]]), scale_atoms=True)
    before, volume = atoms.cell.array / atoms.get_volume() ** (1 / 3), atoms.get_volume()
    assert dynamics.volume == pytest.approx(volume)
    dynamics.run(150)
    np.testing.assert_allclose(
        atoms.cell.array / atoms.get_volume() ** (1 / 3), before, rtol=1e-10, atol=1e-12
    )
    assert atoms.get_volume() < 0.99 * volume
    thermal = 2 * atoms.get_kinetic_energy() / 3 / dynamics.volume
    assert dynamics.pressure() == pytest.approx(thermal - atoms.get_stress()[:3].sum() / 3)


@pytest.mark.parametrize("generator", ["PCG64", "MT19937"])
def test_restart_is_exact(generator):
    def start(seed):
        rng = np.random.Generator(getattr(np.random, generator)(seed))
        atoms = bulk("Si", a=5.5, cubic=True)
        atoms.calc = StillingerWeber()
        thermalize_momenta(atoms, 900, rng=np.random.default_rng(seed))
        return atoms, StochasticCellRescaling(
            atoms, 2 * units.fs, temperature_K=900, compressibility_au=1.6, taup=100 * units.fs, rng=rng
        )

    atoms, dynamics = start(1)
    dynamics.run(30)
    dynamics.set_pressure(pressure_au=0.01)
    dynamics.set_temperature(temperature_K=700)
    dynamics.run(7)
    text = json.dumps(dynamics.state_dict())
    dynamics.run(40)

    other, restarted = start(2)
    restarted.load_state_dict(json.loads(text))
    assert (restarted.nsteps, restarted.temperature_K, restarted.pressure_au) == (37, 700, 0.01)
    restarted.run(40)
    np.testing.assert_array_equal(state_of(other), state_of(atoms))
    assert restarted.conserved_energy() == dynamics.conserved_energy()
    assert restarted.state_dict() == dynamics.state_dict()


def test_states_of_other_dynamics_are_refused():
    _, dynamics = silicon(repeat=1)
    state = dynamics.state_dict()
    with pytest.raises(ValueError, match=r"taup 98\.\d+ \(here 49"):
        silicon(repeat=1, taup=500 * units.fs)[1].load_state_dict(state)
    with pytest.raises(ValueError, match="the state has 8 atoms, but here are 16"):
        silicon(repeat=(2, 1, 1))[1].load_state_dict(state)
    atoms = dynamics.atoms
    other = StochasticCellRescaling(
        atoms,
        2 * units.fs,
        temperature_K=600,
        compressibility_au=1.6,
        rng=np.random.Generator(np.random.MT19937(0)),
    )
    with pytest.raises(ValueError, match="PCG64, but rng is of type MT19937"):
        other.load_state_dict(state)
    del state["momenta"]
    with pytest.raises(KeyError, match="momenta"):
        dynamics.load_state_dict(state)


def test_ase_interface(tmp_path):
    log = io.StringIO()
    path = tmp_path / "run.traj"
    atoms, dynamics = silicon(repeat=1, trajectory=path, logfile=log, loginterval=5)
    seen = []
    dynamics.attach(lambda: seen.append(dynamics.nsteps), interval=10)
    assert dynamics.run(10)
    assert list(dynamics.irun(10)) == [False] * 10 + [True]
    assert seen == [0, 10, 20]
    assert dynamics.get_time() == pytest.approx(40 * units.fs)
    frames = read(path, ":")
    assert len(frames) == len(log.getvalue().splitlines()) - 1 == 5
    np.testing.assert_array_equal(frames[-1].positions, atoms.positions)
    assert frames[-1].get_potential_energy() == atoms.get_potential_energy()
    assert frames[-1].get_stress() == pytest.approx(atoms.get_stress())
    described = json.loads(json.dumps(dynamics.todict()))
    assert described["md-type"] == "StochasticCellRescaling"
    assert described["temperature_K"] == 600
    assert {"type", "timestep", "pressure_au", "taut", "taup", "compressibility_au"} <= set(described)


def test_targets_move_between_steps():
    atoms, dynamics = silicon(taut=20 * units.fs, taup=50 * units.fs)
    dynamics.run(20)
    before = dynamics.conserved_energy()
    dynamics.set_pressure(pressure_au=0.06)
    assert dynamics.conserved_energy() == pytest.approx(before)
    dynamics.set_temperature(temperature_K=60)
    dynamics.run(300)
    assert internal_temperature(atoms.get_masses(), atoms.get_velocities()) < 120
    assert atoms.get_volume() < 0.95 * 8 * 5.44**3  # 9.6 GPa on a bulk modulus of 100 GPa


@pytest.mark.parametrize("calc", [EMT(), LennardJones(sigma=2.3, epsilon=0.4, rc=5.0)], ids=["EMT", "LJ"])
def test_calculators_of_ase(calc):
    rng = np.random.default_rng(0)
    atoms = bulk("Cu", cubic=True) * 2
    atoms.calc = calc
    thermalize_momenta(atoms, 300, rng=rng)
    dynamics = StochasticCellRescaling(
        atoms, 3 * units.fs, temperature_K=300, compressibility_au=1.1, taup=200 * units.fs, rng=rng
    )
    start = dynamics.conserved_energy()
    dynamics.run(50)
    assert dynamics.conserved_energy() == pytest.approx(start, abs=0.02)
    assert atoms.get_volume() != bulk("Cu", cubic=True).get_volume() * 8


class Matrix(StillingerWeber):
    """Keeps the stress as a matrix, as some calculators do."""

    def _results_of(self, prediction, atoms):
        results = super()._results_of(prediction, atoms)
        return results | {"stress": np.diag(results["stress"][:3])}


def test_stress_as_a_matrix():
    (first, one), (second, two) = silicon(repeat=1), silicon(repeat=1, calc=Matrix())
    one.run(20)
    two.run(20)
    np.testing.assert_array_equal(state_of(first), state_of(second))


class OnlyForces(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def test_stress_is_needed():
    _, dynamics = silicon(repeat=1, calc=OnlyForces())
    with pytest.raises(PropertyNotImplementedError, match=r"OnlyForces gives no stress .* keep the volume"):
        dynamics.run(1)


def test_a_volume_that_vanishes_is_an_error():
    _, dynamics = gas(
        ElasticGas(),
        4,
        temperature_K=300,
        pressure_au=10.0,
        volume=100.0,
        compressibility_au=100.0,
        taup=10 * units.fs,
    )
    with pytest.raises(FloatingPointError, match="smaller time step"):
        dynamics.run(100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": -5.0}, "temperature_K"),
        ({"compressibility_au": 0.0}, "compressibility_au"),
        ({"taup": np.nan}, "taup"),
        ({"taut": 0.0}, "taut"),
        ({"timestep": 0.0}, "timestep"),
        ({"pressure_au": np.inf}, "pressure_au"),
    ],
)
def test_bad_settings(change, message):
    atoms = silicon()[0]
    settings = {"timestep": 1.0, "temperature_K": 300, "compressibility_au": 1.6} | change
    with pytest.raises(ValueError, match=message):
        StochasticCellRescaling(atoms, rng=np.random.default_rng(0), **settings)


def test_bad_atoms():
    def build(atoms, rng=None):
        return StochasticCellRescaling(
            atoms,
            1.0,
            temperature_K=300,
            compressibility_au=1.6,
            rng=rng or np.random.default_rng(0),
        )

    atoms = silicon(repeat=1)[0]
    with pytest.raises(TypeError, match="default_rng"):
        build(atoms, np.random)
    with pytest.raises(ValueError, match="at least two atoms"):
        build(Atoms("Si", cell=[5, 5, 5], pbc=True))
    with pytest.raises(ValueError, match="at rest"):
        build(bulk("Si"))
    slab = atoms.copy()
    slab.pbc = (True, True, False)
    with pytest.raises(ValueError, match="periodic in three directions"):
        build(slab)
    fixed = atoms.copy()
    fixed.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match="FixAtoms"):
        build(fixed)
