import copy
import math

import numpy as np
import pytest

from ase_mlsample.biases import OPESBias, UpperWall
from ase_mlsample.testing import check_bias

PERIOD = (-math.pi, math.pi)


def make(**settings):
    return OPESBias(**{"kT": 0.5, "barrier": 8.0, "pace": 5, "sigma": 0.3} | settings)


class Reference:
    """OPES as its papers have it: a list of kernels, sums of all of them, and one width for all walkers."""

    def __init__(self, *, kT, barrier, pace, sigma, explore=False, domains=(None,), sigma_min=0.0):
        self.kT, self.pace, self.explore, self.sigma_min = kT, pace, explore, sigma_min
        gamma = barrier / kT
        self.A = gamma - 1 if explore else 1 - 1 / gamma
        self.eps = math.exp(-gamma / self.A)
        self.c2 = 2 * gamma if explore else 2 * gamma / self.A
        self.sigma0 = np.array(sigma) * (math.sqrt(gamma) if explore else 1)
        self.turns = np.array([domain is not None for domain in domains])
        self.lows, highs = np.array([domain or (0.0, 1.0) for domain in domains]).T
        self.lengths = highs - self.lows
        self.n, self.W, self.kernels = 1, math.exp(-gamma), []
        self.W2, self.Z = self.W**2, 1.0

    def apart(self, a, b):
        return a - b - self.turns * self.lengths * np.round((a - b) / self.lengths)

    def sum(self, s):
        total = 0.0
        for h, c, sigma in self.kernels:
            q = ((self.apart(s, c) / sigma) ** 2).sum()
            total += h * (math.exp(-q / 2) - math.exp(-self.c2 / 2)) if q < self.c2 else 0
        return total

    def potential(self, s):
        N = self.n if self.explore else self.W
        return self.A * self.kT * math.log(self.sum(s) / (N * self.Z) + self.eps)

    def update(self, s, step):
        if step % self.pace:
            return
        d, w = s.shape[1], np.exp([self.potential(x) / self.kT for x in s])
        self.n, self.W, self.W2 = self.n + len(s), self.W + w.sum(), self.W2 + (w**2).sum()
        size = self.n if self.explore else (1 + self.W) ** 2 / (1 + self.W2)
        sigma = np.maximum(self.sigma0 * (size * (d + 2) / 4) ** (-1 / (d + 4)), self.sigma_min)
        for x, weight in zip(s, w, strict=True):
            self.add((1 if self.explore else weight) * np.prod(self.sigma0 / sigma), x, sigma)
        overlap = sum(self.sum(c) for _, c, _ in self.kernels)
        self.Z = overlap / (self.n if self.explore else self.W) / len(self.kernels)

    def add(self, h, c, sigma):
        near = [
            (((self.apart(c, kernel[1]) / kernel[2]) ** 2).sum(), i) for i, kernel in enumerate(self.kernels)
        ]
        if not near or min(near)[0] >= 1:
            self.kernels.append((h, c, sigma))
            return
        h2, c2, sigma2 = self.kernels.pop(min(near)[1])
        c2 = c + self.apart(c2, c)
        mean = (h * c + h2 * c2) / (h + h2)
        square = (h * (sigma**2 + c**2) + h2 * (sigma2**2 + c2**2)) / (h + h2)
        center = mean - self.turns * self.lengths * np.floor((mean - self.lows) / self.lengths)
        self.add(h + h2, center, np.sqrt(square - mean**2))


def trajectory(steps, walkers, d, seed=0):
    """Walkers that diffuse between reflecting ends, with values in and out of a period."""
    rng = np.random.default_rng(seed)
    free = np.cumsum(0.2 * rng.normal(size=(steps, walkers, d)), axis=0) + rng.uniform(-1, 3.5, (walkers, d))
    return np.abs(np.mod(free + 1, 9) - 4.5) - 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"explore": True},
        {"sigma": None},
        {"sigma": None, "explore": True, "domains": [PERIOD]},
        {"sigma": [0.3, 0.5], "domains": [PERIOD, None], "names": ["phi", "d"]},
        {"sigma": None, "n_cvs": 3, "adaptive_stride": 7, "sigma_min": 0.05},
        {"bias_factor": math.inf, "compression": 0.0, "barrier": 20.0},
        {"bias_factor": 4.0, "sigma_min": 0.1, "timestep": 0.5},
    ],
    ids=["metad", "explore", "adaptive", "torsion", "two", "three", "flat", "floor"],
)
def test_contract(settings):
    bias = make(**settings)
    check_bias(bias, np.random.default_rng(1).uniform(-1, 1, (6, bias.n_cvs)), steps=60)


