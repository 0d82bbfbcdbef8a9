"""Liquid and melting of Stillinger–Weber silicon against the literature; heavy."""

import pytest

from ase_mlsample.calculators import StillingerWeber
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
