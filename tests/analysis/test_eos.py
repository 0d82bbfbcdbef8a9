import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import birchmurnaghan, murnaghan, vinet
from ase.units import GPa

from ase_mlsample.analysis import fit_equation_of_state
from ase_mlsample.analysis.eos import FORMS

EXACT = {"birchmurnaghan": birchmurnaghan, "murnaghan": murnaghan, "vinet": vinet}


@pytest.mark.parametrize("form", FORMS)
def test_recovers_the_parameters_of_its_own_curve(form):
    volumes = np.linspace(36.0, 44.0, 9)
    energies = EXACT[form](volumes, -8.67, 0.61, 4.2, 40.05)
    eos = fit_equation_of_state(volumes, energies, form=form)
    assert eos.volume == pytest.approx(40.05, rel=1e-7)
    assert eos.energy == pytest.approx(-8.67, abs=1e-8)
    assert eos.bulk_modulus == pytest.approx(0.61, rel=1e-5)
    assert eos.bulk_modulus_GPa == pytest.approx(0.61 / GPa, rel=1e-5)
    assert eos.rms_residual < 1e-8
    assert eos.lattice_constant(4) == pytest.approx((4 * 40.05) ** (1 / 3))


def test_bulk_modulus_is_the_curvature_of_emt_aluminium():
    atoms = bulk("Al", a=3.99)
    atoms.calc = EMT()
    volumes, energies = [], []
    cell = atoms.cell.copy()
    for scale in np.linspace(0.99, 1.01, 9):
        atoms.set_cell(cell * scale, scale_atoms=True)
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    eos = fit_equation_of_state(volumes, energies)
    pressures = []
    for volume in (eos.volume * 0.9995, eos.volume * 1.0005):
        atoms.set_cell(cell * (volume / cell.volume) ** (1 / 3), scale_atoms=True)
        pressures.append(-atoms.get_stress()[:3].mean())
    assert pressures[0] == pytest.approx(-pressures[1], rel=0.1)
    assert eos.bulk_modulus == pytest.approx(-(pressures[1] - pressures[0]) / 0.001, rel=0.01)


@pytest.mark.parametrize(
    ("volumes", "energies", "form", "message"),
    [
        ([1, 2, 3, 4], [1, 0, 0, 1], "vinet", "at least 5"),
        ([1, 2, 3, 4, 5], [1, 0, 0, 1], "vinet", "one length"),
        ([1, 2, 3, 4, 5], [1, 0, np.nan, 0, 1], "vinet", "finite"),
        ([-1, 2, 3, 4, 5], [1, 0, 0, 0, 1], "vinet", "positive"),
        ([1, 2, 3, 4, 5], [1, 0, 0, 0, 1], "taylored", "unknown equation of state 'taylored'"),
        (
            np.linspace(42, 44, 7),
            birchmurnaghan(np.linspace(42, 44, 7), -8, 0.6, 4, 40),
            "vinet",
            "not inside",
        ),
    ],
)
def test_bad_input(volumes, energies, form, message):
    with pytest.raises(ValueError, match=message):
        fit_equation_of_state(volumes, energies, form=form)