@pytest.mark.parametrize("explore", [False, True])
@pytest.mark.parametrize(("domains", "sigma"), [([None], [0.3]), ([PERIOD, None], [0.4, 0.3])])
@pytest.mark.parametrize("walkers", [1, 6])
def test_against_the_plain_sum(explore, domains, sigma, walkers):
    settings = {"sigma": sigma, "domains": domains, "explore": explore, "sigma_min": 0.05}
    bias, reference = make(**settings), Reference(kT=0.5, barrier=8.0, pace=5, **settings)
    for step, s in enumerate(trajectory(151, walkers, len(sigma))):
        for x, V in zip(s, bias.potential(s)[0], strict=True):
            assert pytest.approx(reference.potential(x), abs=1e-9) == V
        bias.update(s[0] if walkers == 1 else s, step)
        if step > 0:
            reference.update(s, step)
    assert bias.n_deposited == reference.n == 30 * walkers + 1
    assert bias.n_kernels == len(reference.kernels) < 25 * walkers
    assert bias.zed == pytest.approx(reference.Z)
    assert bias.n_eff == pytest.approx((1 + reference.W) ** 2 / (1 + reference.W2))
    assert bias.rct == pytest.approx(0.5 * math.log(reference.W / reference.n))
    assert bias.diagnostics() == {
        "rct": bias.rct, "zed": bias.zed, "neff": bias.n_eff, "nker": bias.n_kernels
    }  # fmt: skip
    at = trajectory(1, 60, len(sigma), seed=3)[0]
    P = np.array([reference.sum(x) for x in at])
    with np.errstate(divide="ignore"):
        F = -0.5 * np.log(P) - (bias.potential(at)[0] if explore else 0)
    seen = np.isfinite(F)
    assert seen.sum() > 3
    found = bias.free_energy(at)
    assert np.array_equal(np.isfinite(found), seen)
    assert found[seen] - found[seen][0] == pytest.approx(F[seen] - F[seen][0])


@pytest.mark.parametrize("explore", [False, True])
def test_free_energy_of_samples_that_follow_the_bias(explore):
    """Independent samples of e^{−F−V}: what is left is the width of kernels, and the noise of 20,000 samples.

    With γ = ΔE/kT, as it is unless given, ε is a third, and −γ ln P is wrong by 0.4.
    """
    x = np.linspace(-1.8, 1.8, 361)
    exact = 6 * (x**2 - 1) ** 2 + x
    bias, rng = OPESBias(kT=1.0, barrier=9.0, pace=1, sigma=0.1, explore=explore), np.random.default_rng(0)
    for step in range(1, 501):
        cumulated = np.cumsum(np.exp(-exact - bias.potential(x[:, None])[0]))
        bias.update(np.interp(rng.random((40, 1)), cumulated / cumulated[-1], x), step)
    low = exact < exact.min() + 6
    F, V = bias.free_energy(x[:, None]), bias.potential(x[:, None])[0]
    assert np.std((F - exact)[low]) < 0.2
    if explore:
        assert np.std((bias.bias_factor * (F + V) - exact)[low]) > 0.35


# V of PLUMED 2.11 (kJ/mol) at s(t) = 1.5 sin 0.07t + 0.3 sin 1.3t, before the kernel that is left there
PLUMED = {
    "measured": (
        {"sigma": None},
        [2.10977097955466, 3.71252632322894, 2.44125910271173, -3.55929222188298, -3.06095464381786],
    ),
    "given": (
        {"sigma": 0.3},
        [-15.8505376960694, -11.7477798695611, -11.7297380364553, -7.90655646496727, -1.57038830719872],
    ),
    "explore": (
        {"sigma": 0.2, "sigma_min": 0.1, "explore": True},
        [8.72029855448493, 8.07091507890187, 2.71442307502225, -1.73813336909113, 3.83188133253713],
    ),
}


@pytest.mark.parametrize("name", PLUMED)
def test_numbers_of_plumed(name):
    settings, expected = PLUMED[name]
    bias = make(kT=0.0083144621 * 300, barrier=25.0, pace=4, **settings)
    found = []
    for step in range(401):
        s = [round(1.5 * math.sin(0.07 * step) + 0.3 * math.sin(1.3 * step), 6)]
        if step and step % 80 == 0:
            found.append(bias.potential(s)[0])
        bias.update(s, step)
    assert found == pytest.approx(expected, abs=1e-9)


