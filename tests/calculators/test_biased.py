"""A bias on top of a calculator: sums, derivatives, caching, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from ase_mlsample.biases import HarmonicRestraint
from ase_mlsample.calculators import BiasedCalculator, Committee, StillingerWeber, UncertaintyBias
from ase_mlsample.calculators.biased import VariablePrediction
from ase_mlsample.cvs import Distance, PotentialEnergy, stack
from ase_mlsample.testing.counting import counted
from tests.dynamics.biased_systems import GrowingBias, MeanPair, crystal


def shaken(seed: int = 0, repeat: int = 1) -> Atoms:
    atoms = bulk("Si", cubic=True) * repeat
    atoms.rattle(0.1, seed=seed)
    atoms.set_cell(atoms.cell.array @ [[1, 0.02, 0], [0, 1.01, 0.03], [0.01, 0, 0.98]], scale_atoms=True)
    return atoms


def grown(n: int = 30, **settings: float) -> GrowingBias:
    bias = GrowingBias(**settings)
    bias.deposits = list(range(n))
    return bias


class Lazy(Calculator):
    """Gives what is asked for and no more, tells free energy from energy, and counts."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[list[str]] = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.passes.append(list(properties))
        found = StillingerWeber().evaluate(atoms)
        self.results = {"energy": found.energy + 0.25, "free_energy": found.energy, "forces": found.forces}
        if "stress" in properties:
            self.results["stress"] = found.stress


class TestSums:
    def test_adds_v_and_its_derivatives(self):
        atoms, bias, cv = shaken(), grown(), MeanPair()
        calc = BiasedCalculator(StillingerWeber(), cv, bias)
        inner, value = StillingerWeber().evaluate(atoms), cv.evaluate(atoms)
        energy, slope = bias.potential(value.value)
        found = calc.evaluate(atoms)
        assert isinstance(found, VariablePrediction)
        assert found.energy == pytest.approx(inner.energy + energy, rel=1e-14)
        assert found.bias_energy == energy != 0
        np.testing.assert_allclose(found.forces, inner.forces - np.tensordot(slope, value.gradient, 1))
        press = full_3x3_to_voigt_6_stress(np.tensordot(slope, value.virial, 1)) / atoms.get_volume()
        np.testing.assert_allclose(found.stress, inner.stress + press, rtol=1e-12)

    def test_forces_and_stress_are_derivatives_of_the_energy(self):
        atoms = shaken(1)
        atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown(300))
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        delta = 1e-4
        for atom, axis in [(0, 0), (1, 2), (5, 1)]:
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * delta
                energies.append(atoms.calc.evaluate(moved).energy)
            assert (energies[1] - energies[0]) / (2 * delta) == pytest.approx(forces[atom, axis], abs=2e-6)
        for i, j in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5
            strain[j, i] += 0.5
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * delta * strain), scale_atoms=True)
                energies.append(atoms.calc.evaluate(moved).energy)
            slope = (energies[0] - energies[1]) / (2 * delta) / atoms.get_volume()
            assert slope == pytest.approx(stress[i, j], abs=1e-7)

    def test_one_variable_and_several_agree(self):
        atoms = shaken()
        one = BiasedCalculator(StillingerWeber(), Distance(0, 1), HarmonicRestraint(2.0, 3.0))
        atoms.calc = one
        inner = one.get_unbiased(atoms)
        value = one.cv_value
        pull = -3.0 * (value.value[0] - 2.0) * value.gradient[0]
        np.testing.assert_allclose(atoms.get_forces(), inner.forces + pull, rtol=1e-13)
        assert one.bias_energy == pytest.approx(1.5 * (value.value[0] - 2.0) ** 2)

    def test_has_no_energies(self):
        atoms = shaken()
        atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        assert "energies" not in atoms.calc.implemented_properties
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_potential_energies()

    def test_has_a_stress_only_where_the_inner_one_has(self):
        atoms = molecule("C2H6", vacuum=4.0)
        inner = EMT()
        inner.implemented_properties = ["energy", "forces"]
        atoms.calc = BiasedCalculator(inner, Distance(0, 1), HarmonicRestraint(1.0, 3.0))
        assert "stress" not in atoms.calc.implemented_properties
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()
        cluster = Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]])
        cluster.calc = BiasedCalculator(StillingerWeber(), Distance(0, 1), HarmonicRestraint(2, 3.0))
        assert np.isfinite(cluster.get_potential_energy())
        with pytest.raises(PropertyNotImplementedError, match="three linearly independent"):
            cluster.get_stress()


