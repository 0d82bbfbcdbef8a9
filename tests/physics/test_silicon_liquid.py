"""Liquid and melting of Stillinger–Weber silicon against the literature; heavy."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.data import atomic_masses
from ase.geometry.rdf import get_rdf
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.samplers.packing import AMU_PER_A3
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.liquid_state import liquid_properties
from ase_mlsample.validation.melting import melting_point

pytestmark = pytest.mark.slow


def test_melting_point():
    result = melting_point(StillingerWeber(), crystal_of("Si", "diamond", conventional=True), guess_K=1650.0)
    # J. Q. Broughton, X. P. Li, Phys. Rev. B 35, 9120 (1987): 1691 ± 20 K by free energies, 31.4 kJ/mol
    assert result["temperature"].value == pytest.approx(1691, abs=40)
    assert result["enthalpy"].value == pytest.approx(31.4, rel=0.1)
    assert 0.15 < result.facts["crystal_share"] < 0.85


def test_liquid():
    result = liquid_properties(StillingerWeber(), "Si", temperature_K=1691.0, density=2.48)
    # Broughton and Li: 2.49 g/cm³ and 6.94e-9 m²/s at the melting point
    assert result["density"].value == pytest.approx(2.49, rel=0.02)
    assert result["diffusion"].value == pytest.approx(6.94, rel=0.2)


def test_pair_distribution_against_another_integration():
    """ASE's Langevin dynamics at the density that was found, from another melt, and ASE's g(r)."""
    settings = {"temperature_K": 1750.0, "density": 2.5}
    result = liquid_properties(StillingerWeber(), "Si", **settings, n_atoms=216)
    r, g = np.array(result.curves["rdf"].x), np.array(result.curves["rdf"].y)
    edge = (216 * atomic_masses[14] * AMU_PER_A3 / result["density"].value) ** (1 / 3)
    atoms = bulk("Si", cubic=True).repeat(3)
    atoms.set_cell([edge] * 3, scale_atoms=True)
    atoms.calc = StillingerWeber()
    rng = np.random.default_rng(7)
    thermalize_momenta(atoms, 6000.0, rng=rng)
    how = {"friction": 5 / (1000 * units.fs), "fixcm": False, "rng": rng}
    Langevin(atoms, 2 * units.fs, temperature_K=4000.0, **how).run(2000)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=1750.0, **how)
    dynamics.run(4000)
    found = []
    dynamics.attach(lambda: found.append(get_rdf(atoms, 6.0, 120)[0] * 216 / 215), interval=100)
    dynamics.run(10_000)
    expected = np.mean(found, axis=0)
    # halves of the run differ by about as much as two runs do; 0.1 is a thirtieth of the peak
    noise = np.abs(np.mean(found[:50], axis=0) - np.mean(found[50:], axis=0)).max()
    assert g[:120] == pytest.approx(expected, abs=max(0.1, 2 * noise))
    assert noise < 0.15
    assert r[np.argmax(g)] == pytest.approx(r[np.argmax(expected)], abs=0.051)
