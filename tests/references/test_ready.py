"""Ready settings: what the handbook says they are, and as exact as it says where the codes are installed."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample import references
from ase_mlsample.references.convergence import Tolerances, convergence_study

NAMES = ("gpaw", "espresso", "abinit", "cp2k", "vasp")
HANDBOOK = Path(__file__).parents[2] / "docs" / "references.md"
DEBIAN = Path("/usr/share/abinit/psp/Pseudodojo_paw_pbe_standard")
HERE = {
    "gpaw": importlib.util.find_spec("gpaw") is not None,
    "espresso": shutil.which("pw.x") is not None,
    "abinit": shutil.which("abinit") is not None and DEBIAN.is_dir(),
}
OWN = {"abinit": {"pseudo_dir": str(DEBIAN), "pseudopotentials": {"Si": "Si.xml"}}}


def test_ready_settings_are_those_of_the_handbook():
    head = "| element | `gpaw` | `espresso` | `abinit` | `cp2k` | `vasp` | `k_spacing` | `smearing_width` |"
    rows = HANDBOOK.read_text().partition(head)[2].partition("\n\n")[0].splitlines()[2:]
    table = {
        cells[1]: [float(cell) for cell in cells[2:-1]]
        for cells in (row.replace(" ", "").split("|") for row in rows)
    }
    assert set(table) == {"Si", "Al", "Sn"}
    for element, (*cutoffs, spacing, width) in table.items():
        for name, cutoff in zip(NAMES, cutoffs, strict=True):
            ready = getattr(references, name).ready
            assert set(ready) == set(table)
            assert ready[element].cutoff == pytest.approx(cutoff, abs=0.5)
            # they belong to the electrons of the element, not to a code
            assert (ready[element].k_spacing, ready[element].smearing_width) == (spacing, width)


@pytest.mark.parametrize("name", HERE)
def test_ready_cutoffs_are_converged(name):
    if not HERE[name]:
        pytest.skip(f"{name} is not installed; {getattr(references, name).install}")
    factory = getattr(references, name)
    settings = {"elements": ["Si"], "k_spacing": 1.2, "smearing_width": 0.1, **OWN.get(name, {})}
    ready = factory.ready["Si"].cutoff
    (study,) = convergence_study(
        factory, settings, [_diamond(), _close_packed()], {"cutoff": [ready, 1.4 * ready]}
    )
    assert study.points[0].within(Tolerances(energy=1.0, forces=10.0, stress=0.1))
    # a study that sees nothing would pass too
    assert study.points[0].offset > 0.05


def _diamond():
    """Compressed by 15 %, a bond of 2.08 Å."""
    atoms = bulk("Si")
    atoms.set_cell(atoms.cell.array * (2 * 17.0 / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    atoms.positions[1] -= 0.15 / np.sqrt(3)
    return atoms


def _close_packed():
    """A metal under pressure: fcc with 12 Å³ an atom, every other layer displaced."""
    a = (2 * 12.0 / np.sqrt(2)) ** (1 / 3)
    cell = a * np.diag([1, 1, np.sqrt(2)])
    atoms = Atoms("Si2", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=cell, pbc=True)
    atoms.positions[1, 2] += 0.15
    return atoms
