"""What all factories promise."""

import copy
import inspect
import json
import pickle

import pytest
from ase.calculators.calculator import Calculator

from ase_mlsample import references
from ase_mlsample.references.factory import ReferenceFactory
from ase_mlsample.references.failures import SetupFailure
from ase_mlsample.references.words import failure_from

NAMES = ("abinit", "cp2k", "espresso", "gpaw", "lammps", "vasp")
DFT = tuple(name for name in NAMES if name != "lammps")


def factory(name):
    found = getattr(references, name)
    assert isinstance(found, ReferenceFactory)
    return found


def test_names():
    functions = [name for name in references.__all__ if name.islower() and name != "classify"]
    assert functions == sorted(NAMES)
    assert set(references.__all__) <= set(dir(references))


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_is_found_by_its_name(self, name):
        made = factory(name)
        assert made.__name__ == name
        assert pickle.loads(pickle.dumps(made)) is made  # noqa: S301
        assert f":{name}>" in repr(made)

    def test_takes_keywords_only_and_documents_each(self, name):
        parameters = inspect.signature(factory(name)).parameters
        text = inspect.getdoc(factory(name))
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
        for parameter in parameters:
            head = text.split("Returns\n")[0]
            assert any(parameter in line.split(" : ")[0] for line in head.splitlines() if " : " in line)

    def test_gentler_recipes_are_arguments_and_change_no_physics(self, name):
        made = factory(name)
        for recipe in made.gentler:
            assert set(recipe) <= set(inspect.signature(made).parameters)
            assert not set(recipe) & {"cutoff", "k_spacing", "smearing_width", "smearing", "xc", "parameters"}
            assert json.loads(json.dumps(recipe)) == recipe
        assert len(made.gentler) == (0 if name == "lammps" else 2)

    def test_says_how_it_is_installed(self, name):
        assert factory(name).install

    def test_defaults_are_plain_values(self, name):
        defaults = (p.default for p in inspect.signature(factory(name)).parameters.values())
        json.dumps([value for value in defaults if value is not inspect.Parameter.empty])


@pytest.mark.parametrize("name", DFT)
def test_nothing_is_guessed_for_other_elements(name):
    with pytest.raises(
        SetupFailure, match="no ready settings for Fe; give cutoff, k_spacing, smearing_width"
    ):
        factory(name)(elements=["Fe"])


def test_calculators_can_be_copied_and_sent(silicon):
    calc = references.espresso(elements=["Si", "Al"])
    assert isinstance(calc, Calculator)
    for twin in (copy.deepcopy(calc), pickle.loads(pickle.dumps(calc))):  # noqa: S301
        assert twin.accuracy == calc.accuracy
        assert twin.common == calc.common


@pytest.mark.parametrize("module", ["espresso_code", "abinit_code", "cp2k_code", "vasp_code", "lammps_code"])
def test_rules_do_not_see_failures_in_good_outputs(module):
    from importlib import import_module

    from fakes import RECORDED

    rules = import_module(f"ase_mlsample.references.{module}")._RULES
    outputs = {
        "espresso_code": "pw_silicon.out",
        "abinit_code": "abinit_silicon.abo",
        "cp2k_code": "cp2k_silicon.out",
    }
    text = " POTCAR, INCAR and KPOINTS ok, starting setup\n General timing\nthermo_modify lost error\n"
    if module in outputs:
        text = (RECORDED / outputs[module]).read_text()
    assert failure_from(text, rules, about="x").kind == "unknown"