class TestCaching:
    def test_evaluates_once_for_each_structure(self):
        atoms, inner, cv = shaken(), StillingerWeber(), MeanPair()
        atoms.calc = BiasedCalculator(inner, cv, grown())
        with counted(inner) as passes:
            for _ in range(3):
                atoms.get_potential_energy()
                atoms.get_forces()
                atoms.get_stress()
                atoms.get_potential_energy(force_consistent=True)
                atoms.calc.get_unbiased(atoms)
                atoms.calc.evaluate_cv(atoms)
        assert (len(passes), cv.evaluations) == (1, 1)

    @pytest.mark.parametrize("told", [False, True])
    def test_a_changed_bias_is_added_anew_without_evaluations(self, told):
        atoms, inner, cv, bias = shaken(), StillingerWeber(), MeanPair(), grown()
        calc = atoms.calc = BiasedCalculator(inner, cv, bias)
        calc.compares_bias = not told
        before = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        with counted(inner) as passes:
            bias.update(calc.cv_value.value, 5)
            if told:
                calc.bias_changed()
            after = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        assert (passes, cv.evaluations) == ([], 1)
        fresh = calc.evaluate(atoms)
        assert after[0] == fresh.energy != before[0]
        np.testing.assert_array_equal(after[1], fresh.forces)
        np.testing.assert_array_equal(after[2], fresh.stress)
        assert not np.array_equal(before[1], after[1])
        assert not np.array_equal(before[2], after[2])

    def test_the_potential_energy_as_a_variable_is_no_second_evaluation(self):
        atoms, inner = shaken(), StillingerWeber()
        cv = stack(Distance(0, 1), PotentialEnergy(inner, per_atom=True) - 1.0)
        atoms.calc = BiasedCalculator(inner, cv, HarmonicRestraint([2.0, -5.0], [1.0, 3.0]))
        with counted(inner) as passes:
            forces, stress = atoms.get_forces(), atoms.get_stress()
        assert len(passes) == 1
        value = cv.evaluate(atoms)
        np.testing.assert_array_equal(atoms.calc.cv_value.gradient, value.gradient)
        slope = [1.0, 3.0] * (value.value - [2.0, -5.0])
        expected = StillingerWeber().evaluate(atoms).forces - np.tensordot(slope, value.gradient, 1)
        np.testing.assert_allclose(forces, expected, atol=1e-12)
        moved = atoms.copy()
        moved.positions[0, 0] += 0.1
        np.testing.assert_array_equal(atoms.calc.evaluate_cv(moved).value, cv(moved))
        assert np.isfinite(stress).all()

    def test_asking_changes_nothing(self):
        atoms, bias = shaken(), grown()
        calc = atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), bias)
        state = bias.state_dict()
        energy = atoms.get_potential_energy()
        for seed in range(3):
            other = shaken(seed + 5)
            other.calc = calc
            other.get_potential_energy()
            calc.evaluate(other)
        assert bias.told == []
        assert bias.state_dict() == state
        assert atoms.get_potential_energy() == energy

    def test_evaluate_leaves_the_results(self):
        atoms = shaken()
        calc = atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        atoms.get_forces()
        results, value = calc.results, calc.cv_value
        calc.evaluate(shaken(3))
        calc.evaluate_cv(shaken(4))
        assert calc.results is results
        assert calc.cv_value is value

    def test_says_whether_something_is_at_hand(self):
        atoms = shaken()
        calc = atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        assert calc.get_property("forces", atoms, allow_calculation=False) is None
        with pytest.raises(ValueError, match="not evaluated any atoms"):
            _ = calc.cv_value
        with pytest.raises(ValueError, match="not evaluated any atoms"):
            _ = calc.bias_energy
        atoms.get_forces()
        assert not calc.calculation_required(atoms, ["energy", "forces", "stress"])
        atoms.positions[0, 0] += 0.1
        assert calc.calculation_required(atoms, ["energy"])
        calc.reset()
        assert calc.results == {}
        with pytest.raises(ValueError, match="not evaluated any atoms"):
            _ = calc.cv_value

    def test_the_same_bytes_of_another_type_count(self):
        atoms = shaken()
        atoms.set_initial_charges(np.linspace(0.5, 1.0, len(atoms)))
        calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        calc.get_property("energy", atoms)
        assert calc.check_state(atoms) == []
        atoms.arrays["initial_charges"] = atoms.arrays["initial_charges"].view(np.int64)
        assert calc.check_state(atoms) == ["initial_charges"]

    def test_masses_count(self):
        atoms = shaken()
        calc = atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        atoms.get_forces()
        atoms.set_masses(np.arange(1.0, 9.0))
        assert calc.check_state(atoms) == ["masses"]


