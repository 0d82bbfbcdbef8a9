"""Names load what they need, and nothing loads before it is used."""

import subprocess
import sys
from importlib import import_module

import pytest

import ase_mlsample
from ase_mlsample._lazy import lazy_names

OPEN = ("calculators", "samplers", "dynamics", "cvs", "biases")
DOORS = ["ase_mlsample", *(f"ase_mlsample.{door}" for door in OPEN)]
HEAVY = ["torch", "torchani", "phonopy", "vesin", "matplotlib", "ase_mlsample._core._native"]


def loaded_by(code: str) -> list[str]:
    check = f"import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_doors_are_light() -> None:
    assert loaded_by(f"import {', '.join(DOORS)}") == []


def test_a_committee_needs_neither_torch_nor_the_core() -> None:
    code = "import ase_mlsample.testing\nfrom ase_mlsample.calculators import Committee, MLCalculator, Spread"
    assert loaded_by(code) == []


def test_torch_stays_away_from_native_potentials() -> None:
    code = "from ase_mlsample.calculators import StillingerWeber\nStillingerWeber()"
    assert "torch" not in loaded_by(code)


@pytest.mark.parametrize(
    "door", [*DOORS, "ase_mlsample.training", "ase_mlsample.analysis", "ase_mlsample.active"]
)
def test_every_public_name_is_there(door: str) -> None:
    module = import_module(door)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        # Modules have their dotted name, classes and functions their own.
        assert isinstance(value, str) or value.__name__ in {name, f"{door}.{name}"}


def test_no_module_hides_a_public_name() -> None:
    """Importing a module sets it in its package, where it would stand in for a function of the same name."""
    code = "from ase_mlsample.analysis import free_energy, jackknife; print(type(jackknife).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "function"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'ase_mlsample' has no attribute 'nothing'"):
        _ = ase_mlsample.nothing
    assert not hasattr(ase_mlsample, "Committee")


def test_names_are_looked_up_once() -> None:
    get, names = lazy_names("ase_mlsample", {"lazy_names": "_lazy"})
    assert get("lazy_names") is lazy_names
    assert vars(ase_mlsample).pop("lazy_names") is lazy_names
    assert "lazy_names" in names()
    ase_mlsample.lazy_names = lazy_names
