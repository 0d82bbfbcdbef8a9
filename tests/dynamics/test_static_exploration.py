"""Biases from files: checkpoints of every kind of run, hills, grids."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin

from ase_mlsample.biases import Legendre, SharedHills, SharedSamples, StaticBias, UpperWall
from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import (
    OPES,
    VES,
    BiasedDynamics,
    DeepVES,
    Metadynamics,
    PlainDynamics,
    StaticBiasExplorer,
    UmbrellaSampling,
)
from ase_mlsample.dynamics.static_exploration import read_bias

CV = Distance(0, 1)
GRID = np.linspace(2.0, 2.8, 30)[:, None]
RUNS = {
    Metadynamics: {"sigma": 0.05, "height": 0.1, "bias_factor": 10, "pace": 4},
    OPES: {"barrier": 0.5, "sigma": 0.05, "pace": 4, "kernels": None},
    VES: {"bases": Legendre(5, (2.0, 3.0)), "bias_factor": 10, "pace": 4, "coefficients": None},
    DeepVES: {"bounds": [(2.0, 3.0)], "bias_factor": 10, "pace": 4, "rng": np.random.default_rng(1)},
    UmbrellaSampling: {"center": 2.4, "kappa": 5.0},
}


def langevin():
    atoms = bulk("Si", a=5.45, cubic=True)
    atoms.calc = StillingerWeber()
    rng = np.random.default_rng(0)
    return Langevin(atoms, 2 * units.fs, temperature_K=600, friction=0.01, fixcm=False, rng=rng)


def explorer(bias, **changes):
    settings = {"cv": CV, "temperature_K": 600, "duration_ps": 0.05, "check_every": 10, "keep_every": 1}
    return StaticBiasExplorer(**(settings | {"bias": bias} | changes))


def explored(made):
    return made.run(StillingerWeber(), bulk("Si", a=5.45, cubic=True), np.random.default_rng(0))[0]


@pytest.mark.parametrize("wall", [None, UpperWall(2.5, 3.0)])
@pytest.mark.parametrize("kind", RUNS)
def test_checkpoints(kind, wall, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"temperature_K": 600, "extra_bias": wall, "checkpoint": "run.ckpt", **RUNS[kind]}
    with kind(langevin(), CV, **how) as dynamics:
        dynamics.run(40)
    made = explorer("run.ckpt")
    expected = dynamics.bias.potential(GRID)
    for found, given in zip(made.carried_bias().potential(GRID), expected, strict=True):
        assert np.array_equal(found, given)
    frames = explored(made)
    assert made.carried_bias().potential(GRID)[0].tolist() == expected[0].tolist()  # it stays
    V = dynamics.bias.potential([frames[-1].info["cv"]])[0]
    assert frames[-1].info["bias"] == V
    halved = explorer("run.ckpt", scale=0.5).carried_bias()
    np.testing.assert_allclose(halved.potential(GRID)[0], 0.5 * expected[0], rtol=1e-15)
    np.testing.assert_allclose(halved.potential(GRID)[1], 0.5 * expected[1], rtol=1e-15)


@pytest.mark.parametrize("wall", [None, UpperWall(2.5, 3.0)])
@pytest.mark.parametrize("kind", [OPES, VES, DeepVES, Metadynamics])
def test_checkpoints_of_walkers(kind, wall, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    is_metadynamics = kind is Metadynamics
    walkers = (
        SharedHills("w", walker=0, pace=4) if is_metadynamics else SharedSamples("w", walker=0, walkers=1)
    )
    how = {
        "temperature_K": 600,
        "extra_bias": wall,
        "checkpoint": "run.ckpt",
        "walkers": walkers,
        **RUNS[kind],
    }
    with kind(langevin(), CV, **how) as dynamics:
        dynamics.run(22)
    expected = dynamics.bias.potential(GRID)[0]
    assert np.array_equal(read_bias("run.ckpt", CV).potential(GRID)[0], expected)


def test_hills_and_grids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Metadynamics(langevin(), CV, temperature_K=600, **RUNS[Metadynamics]) as dynamics:
        dynamics.run(40)
    V = dynamics.bias.potential(GRID)[0]
    np.testing.assert_allclose(explorer("HILLS").carried_bias().potential(GRID)[0], V, atol=1e-5)
    dynamics.bias.freeze().write("bias.npz")
    np.testing.assert_allclose(read_bias("bias.npz", CV).potential(GRID)[0], V, atol=1e-12)
    axis = np.linspace(2.0, 3.0, 41)
    fields = (
        "#! FIELDS s F der_s\n#! SET min_s 2\n#! SET max_s 3\n#! SET nbins_s 40\n#! SET periodic_s false\n"
    )
    rows = "".join(f"{s} {np.sin(s)} {np.cos(s)}\n" for s in axis)
    (tmp_path / "fes.dat").write_text(fields + rows)
    flattening = explorer("fes.dat", scale=-1).carried_bias()
    np.testing.assert_allclose(flattening.potential(GRID)[0], -np.sin(GRID[:, 0]), atol=1e-6)


def test_another_variable_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    with OPES(langevin(), CV, temperature_K=600, checkpoint=path, **RUNS[OPES]) as dynamics:
        dynamics.run(10)
    with pytest.raises(ValueError, match=r"another variable: indices"):
        explorer(path, cv=Distance(0, 2))
    with PlainDynamics(langevin(), temperature_K=600, checkpoint=path.with_name("plain")) as plain:
        plain.run(10)
    with pytest.raises(ValueError, match="without a bias"):
        explorer(path.with_name("plain"))


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "file"
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="file"):
        explorer(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="neither a bias"):
        explorer(path)
    np.savez(tmp_path / "others.npz", numbers=np.zeros(3))
    with pytest.raises(ValueError, match="is no bias: it holds numbers"):
        explorer(tmp_path / "others.npz")


class Own(Bias):
    """A bias that the package does not know."""

    n_cvs = 1

    def potential(self, s):
        points = self._points(s)
        return points[..., 0], np.ones(points.shape)

    def settings(self):
        return {}


def test_biases_of_others_are_put_on_a_grid(tmp_path):
    path = tmp_path / "run.ckpt"
    with BiasedDynamics(langevin(), CV, Own(), temperature_K=600, checkpoint=path) as dynamics:
        dynamics.run(5)
    with pytest.raises(TypeError, match=r"the class Own, which is not one of .*StaticBias\.write"):
        explorer(path)
    axis = np.linspace(2.0, 3.0, 5)
    StaticBias([axis], Own().potential(axis[:, None])[0]).write(tmp_path / "own.npz")
    assert explorer(tmp_path / "own.npz").carried_bias().potential([2.4])[0] == pytest.approx(2.4)