class TestUpdate:
    def test_pace(self):
        bias = make()
        assert [bias.update([0.0], step) for step in range(11)] == [step in (5, 10) for step in range(11)]
        assert (bias.n_deposited, bias.n_kernels) == (3, 1)

    def test_before_the_first_kernel(self):
        value, gradient = make().potential([0.7])
        assert value == pytest.approx(-8.0)
        assert gradient == [0.0]

    def test_one_walker_in_a_row_of_one(self):
        one, row = make(sigma=None), make(sigma=None)
        for step, s in enumerate(trajectory(200, 1, 1)):
            one.update(s[0], step)
            row.update(s, step)
        assert one.potential([0.1])[0] == row.potential([0.1])[0]

    def test_is_flat_to_start_while_widths_are_measured(self):
        bias = make(sigma=None)
        changed = [bias.update(s[0], step) for step, s in enumerate(trajectory(60, 1, 1))]
        assert changed.index(True) == bias.adaptive_stride == 50

    def test_measured_widths(self):
        rng = np.random.default_rng(0)
        for walkers in (1, 8):
            bias = make(sigma=None, adaptive_stride=2000, kT=1.0)
            for step in range(1, 2001):
                bias.update(0.4 * rng.normal(size=(walkers, 1)), step)
            assert bias._first_sigma == pytest.approx([0.4], rel=0.05)

    def test_fluctuations_across_the_end_of_a_period(self):
        rng = np.random.default_rng(0)
        s = math.pi + 0.3 * rng.normal(size=(501, 1))
        bias = make(sigma=None, adaptive_stride=500, domains=[PERIOD])
        for step, value in enumerate(s):
            bias.update(np.mod(value + math.pi, 2 * math.pi) - math.pi, step)
        assert bias._first_sigma == pytest.approx([0.3], rel=0.1)

    def test_a_variable_that_stands_still(self):
        bias = make(sigma=None, adaptive_stride=10)
        for step in range(10):
            bias.update([1.0], step)
        with pytest.raises(ValueError, match=r"did not change in 10 steps.*sigma_min"):
            bias.update([1.0], 10)
        bias = make(sigma=None, adaptive_stride=10, sigma_min=0.1)
        for step in range(11):
            bias.update([1.0], step)
        assert bias._density.kernels()[1][0] == pytest.approx([0.1 * 0.75**-0.2], rel=1e-3)

    def test_walkers_that_come_and_go(self):
        bias = make()
        bias.update([0.0], 5)
        bias.update(np.zeros((3, 1)), 10)
        assert bias.n_deposited == 5
        bias = make(sigma=None)
        bias.update([0.0], 1)
        with pytest.raises(ValueError, match=r"1 walker\(s\), got 2"):
            bias.update(np.zeros((2, 1)), 2)

    @pytest.mark.parametrize("sigma", [0.3, None])
    def test_a_walker_that_is_lost(self, sigma):
        bias = make(sigma=sigma)
        before = bias.state_dict()
        with pytest.raises(ValueError, match="not finite"):
            bias.update([[0.0], [math.nan]], 5)
        assert str(bias.state_dict()) == str(before)

    def test_free_energy_needs_kernels(self):
        with pytest.raises(ValueError, match="no kernels yet"):
            make().free_energy([[0.0]])
        bias = make(pace=1)
        bias.update([0.0], 1)
        with pytest.raises(ValueError, match="points must have shape"):
            bias.free_energy([0.0])

    def test_in_a_sum(self):
        one, two = make(pace=1), make(pace=1, sigma=0.2)
        total = one + UpperWall(1.0, 5.0) + two
        total.update([0.3], 1)
        names = ["rct", "zed", "neff", "nker"]
        assert list(total.diagnostics()) == names + [f"{name}_2" for name in names]
        check_bias(total, [[0.1], [0.2]], steps=10)


