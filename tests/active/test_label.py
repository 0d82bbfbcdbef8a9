import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.active.label import (
    Reference,
    compute_label,
    reference_name,
    reported_version,
    structure_hash,
)
from ase_mlsample.active.reference_settings import OutlierSettings, ReferenceSettings
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.references.failures import NotConverged, SetupFailure

SW = "ase_mlsample.calculators:StillingerWeber"


@pytest.fixture
def atoms(rng):
    atoms = bulk("Si", cubic=True)
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    return atoms


class TestHash:
    def test_has_a_letter_and_256_bits(self, atoms):
        name = structure_hash(atoms)
        assert name[0] == "s"
        assert len(bytes.fromhex(name[1:])) == 32

    def test_knows_the_structure_alone(self, atoms):
        copy = atoms.copy()
        copy.info["source"] = "elsewhere"
        copy.set_array("force_sigma", np.zeros(len(copy)))
        copy.positions[0] *= 1.0
        assert structure_hash(copy) == structure_hash(atoms)

    @pytest.mark.parametrize("change", ["positions", "cell", "numbers", "pbc"])
    def test_sees_every_change(self, atoms, change):
        copy = atoms.copy()
        if change == "positions":
            copy.positions[3, 1] = np.nextafter(copy.positions[3, 1], 10)
        elif change == "cell":
            copy.set_cell(copy.cell.array * (1 + 1e-15))
        elif change == "numbers":
            copy.numbers[0] = 6
        else:
            copy.pbc = (True, True, False)
        assert structure_hash(copy) != structure_hash(atoms)

    def test_minus_zero_is_zero(self):
        assert structure_hash(Atoms("H", [(0.0, 0, 0)])) == structure_hash(Atoms("H", [(-0.0, 0, 0)]))


class TestReference:
    def test_fingerprint_knows_factory_arguments_and_version(self):
        prints = {
            Reference(SW).fingerprint,
            Reference("ase.calculators.emt:EMT").fingerprint,
            Reference(SW, kwargs={"lambda_": 22.0}).fingerprint,
            Reference(SW, version="2").fingerprint,
            Reference(SW, stress=False).fingerprint,
        }
        assert len(prints) == 5
        assert all(name[0] == "r" and len(name) == 17 for name in prints)

    def test_fingerprint_does_not_know_the_force_limit_or_order(self):
        first = Reference(SW, kwargs={"a": 1, "b": 2}, max_force=1.0)
        assert first.fingerprint == Reference(SW, kwargs={"b": 2, "a": 1}).fingerprint


class TestLabel:
    def test_is_what_the_calculator_says(self, atoms):
        label = compute_label(atoms=atoms, reference=Reference(SW, max_force=20.0))
        expected = StillingerWeber().evaluate(atoms)
        assert label["status"] == "labelled"
        assert label["energy"] == expected.energy
        assert np.array_equal(label["forces"], expected.forces)
        assert np.array_equal(label["stress"], expected.stress)
        assert label["max_force"] == pytest.approx(np.linalg.norm(expected.forces, axis=1).max())
        assert atoms.calc is None

    def test_no_stress_without_a_volume(self, atoms):
        atoms.set_cell(None)
        atoms.pbc = False
        assert compute_label(atoms=atoms, reference=Reference(SW))["stress"] is None

    def test_large_forces_are_rejected(self, atoms):
        label = compute_label(atoms=atoms, reference=Reference(SW, max_force=0.1))
        assert label["status"] == "rejected"
        assert label["max_force"] > 0.1

    def test_what_is_not_finite_does_not_count(self, atoms):
        with pytest.raises(ValueError, match="energy that is not finite"):
            compute_label(atoms=atoms, reference=Reference("active_toy:WithoutNumbers"))

    def test_a_stress_that_is_claimed_must_be_there(self, atoms):
        with pytest.raises(SetupFailure, match=r"knows the stress but gave none for Si8.*stress: false"):
            compute_label(atoms=atoms, reference=Reference("active_toy:Stressless"))
        label = compute_label(atoms=atoms, reference=Reference("active_toy:Stressless", stress=False))
        assert label["stress"] is None
        assert label["status"] == "labelled"

    @pytest.mark.parametrize("name", ["Undecided", "UndecidedInside"])
    def test_a_calculator_that_says_that_it_did_not_converge(self, atoms, name):
        with pytest.raises(NotConverged, match=r"electrons of Si8 did not converge"):
            compute_label(atoms=atoms, reference=Reference(f"active_toy:{name}"))

    def test_recipes_are_the_factorys_or_those_given(self, tmp_path):
        kwargs = {"calls": str(tmp_path / "calls"), "gentle": 0}
        theirs = Reference("active_toy:troubled", kwargs=kwargs)
        assert [recipe["gentle"] for recipe in theirs.recipes] == [0, 1, 2]
        ours = Reference("active_toy:troubled", kwargs=kwargs, gentler=({"gentle": 7},))
        assert ours.recipes == (kwargs, kwargs | {"gentle": 7})
        assert ours.fingerprint == theirs.fingerprint
        assert Reference(SW).recipes == ({},)

    def test_energies_outside_the_package_keep_their_fingerprint(self):
        assert Reference(SW, max_force=20.0).fingerprint == "rffe46d526f330263"


class TestNames:
    def test_a_name_is_one_of_our_references(self):
        assert reference_name("gpaw") == "ase_mlsample.references:gpaw"
        assert reference_name("a:b") == "a:b"

    @pytest.mark.parametrize(
        ("name", "hint"), [("gpw", "did you mean 'gpaw'"), ("xyzzy", "'module:factory'")]
    )
    def test_others_are_refused(self, name, hint):
        with pytest.raises(ValueError, match=hint):
            reference_name(name)

    def test_version_as_the_factory_reports_it(self, tmp_path):
        (tmp_path / "version").write_text("code 7, pseudopotentials abc")
        kwargs = {"calls": str(tmp_path / "calls")}
        settings = ReferenceSettings(factory="active_toy:troubled", kwargs=kwargs)
        reference = settings.reference()
        assert reference.reported == "code 7, pseudopotentials abc"
        assert reference.fingerprint != Reference("active_toy:troubled", kwargs=kwargs).fingerprint
        assert reported_version(SW, {}) == ""

    def test_outliers_need_something_to_look_at(self):
        with pytest.raises(ValueError, match="give isolated_atoms"):
            OutlierSettings()
        with pytest.raises(ValueError, match="must rise"):
            OutlierSettings(deviation_eV=0.1, window_eV=(1.0, 0.0))
        with pytest.raises(ValueError, match="'Xx' is not the symbol"):
            OutlierSettings(isolated_atoms={"Xx": 1.0})
