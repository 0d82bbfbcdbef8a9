import math

import numpy as np
import pytest

from ase_mlsample.biases import Hills, MetadynamicsBias, StaticBias, read_hills

HEADER = "#! FIELDS time d t sigma_d sigma_t height biasf\n#! SET multivariate false\n"
PERIODS = "#! SET kerneltype stretched-gaussian\n#! SET min_t -pi\n#! SET max_t pi\n"
LINE = "2 0.5 1.5 0.1 0.35 1.25 5\n"


def read(text, tmp_path):
    (tmp_path / "HILLS").write_text(text)
    return read_hills(tmp_path / "HILLS")


def test_what_is_written(tmp_path):
    bias = MetadynamicsBias(
        kT=1.0, sigma=[0.1, 0.35], height=1.0, bias_factor=5, pace=2, domains=[None, (-math.pi, math.pi)],
        names=["d", "t"], hills=tmp_path / "HILLS", timestep=0.5,
    )  # fmt: skip
    bias.update([0.5, 1.5], 2)
    lines = (tmp_path / "HILLS").read_text().splitlines()
    assert "".join(f"{line}\n" for line in lines[:5]) == HEADER + PERIODS
    assert lines[5].split()[0] == "1"
    assert [float(word) for word in lines[5].split()] == [1, 0.5, 1.5, 0.1, 0.35, 1.25, 5]


def test_numbers_come_back_exactly(tmp_path):
    bias = MetadynamicsBias(
        kT=0.026,
        sigma=0.1,
        height=1 / 3,
        bias_factor=None,
        pace=1,
        domains=[(0.0, 1 / 7)],
        hills=tmp_path / "HILLS",
    )
    bias.update([1 / 11], 1)
    hills = read_hills(tmp_path / "HILLS")
    assert (hills.domains, hills.bias_factor) == (((0.0, 1 / 7),), None)
    assert (hills.centers.item(), hills.sigmas.item(), hills.heights.item()) == (1 / 11, 0.1, 1 / 3)


def test_a_line_is_on_disk_when_update_returns(tmp_path):
    bias = MetadynamicsBias(kT=1.0, sigma=0.1, height=1.0, bias_factor=5, pace=1, hills=tmp_path / "HILLS")
    for step in range(1, 5):
        bias.update([0.1 * step], step)
        assert len(read_hills(tmp_path / "HILLS")) == step


class TestReading:
    def test_reads(self, tmp_path):
        hills = read(HEADER + PERIODS + LINE * 3, tmp_path)
        assert (len(hills), hills.names, hills.bias_factor) == (3, ("d", "t"), 5)
        assert hills.domains == (None, (-math.pi, math.pi))
        assert hills.heights == pytest.approx([1, 1, 1])
        assert hills.rows.shape == (3, 6)

    def test_an_unfinished_last_line_is_left_out(self, tmp_path):
        for cut in (1, 5, len(LINE) - 1):
            assert len(read(HEADER + PERIODS + LINE * 2 + LINE[:cut], tmp_path)) == 2

    def test_no_hills_yet(self, tmp_path):
        hills = read(HEADER + PERIODS, tmp_path)
        assert len(hills) == 0
        assert hills.potential([[0.0, 0.0]]).tolist() == [0.0]
        with pytest.raises(ValueError, match="no hills"):
            StaticBias.from_hills(hills)

    def test_header_repeated_by_a_restart(self, tmp_path):
        assert len(read((HEADER + PERIODS + LINE) * 2, tmp_path)) == 2

    def test_a_further_column_of_plumed(self, tmp_path):
        text = HEADER.replace("biasf", "biasf clock") + PERIODS + LINE.replace("\n", " 17\n")
        assert read(text, tmp_path).bias_factor == 5

    def test_the_old_kernel(self, tmp_path):
        hills = read(HEADER + PERIODS.replace("stretched-", "") + LINE, tmp_path)
        assert not hills.stretched
        edge = [0.5 + 0.1 * math.sqrt(2 * 6.2), 1.5]
        assert hills.potential([edge])[0] == pytest.approx(math.exp(-6.2))
        static = StaticBias.from_hills(hills, grid_spacing=[0.01, 0.05])
        assert static.potential([0.45, 1.6])[0] == pytest.approx(hills.potential([[0.45, 1.6]])[0], abs=1e-4)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "no HILLS file"),
            ("hello\nworld\n", "no HILLS file"),
            ("\u2603\n", "no HILLS file"),
            (LINE, "no HILLS file"),
            (HEADER.replace("sigma_t", "sigma_x") + LINE, "one sigma for each"),
            (HEADER.replace("sigma_d sigma_t", "sigma_d sigma_t_d sigma_t"), "one sigma for each"),
            (HEADER.replace("false", "true") + LINE, "multivariate true"),
            (HEADER + PERIODS.replace("stretched-gaussian", "triangular"), "triangular"),
            (HEADER + PERIODS.replace(" pi", " far") + LINE, "period of t"),
            (HEADER + PERIODS + LINE + "3 0.5\n" + LINE, "line 7: 2 columns"),
            (HEADER + PERIODS + LINE + LINE.replace("0.35", "x.35"), "line 7: not all are numbers"),
            (HEADER + PERIODS + LINE.replace("0.35", "0"), "hill 1"),
            (HEADER + PERIODS + LINE.replace("1.5", "nan"), "hill 1"),
            (HEADER + PERIODS + LINE + LINE.replace(" 5\n", " 6\n"), "several bias factors"),
            (HEADER + LINE + HEADER.replace(" t ", " u ").replace("_t", "_u") + LINE, "changes its columns"),
        ],
    )
    def test_broken_or_foreign(self, text, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            read(text, tmp_path)

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_hills(tmp_path / "HILLS")


def test_points_of_another_number_of_variables(tmp_path):
    with pytest.raises(ValueError, match="points must have shape"):
        read(HEADER + PERIODS + LINE, tmp_path).potential([0.0, 1.0])


def test_sum_in_pieces_is_the_sum():
    rng = np.random.default_rng(0)
    n = 3000
    hills = Hills(
        ("s",), (None,), np.arange(n), rng.normal(size=(n, 1)), np.full((n, 1), 0.2), rng.uniform(size=n), 4.0
    )
    points = np.linspace(-2, 2, 1001)[:, None]  # three million pairs
    assert hills.potential(points)[::250] == pytest.approx(hills.potential(points[::250]), rel=1e-12)
    assert hills.free_energy(points) == pytest.approx(-4 / 3 * hills.potential(points))
