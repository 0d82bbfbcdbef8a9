import math
import re

import pytest

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation.checks import SUITES, chosen, suite
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.elastic import elastic_constants
from ase_mlsample.validation.literature import Criterion, LiteratureValue, criterion, literature
from ase_mlsample.validation.properties import PropertyResult, Quantity
from ase_mlsample.validation.verdicts import rows


@pytest.mark.parametrize("name", SUITES)
def test_every_value_has_a_source_with_a_year_and_belongs_to_a_check(name):
    _, _, checks = suite(name, [SUITES[name][0]])
    known = {check.name for check in checks}
    found = literature(name)
    assert found
    for check, values in found.items():
        assert check in known
        for key, value in values.items():
            assert value.value > 0, key
            assert re.search(r"\(\d{4}\)", value.source), key
            assert value.uncertainty is None or 0 < value.uncertainty < 0.2 * value.value


def test_units_of_the_literature_are_those_of_the_properties():
    result = elastic_constants(StillingerWeber(), crystal_of("Si", "diamond"), members=False)
    values = literature("silicon")["elastic"]
    assert set(values) <= {quantity.key for quantity in result}
    assert result["C11"].unit == "GPa"
    assert values["C11"].value == pytest.approx(165.8, abs=0.1)
    # the bulk modulus of the constants that are quoted
    assert values["bulk"].value == pytest.approx(
        (values["C11"].value + 2 * values["C12"].value) / 3, abs=0.01
    )


def test_an_element_without_a_file():
    assert literature("Cu") == {}


def test_criteria_by_key_by_its_first_part_and_by_property():
    assert criterion("prototypes", "a.diamond") == Criterion(relative=0.005)
    assert criterion("elastic", "C44.clamped") == Criterion(relative=0.15)
    assert criterion("elastic", "C44") == Criterion(absolute=3.0, relative=0.1)
    assert criterion("prototypes", "nothing") is None
    assert criterion("nothing", "C44") is None
    assert Criterion(absolute=3.0, relative=0.1).allowed(20.0) == 3.0
    assert Criterion(absolute=3.0, relative=0.1).allowed(-50.0) == 5.0


def _result(value, *, error=0.0, members=(), key="C11", name="elastic"):
    return PropertyResult(name, (Quantity(key, value, "GPa", key, error=error, members=members),))


@pytest.mark.parametrize(
    ("value", "settings", "verdict"),
    [
        (108.0, {}, "agrees"),
        (112.0, {}, "differs"),
        (112.0, {"members": (106.0, 118.0)}, "within error"),
        (112.0, {"error": 6.1}, "within error"),
        (140.0, {"members": (136.0, 144.0)}, "differs"),
        (float("nan"), {}, "differs"),
    ],
)
def test_verdicts(value, settings, verdict):
    (row,) = rows("elastic", _result(value, **settings), reference=_result(100.0), published={})
    assert row.verdict == verdict
    assert row.compared_with == "reference"
    assert row.allowed == 10.0


def test_the_reference_comes_before_the_literature():
    published = {"C11": LiteratureValue(165.8, None, "somebody (1964)", calculated=False)}
    with_reference = rows("elastic", _result(150.0), reference=_result(151.0), published=published)[0]
    without = rows("elastic", _result(150.0), reference=None, published=published)[0]
    assert (with_reference.compared_with, with_reference.deviation) == ("reference", -1.0)
    assert (without.compared_with, without.verdict) == ("experiment", "agrees")
    assert with_reference.literature == without.literature
    other = rows("elastic", _result(150.0, key="C13"), reference=_result(151.0), published=published)[0]
    assert (other.compared_with, other.verdict, other.deviation) == ("", "", None)


def test_nothing_is_judged_by_a_value_of_something_else():
    known = LiteratureValue(1.23, None, "somebody (1963)", calculated=False, caveat="of fracture")
    surface = _result(1.4, key="111.relaxed", name="surfaces")
    (row,) = rows("surfaces", surface, reference=None, published={"111.relaxed": known})
    assert (row.literature.caveat, row.compared_with, row.verdict) == ("of fracture", "", "")
    exact = _result(1.41, key="111.relaxed", name="surfaces")
    (row,) = rows("surfaces", surface, reference=exact, published={"111.relaxed": known})
    assert (row.compared_with, row.verdict) == ("reference", "agrees")
    # the dimers of (100) are what voids show, the (1×1) surface is not
    silicon = literature("silicon")["surfaces"]
    assert silicon["100.relaxed"].caveat
    assert not silicon["100.dimers"].caveat
    assert literature("aluminium")["phonons"]["entropy"].caveat


def test_what_only_the_reference_has_differs():
    reference = PropertyResult("prototypes", (Quantity("a.fcc", 3.9, "Å", "fcc a", error=0.1),))
    mine = PropertyResult("prototypes", (Quantity("a.bcc", 3.1, "Å", "bcc a"),))
    present, missing = rows("prototypes", mine, reference=reference, published={})
    assert (present.key, present.compared_with, present.verdict) == ("a.bcc", "", "")
    assert (missing.key, missing.reference, missing.error, missing.verdict) == ("a.fcc", 3.9, None, "differs")
    assert math.isnan(missing.value)


def test_a_drift_is_compared_with_zero():
    drift = _result(0.3, key="drift", name="conservation")
    (row,) = rows("conservation", drift, reference=drift, published={})
    assert (row.compared_with, row.deviation, row.verdict) == ("zero", 0.3, "differs")


def test_suites_by_element():
    assert suite("auto", ["Sn"])[0] == "tin"
    name, symbol, checks = suite("auto", ["Cu"])
    assert (name, symbol) == ("Cu", "Cu")
    assert {"elastic", "stacking_faults", "bain_path"} <= {check.name for check in checks}
    with pytest.raises(ValueError, match="say which suite"):
        suite("auto", ["Al", "Ni"])
    assert suite("aluminium", ["Al", "Ni"])[1] == "Al"
    with pytest.raises(ValueError, match="is of Si, and the model knows Al"):
        suite("silicon", ["Al"])
    with pytest.raises(ValueError, match="no suite 'iron'; there are silicon, tin, aluminium and auto"):
        suite("iron", ["Fe"])
    with pytest.raises(ValueError, match=r"no suite for Ga"):
        suite("auto", ["Ga"])


def test_choosing_checks():
    _, _, checks = suite("silicon", ["Si"])
    names = [check.name for check in chosen(checks)]
    assert "melting" not in names
    assert "melting" in [check.name for check in chosen(checks, slow=True)]
    assert [check.name for check in chosen(checks, only=["melting", "elastic"])] == ["elastic", "melting"]
    assert "liquid" not in [check.name for check in chosen(checks, skip=["liquid"])]
    with pytest.raises(ValueError, match="no check elasticity in this suite; there are prototypes, eos"):
        chosen(checks, only=["elasticity"])
    with pytest.raises(ValueError, match="no check is left"):
        chosen(checks, only=["eos"], skip=["eos"])
