import math

import numpy as np
import pytest

from ase_mlsample.biases import Hills, MetadynamicsBias, read_hills
from ase_mlsample.testing import check_bias

PERIOD = (-math.pi, math.pi)


def make(**settings):
    return MetadynamicsBias(
        **{"kT": 0.5, "sigma": 0.2, "height": 1.0, "bias_factor": 6.0, "pace": 10} | settings
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias_factor": None},
        {"domains": [PERIOD]},
        {"bounds": [(-3.0, 3.0)], "grid_spacing": 0.05},
        {"sigma": [0.2, 0.4], "domains": [None, PERIOD], "names": ["d", "phi"]},
        {"sigma": [0.4, 0.3, 0.5], "domains": [None, PERIOD, None], "bounds": [None, None, (-2.5, 2.5)]},
    ],
    ids=["line", "plain", "torsion", "bounds", "two", "three"],
)
def test_contract(settings):
    d = np.size(settings.get("sigma", 0.2))
    check_bias(make(**settings), np.random.default_rng(1).uniform(-2, 2, (6, d)), steps=60)


class TestHeights:
    def test_tempered_by_the_bias_before(self):
        bias, s = make(grid_spacing=0.02), [0.3]
        expected = 0.0
        for step in range(1, 51):
            assert bias.update(s, step) == (step % 10 == 0)
            if step % 10 == 0:
                expected += math.exp(-expected / (5 * 0.5))
                assert bias.potential(s)[0] == pytest.approx(expected, abs=1e-5)
        assert bias.n_hills == 5

    def test_plain(self):
        bias = make(bias_factor=None)
        for step in range(1, 51):
            bias.update([0.3], step)
        assert bias.potential([0.3])[0] == pytest.approx(5.0, abs=1e-3)

    def test_walkers_are_tempered_with_one_v(self, tmp_path):
        bias = make(hills=tmp_path / "HILLS")
        bias.update([0.3], 10)
        bias.update(np.array([[0.3], [0.3], [2.0]]), 20)
        heights = read_hills(tmp_path / "HILLS").heights
        assert heights == pytest.approx([1, math.exp(-0.4), math.exp(-0.4), 1], abs=1e-4)
        assert bias.n_hills == 4

    def test_nothing_at_step_0(self):
        bias = make(pace=1)
        assert not bias.update([0.3], 0)
        assert bias.n_hills == 0


class TestGrid:
    @pytest.mark.parametrize(
        ("sigma", "domains"),
        [(0.2, None), (0.3, [PERIOD]), ([0.2, 0.4], [None, PERIOD]), ([0.4, 0.4, 0.5], [PERIOD, None, None])],
    )
    def test_against_the_plain_sum(self, sigma, domains, tmp_path):
        bias = make(sigma=sigma, domains=domains, hills=tmp_path / "HILLS", pace=1)
        rng = np.random.default_rng(4)
        for step in range(1, 41):
            bias.update(rng.uniform(-3, 3, bias.n_cvs), step)
        hills = read_hills(tmp_path / "HILLS")
        points = rng.uniform(-3.3, 3.3, (300, bias.n_cvs))
        exact = hills.potential(points)
        values, _ = bias.potential(points)
        # cubic interpolation at sigma/5, and kinks where hills end
        assert np.abs(values - exact).max() < 1e-3
        axes, table = bias.nodes()
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, bias.n_cvs)
        chosen = rng.integers(len(grid), size=500)
        assert np.abs(table.ravel()[chosen] - hills.potential(grid[chosen])).max() < 1e-12

    def test_grows_without_changing_what_is_there(self):
        bias, points = make(pace=1), np.linspace(-1, 1, 101)[:, None]
        bias.update([0.0], 1)
        before = bias.potential(points)
        bias.update([25.0], 2)
        after = bias.potential(points)
        assert np.array_equal(before[0], after[0])
        assert np.array_equal(before[1], after[1])
        assert bias.potential([25.0])[0] == pytest.approx(1, abs=1e-4)

    def test_bounds(self):
        bias = make(bounds=[(0.0, 1.0)], pace=1)
        assert not bias.update([1.2], 1)
        assert bias.update([0.95], 2)
        value, gradient = bias.potential([1.3])
        assert value == bias.potential([1.0])[0] > 0.9
        assert gradient[0] == 0
        assert bias.update([[0.5], [1.5]], 3)
        assert bias.n_hills == 2

    def test_periodic_variables_are_wrapped(self, tmp_path):
        bias = make(domains=[PERIOD], hills=tmp_path / "HILLS", pace=1)
        bias.update([math.pi + 0.1], 1)
        bias.close()
        assert read_hills(tmp_path / "HILLS").centers[0, 0] == pytest.approx(0.1 - math.pi)
        assert bias.potential([-math.pi + 0.1])[0] == pytest.approx(1, abs=1e-4)

    def test_frozen_is_the_same_and_stays(self):
        for settings in ({}, {"domains": [PERIOD]}, {"bounds": [(-1.0, 1.0)]}, {"sigma": [0.3, 0.2]}):
            bias = make(pace=1, **settings)
            rng = np.random.default_rng(0)
            for step in range(1, 6):
                bias.update(rng.uniform(-1, 1, bias.n_cvs), step)
            points = rng.uniform(-4, 4, (200, bias.n_cvs))
            frozen = bias.freeze()
            for one, other in zip(bias.potential(points), frozen.potential(points), strict=True):
                assert np.abs(one - other).max() < 1e-10
            assert not frozen.update(points[0], 1)
        with pytest.raises(ValueError, match="no hills"):
            make().freeze()


