"""HILLS files go to PLUMED's sum_hills and come from PLUMED; skipped where it is not installed."""

import dataclasses
import math

import numpy as np
import pytest

from ase_mlsample.biases import MetadynamicsBias, StaticBias, read_hills
from ase_mlsample.biases.plumed_grid import read_plumed_grid
from tests.biases.plumed_peer import run_plumed

PERIOD = (-math.pi, math.pi)
CASES = {
    "line": ({"sigma": 0.2, "bias_factor": 8.0}, [(-2.0, 2.0)]),
    "plain": ({"sigma": 0.2, "bias_factor": None}, [(-2.0, 2.0)]),
    "torsion": ({"sigma": 0.35, "bias_factor": 12.0, "domains": [PERIOD]}, [PERIOD]),
    "mixed": (
        {"sigma": [0.35, 0.1], "bias_factor": 6.0, "domains": [PERIOD, None]},
        [PERIOD, (-0.5, 1.5)],
    ),
    "torsions": ({"sigma": [0.4, 0.35], "bias_factor": 6.0, "domains": [PERIOD] * 2}, [PERIOD] * 2),
}


def deposit(path, settings, ranges, n=150):
    """A run of hills, most on top of others; kT is 0.1 and the hills are 0.8 kT."""
    bias = MetadynamicsBias(kT=0.1, height=0.08, pace=10, hills=path, **settings)
    rng = np.random.default_rng(3)
    low, high = np.array(ranges).T
    for step in range(1, 10 * n + 1):
        s = low + (high - low) * (0.25 + 0.5 * rng.beta(0.7, 0.9, size=len(ranges)))
        if settings.get("domains"):
            s = low + np.mod(1.7 * (s - low), high - low)
        bias.update(s, step)
    bias.close()
    return bias


def sum_hills(path, ranges, bins):
    ends = [
        ",".join({PERIOD[0]: "-pi", PERIOD[1]: "pi"}.get(r[k], str(r[k])) for r in ranges) for k in (0, 1)
    ]
    arguments = ["--min", ends[0], "--max", ends[1], "--bin", ",".join(map(str, bins))]
    run_plumed(
        "sum_hills", "--hills", path, "--outfile", "fes.dat", "--fmt", "%.15g", *arguments, folder=path.parent
    )
    return read_plumed_grid(path.parent / "fes.dat")


@pytest.mark.parametrize("name", CASES)
def test_sum_hills_gives_our_free_energy(name, tmp_path):
    settings, ranges = CASES[name]
    bias = deposit(tmp_path / "HILLS", settings, ranges)
    # PLUMED's nodes at ours on a periodic axis, since it cannot interpolate between them
    sizes, spacings = bias._grid.size, bias._grid.spacings
    bins = [
        n if d else round((r[1] - r[0]) / h)
        for n, h, d, r in zip(sizes, spacings, bias.domains, ranges, strict=True)
    ]
    fes = sum_hills(tmp_path / "HILLS", ranges, bins)
    points = np.stack(np.meshgrid(*fes.axes, indexing="ij"), axis=-1).reshape(-1, len(ranges))
    factor = 1.0 if bias.bias_factor is None else bias.bias_factor / (bias.bias_factor - 1)
    ours = -factor * bias.potential(points)[0].reshape(fes.values.shape)
    kT = bias.kT
    assert np.abs(fes.values).max() > 5 * kT
    assert np.abs(ours - fes.values).max() < 1e-6 * kT
    summed = read_hills(tmp_path / "HILLS").free_energy(points).reshape(fes.values.shape)
    assert np.abs(summed - fes.values).max() < 1e-6 * kT


def test_any_name_becomes_one_that_sum_hills_takes(tmp_path):
    bias = deposit(tmp_path / "HILLS", {"sigma": 0.2, "bias_factor": 8.0, "names": ["(2.5*d-d)"]}, [(-2, 2)])
    assert bias.names == ("2_5_d-d",)
    fes = sum_hills(tmp_path / "HILLS", [(-2.0, 2.0)], [50])
    assert np.abs(-8 / 7 * bias.potential(fes.axes[0][:, None])[0] - fes.values).max() < 1e-5
    hills = read_hills(tmp_path / "HILLS")
    bias.add_hills(dataclasses.replace(hills, names=("2.5.d-d",)))  # as a file of PLUMED has components


def test_several_walkers_in_one_call(tmp_path):
    bias = MetadynamicsBias(kT=1.0, height=1.0, sigma=0.2, bias_factor=5, pace=1, hills=tmp_path / "HILLS")
    rng = np.random.default_rng(0)
    for step in range(1, 30):
        bias.update(rng.uniform(-1, 1, (4, 1)), step)
    fes = sum_hills(tmp_path / "HILLS", [(-1.0, 1.0)], [50])
    assert np.abs(-1.25 * bias.potential(fes.axes[0][:, None])[0] - fes.values).max() < 1e-6


