from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_mlsample.validation.held_out import HeldOutSettings, held_out_set, labelled
from ase_mlsample.validation.liquid import LiquidSettings, liquid_frames

LIQUID = {
    "frames": 3,
    "temperature_K": [1500, 2500],
    "density": [2.2, 2.3],
    "frames_per_run": 2,
    "melt_K": 8000,
    "melt_ps": 0.6,
    "equilibration_ps": 0.1,
    "interval_ps": 0.1,
    "timestep_fs": 4,
}


def settings(**changes):
    values = {
        "reference": {"factory": "ase.calculators.emt:EMT"},
        "symbol": "Al",
        "n_atoms": 8,
        "seed": 7,
        "crystals": {"prototypes": ["fcc", "bcc"], "frames": 3, "rattle_A": [0.05, 0.06]},
        "liquid": LIQUID,
    }
    return HeldOutSettings(**{**values, **changes})


@pytest.fixture(scope="module")
def frames():
    return held_out_set(settings(), EMT())


def test_has_every_class(frames):
    assert Counter(atoms.info["config_type"] for atoms in frames) == {"fcc": 3, "bcc": 3, "liquid": 3}
    assert all(len(atoms) == 8 and atoms.pbc.all() and atoms.calc is None for atoms in frames)


def test_labels_are_the_references(frames):
    for atoms in frames:
        fresh = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, calculator=EMT())
        assert atoms.info["REF_energy"] == pytest.approx(fresh.get_potential_energy(), abs=1e-10)
        np.testing.assert_allclose(atoms.arrays["REF_forces"], fresh.get_forces(), atol=1e-10)
        np.testing.assert_allclose(atoms.info["REF_stress"], fresh.get_stress(), atol=1e-12)


def test_crystals_lie_around_the_references_volume(frames):
    volume = np.mean([atoms.get_volume() / 8 for atoms in frames if atoms.info["config_type"] == "fcc"])
    assert volume == pytest.approx(15.93, rel=0.1)


def test_strain_and_rattle_stay_in_their_bounds(frames):
    for atoms in frames:
        if atoms.info["config_type"] != "liquid":
            assert 0.05 <= atoms.info["rattle_A"] <= 0.06
            assert (
                0.95**3
                <= atoms.get_volume() / 8 / (15.93 if atoms.info["config_type"] == "fcc" else 15.21)
                <= 1.05**3
            )


def test_liquid_has_its_density_and_temperatures(frames):
    liquid = [atoms for atoms in frames if atoms.info["config_type"] == "liquid"]
    assert [atoms.info["temperature_K"] for atoms in liquid] == [1500, 1500, 2500]
    for atoms in liquid:
        density = atoms.get_masses().sum() * 1.66053906660 / atoms.get_volume()
        assert density == pytest.approx(atoms.info["density"])
        assert 2.2 <= density <= 2.3
        assert "momenta" not in atoms.arrays


def test_same_settings_same_frames(frames):
    again = held_out_set(settings(), EMT())
    for a, b in zip(frames, again, strict=True):
        assert (a.positions == b.positions).all()
        assert a.info["REF_energy"] == b.info["REF_energy"]


def test_a_class_does_not_depend_on_the_others(frames):
    alone = held_out_set(
        settings(crystals={"prototypes": ["bcc"], "frames": 2, "rattle_A": [0.05, 0.06]}, liquid=None), EMT()
    )
    assert all((a.positions == b.positions).all() for a, b in zip(alone, frames[3:5], strict=True))


def test_progress_names_each_class():
    lines = []
    held_out_set(settings(liquid=None), EMT(), progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["fcc", "bcc"]


class Broken(LennardJones):
    """Lennard-Jones whose forces are not numbers."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["forces"] = self.results["forces"] * np.nan


def test_labels_that_are_not_numbers_are_refused():
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.0]], info={"config_type": "dimer"})
    with pytest.raises(RuntimeError, match="forces that is not finite for a frame of 'dimer'"):
        labelled(atoms, Broken())


def test_a_molecule_has_no_stress_label():
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.0]])
    assert "REF_stress" not in labelled(atoms, LennardJones()).info


def test_a_liquid_that_stays_solid_is_refused():
    cold = LiquidSettings(**{**LIQUID, "temperature_K": [20, 20], "melt_K": 20})
    with pytest.raises(RuntimeError, match="did not melt"):
        next(liquid_frames(cold, "Al", 8, EMT(), np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crystals": None, "liquid": None}, "needs `crystals`, `liquid` or both"),
        ({"liquid": {**LIQUID, "density": [3, 2]}}, "density"),
        ({"liquid": {**LIQUID, "temperature": 3}}, "temperature"),
        ({"crystals": {"prototypes": []}}, "prototypes"),
        ({"crystals": {"prototypes": ["fcc"], "strain": 0.9}}, "strain"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_unknown_prototype():
    with pytest.raises(ValueError, match="no prototype is called 'fct'"):
        held_out_set(settings(crystals={"prototypes": ["fct"]}, liquid=None), EMT())
