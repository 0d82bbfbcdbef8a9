"""OPES equals that of PLUMED, frame by frame; skipped where PLUMED is not installed."""

import math

import numpy as np
import pytest

from ase_mlsample.biases import OPESBias
from tests.biases.plumed_peer import run_plumed

PERIOD = (-math.pi, math.pi)
KELVIN = 300.0
KT = 0.0083144621 * KELVIN  # with the constant that PLUMED has
CASES = {  # PLUMED's words, ours, and the names of the variables
    "one": ("OPES_METAD SIGMA=0.1", {"sigma": 0.1}, "d"),
    "torsion": ("OPES_METAD SIGMA=0.35", {"sigma": 0.35}, "t"),
    "two": ("OPES_METAD SIGMA=0.35,0.1", {"sigma": [0.35, 0.1]}, "td"),
    "adaptive": ("OPES_METAD", {}, "t"),
    "adaptive-two": (
        "OPES_METAD ADAPTIVE_SIGMA_STRIDE=13 SIGMA_MIN=0.7,0.05",
        {"adaptive_stride": 13, "sigma_min": [0.7, 0.05]},
        "td",
    ),
    "flat": ("OPES_METAD SIGMA=0.1 BIASFACTOR=inf", {"sigma": 0.1, "bias_factor": math.inf}, "d"),
    "floor": ("OPES_METAD SIGMA=0.1 SIGMA_MIN=0.09", {"sigma": 0.1, "sigma_min": 0.09}, "d"),
    "loose": (
        "OPES_METAD SIGMA=0.2 COMPRESSION_THRESHOLD=0 BIASFACTOR=5",
        {"sigma": 0.2, "compression": 0.0, "bias_factor": 5},
        "t",
    ),
    "explore": ("OPES_METAD_EXPLORE SIGMA=0.1", {"sigma": 0.1, "explore": True}, "d"),
    "explore-two": ("OPES_METAD_EXPLORE SIGMA=0.2,0.1", {"sigma": [0.2, 0.1], "explore": True}, "td"),
    "explore-adaptive": (
        "OPES_METAD_EXPLORE SIGMA_MIN=1.5",
        {"explore": True, "sigma_min": 1.5},
        "t",
    ),
}
KERNELS_OF = ("one", "two", "explore")


def opes(settings, variables, **more):
    domains = [PERIOD if name == "t" else None for name in variables]
    how = {"kT": KT, "barrier": 20.0, "pace": 2}
    return OPESBias(**how | {"domains": domains, "names": list(variables)} | settings | more)


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """Variables of each frame and what PLUMED says of them, by column."""
    folder = tmp_path_factory.mktemp("opes")
    rng = np.random.default_rng(0)
    shape = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    walk = np.cumsum(0.02 * rng.normal(size=(500, 4, 3)), axis=0)
    frames = shape + 0.1 * rng.normal(size=walk.shape) + 1.5 * np.sin(walk)
    lines = ["4\n100 100 100\n" + "".join("Ar {:.8f} {:.8f} {:.8f}\n".format(*r) for r in f) for f in frames]
    (folder / "t.xyz").write_text("".join(lines))
    actions = ["d: DISTANCE ATOMS=1,2", "t: TORSION ATOMS=1,2,3,4"]
    actions += [
        f"{name}: {words} ARG={','.join(variables)} PACE=2 BARRIER=20 TEMP={KELVIN:g} FILE={name}.kernels"
        for name, (words, _, variables) in CASES.items()
    ]
    (folder / "p.dat").write_text("\n".join([*actions, "PRINT ARG=* FILE=COLVAR FMT=%24.16g\n"]))
    run_plumed("driver", "--plumed", "p.dat", "--ixyz", "t.xyz", folder=folder)
    return folder, columns(folder / "COLVAR")


def columns(path):
    with path.open() as file:
        names = file.readline().split()[2:]
    return dict(zip(names, np.loadtxt(path).T, strict=True))


def values_of(table, variables):
    return np.column_stack([table[name] for name in variables])


@pytest.mark.parametrize("name", CASES)
def test_bias_of_each_frame(name, driven):
    _, table = driven
    _, settings, variables = CASES[name]
    bias = opes(settings, variables)
    for step, s in enumerate(values_of(table, variables)):
        assert bias.potential(s)[0] == pytest.approx(table[f"{name}.bias"][step], abs=3e-11)
        bias.update(s, step)
        for what, value in bias.diagnostics().items():  # PLUMED prints them after its update
            assert value == pytest.approx(table[f"{name}.{what}"][step], rel=1e-11, abs=1e-11)
    assert table[f"{name}.bias"].max() > -15
    if bias.compression:
        assert bias.n_kernels < bias.n_deposited / 2


@pytest.mark.parametrize("name", KERNELS_OF)
def test_plumed_goes_on_from_our_kernels(name, driven, tmp_path):
    """Many walkers too: what they add to sums and kernels is in the file."""
    folder, table = driven
    words, settings, variables = CASES[name]
    bias = opes(settings, variables, kernels=tmp_path / "KERNELS")
    s = values_of(table, variables)
    for step in range(1, 61):
        bias.update(s[[step, step + 100, step + 200]], step)
    bias.close()
    (tmp_path / "p.dat").write_text(
        "RESTART\nd: DISTANCE ATOMS=1,2\nt: TORSION ATOMS=1,2,3,4\n"
        f"o: {words} ARG={','.join(variables)} PACE=1000000 BARRIER=20 TEMP={KELVIN:g} FILE=KERNELS\n"
        "PRINT ARG=* FILE=COLVAR FMT=%24.16g\n"
    )
    run_plumed("driver", "--plumed", "p.dat", "--ixyz", folder / "t.xyz", folder=tmp_path)
    theirs = columns(tmp_path / "COLVAR")
    assert np.abs(bias.potential(s)[0] - theirs["o.bias"]).max() < 1e-9
    assert theirs["o.nker"][0] == bias.n_kernels < bias.n_deposited / 2
    assert bias.n_deposited == 91


def test_kernels_file_is_that_of_plumed(driven, tmp_path):
    folder, table = driven
    for name in KERNELS_OF:
        _, settings, variables = CASES[name]
        bias = opes(settings, variables, kernels=tmp_path / name)
        for step, s in enumerate(values_of(table, variables)):
            bias.update(s, step)
        bias.close()
        ours, theirs = (
            path.read_text().splitlines() for path in (tmp_path / name, folder / f"{name}.kernels")
        )
        heads = [[line.split() for line in lines if line.startswith("#!")] for lines in (ours, theirs)]
        assert [line[:3] for line in heads[0]] == [line[:3] for line in heads[1]]
        numbers = [np.array([line[-1] for line in head[2:6]], dtype=float) for head in heads]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-12)
        tables = [np.loadtxt(lines) for lines in (ours, theirs)]
        assert np.abs(tables[0] - tables[1]).max() < 1e-9
