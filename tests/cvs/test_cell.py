from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_mlsample import testing
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import Density, PotentialEnergy, Volume
from ase_mlsample.cvs.cell import already_evaluated
from ase_mlsample.testing.counting import counted

FRAMES = testing.contract_frames("Si", "diamond", 5.431)
FULL = {name: FRAMES[name] for name in ("primitive", "sheared", "slab")}


@pytest.mark.parametrize("cv", [Volume(), Volume(per_atom=True), Density()])
def test_volume_and_density(cv):
    testing.check_cv(cv, FULL)


def test_known_answers():
    silicon = bulk("Si", a=5.431, cubic=True)
    assert Volume()(silicon)[0] == pytest.approx(5.431**3)
    assert Volume(per_atom=True)(silicon)[0] == pytest.approx(5.431**3 / 8)
    assert Density()(silicon)[0] == pytest.approx(2.3290, abs=1e-4)
    left_handed = silicon.copy()
    left_handed.set_cell(silicon.cell.array[[1, 0, 2]])
    assert Volume()(left_handed) == pytest.approx(Volume()(silicon))


@pytest.mark.parametrize("cv", [Volume(), Density()])
def test_cells_without_volume_are_refused(cv):
    with pytest.raises(ValueError, match="has no volume"):
        cv(Atoms("H"))


class TestPotentialEnergy:
    def test_contract(self):
        frames = {**FULL, "molecule": FRAMES["molecule"]}
        testing.check_cv(PotentialEnergy(StillingerWeber()), frames)
        testing.check_cv(PotentialEnergy(StillingerWeber(), per_atom=True), FRAMES["primitive"])

    def test_any_ase_calculator(self):
        calc = LennardJones(sigma=2.0, rc=5.0, ro=4.0, smooth=True)
        testing.check_cv(PotentialEnergy(calc), FRAMES["primitive"], exact=False)

    def test_values(self):
        atoms = FRAMES["sheared"].copy()
        atoms.calc = StillingerWeber()
        found = PotentialEnergy(StillingerWeber()).evaluate(atoms)
        assert found.value[0] == atoms.get_potential_energy()
        np.testing.assert_array_equal(found.gradient[0], -atoms.get_forces())
        stress = atoms.get_stress(voigt=False)
        np.testing.assert_allclose(found.virial[0], stress * atoms.get_volume())

    def test_the_calculator_of_a_run_keeps_its_results(self):
        calc = StillingerWeber()
        atoms, other = FRAMES["sheared"].copy(), FRAMES["wire"]
        atoms.calc = calc
        energy = atoms.get_potential_energy()
        PotentialEnergy(calc).evaluate(other)
        assert not calc.calculation_required(atoms, ["energy"])
        assert atoms.get_potential_energy() == energy

    def test_is_the_energy_that_the_forces_belong_to(self):
        class Smeared(LennardJones):
            implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

            def calculate(self, *args, **kwargs):
                super().calculate(*args, **kwargs)
                self.results["energy"] = self.results["free_energy"] + 0.1 * self.atoms.positions[0, 0] ** 2

        calc = Smeared(sigma=2.0, rc=5.0, ro=4.0, smooth=True)
        testing.check_cv(PotentialEnergy(calc), FRAMES["molecule"], exact=False)

    def test_is_given_what_was_evaluated_for_these_atoms_only(self):
        calc, atoms = StillingerWeber(), FRAMES["sheared"]
        cv, energy = PotentialEnergy(calc), PotentialEnergy(calc)(atoms)
        other = replace(calc.evaluate(atoms), energy=7.0)
        with counted(calc) as evaluations:
            with already_evaluated(calc, atoms, other):
                assert (2 * cv)(atoms) == 14
                assert evaluations == []
                assert cv(atoms.copy()) == energy
                assert PotentialEnergy(StillingerWeber())(atoms) == energy
            assert cv(atoms) == energy
        assert len(evaluations) == 2

    def test_periodic_structures_need_a_stress(self):
        class NoStress(EMT):
            implemented_properties = ["energy", "forces"]  # noqa: RUF012

            def get_property(self, name, atoms=None, allow_calculation=True):
                if name == "stress":
                    raise PropertyNotImplementedError
                return super().get_property(name, atoms, allow_calculation)

        with pytest.raises(PropertyNotImplementedError, match="gives no stress"):
            PotentialEnergy(NoStress())(bulk("Cu", cubic=True))

    def test_what_is_no_calculator(self):
        with pytest.raises(TypeError, match="ASE calculator is meant"):
            PotentialEnergy(3.0)
