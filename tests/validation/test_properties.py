import json
import math

import pytest
from ase.calculators.emt import EMT

from ase_mlsample.calculators import ANIEnsemble, Committee, StillingerWeber
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.elastic import elastic_constants
from ase_mlsample.validation.equation_of_state import equations_of_state
from ase_mlsample.validation.members import members_of
from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
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
