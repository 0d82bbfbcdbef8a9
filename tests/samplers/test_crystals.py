"""Perturbed crystals: which crystal, how large, how far from perfect."""

from collections import Counter

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample.samplers.crystals import PerturbedCrystal
from ase_mlsample.samplers.prototypes import PROTOTYPES
from ase_mlsample.testing import check_sampler

# spglib announces a change of its error handling at every call
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def test_contract():
    check_sampler(PerturbedCrystal(["diamond", "beta-tin", "fcc"], symbol="Si"), n=12, min_distance=1.7)


@pytest.mark.parametrize("name", sorted(PROTOTYPES))
def test_unperturbed_supercells_keep_the_space_group(name):
    kind = PROTOTYPES[name]
    symbol = "Si" if len(kind.composition) == 1 else kind.formula.replace("A", "Al").replace("B", "Si")
    sampler = PerturbedCrystal(name, symbol=symbol, strain=0, rattle=0, volume=(0.9, 1.1), n_atoms=(1, 46))
    for atoms in sampler.sample(8 if len(kind.basis) < 9 else 1, np.random.default_rng(1)):
        cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
        assert spglib.get_symmetry_dataset(cell, symprec=1e-4).number == PROTOTYPES[name].spacegroup
        parts = atoms.info["config_type"].split("-Al")
        assert parts[0] == name
        assert len(parts) == len(kind.composition)


def test_alloys_in_one_call():
    sampler = PerturbedCrystal(["fcc", "L1_2", "cscl"], symbol="AlNi", n_atoms=(4, 16), strain=0.02)
    formulas = {}
    for atoms in sampler.sample(60, np.random.default_rng(0)):
        formulas[atoms.info["config_type"]] = atoms.symbols.formula.reduce()[0].format("metal")
    assert set(formulas) == {"fcc-Al", "fcc-Ni", "L1_2-Al3Ni", "L1_2-Ni3Al", "cscl-AlNi"}
    assert formulas["fcc-Ni"] == "Ni"
    assert formulas["L1_2-Al3Ni"].replace("NiAl3", "Al3Ni") == "Al3Ni"
    (only,) = PerturbedCrystal("L1_2", symbol="AlNi3", n_atoms=4).sample(1, np.random.default_rng(0))
    assert only.symbols.formula.count() == {"Al": 1, "Ni": 3}
    with pytest.raises(ValueError, match="does not suit"):
        PerturbedCrystal("fcc", symbol="AlNi3")


def test_windows_hold_and_are_filled():
    sampler = PerturbedCrystal(
        ["diamond", "fcc"],
        symbol="Si",
        strain=0.05,
        rattle=(0.02, 0.25),
        n_atoms=(8, 64),
        volume_per_atom=20.0,
    )
    frames = list(sampler.sample(80, np.random.default_rng(0)))
    assert all(8 <= len(atoms) <= 64 for atoms in frames)
    assert len({len(atoms) for atoms in frames}) > 6
    assert set(Counter(atoms.info["config_type"] for atoms in frames)) == {"diamond", "fcc"}
    for key, low, high in (("rattle_A", 0.02, 0.25), ("volume_scale", 0.8, 1.2), ("strain_max", 0.0, 0.05)):
        values = [atoms.info[key] for atoms in frames]
        assert low <= min(values) < max(values) <= high
        assert max(values) - min(values) > 0.6 * (high - low) or key == "strain_max"
    for atoms in frames:
        assert 0.8 * 0.85 * 20 < atoms.get_volume() / len(atoms) < 1.2 * 1.16 * 20
        assert atoms.info["source"] == "PerturbedCrystal"
        # 0.85 of diamond's own bond where volume and strain have made it shorter than 2.35 Å
        assert len(neighbor_list("d", atoms, 0.85 * 2.35 * 0.8 ** (1 / 3) * 0.9)) == 0
        if atoms.info["config_type"] == "fcc":
            assert len(neighbor_list("d", atoms, 0.9 * 2.22)) == 0