class TestSpread:
    def committee(self) -> Committee:
        return Committee([StillingerWeber(), StillingerWeber(epsilon=2.0), StillingerWeber(lambda_=20)])

    def test_passes_through(self):
        atoms, committee = shaken(), self.committee()
        calc = atoms.calc = BiasedCalculator(committee, MeanPair(), grown())
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert calc.supports_spread
        np.testing.assert_array_equal(
            calc.get_spread(atoms).forces_std, committee.get_spread(atoms).forces_std
        )
        calc.annotate(atoms)
        assert atoms.arrays["force_sigma"].shape == (8,)
        assert atoms.get_potential_energy() == energy
        np.testing.assert_array_equal(atoms.get_forces(), forces)
        assert calc.bias_energy != 0

    def test_survives_a_changed_bias(self):
        atoms, bias = shaken(), grown()
        calc = BiasedCalculator(self.committee(), MeanPair(), bias)
        spread = calc.get_spread(atoms)
        bias.update(calc.cv_value.value, 5)
        atoms.calc = calc
        atoms.get_forces()
        assert calc.get_spread(atoms) is spread

    def test_asking_for_it_does_not_round_what_is_known(self):
        class Rounding(Committee):
            asked = 0

            def evaluate(self, atoms, members=False):
                self.asked += 1
                found = super().evaluate(atoms, members)
                return replace(found, **({"energy": found.energy + 1e-9} if members else {"spread": None}))

        atoms, bias = shaken(), grown()
        inner = Rounding([StillingerWeber(), StillingerWeber(epsilon=2.0)])
        atoms.calc = calc = BiasedCalculator(inner, MeanPair(), bias)
        energy, unbiased = atoms.get_potential_energy(), calc.get_unbiased().energy
        calc.get_spread(atoms)
        assert (atoms.get_potential_energy(), calc.get_unbiased().energy) == (energy, unbiased)
        bias.update(calc.cv_value.value, 5)
        assert atoms.get_potential_energy() == unbiased + calc.bias_energy
        assert inner.asked == 2

    def test_members_are_shifted_alike(self):
        atoms = shaken()
        found = BiasedCalculator(self.committee(), MeanPair(), grown()).evaluate(atoms, members=True)
        inner = self.committee().evaluate(atoms, members=True)
        np.testing.assert_allclose(found.member_energies - inner.member_energies, found.bias_energy)
        np.testing.assert_allclose(found.member_forces.mean(axis=0), found.forces)
        np.testing.assert_allclose(found.member_stress.mean(axis=0), found.stress)

    def test_is_missing_without_members(self):
        calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        assert not calc.supports_spread
        with pytest.raises(PropertyNotImplementedError, match="members"):
            calc.get_spread(shaken())


