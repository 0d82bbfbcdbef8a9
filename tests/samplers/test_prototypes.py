"""Prototypes are the crystals that their names say, and have about the right size."""

import numpy as np
import pytest
import spglib
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample.samplers.prototypes import PROTOTYPES, estimated_volume, prototype

# spglib announces a change of its error handling at every call
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

NUMBERS = {
    "diamond": 227,
    "beta-tin": 141,
    "fcc": 225,
    "bcc": 229,
    "hcp": 194,
    "sc": 221,
    "simple-hexagonal": 191,
}


@pytest.mark.parametrize("conventional", [False, True])
@pytest.mark.parametrize("name", sorted(PROTOTYPES))
def test_space_group_volume_and_bonds(name, conventional):
    kind = prototype(name)
    atoms = kind.build("Si", 18.0, conventional=conventional)
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    assert spglib.get_symmetry_dataset(cell, symprec=1e-5).number == NUMBERS[name] == kind.spacegroup
    assert atoms.get_volume() / len(atoms) == pytest.approx(18.0)
    assert atoms.cell.handedness == 1
    distances = np.sort(neighbor_list("d", atoms, 6.0))[: kind.coordination * len(atoms)]
    scale = (18.0 / kind.volume) ** (1 / 3)
    assert distances.mean() == pytest.approx(kind.bond * scale, rel=1e-6)
    if conventional and name not in ("hcp", "simple-hexagonal"):
        assert atoms.cell.angles() == pytest.approx([90, 90, 90])


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Diamond", "diamond"),
        ("β-Sn", "beta-tin"),
        ("beta_tin", "beta-tin"),
        ("Beta-Sn", "beta-tin"),
        ("α-tin", "diamond"),
        ("FCC", "fcc"),
        ("simple cubic", "sc"),
        ("simple hexagonal", "simple-hexagonal"),
        ("A3", "hcp"),
    ],
)
def test_synonyms(alias, name):
    assert prototype(alias).name == name


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'zincblend'.*diamond, beta-tin, fcc"):
        prototype("zincblend")


@pytest.mark.parametrize("symbol", ["Si", "Al", "Fe", "Mg", "Po"])
def test_own_crystal_has_its_own_volume(symbol):
    atoms = bulk(symbol)
    name = {"Si": "diamond", "Al": "fcc", "Fe": "bcc", "Mg": "hcp", "Po": "sc"}[symbol]
    assert estimated_volume(prototype(name), symbol) == pytest.approx(atoms.get_volume() / len(atoms))


def test_other_crystals_are_near_published_values():
    # β-Sn: a 5.83, c 3.18 Å; α-Sn: a 6.49 Å; Si II (DFT): 15.0 Å³; simple cubic Si (DFT): 16.0 Å³
    assert estimated_volume(prototype("beta-tin"), "Sn") == pytest.approx(5.83**2 * 3.18 / 4, rel=0.02)
    assert estimated_volume(prototype("diamond"), "Sn") == pytest.approx(6.49**3 / 8, rel=0.02)
    assert estimated_volume(prototype("beta-tin"), "Si") == pytest.approx(15.0, rel=0.1)
    assert estimated_volume(prototype("sc"), "Si") == pytest.approx(16.0, rel=0.1)


def test_without_a_table_entry_the_covalent_radius_is_the_bond():
    kind = prototype("diamond")
    bond = kind.bond * (estimated_volume(kind, "Ga") / kind.volume) ** (1 / 3)
    assert bond == pytest.approx(2 * 1.22)


def test_bad_input():
    with pytest.raises(ValueError, match="positive"):
        prototype("fcc").build("Si", -1.0)
    with pytest.raises(ValueError, match="not a chemical symbol"):
        estimated_volume(prototype("fcc"), "Xq")
