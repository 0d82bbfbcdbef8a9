import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation import equation_of_state
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.elastic import elastic_constants
from ase_mlsample.validation.equation_of_state import equations_of_state
from ase_mlsample.validation.relaxation import relaxed_crystal


def test_stillinger_weber_silicon():
    result = equations_of_state(StillingerWeber(), "Si", prototypes=("diamond", "beta-tin"), points=9)
    # F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985): a = 5.43095 Å
    # E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988): 101.4 GPa
    assert result["volume.diamond"].value == pytest.approx(5.43095**3 / 8, rel=1e-4)
    assert result["bulk.diamond"].value == pytest.approx(101.4, rel=3e-3)
    x, y = (np.array(axis) for axis in (result.curves["diamond"].x, result.curves["diamond"].y))
    assert y[4] == 0.0  # the relaxed cell
    assert x[[0, -1]] / x[4] == pytest.approx([0.8, 1.2], rel=1e-5)
    beta = np.array(result.curves["beta-tin"].y)
    # H. Balamane et al., Phys. Rev. B 46, 2250 (1992): 0.213 eV at ε = 2.315 eV
    assert beta[4] == pytest.approx(0.213 * 2.1683 / 2.315, abs=1e-3)


def test_against_the_fit_and_the_elastic_constants_of_aluminium():
    result = equations_of_state(EMT(), "Al", prototypes=("fcc",), points=5)
    start = bulk("Al", a=3.994)
    volumes, energies = [], []
    for ratio in np.linspace(0.96, 1.04, 9):
        atoms = start.copy()
        atoms.set_cell(start.cell * ratio ** (1 / 3), scale_atoms=True)
        atoms.calc = EMT()
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    volume, _, bulk_modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    assert result["volume.fcc"].value == pytest.approx(volume, rel=1e-3)
    assert result["bulk.fcc"].value == pytest.approx(bulk_modulus * 160.21766208, rel=0.02)
    elastic = elastic_constants(EMT(), crystal_of("Al", "fcc"), strain=2e-3)
    assert result["bulk.fcc"].value == pytest.approx(elastic["bulk"].value, rel=0.02)


def test_a_crystal_that_is_not_held_is_noted_unless_it_is_the_ground_state(monkeypatch):
    def only_diamond(calc, crystal):
        if len(crystal) == 1:
            raise RuntimeError("it flies apart")
        return relaxed_crystal(calc, crystal)

    monkeypatch.setattr(equation_of_state, "relaxed_crystal", only_diamond)
    result = equations_of_state(StillingerWeber(), "Si", prototypes=("diamond", "sc"), points=5)
    assert result.notes == ("sc left out: it flies apart",)
    assert set(result.curves) == {"diamond"}
    with pytest.raises(RuntimeError, match="it flies apart"):
        equations_of_state(StillingerWeber(), "Si", prototypes=("sc", "diamond"), points=5)
