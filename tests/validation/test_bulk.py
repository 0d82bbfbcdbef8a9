import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_mlsample.analysis import fit_equation_of_state
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation import bulk_properties


@pytest.mark.parametrize("a", [5.2, 5.43, 5.7])
@pytest.mark.parametrize("cubic", [True, False])
def test_stillinger_weber_silicon(a, cubic):
    found = bulk_properties(bulk("Si", a=a, cubic=cubic), StillingerWeber())
    assert found.scale * a == pytest.approx(5.43095, abs=1e-4)
    assert found.energy == pytest.approx(-4.33660, abs=1e-4)
    assert found.bulk_modulus == pytest.approx(101.4, abs=0.2)
    assert found.volume == pytest.approx(5.43095**3 / 8, abs=1e-3)


def test_agrees_with_an_equation_of_state():
    start = bulk("Cu", a=3.6)
    found = bulk_properties(start, EMT())
    volumes, energies = [], []
    for scale in found.scale * np.linspace(0.99, 1.01, 9):
        atoms = start.copy()
        atoms.set_cell(start.cell * scale, scale_atoms=True)
        atoms.calc = EMT()
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    eos = fit_equation_of_state(volumes, energies)
    assert found.volume == pytest.approx(eos.volume, rel=1e-3)
    assert found.bulk_modulus == pytest.approx(eos.bulk_modulus_GPa, rel=0.02)


def test_zero_pressure_out_of_reach():
    with pytest.raises(ValueError, match="keeps its sign"):
        bulk_properties(bulk("Cu", a=4.2), EMT(), search=0.02)