class TestContinuation:
    def run(self, path, steps, *, bias=None):
        bias = bias or make(hills=path)
        for step in steps:
            bias.update([math.sin(0.1 * step) + 0.01 * step], step)
        bias.flush()
        return bias

    def test_is_exact_file_included(self, tmp_path):
        whole = self.run(tmp_path / "whole", range(1, 301))
        part = self.run(tmp_path / "part", range(1, 151))
        state = part.state_dict()
        self.run(None, range(151, 205), bias=part)  # goes on, and is killed within a line
        with (tmp_path / "part").open("ab") as file:
            file.write(b"210 0.43 0.")
        again = make(hills=tmp_path / "part")
        again.load_state_dict(state)
        self.run(None, range(151, 301), bias=again)
        assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
        points = np.linspace(-2, 5, 77)[:, None]
        assert np.array_equal(again.potential(points)[0], whole.potential(points)[0])
        assert again.n_hills == whole.n_hills == 30

    def test_a_state_from_before_the_file(self, tmp_path):
        state = make(hills=tmp_path / "HILLS").state_dict()
        self.run(tmp_path / "HILLS", range(1, 31))
        again = make(hills=tmp_path / "HILLS")
        again.load_state_dict(state)
        assert len(read_hills(tmp_path / "HILLS")) == 0
        self.run(None, range(1, 21), bias=again)
        assert len(read_hills(tmp_path / "HILLS")) == 2

    def test_a_new_run_does_not_touch_an_old_file(self, tmp_path):
        self.run(tmp_path / "HILLS", range(1, 31))
        content = (tmp_path / "HILLS").read_bytes()
        bias = make(hills=tmp_path / "HILLS")
        with pytest.raises(FileExistsError, match="move the file away"):
            bias.update([0.0], 1)
        assert (tmp_path / "HILLS").read_bytes() == content

    def test_wrong_files(self, tmp_path):
        path = tmp_path / "HILLS"
        state = self.run(path, range(1, 31)).state_dict()
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(ValueError, match="it has"):
            make(hills=path).load_state_dict(state)
        path.write_text("#! FIELDS time other sigma_other height biasf\n" * 20)
        with pytest.raises(ValueError, match="another run"):
            make(hills=path).load_state_dict(state)
        path.unlink()
        with pytest.raises(ValueError, match="does not exist"):
            make(hills=path).load_state_dict(state)
        assert not path.exists()

    def test_a_run_without_a_file_cannot_get_one(self, tmp_path):
        bias = make()
        bias.update([0.0], 10)
        with pytest.raises(ValueError, match="first 1 hills"):
            make(hills=tmp_path / "HILLS").load_state_dict(bias.state_dict())

    @pytest.mark.parametrize(
        "other",
        [
            {"sigma": 0.3},
            {"kT": 0.6},
            {"domains": [PERIOD]},
            {"names": ["d"]},
            {"pace": 11},
            {"bias_factor": None},
            {"sigma": [0.2, 0.2]},
        ],
    )
    def test_other_settings_are_refused(self, other):
        with pytest.raises(ValueError, match=next(iter(other))):
            make(**other).load_state_dict(make().state_dict())