class TestContinuation:
    def run(self, bias, steps):
        s = trajectory(400, 2, 1)
        for step in steps:
            bias.update(s[step], step)
        bias.flush()
        return bias

    @pytest.mark.parametrize("sigma", [0.3, None])
    def test_is_exact_file_included(self, sigma, tmp_path):
        whole = self.run(make(sigma=sigma, kernels=tmp_path / "whole"), range(1, 400))
        part = self.run(make(sigma=sigma, kernels=tmp_path / "part"), range(1, 200))
        state = copy.deepcopy(part.state_dict())
        self.run(part, range(200, 233))
        with (tmp_path / "part").open("ab") as file:
            file.write(b"235 0.43 0.")
        again = make(sigma=sigma, kernels=tmp_path / "part")
        again.load_state_dict(state)
        self.run(again, range(200, 400))
        assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
        points = np.linspace(-3, 3, 77)[:, None]
        assert np.array_equal(again.potential(points)[0], whole.potential(points)[0])
        assert again.diagnostics() == whole.diagnostics()

    def test_files(self, tmp_path):
        path = tmp_path / "KERNELS"
        state = self.run(make(kernels=path), range(1, 50)).state_dict()
        content = path.read_bytes()
        with pytest.raises(FileExistsError, match="move the file away"):
            make(kernels=path).update([0.0], 1)
        with pytest.raises(ValueError, match="wrote no KERNELS file"):
            make(kernels=path).load_state_dict(self.run(make(), range(1, 50)).state_dict())
        assert path.read_bytes() == content
        assert make(kernels=path).kernels == path
        path.write_bytes(content[:-5])
        with pytest.raises(ValueError, match="KERNELS file of this state"):
            make(kernels=path).load_state_dict(state)
        path.unlink()
        with pytest.raises(ValueError, match="does not exist"):
            make(kernels=path).load_state_dict(state)

    @pytest.mark.parametrize(
        "other",
        [{"sigma": 0.2}, {"barrier": 9.0}, {"explore": True}, {"pace": 6}, {"kT": 0.6}, {"bias_factor": 7.0}],
    )
    def test_other_settings_are_refused(self, other):
        with pytest.raises(ValueError, match=next(iter(other))):
            make(**other).load_state_dict(make().state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kT": 0.0}, "kT must be a positive"),
        ({"kT": -1.0}, "kT must be a positive"),
        ({"kT": math.nan}, "kT must be a positive"),
        ({"barrier": 0.0}, "barrier must be a positive"),
        ({"barrier": -3.0}, "barrier must be a positive"),
        ({"barrier": math.nan}, "barrier must be a positive"),
        ({"barrier": 0.4}, "barrier is 0.8 kT"),
        ({"barrier": 1e6}, "too high"),
        ({"pace": 0}, "pace must be a whole number"),
        ({"pace": 1.5}, "pace must be a whole number"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": math.nan}, "sigma must hold finite"),
        ({"sigma": [0.1, 0.1], "n_cvs": 3}, "sigma must hold 3 number"),
        ({"sigma": [[0.1]]}, "sigma must hold 1 number"),
        ({"sigma_min": -0.1}, "sigma_min must be positive"),
        ({"sigma_min": 0.4}, "must not be above"),
        ({"bias_factor": 1.0}, "bias_factor must be above 1"),
        ({"bias_factor": math.nan}, "bias_factor must be a positive"),
        ({"bias_factor": math.inf, "explore": True}, "finite to explore"),
        ({"bias_factor": math.inf, "sigma": None}, "needs sigma"),
        ({"adaptive_stride": 100}, "leave it or sigma out"),
        ({"adaptive_stride": 3, "sigma": None}, "must not be below pace=5"),
        ({"compression": -0.1}, "compression must be"),
        ({"compression": 9.0}, "compression must be"),
        ({"compression": math.nan}, "compression must be"),
        ({"n_cvs": 0}, "n_cvs"),
        ({"sigma": "wide"}, "sigma must hold 1 number.*, got 'wide'"),
        ({"domains": [None, None], "sigma": [0.1] * 3}, "domains must hold 3"),
        ({"domains": [1.0]}, r"domains must hold \(low, high\) or None"),
        ({"domains": [(1.0, 0.0)]}, "low < high"),
        ({"names": ["a b"]}, "names must be"),
        ({"timestep": 0.0}, "timestep must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_counts_variables_from_what_is_given():
    given = [{"n_cvs": 2}, {"sigma": [0.1, 0.2]}, {"domains": [None, PERIOD]}, {"names": ["a", "b"]}]
    for settings in given:
        assert make(**{"sigma": None} | settings).n_cvs == 2
    assert make(sigma=None).n_cvs == 1
    assert make(sigma=np.array([0.1, 0.2])).n_cvs == 2
    assert make(sigma=0.1, names=["a", "b"]).sigma.tolist() == [0.1, 0.1]


def test_explore_is_a_switch():
    with pytest.raises(TypeError, match="explore must be True or False, got 'no'"):
        make(explore="no")
