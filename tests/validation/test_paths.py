import numpy as np
import pytest
from ase.calculators.emt import EMT

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.samplers.prototypes import prototype
from ase_mlsample.validation.crystals import prototype_energies
from ase_mlsample.validation.paths import bain_path, relaxed_volume, tin_path, trigonal_path


def test_paths_pass_through_the_crystals_they_join():
    crystals = prototype_energies(EMT(), "Al", prototypes=("fcc", "bcc", "sc"), ground="fcc")
    bain, trigonal = bain_path(EMT(), "Al", points=9), trigonal_path(EMT(), "Al", points=9)
    expected = crystals["energy.bcc"].value
    assert bain["bcc"].value == pytest.approx(expected, abs=5e-3)
    assert trigonal["bcc"].value == pytest.approx(expected, abs=5e-3)
    assert trigonal["sc"].value == pytest.approx(crystals["energy.sc"].value, abs=5e-3)
    assert bain["highest"].value >= bain["bcc"].value
    fcc = np.argmin(np.abs(np.array(trigonal.curves["energy"].x) - 4))
    assert trigonal.curves["volume"].y[fcc] == pytest.approx(crystals["volume.fcc"].value, rel=1e-4)


def test_tin_path_of_stillinger_weber_silicon():
    crystals = prototype_energies(StillingerWeber(), "Si", prototypes=("diamond", "beta-tin"))
    path = tin_path(StillingerWeber(), "Si")
    assert path["difference"].value == pytest.approx(crystals["energy.beta-tin"].value, abs=0.5)
    assert path["c/a.beta"].value == pytest.approx(crystals["c/a.beta-tin"].value, abs=2e-3)
    assert path["barrier"].value > path["difference"].value
    assert path["barrier.back"].value == pytest.approx(path["barrier"].value - path["difference"].value)
    x, energy = np.array(path.curves["energy"].x), np.array(path.curves["energy"].y)
    assert energy[np.argmin(np.abs(x - 2**0.5))] == 0.0


def test_a_path_without_the_two_minima_is_refused():
    with pytest.raises(RuntimeError, match="not both minima"):
        tin_path(EMT(), "Al", points=13)


def test_relaxed_volume_out_of_reach():
    atoms = prototype("fcc").build("Al", 40.0)
    with pytest.raises(RuntimeError, match="no zero-pressure volume within 5%"):
        relaxed_volume(EMT(), atoms, search=0.05)