class TestHillsOfAnEarlierRun:
    def test_go_on_with_other_settings(self, tmp_path):
        first = make(hills=tmp_path / "0", pace=1)
        for step in range(1, 6):
            first.update([0.1 * step], step)
        first.close()
        second = make(hills=tmp_path / "1", pace=7, height=0.1, bias_factor=20)
        second.add_hills(read_hills(tmp_path / "0"))
        points = np.linspace(-1, 2, 31)[:, None]
        assert np.abs(second.potential(points)[0] - first.potential(points)[0]).max() < 1e-12
        second.update([0.3], 7)
        second.close()
        hills = read_hills(tmp_path / "1")
        assert len(hills) == second.n_hills == 6
        assert np.abs(hills.potential(points) - second.potential(points)[0]).max() < 1e-3

    @pytest.mark.parametrize("other", [{"names": ["d"]}, {"domains": [PERIOD]}, {"sigma": [0.2, 0.2]}])
    def test_of_other_variables(self, other, tmp_path):
        bias = make(hills=tmp_path / "HILLS", pace=1, **other)
        bias.update(np.zeros(bias.n_cvs), 1)
        with pytest.raises(ValueError, match="this bias has"):
            make().add_hills(read_hills(tmp_path / "HILLS"))

    def test_of_the_old_kernel(self):
        one = np.ones((1, 1))
        hills = Hills(("s1",), (None,), one[0], one, one, one[0], None, stretched=False)
        with pytest.raises(ValueError, match=r"StaticBias\.from_hills"):
            make().add_hills(hills)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kT": 0.0}, "kT must be a positive"),
        ({"kT": None}, "kT must be a positive"),
        ({"kT": math.nan}, "kT must be a positive"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": [0.1, -0.1]}, "sigma must be positive"),
        ({"sigma": math.nan}, "sigma must hold finite"),
        ({"sigma": [0.1] * 4}, "one to three"),
        ({"height": -1.0}, "height must be"),
        ({"bias_factor": 1.0}, "bias_factor must be above 1"),
        ({"bias_factor": 0.0}, "bias_factor must be"),
        ({"pace": 0}, "pace must be a whole number"),
        ({"pace": 2.5}, "pace must be a whole number"),
        ({"pace": True}, "pace must be a whole number"),
        ({"grid_spacing": 0.15}, "at most sigma / 2"),
        ({"grid_spacing": -0.1}, "must be positive"),
        ({"bounds": [(1.0, 0.0)]}, "bounds must hold"),
        ({"bounds": [(0.0, 1.0)], "domains": [PERIOD]}, "cannot have bounds"),
        ({"domains": [None, None]}, "domains must hold 1"),
        ({"names": ["a b"]}, "different words"),
        ({"names": ["φ"]}, "words of ASCII letters"),
        ({"names": ["a", "b"]}, "different words"),
        ({"timestep": 0.0}, "timestep"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize("s", [[math.nan], [[0.0], [math.inf]], [0.0, 1.0], [[[0.0]]]])
def test_bad_variables_leave_the_bias_as_it_is(s, tmp_path):
    bias = make(hills=tmp_path / "HILLS")
    bias.update([0.0], 10)
    with pytest.raises(ValueError, match="variable"):
        bias.update(s, 20)
    with pytest.raises(ValueError, match="variable"):
        bias.potential(s)
    assert bias.n_hills == len(read_hills(tmp_path / "HILLS")) == 1


def test_hills_fill_a_well_to_its_free_energy():
    """Walkers that draw from exp(-(U + V)/kT) itself: V becomes -(1 - 1/gamma) F."""
    bias = make(kT=1.0, sigma=0.15, height=0.3, bias_factor=5.0, pace=1, bounds=[(-1.5, 1.5)])
    grid, rng = np.linspace(-1.5, 1.5, 601)[:, None], np.random.default_rng(0)
    u = 4 * (grid[:, 0] ** 2 - 1) ** 2 + 0.5 * grid[:, 0]
    for step in range(1, 4001):
        weights = np.exp(-(u + bias.potential(grid)[0]))
        bias.update(grid[rng.choice(601, size=4, p=weights / weights.sum())], step)
    free_energy = -1.25 * bias.potential(grid)[0]
    inner = (u < 6) & (np.abs(grid[:, 0]) < 1.3)
    error = free_energy[inner] - u[inner]
    assert np.sqrt(np.mean((error - error.mean()) ** 2)) < 0.15
