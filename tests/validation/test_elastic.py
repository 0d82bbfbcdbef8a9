import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.elastic import averages, elastic_constants, elastic_tensor
from ase_mlsample.validation.relaxation import relaxed, relaxed_crystal


def test_stillinger_weber_silicon():
    result = elastic_constants(StillingerWeber(), crystal_of("Si", "diamond"))
    # E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988), from the analytic dynamical matrix
    assert result["C11"].value == pytest.approx(151.4, abs=0.1)
    assert result["C12"].value == pytest.approx(76.4, abs=0.1)
    assert result["C44"].value == pytest.approx(56.4, abs=0.1)
    # clamped: H. Balamane et al., Phys. Rev. B 46, 2250 (1992), 117.2 GPa at ε = 2.315 eV
    assert result["C44.clamped"].value == pytest.approx(117.2 * 2.1683 / 2.315, abs=0.1)
    assert result["bulk"].value == pytest.approx(101.4, abs=0.1)
    assert result["stability"].value == pytest.approx(result["C44"].value, abs=1e-6)


STRAINS = {
    "C11": np.diag([1.0, 0, 0]),
    "C44": np.array([[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]]),
    "C33": np.diag([0, 0, 1.0]),
    "C66": np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]),
}


@pytest.mark.parametrize(
    ("calc", "crystal", "names"),
    [
        (StillingerWeber(), crystal_of("Si", "diamond"), ("C11", "C44")),
        (StillingerWeber(), crystal_of("Si", "beta-tin"), ("C11", "C33", "C44", "C66")),
        (EMT(), crystal_of("Al", "fcc"), ("C11", "C44")),
    ],
)
def test_against_second_differences_of_the_energy(calc, crystal, names):
    result = elastic_constants(calc, crystal, strain=2e-3)
    ground = relaxed_crystal(calc, crystal, fmax=1e-5)

    def energy(strain):
        atoms = ground.copy()
        atoms.set_cell(ground.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return relaxed(calc, atoms, fmax=1e-5).get_potential_energy()

    delta = 4e-3
    for name in names:
        strain = delta * STRAINS[name]
        second = (energy(strain) - 2 * energy(0 * strain) + energy(-strain)) / delta**2
        # a hundredth: both differences have errors of order δ², with other factors
        assert result[name].value == pytest.approx(second / ground.get_volume() / GPa, rel=1e-2)


def test_the_tensor_turns_with_the_crystal():
    ground = relaxed_crystal(EMT(), bulk("Cu", a=3.6))
    tensor = elastic_tensor(EMT(), ground, strain=2e-3)
    turned = ground.copy()
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    other = elastic_tensor(EMT(), turned, strain=2e-3)
    assert abs(other[0, 3]) > 1  # no longer along the axes
    # eigenvalues in Kelvin's notation, where a turn of the crystal is orthogonal
    kelvin = np.diag([1, 1, 1, 2, 2, 2]) ** 0.5
    found, expected = (np.linalg.eigvalsh(kelvin @ c @ kelvin) for c in (other, tensor))
    assert found == pytest.approx(expected, rel=2e-3)
    assert averages(other).bulk == pytest.approx(averages(tensor).bulk, rel=1e-3)


def test_averages_of_copper():
    c = np.zeros((6, 6))  # Simmons and Wang (1971): 168.4, 121.4 and 75.4 GPa
    c[:3, :3] = 121.4
    c[range(3), range(3)] = 168.4
    c[range(3, 6), range(3, 6)] = 75.4
    found = averages(c)
    assert found.bulk_voigt == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert found.bulk_reuss == pytest.approx(found.bulk_voigt)
    assert found.shear_voigt == pytest.approx((168.4 - 121.4 + 3 * 75.4) / 5)
    assert found.shear_reuss == pytest.approx(5 * 47 * 75.4 / (4 * 75.4 + 3 * 47))
    assert found.young == pytest.approx(9 * found.bulk * found.shear / (3 * found.bulk + found.shear))


def test_an_unstable_crystal_says_so():
    result = elastic_constants(EMT(), crystal_of("Al", "sc"))
    assert result["stability"].value < 0
    assert result.notes == ("unstable against strain (Born)",)
