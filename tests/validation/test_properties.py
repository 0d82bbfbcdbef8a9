import json
import math

import numpy as np
import pytest
from ase.calculators.emt import EMT

from ase_mlsample.calculators import ANIEnsemble, Committee, StillingerWeber
from ase_mlsample.validation.crystals import crystal_of, prototype_energies
from ase_mlsample.validation.defects import point_defects
from ase_mlsample.validation.elastic import elastic_constants
from ase_mlsample.validation.equation_of_state import equations_of_state
from ase_mlsample.validation.members import members_of
from ase_mlsample.validation.phonons import phonon_bands
from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
from ase_mlsample.validation.surfaces import surface_energies
from tests.calculators.ani_models import silicon_ensemble
from tests.validation.silicon_potentials import silicon_committee


def test_members_of_an_ensemble_are_its_networks_alone():
    ensemble = silicon_ensemble()
    atoms = crystal_of("Si", "diamond")
    together = ensemble.evaluate(atoms, members=True)
    members = members_of(ensemble)
    assert len(members) == ensemble.n_members
    for number, member in enumerate(members):
        assert isinstance(member, ANIEnsemble)
        assert member.dtype == ensemble.dtype
        alone = member.evaluate(atoms)
        assert alone.energy == pytest.approx(together.member_energies[number], abs=1e-9)
        assert alone.stress == pytest.approx(together.member_stress[number], abs=1e-12)


def test_who_has_no_members():
    assert members_of(StillingerWeber()) == ()
    assert members_of(EMT()) == ()
    assert members_of(members_of(silicon_ensemble())[0]) == ()


@pytest.mark.parametrize("make", [silicon_committee, silicon_ensemble])
def test_property_of_a_member_is_that_of_the_member_alone(make):
    calc, crystal = make(), crystal_of("Si", "diamond")
    result = elastic_constants(calc, crystal, clamped=False)
    for number, member in enumerate(members_of(calc)):
        alone = elastic_constants(member, crystal, clamped=False)
        for quantity in result:
            assert quantity.members[number] == alone[quantity.key].value  # to the last digit
    assert result["C11"].std > 0


def _phonons(calc, **settings):
    return phonon_bands(calc, crystal_of("Si", "diamond"), width=5.0, mesh=4, **settings)


def _vacancy(calc, **settings):
    crystal = crystal_of("Si", "diamond", conventional=True)
    return point_defects(calc, crystal, n_atoms=8, defects=["vacancy"], **settings)


def _surface(calc, **settings):
    crystal = crystal_of("Si", "diamond", conventional=True)
    return surface_energies(calc, crystal, planes=[(1, 1, 1)], thickness=9.0, width=3.0, **settings)


def _eos(calc, **settings):
    return equations_of_state(calc, "Si", points=5, **settings)


def _energies(calc, **settings):
    return prototype_energies(calc, "Si", prototypes=("diamond", "sc"), ground="diamond", **settings)


@pytest.mark.parametrize("evaluate", [_phonons, _vacancy, _surface, _eos, _energies])
def test_curves_and_numbers_of_members_are_theirs_alone(evaluate):
    calc = silicon_committee()
    result = evaluate(calc)
    alone = [evaluate(member) for member in members_of(calc)]
    whole = evaluate(calc, members=False)
    for quantity in result:
        assert quantity.members == tuple(one[quantity.key].value for one in alone)
        assert quantity.value == whole[quantity.key].value
        assert quantity.std == pytest.approx(np.std(quantity.members, ddof=1))
    for name, line in result.curves.items():
        assert line.members == tuple((one.curves[name].x, one.curves[name].y) for one in alone)
    assert any(quantity.std > 0 for quantity in result)


def test_without_members():
    result = elastic_constants(silicon_committee(), crystal_of("Si", "diamond"), members=False)
    assert result["C11"].members == ()
    assert result["C11"].std is None


def _refusing(symbol: str) -> StillingerWeber:
    calc = StillingerWeber()
    calc.evaluate = lambda atoms, members=False: (_ for _ in ()).throw(RuntimeError(f"no {symbol}"))
    return calc


@each_member
def first_energy(calc, atoms):
    copy = atoms.copy()
    copy.calc = calc
    return PropertyResult("energy", (Quantity("E", float(copy.get_potential_energy()), "eV", "energy"),))


def test_a_member_that_fails_is_named_and_left_out():
    atoms = crystal_of("Si", "diamond")
    good, bad = silicon_committee(), _refusing("luck")
    members = (good.calculators[0], bad, good.calculators[1])

    class Ensemble(StillingerWeber):
        def members(self):
            return members

    result = first_energy(Ensemble(), atoms)
    assert math.isnan(result["E"].members[1])
    assert result["E"].std == pytest.approx(abs(result["E"].members[0] - result["E"].members[2]) / 2**0.5)
    assert result.failures == {1: "RuntimeError: no luck"}
    with pytest.raises(RuntimeError, match="no luck"):
        first_energy(Committee([good.calculators[0], bad]), atoms)  # of the whole it is raised


def test_results_survive_json():
    result = equations_of_state(silicon_committee(), "Si", points=7)
    broken = result.with_members([result, "ValueError: none"])
    for one in (result, broken):
        back = PropertyResult.from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False)))
        assert back.quantities[0].std == one.quantities[0].std
        assert back.to_dict() == one.to_dict()
        assert back.curves["diamond"].x == one.curves["diamond"].x
    assert len(result.curves["diamond"].members) == 3


def test_unknown_quantity_names_the_others():
    with pytest.raises(KeyError, match="no quantity 'C66'; it has C11, C12, C44"):
        elastic_constants(StillingerWeber(), crystal_of("Si", "diamond"), members=False)["C66"]
