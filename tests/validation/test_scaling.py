"""A potential whose lengths and energies are scaled has properties that scale as their units say."""

import math

import pytest

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation.crystals import crystal_of, prototype_energies
from ase_mlsample.validation.defects import point_defects
from ase_mlsample.validation.elastic import elastic_constants
from ase_mlsample.validation.equation_of_state import equations_of_state
from ase_mlsample.validation.paths import tin_path
from ase_mlsample.validation.phonons import phonon_bands
from ase_mlsample.validation.stacking_faults import stacking_fault_energies
from ase_mlsample.validation.surfaces import surface_energies

LENGTH, ENERGY = 1.02, 1.1
FACTORS = {
    "": 1.0,
    "Å": LENGTH,
    "Å³/atom": LENGTH**3,
    "eV": ENERGY,
    "meV/atom": ENERGY,
    "GPa": ENERGY / LENGTH**3,
    "J/m²": ENERGY / LENGTH**2,
    "mJ/m²": ENERGY / LENGTH**2,
    "THz": math.sqrt(ENERGY) / LENGTH,
}
PRIMITIVE, CUBIC = crystal_of("Si", "diamond"), crystal_of("Si", "diamond", conventional=True)


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda calc, unit: prototype_energies(calc, "Si", prototypes=("diamond", "beta-tin", "hcp")),
        lambda calc, unit: equations_of_state(calc, "Si", points=5),
        lambda calc, unit: elastic_constants(calc, PRIMITIVE),
        lambda calc, unit: phonon_bands(calc, PRIMITIVE, width=6 * unit, mesh=4, displacement=1e-3 * unit),
        lambda calc, unit: point_defects(calc, CUBIC, n_atoms=64, rattle=0.05 * unit, fmax=1e-3),
        lambda calc, unit: surface_energies(
            calc, CUBIC, thickness=18 * unit, width=7 * unit, rattle=0.05 * unit, fmax=1e-3
        ),
        lambda calc, unit: stacking_fault_energies(calc, CUBIC, points=3, thickness=9 * unit),
        lambda calc, unit: tin_path(calc, "Si", points=17),
    ],
    ids=["crystals", "eos", "elastic", "phonons", "defects", "surfaces", "faults", "path"],
)
def test_every_number_scales_as_its_unit(evaluate):
    plain = evaluate(StillingerWeber(), 1.0)
    scaled = evaluate(StillingerWeber(sigma=2.0951 * LENGTH, epsilon=2.1683 * ENERGY), LENGTH)
    compared = 0
    for quantity in plain:
        # the zero point is an energy, of frequencies
        factor = FACTORS.get("THz" if quantity.key == "zero_point" else quantity.unit)
        if factor is not None:
            # relaxations stop at the same force, not at one that is scaled
            expected = pytest.approx(factor * quantity.value, rel=2e-3, abs=2e-3)
            assert scaled[quantity.key].value == expected, quantity.key
            compared += 1
    assert compared >= 3
