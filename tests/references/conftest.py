"""Structures and fake programs."""

import sys
from pathlib import Path

import pytest
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def silicon():
    """The structure of the recorded pw.x output."""
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def pair():
    """The structure of the recorded ABINIT and CP2K outputs."""
    atoms = bulk("Si")
    atoms.rattle(0.05, seed=1)
    return atoms
