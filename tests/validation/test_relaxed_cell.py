import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_mlsample.samplers.prototypes import prototype
from ase_mlsample.validation.relaxed_cell import near_cube, relaxed_scales, scaled


@pytest.mark.parametrize("name", ["fcc", "bcc", "hcp", "beta-tin"])
@pytest.mark.parametrize("conventional", [True, False])
def test_relaxed_cells_have_no_stress_and_keep_their_shape(name, conventional):
    calculator = LennardJones(sigma=2.4, epsilon=0.3, rc=7.5, smooth=True)
    kind = prototype(name)
    start = kind.build("Al", 13.0)
    before = start.copy()
    scales = relaxed_scales(start, calculator, spacegroup=kind.spacegroup)
    assert (start.positions == before.positions).all()
    assert start.calc is None
    atoms = scaled(kind.build("Al", 13.0, conventional=conventional), scales)
    atoms.calc = calculator
    assert np.abs(atoms.get_stress()).max() < 3e-5
    assert np.abs(atoms.get_forces()).max() < 1e-8


def test_finds_the_lattice_constant_from_a_poor_guess():
    start = bulk("Al", a=4.3)
    atoms = scaled(start, relaxed_scales(start, EMT(), spacegroup=225))
    assert atoms.cell.lengths() * np.sqrt(2) == pytest.approx([3.994] * 3, abs=1e-3)


def test_low_symmetry_is_refused():
    with pytest.raises(ValueError, match="space group 2"):
        relaxed_scales(bulk("Al"), EMT(), spacegroup=2)


class Repulsive(Calculator):
    """Energy that falls with volume for ever."""

    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = 1 / atoms.get_volume()


def test_a_crystal_that_the_calculator_does_not_hold_is_named():
    with pytest.raises(RuntimeError, match="fcc of Al has no zero-pressure cell"):
        relaxed_scales(prototype("fcc").build("Al", 16.0), Repulsive(), spacegroup=225, name="fcc")


@pytest.mark.parametrize("name", ["diamond", "beta-tin", "fcc", "bcc", "hcp"])
def test_supercells_are_whole_and_wide(name):
    cells = [prototype(name).build("Si", 18.0, conventional=conventional) for conventional in (True, False)]
    atoms = near_cube(cells, 64)
    assert len(atoms) == 64
    assert atoms.get_volume() == pytest.approx(64 * 18.0)
    width = 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    assert width.min() > 0.75 * (64 * 18.0) ** (1 / 3)


def test_a_size_that_no_repetition_has():
    with pytest.raises(ValueError, match="n_atoms = 63 is no multiple"):
        near_cube([prototype("diamond").build("Si", 18.0)], 63)
