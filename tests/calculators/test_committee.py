import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed, Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from ase_mlsample.calculators import Calibration, Committee, MLCalculator, Prediction, StillingerWeber


class Springs(MLCalculator):
    """A member of ours: atoms tied to the origin; counts its evaluations."""

    def __init__(self, k: float = 1.0, *, atomic: bool = False) -> None:
        super().__init__()
        self.k, self.atomic, self.calls = k, atomic, 0

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        self.calls += 1
        energies = 0.5 * self.k * (atoms.positions**2).sum(axis=1)
        return Prediction(
            energy=float(energies.sum()),
            forces=-self.k * atoms.positions,
            energies=energies if self.atomic else None,
            stress=None,
        )


class Magnet(Calculator):
    """An ASE calculator whose energy and free energy differ, and depend on the initial moments."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        moment = atoms.get_initial_magnetic_moments().sum()
        self.results = {"energy": 5.0, "free_energy": float(moment), "forces": np.zeros((len(atoms), 3))}


class Broken(Springs):
    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        raise RuntimeError("out of memory")


@pytest.fixture
def copper(rng: np.random.Generator) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    return atoms


def test_mean_and_spread_are_the_members(copper: Atoms) -> None:
    members = [EMT(), LennardJones(epsilon=0.4, sigma=2.3), LennardJones(epsilon=0.5, sigma=2.3)]
    committee = Committee(members)
    energies, forces, stresses, atomic = [], [], [], []
    for calc in (EMT(), LennardJones(epsilon=0.4, sigma=2.3), LennardJones(epsilon=0.5, sigma=2.3)):
        copper.calc = calc
        energies.append(copper.get_potential_energy())
        forces.append(copper.get_forces())
        stresses.append(copper.get_stress())
        atomic.append(copper.get_potential_energies())
    copper.calc = committee
    assert copper.get_potential_energy() == pytest.approx(np.mean(energies))
    np.testing.assert_allclose(copper.get_forces(), np.mean(forces, axis=0), atol=1e-12)
    np.testing.assert_allclose(copper.get_stress(), np.mean(stresses, axis=0), atol=1e-12)
    np.testing.assert_allclose(copper.get_potential_energies(), np.mean(atomic, axis=0), atol=1e-12)
    spread = committee.get_spread()
    assert spread.energy_std == pytest.approx(np.std(energies, ddof=1))
    np.testing.assert_allclose(spread.forces_std, np.std(forces, axis=0, ddof=1), atol=1e-12)
    np.testing.assert_allclose(spread.stress_std, np.std(stresses, axis=0, ddof=1), atol=1e-12)
    np.testing.assert_allclose(spread.energies_std, np.std(atomic, axis=0, ddof=1), atol=1e-12)


def test_identical_members_have_no_spread(copper: Atoms) -> None:
    spread = Committee([EMT() for _ in range(7)]).get_spread(copper)
    assert spread.energy_std == 0.0
    assert not spread.forces_std.any()
    assert not spread.stress_std.any()
    assert not spread.energies_std.any()


def test_stress_and_atomic_energies_need_every_member(copper: Atoms) -> None:
    copper.calc = Committee([EMT(), Springs()])
    assert copper.get_forces().shape == (4, 3)
    with pytest.raises(PropertyNotImplementedError, match="did not give stress"):
        copper.get_stress()
    with pytest.raises(PropertyNotImplementedError, match="energies"):
        copper.get_potential_energies()
    assert Committee([Magnet(), EMT()]).implemented_properties == ["energy", "free_energy", "forces"]
    spread = copper.calc.get_spread()
    assert spread.stress_std is None
    assert spread.energies_std is None


def test_no_stress_without_a_volume() -> None:
    atoms = molecule("H2O")
    atoms.calc = Committee([EMT(), EMT()])
    assert atoms.get_forces().shape == (3, 3)
    with pytest.raises(PropertyNotImplementedError, match="three linearly independent vectors"):
        atoms.get_stress()


def test_the_failing_member_is_named_and_leaves_nothing(copper: Atoms) -> None:
    committee = Committee([Springs(), Broken()])
    with pytest.raises(
        CalculationFailed, match=r"member 2 of 2 .*broken, failed: RuntimeError: out of memory"
    ):
        committee.get_forces(copper)
    assert not committee.results
    committee = Committee([EMT(), Springs()])
    committee.get_spread(copper)
    with pytest.raises(CalculationFailed, match=r"member 1 of 2 of the committee, emt, failed"):
        committee.get_spread(bulk("W"))
    assert not committee.results
    with pytest.raises(ValueError, match="has not evaluated any atoms"):
        committee.get_spread()


@pytest.mark.parametrize("count", [0, 1])
def test_needs_two_members(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least two calculators to disagree, got {count}"):
        Committee([EMT()] * count)


def test_members_must_be_calculators() -> None:
    with pytest.raises(TypeError, match="member 2 of the committee"):
        Committee([EMT(), "EMT"])
    with pytest.raises(TypeError, match=r"make it: EMT\(...\)"):
        Committee([EMT(), EMT])
    twice = EMT()
    with pytest.raises(ValueError, match=r"member 3 of the committee.*always agree with itself"):
        Committee([twice, EMT(), twice])


def test_structures_may_come_from_a_generator(copper: Atoms) -> None:
    committee = Committee([Springs(1.0), Springs(2.0)])
    assert len(committee.evaluate_many(copper for _ in range(3))) == 3
    with pytest.raises(TypeError, match=r"pass \[atoms\]"):
        committee.evaluate_many(copper)
    with pytest.raises(TypeError, match=r"structure 1 is no ase\.Atoms but str"):
        Springs().evaluate_many([copper, "Cu"])


def test_spread_of_stillinger_weber_potentials_is_that_of_their_energy_scale(
    rng: np.random.Generator,
) -> None:
    """Energy, forces and stress are proportional to epsilon, and so are their standard deviations."""
    silicon = bulk("Si", cubic=True)
    silicon.positions += rng.normal(0, 0.1, silicon.positions.shape)
    scales = [0.9, 1.0, 1.3]
    committee = Committee([StillingerWeber(epsilon=2.0 * scale) for scale in scales])
    one, spread = StillingerWeber(epsilon=2.0).evaluate(silicon), committee.get_spread(silicon)
    deviation = np.std(scales, ddof=1)
    assert spread.energy_std == pytest.approx(deviation * abs(one.energy), rel=1e-12)
    np.testing.assert_allclose(spread.energies_std, deviation * np.abs(one.energies), rtol=1e-12)
    np.testing.assert_allclose(spread.forces_std, deviation * np.abs(one.forces), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(spread.stress_std, deviation * np.abs(one.stress), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(committee.get_forces(silicon), np.mean(scales) * one.forces, atol=1e-13)


def test_our_members_are_evaluated_once_for_everything(copper: Atoms) -> None:
    members = [Springs(1.0, atomic=True), Springs(2.0, atomic=True)]
    copper.calc = Committee(members)
    copper.get_potential_energy()
    copper.get_forces()
    copper.get_potential_energies()
    copper.calc.get_spread(copper)
    copper.calc.annotate(copper)
    assert [member.calls for member in members] == [1, 1]
    assert not any(member.results for member in members)


def test_members_do_not_attach_to_the_atoms(copper: Atoms) -> None:
    copper.set_constraint(FixAtoms([0]))
    copper.calc = committee = Committee([EMT(), EMT()])
    assert not copper.get_forces()[0].any()
    assert committee.get_forces(copper)[0].any()
    assert copper.calc is committee
    assert len(copper.constraints) == 1
    assert all(member.atoms is not copper for member in committee.calculators)


def test_energy_is_what_forces_derive_from_and_moments_count(copper: Atoms) -> None:
    copper.set_initial_magnetic_moments([1.0, 2.0, 3.0, 4.0])
    copper.calc = Committee([Magnet(), Magnet()])
    assert copper.get_potential_energy() == 10.0
    copper.set_initial_magnetic_moments([1.0, 2.0, 3.0, 5.0])
    assert copper.get_potential_energy() == 11.0
    assert copper.calc.check_state(copper) == []


def test_calibration_belongs_to_the_spread(copper: Atoms) -> None:
    committee = Committee([Springs(1.0), Springs(2.0)], calibration=Calibration(forces=4.0))
    raw = committee.get_spread(copper)
    np.testing.assert_allclose(raw.calibrated.force_sigma, 4 * raw.force_sigma)
    committee.annotate(copper, calibrated=True)
    np.testing.assert_array_equal(copper.arrays["force_sigma"], raw.calibrated.force_sigma)
    committee.annotate(copper)
    np.testing.assert_array_equal(copper.arrays["force_sigma"], raw.force_sigma)


def test_annotation_leaves_no_stale_atomic_energies(copper: Atoms) -> None:
    Committee([Springs(1.0, atomic=True), Springs(2.0, atomic=True)]).annotate(copper)
    assert set(copper.arrays) == {"numbers", "positions", "force_sigma", "energy_sigma"}
    Committee([Springs(1.0), Springs(2.0)]).annotate(copper)
    assert set(copper.arrays) == {"numbers", "positions", "force_sigma"}
    assert set(copper.info) == {"energy_std"}


def test_a_model_that_explodes_is_an_error(copper: Atoms) -> None:
    with pytest.raises(CalculationFailed, match="beyond what the model can take"):
        Springs(np.inf).get_forces(copper)


def test_errors_before_any_evaluation(copper: Atoms) -> None:
    calc = Springs()
    copper.positions[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"positions of 1 atoms are NaN or infinite: 2 \(Cu\)"):
        calc.get_forces(copper)
    with pytest.raises(ValueError, match="no atoms"):
        calc.get_forces(Atoms())
    bad_cell = bulk("Cu")
    bad_cell.cell[0, 0] = np.inf
    with pytest.raises(ValueError, match="cell is NaN or infinite"):
        calc.get_forces(bad_cell)
    assert calc.calls == 0
    with pytest.raises(PropertyNotImplementedError, match="no members"):
        calc.get_spread(bulk("Cu"))


def test_explicit_calculate_and_assigned_atoms(copper: Atoms) -> None:
    calc = Springs()
    calc.calculate(copper)
    calc.calculate()
    assert calc.calls == 2
    assert calc.atoms == copper
    assert calc.atoms is not copper
    calc.atoms = copper
    assert calc.results == {}
    assert calc.get_potential_energy() == calc.get_potential_energy(copper)
    assert calc.calls == 3
    calc.atoms = None
    with pytest.raises(ValueError, match="pass the atoms"):
        calc.get_potential_energy()
