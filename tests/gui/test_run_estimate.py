"""F(s) from the files of an md, against free energies that are known."""

import numpy as np
import pytest
from ase import units

from ase_mlsample.gui.run_estimate import RunEstimate

T = 300.0
KT = units.kB * T


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "md.yaml").write_text(f"temperature_K: {T}\n")
    return tmp_path


def write_colvar(folder, samples, bias, extra=""):
    rows = [
        f" {k / 1000} {s:.10g} {V:.10g} 300 -1{extra}"
        for k, (s, V) in enumerate(zip(samples, bias, strict=True))
    ]
    names = "time s bias temperature energy" + (" rate_scale phase" if extra else "")
    (folder / "COLVAR").write_text("\n".join([f"#! FIELDS {names}", *rows, ""]))


def write_hills(folder, centers, height=0.1, sigma=0.2):
    header = "#! FIELDS time s sigma_s height biasf\n#! SET multivariate false\n"
    rows = [f"{k} {s} {sigma} {height} 10" for k, s in enumerate(centers)]
    (folder / "HILLS").write_text(header + "\n".join(rows) + "\n")


def test_samples_of_a_biased_parabola_give_the_parabola(folder, rng):
    # F = s²/2 eV, biased by V = −F/2: samples are normal with a variance of 2 kT
    samples = rng.normal(0, np.sqrt(2 * KT), 20000)
    write_colvar(folder, samples, -0.25 * samples**2)
    found = RunEstimate(folder).look()
    middle = np.abs(found.axis) < 0.3
    exact = 0.5 * found.axis[middle] ** 2
    difference = found.values[middle] - exact
    # about 350 samples a bin: 5 % in p, which is 0.05 kT
    assert np.std(difference) < 0.15 * KT
    assert found.how == "from 20000 weighted samples"


def test_hills_give_the_bias_turned_over(folder):
    write_hills(folder, [-1.0, 0.0, 0.0, 1.0])
    found = RunEstimate(folder).look()
    centers = np.array([-1.0, 0.0, 0.0, 1.0])
    bias = 0.1 * np.exp(-0.5 * ((found.axis[:, None] - centers) / 0.2) ** 2).sum(axis=1)
    # well-tempered files hold heights multiplied by γ/(γ−1), so that −Σ is F
    assert found.values == pytest.approx(bias.max() - bias, abs=0.02)
    assert found.how == "from 4 hills"


def test_files_that_grow_are_read_again_after_a_rest(folder):
    run = RunEstimate(folder)
    assert run.look(now=0.0) is None
    write_hills(folder, [0.0, 1.0])
    first = run.look(now=1.0)
    assert run.look(now=2.0) is first
    write_hills(folder, [0.0, 1.0, 1.0])
    assert run.look(now=1.0) is first
    assert run.look(now=1000.0).how == "from 3 hills"


def test_what_says_nothing_yet(folder):
    write_colvar(folder, np.linspace(0, 1, 20), np.zeros(20))
    assert RunEstimate(folder).look() is None
    write_colvar(folder, np.ones(500), np.zeros(500))
    assert RunEstimate(folder).look() is None
    write_colvar(folder, np.linspace(0, 1, 500), np.zeros(500), " 1 0")  # Deep-VES that still learns
    assert RunEstimate(folder).look() is None
    (folder / "COLVAR").write_text("#! FIE")
    assert RunEstimate(folder).look() is None