class TestOtherCalculators:
    def test_are_asked_once(self):
        atoms, inner, bias = shaken(), Lazy(), grown()
        atoms.calc = BiasedCalculator(inner, MeanPair(), bias)
        for _ in range(2):
            atoms.get_forces()
            atoms.get_potential_energy()
            bias.update(atoms.calc.cv_value.value, 5)
        assert inner.passes == [["forces"]]

    def test_free_energy_and_energy_stay_apart(self):
        atoms = shaken()
        atoms.calc = BiasedCalculator(Lazy(), MeanPair(), grown())
        difference = atoms.get_potential_energy() - atoms.get_potential_energy(force_consistent=True)
        assert difference == pytest.approx(0.25)
        ours = BiasedCalculator(StillingerWeber(), MeanPair(), grown()).evaluate(atoms)
        assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(ours.energy, rel=1e-14)
        np.testing.assert_allclose(atoms.get_forces(), ours.forces)

    def test_they_stay_apart_when_the_bias_changes(self):
        atoms, bias = shaken(), grown()
        atoms.calc = BiasedCalculator(Lazy(), MeanPair(), bias)
        before = atoms.get_potential_energy()
        bias.update(atoms.calc.cv_value.value, 5)
        after = atoms.get_potential_energy()
        assert after != before
        assert after - atoms.get_potential_energy(force_consistent=True) == pytest.approx(0.25)

    def test_stress_costs_a_pass_only_when_asked_for(self):
        atoms, inner, bias = shaken(), Lazy(), grown()
        atoms.calc = BiasedCalculator(inner, MeanPair(), bias)
        atoms.get_forces()
        stress = atoms.get_stress()
        ours = BiasedCalculator(StillingerWeber(), MeanPair(), grown()).evaluate(atoms)
        np.testing.assert_allclose(stress, ours.stress)
        assert inner.passes == [["forces"], ["stress"]]
        bias.update(atoms.calc.cv_value.value, 5)
        assert not np.array_equal(atoms.get_stress(), stress)
        assert len(inner.passes) == 2

    def test_emt(self):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=0)
        atoms.calc = BiasedCalculator(EMT(), MeanPair(), grown(100))
        stress = atoms.get_stress()
        alone = atoms.copy()
        alone.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(
            alone.get_potential_energy() + atoms.calc.bias_energy
        )
        assert not np.allclose(stress, alone.get_stress())


class TestRefusals:
    def test_double_wrapping(self):
        biased = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
        with pytest.raises(TypeError, match=r"biased already .*GrowingBias"):
            BiasedCalculator(biased, MeanPair(), grown())
        spread = Committee([StillingerWeber(), StillingerWeber(epsilon=2.0)])
        uncertain = UncertaintyBias(BiasedCalculator(spread, MeanPair(), grown()), height_eV=1.0, width=0.1)
        with pytest.raises(TypeError, match="biased already"):
            BiasedCalculator(uncertain, MeanPair(), grown())

    def test_things_that_are_none(self):
        with pytest.raises(TypeError, match="make it: StillingerWeber"):
            BiasedCalculator(StillingerWeber, MeanPair(), grown())
        with pytest.raises(TypeError, match="energy and forces"):
            BiasedCalculator(object(), MeanPair(), grown())
        with pytest.raises(TypeError, match="CollectiveVariable, got float"):
            BiasedCalculator(StillingerWeber(), 1.0, grown())
        with pytest.raises(TypeError, match="must be a Bias"):
            BiasedCalculator(StillingerWeber(), MeanPair(), None)

    def test_other_variables(self):
        with pytest.raises(ValueError, match=r"of 1 variable\(s\), but there are 2: pair, logv"):
            BiasedCalculator(StillingerWeber(), MeanPair(), HarmonicRestraint(1.0, 1.0))
        periodic = HarmonicRestraint(1.0, 1.0, domains=[(-1, 1)])
        with pytest.raises(ValueError, match="periods"):
            BiasedCalculator(StillingerWeber(), Distance(0, 1), periodic)

    def test_numbers_that_are_none(self):
        atoms = shaken()
        atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(fail_at=0), grown())
        with pytest.raises(ValueError, match="NaN"):
            atoms.get_forces()
        atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown(height=np.nan))
        with pytest.raises(ValueError, match=r"the bias is nan eV .* pair = "):
            atoms.get_forces()
        atoms.positions[2, 1] = np.nan
        with pytest.raises(ValueError, match="atoms are NaN or infinite"):
            atoms.get_forces()


def test_results_survive_in_ase_formats(tmp_path):
    from ase.io import read

    atoms = crystal()
    atoms.calc = BiasedCalculator(StillingerWeber(), MeanPair(), grown())
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    for name in ("a.traj", "a.extxyz"):
        atoms.write(tmp_path / name)
        back = read(tmp_path / name)
        assert isinstance(back.calc, SinglePointCalculator)
        assert back.get_potential_energy() == pytest.approx(energy)
        np.testing.assert_allclose(back.get_forces(), forces, atol=1e-7)
