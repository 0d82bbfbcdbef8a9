import io
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength

from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.gui.passing import pack_frames, portable, unpack_frames
from tests.gui.frames import coloured


def passed(*frames, **options):
    content, lost = pack_frames(frames, **options)
    return unpack_frames(io.BytesIO(content)), lost


def test_everything_that_a_viewer_can_use_arrives():
    atoms = coloured()
    atoms.set_array("residue", np.array(["a"] * 8))
    atoms.set_array("tensor", np.arange(72.0).reshape(8, 3, 3))
    atoms.set_momenta(np.ones((8, 3)))
    atoms.set_constraint([FixAtoms([0]), FixBondLength(1, 2)])
    atoms.set_celldisp([0.5, 0, 0])
    atoms.info |= {"cv": np.array([1.0, 2.0]), "nested": {"a": [1, (2.0, None)]}}
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1.25, forces=np.full((8, 3), 0.5), stress=np.arange(6.0), magmom=2.0
    )
    ((copy,), options), lost = passed(atoms, color="force")
    assert lost == []
    assert options == {"color": "force"}
    assert copy == atoms
    for name, array in atoms.arrays.items():
        assert np.array_equal(copy.arrays[name], array), name
        assert copy.arrays[name].dtype == array.dtype
    assert [constraint.todict() for constraint in copy.constraints] == [
        constraint.todict() for constraint in atoms.constraints
    ]
    assert np.array_equal(copy.get_celldisp(), atoms.get_celldisp())
    assert copy.info.keys() == atoms.info.keys()
    assert copy.info["nested"] == atoms.info["nested"]
    assert copy.get_potential_energy() == -1.25
    assert np.array_equal(copy.get_forces(apply_constraint=False), atoms.get_forces(apply_constraint=False))
    assert np.array_equal(copy.get_stress(apply_constraint=False), np.arange(6.0))
    assert copy.calc.results["magmom"] == 2.0


def test_what_an_ensemble_knows_arrives_without_it():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = Committee([StillingerWeber(lambda_=strength) for strength in (20.0, 22.0)])
    energy = atoms.get_potential_energy()
    atoms.calc.annotate(atoms)
    ((copy,), _), _ = passed(atoms)
    assert copy.get_potential_energy() == energy
    assert np.array_equal(copy.arrays["force_sigma"], atoms.arrays["force_sigma"])
    assert copy.info["energy_std"] == atoms.info["energy_std"]


def test_results_of_another_structure_are_none_of_this_one():
    atoms = bulk("Si", cubic=True)
    atoms.calc = StillingerWeber()
    atoms.get_potential_energy()
    atoms.rattle(0.1, seed=1)
    assert portable(atoms)[0].calc is None


class Spring:
    """A constraint of the user's own."""

    def adjust_positions(self, atoms, new):
        pass

    def adjust_forces(self, atoms, forces):
        pass


class Point(NamedTuple):
    """Plain values in a class that another process may not find."""

    x: float
    y: float


def test_what_cannot_be_passed_is_named_once():
    frames = [coloured(), coloured()]
    for atoms in frames:
        atoms.info["model"] = StillingerWeber()
        atoms.info["mixed"] = [1, StillingerWeber()]
        atoms.info["of my own"] = Point(1.0, 2.0)
        atoms.info["counted"] = defaultdict(lambda: 0)
        atoms.arrays["objects"] = np.array([None] * 8)
        atoms.set_constraint(Spring())
        atoms.calc.results["my_result"] = 1.0
    (copies, _), lost = passed(*frames)
    assert lost == [
        "arrays['objects']",
        "info['model']",
        "info['mixed']",
        "info['of my own']",
        "info['counted']",
        "the constraint Spring",
        "the result 'my_result'",
    ]
    assert len(copies) == 2
    assert copies[0].arrays.keys() == coloured().arrays.keys()
    assert "model" in frames[0].info  # the user's own are left as they are