def assert_the_bias_of_each_frame(hills, times, s, expected):
    """PLUMED asks for the bias of a frame before it adds the hill of that frame."""
    assert expected.max() > 1
    for time, point, bias in zip(times, s, expected, strict=True):
        earlier = hills.times < time
        before = dataclasses.replace(
            hills,
            times=hills.times[earlier],
            centers=hills.centers[earlier],
            sigmas=hills.sigmas[earlier],
            heights=hills.heights[earlier],
        )
        assert before.potential([point])[0] == pytest.approx(bias, abs=1e-9)


@pytest.fixture
def driven(tmp_path):
    """A folder in which PLUMED did metadynamics of a torsion and a distance, with its grid of the bias."""
    rng = np.random.default_rng(0)
    shape = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    frames = [shape + 0.3 * rng.normal(size=(4, 3)) for _ in range(120)]
    lines = ["4\n100 100 100\n" + "".join("Ar {:.8f} {:.8f} {:.8f}\n".format(*r) for r in f) for f in frames]
    (tmp_path / "t.xyz").write_text("".join(lines))
    (tmp_path / "p.dat").write_text(
        "d: DISTANCE ATOMS=1,2\n"
        "t: TORSION ATOMS=1,2,3,4\n"
        "m: METAD ARG=t,d SIGMA=0.35,0.02 HEIGHT=1.2 PACE=2 BIASFACTOR=8 TEMP=300 FILE=HILLS\n"
        "p: METAD ARG=t SIGMA=0.35 HEIGHT=1.2 PACE=2 FILE=PLAIN GRID_MIN=-pi GRID_MAX=pi GRID_BIN=90 "
        "GRID_WFILE=GRID GRID_WSTRIDE=1\n"
        "w: METAD ARG=t SIGMA=1.5 HEIGHT=1.2 PACE=2 FILE=WIDE\n"
        "PRINT ARG=t,d,m.bias,w.bias FILE=COLVAR FMT=%24.15g\n"
    )
    run_plumed("driver", "--plumed", "p.dat", "--ixyz", "t.xyz", folder=tmp_path)
    return tmp_path


class TestFilesOfPlumed:
    def test_tempered(self, driven):
        hills = read_hills(driven / "HILLS")
        assert (hills.names, hills.domains) == (("t", "d"), (PERIOD, None))
        assert hills.bias_factor == 8
        assert hills.heights[0] == pytest.approx(1.2, rel=1e-12)
        columns = np.loadtxt(driven / "COLVAR").T
        assert_the_bias_of_each_frame(hills, columns[0], columns[1:3].T, columns[3])

    def test_wider_than_the_period(self, driven):
        # (sum_hills counts some nodes of such hills twice)
        columns = np.loadtxt(driven / "COLVAR").T
        hills = read_hills(driven / "WIDE")
        assert_the_bias_of_each_frame(hills, columns[0], columns[1:2].T, columns[4])
        exact = hills.potential(columns[1:2].T)  # with a kink opposite each hill
        assert np.abs(StaticBias.from_hills(hills).potential(columns[1:2].T)[0] - exact).max() < 0.03

    def test_its_heights_are_ours(self, driven):
        hills = read_hills(driven / "HILLS")
        kT = 0.008314462618 * 300
        bias = MetadynamicsBias(
            kT=kT,
            sigma=[0.35, 0.02],
            height=1.2,
            bias_factor=8,
            pace=1,
            domains=hills.domains,
            names=hills.names,
        )
        for step, center in enumerate(hills.centers, 1):
            expected = bias.height * np.exp(-bias.potential(center)[0] / (7 * kT))
            assert expected == pytest.approx(hills.heights[step - 1], rel=1e-4)
            bias.update(center, step)

    def test_plain(self, driven):
        hills = read_hills(driven / "PLAIN")
        assert hills.bias_factor is None
        assert np.all(hills.heights == 1.2)

    def test_its_grid_is_the_sum_and_a_static_bias(self, driven):
        static, hills = StaticBias.read(driven / "GRID"), read_hills(driven / "PLAIN")
        assert static.domains[0] == pytest.approx(PERIOD)
        nodes = static.axes[0][:, None]
        assert np.abs(static.values - hills.potential(nodes)).max() < 1e-7  # the file has nine decimals
        between = nodes + 0.4 * (nodes[1] - nodes[0])
        assert (
            np.abs(static.potential(between)[0] - hills.potential(between)).max() < 2e-3 * static.values.max()
        )