def test_rattle_has_the_asked_deviation():
    sampler = PerturbedCrystal(
        "diamond", symbol="Si", strain=0, rattle=0.1, volume=(1, 1), n_atoms=(64, 64), min_distance=1.0
    )
    perfect = {
        round(float(atoms.cell[0, 0]), 3): atoms.positions
        for atoms in PerturbedCrystal(
            "diamond", symbol="Si", strain=0, rattle=0, volume=(1, 1), n_atoms=(64, 64)
        ).sample(8, np.random.default_rng(0))
    }
    moved = []
    for atoms in sampler.sample(8, np.random.default_rng(1)):
        delta = atoms.positions - perfect[round(float(atoms.cell[0, 0]), 3)]
        delta -= np.round(delta @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
        moved.append(delta)
    assert np.concatenate(moved).std() == pytest.approx(0.1, rel=0.06)


def test_own_atoms_with_short_bonds_are_allowed():
    hydrogen = Atoms(
        "H2", positions=[[0, 0, 0], [0.5, 0, 0]], cell=[3, 3, 3], pbc=True, info={"config_type": "h2"}
    )
    sampler = PerturbedCrystal(hydrogen, rattle=0.05, n_atoms=(2, 2))
    for atoms in sampler.sample(10, np.random.default_rng(0)):
        assert atoms.info["config_type"] == "h2"
        assert 0.35 < neighbor_list("d", atoms, 1.5).min() < 0.75


def test_mapping_names_the_crystals_and_mixed_lists_work():
    silicon = bulk("Si", a=5.4)
    named = PerturbedCrystal({"mine": silicon}, n_atoms=(1, 8))
    assert next(iter(named.sample(1, np.random.default_rng(0)))).info["config_type"] == "mine"
    mixed = PerturbedCrystal(["fcc", silicon], symbol="Si", n_atoms=(1, 8))
    names = {atoms.info["config_type"] for atoms in mixed.sample(30, np.random.default_rng(0))}
    assert names == {"fcc", "Si2"}


def test_given_distances_hold():
    sampler = PerturbedCrystal("fcc", symbol="Al", rattle=0.25, min_distance=2.3, n_atoms=(32, 32))
    for atoms in sampler.sample(10, np.random.default_rng(0)):
        assert len(neighbor_list("d", atoms, 2.3)) == 0


@pytest.mark.parametrize(
    ("crystals", "change", "error", "message"),
    [
        ("diamond", {"symbol": None}, ValueError, "symbol is missing"),
        ("zincblend", {}, ValueError, "no prototype"),
        ([], {}, ValueError, "empty"),
        (["fcc", "A1"], {}, ValueError, "two crystals are called 'fcc'"),
        ("diamond", {"n_atoms": (3, 3)}, ValueError, "no supercell of diamond"),
        ("diamond", {"n_atoms": (5, 3)}, ValueError, "n_atoms"),
        ("diamond", {"strain": 2.0}, ValueError, "strain"),
        ("diamond", {"rattle": (0.2, 0.1)}, ValueError, "amplitude"),
        ("diamond", {"volume": (0.0, 0.1)}, ValueError, "volume"),
        ("diamond", {"min_distance": 3.0}, ValueError, "diamond has Si-Si pairs of 2.5 Å"),
        (Atoms("Si"), {}, ValueError, "periodic in three directions"),
        ([3], {}, TypeError, "int"),
        (3, {}, TypeError, "names of prototypes"),
        ("diamond", {"symbol": "Xq", "volume_per_atom": 20.0}, ValueError, "not a chemical symbol"),
        ("diamond", {"volume_per_atom": {"A1": 15.0}}, ValueError, "names fcc, which are not among"),
    ],
)
def test_bad_settings(crystals, change, error, message):
    with pytest.raises(error, match=message):
        PerturbedCrystal(crystals, **({"symbol": "Si"} | change))


def test_bounded_effort_ends_in_an_error():
    sampler = PerturbedCrystal("diamond", symbol="Si", volume=(0.5, 1.0), min_distance=2.3, max_attempts=1)
    with pytest.raises(RuntimeError, match="in 1 draws"):
        list(sampler.sample(20, np.random.default_rng(0)))
