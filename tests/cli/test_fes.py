import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from ase_mlsample.analysis.fes_files import read_free_energy
from ase_mlsample.biases import MetadynamicsBias, read_hills
from ase_mlsample.biases.hills_file import HillsFile
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction
from ase_mlsample.cli import main
from ase_mlsample.cvs import Distance

KT = 300 * units.kB  # eV
LINE = np.linspace(-2.5, 2.5, 5001)


def double_well(s):
    """In kT: two minima 2 apart in depth, 6 to 7 of barrier."""
    return 6 * (s**2 - 1) ** 2 + s


def draw(rng, energy, number):
    """Draw from exp(-energy) on a fine line."""
    cumulated = np.cumsum(np.exp(-(energy - energy.min())))
    return np.interp(rng.random(number), cumulated / cumulated[-1], LINE)


P = np.exp(-double_well(LINE))
EXACT = -np.log(P[LINE > 0].sum() / P[LINE < 0].sum())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fes(*words, status=0):
    assert main(["fes", *map(str, words)]) == status


def found(out, label):
    """Number after a label of the table and its error."""
    line = next(line for line in out.splitlines() if line.strip().startswith(label))
    value, error = re.search(r"(-?\d+\.\d+) ± (\d+\.\d+)", line).groups()
    return float(value), float(error)


def write_hills(path, centers, *, factor=8.0, domains=None, start=0, sigma=0.15, height=0.02):
    centers = np.asarray(centers, dtype=float)
    n, d = centers.shape
    names = ["x", "y", "z"][:d]
    file = HillsFile(path, names, domains or [None] * d, bias_factor=factor)
    times = np.arange(start + 1.0, start + n + 1)
    file.append(times, centers, np.full((n, d), sigma), np.full(n, height))
    file.close()


def write_colvar(path, columns, *, header=""):
    table = np.column_stack(list(columns.values()))
    head = f"#! FIELDS {' '.join(columns)}\n{header}"
    Path(path).write_text(head + "\n".join(" ".join(f"{v:.10g}" for v in row) for row in table) + "\n")


class TestFromHills:
    def test_it_is_that_of_the_bias(self, capsys):
        rng = np.random.default_rng(0)
        write_hills("HILLS", rng.choice([-1.0, 1.0], 60, p=[0.7, 0.3])[:, None] + rng.normal(0, 0.1, (60, 1)))
        fes("HILLS", "--temperature", 300, "--grid=-1.5:1.5", "--bins", 40, "--out", "fes.dat")
        table = np.loadtxt("fes.dat")
        exact = read_hills("HILLS").free_energy(table[:, :1])
        np.testing.assert_allclose(table[:, 1], exact - exact.min(), atol=1e-8)
        out = capsys.readouterr().out
        assert "60 hills, bias factor 8" in out
        assert "spread over the last half" in out
        assert found(out, "2 − 1")[0] > 0

    def test_units(self):
        write_hills("HILLS", np.random.default_rng(1).normal(0, 0.5, (30, 1)))
        common = ("HILLS", "--bins", 30, "--temperature", 300)
        fes(*common, "--out", "eV.dat")
        for unit, size in (("meV", 1e-3), ("kJ/mol", units.kJ / units.mol), ("kT", KT)):
            fes(*common, "--unit", unit, "--out", "other.dat", "--overwrite")
            np.testing.assert_allclose(np.loadtxt("other.dat") * [1, size], np.loadtxt("eV.dat"), atol=1e-7)
        fes(*common, "--energy-unit", "kJ/mol", "--out", "kJ.dat")
        np.testing.assert_array_equal(np.loadtxt("kJ.dat"), np.loadtxt("eV.dat"))
        fes("HILLS", "--bins", 30, "--kT", 0.5, "--out", "kT.dat")
        np.testing.assert_allclose(
            np.loadtxt("kT.dat")[:, 1] * 0.5, np.loadtxt("eV.dat")[:, 1], rtol=1e-7, atol=1e-9
        )

    def test_walkers_add_up(self):
        centers = np.random.default_rng(2).normal(0, 0.5, (40, 1))
        write_hills("all", centers)
        write_hills("a", centers[:15])
        write_hills("b", centers[15:], start=15)
        common = ("--temperature", 300, "--grid=-1:1", "--out")
        fes("all", *common, "all.dat")
        fes("b", "a", *common, "ab.dat")
        np.testing.assert_allclose(np.loadtxt("ab.dat"), np.loadtxt("all.dat"), atol=1e-9)

    def test_two_variables_one_periodic_and_the_plots(self, capsys):
        rng = np.random.default_rng(3)
        write_hills("HILLS", rng.normal(0, 0.6, (80, 2)), domains=[(-np.pi, np.pi), None])
        fes("HILLS", "--temperature", 300, "--bins", 24, 20, "--plot", "map.png", "--out", "F.npz")
        F, names, unit = read_free_energy("F.npz")
        assert (names, unit, F.values.shape) == (("x", "y"), "eV", (24, 20))
        assert F.domains == ((-np.pi, np.pi), None)
        assert Path("map.png").read_bytes().startswith(b"\x89PNG")
        more = ("--convergence", "time.svg", "--trace", "trace.png", "--plot", "y.pdf")
        fes("HILLS", "--temperature", 300, "--project", "y", *more)
        assert "free energy of y from the bias" in capsys.readouterr().out
        assert all(Path(name).stat().st_size > 1000 for name in ("time.svg", "trace.png", "y.pdf"))

    def test_periods_can_be_given(self):
        write_hills("HILLS", np.random.default_rng(4).normal(3, 0.3, (20, 1)))
        fes("HILLS", "--temperature", 300, "--periodic", "x=-pi:pi", "--out", "F.npz")
        assert read_free_energy("F.npz")[0].domains == ((-np.pi, np.pi),)


class TestReweighting:
    def test_static_bias_of_exact_samples(self, capsys):
        rng = np.random.default_rng(5)
        for walker in range(2):
            s = draw(rng, 0.2 * double_well(LINE), 10_000)
            V = -0.8 * KT * double_well(s)
            write_colvar(f"COLVAR.{walker}", {"time": np.arange(10_000) * 0.1, "x": s, "restraint.bias": V})
        basins = ("--basins", "-2:0", "0:2")
        logs = ("--colvar", "COLVAR.0", "COLVAR.1")
        fes(*logs, "--reweight", "static", "--temperature", 300, "--unit", "kT", *basins, "--out", "F.npz")
        difference, error = found(capsys.readouterr().out, "B − A")
        assert error < 0.2
        assert abs(difference - EXACT) < 4 * error
        F, names, _ = read_free_energy("F.npz")
        assert names == ("x",)
        assert F.rmse(double_well(F.axes[0]), ceiling=6) < 0.2
        assert (F.errors[F.values < 6] > 0).all()
        fes(*logs, "--reweight", "static", "--temperature", 300, "--bandwidth", 0.05, "--skip", 900)
        assert "2000 samples" in capsys.readouterr().out

    def test_a_log_of_opes(self, capsys):
        s = draw(np.random.default_rng(13), 0.2 * double_well(LINE), 5000)
        rest = dict.fromkeys(("temperature", "energy", "rct", "zed", "neff", "nker"), np.ones(5000))
        write_colvar("COLVAR", {"time": np.arange(5000), "x": s, "bias": -0.8 * KT * double_well(s)} | rest)
        how = ("--colvar", "COLVAR", "--reweight", "static", "--temperature", 300, "--basins", "-2:0", "0:2")
        fes(*how, "--out", "F.npz")
        assert read_free_energy("F.npz")[1] == ("x",)
        assert "left out" not in capsys.readouterr().out

    def test_of_deep_ves_only_what_its_static_bias_gave(self, capsys):
        rng, n = np.random.default_rng(14), 4000
        learned = draw(rng, 0.2 * double_well(LINE), n)  # under V, once it is static
        phase = np.repeat([0, 1, 2], [1000, 2000, n])
        columns = {"time": np.arange(n + 3000), "x": np.r_[np.full(3000, -1.0), learned]}
        columns |= {"bias": -0.8 * KT * double_well(columns["x"])}
        columns |= dict.fromkeys(("temperature", "energy", "kl", "rate_scale"), np.ones(n + 3000))
        write_colvar("COLVAR", columns | {"phase": phase, "inside": np.ones(n + 3000)})
        how = ("--reweight", "static", "--temperature", 300, "--unit", "kT", "--basins", "-2:0", "0:2")
        fes("--colvar", "COLVAR", *how)
        out = capsys.readouterr().out
        assert "4000 samples" in out
        assert "3000 samples were drawn while the bias was learning (phase below 2), and are left out" in out
        difference, error = found(out, "B − A")
        assert abs(difference - EXACT) < 4 * error < 1
        fes("--colvar", "COLVAR", *how, "--skip", 2000)  # the user knows better
        out = capsys.readouterr().out
        assert "5000 samples" in out
        assert "hold as far as the bias stayed" in out
        write_colvar("COLVAR", {name: column[:3000] for name, column in (columns | {"phase": phase}).items()})
        fes("--colvar", "COLVAR", *how, status=2)
        assert "learning to the end (phase 2, a static bias, was not reached)" in capsys.readouterr().err

    def test_crossings_are_counted_for_each_walker(self, capsys):
        rng = np.random.default_rng(15)
        for walker, visits in enumerate(([-1, 1] * 6, [1, 1, 1, -1])):
            s = np.repeat(np.array(visits, dtype=float), 200) + rng.normal(0, 0.15, 200 * len(visits))
            write_colvar(f"COLVAR.{walker}", {"time": np.arange(len(s)), "x": s, "bias": 0 * s})
        logs = ("--colvar", "COLVAR.0", "COLVAR.1")
        fes(*logs, "--reweight", "static", "--temperature", 300, "--basins", "-2:0", "0:2", "--bins", 12)
        out = capsys.readouterr().out
        assert "A → B     6 there, 6 back" in out
        assert "fewer than 10 crossings each way, A → B: errors are too small" in out
        s = np.repeat(np.tile([-1.0, 1.0], 30), 100) + rng.normal(0, 0.15, 6000)
        write_colvar("COLVAR.0", {"time": np.arange(6000), "x": s, "bias": 0 * s})
        how = ("--reweight", "static", "--temperature", 300, "--basins", "-2:0", "0:2", "--bins", 12)
        fes("--colvar", "COLVAR.0", *how)
        out = capsys.readouterr().out
        assert "30 there, 29 back" in out
        assert "fewer than" not in out

    def test_errors_that_have_not_reached_their_plateau_are_doubted(self, capsys):
        basins = np.repeat(np.random.default_rng(11).choice([-1.0, 1.0], 16), 500)  # 16 visits
        s = basins + np.random.default_rng(12).normal(0, 0.2, 8000)
        write_colvar("COLVAR", {"time": np.arange(8000), "x": s, "bias": 0 * s})
        how = ("--colvar", "COLVAR", "--reweight", "static", "--temperature", 300, "--basins", "-2:0", "0:2")
        fes(*how, "--blocks", 64)
        assert "with 32 blocks the error of the difference is 1.4 times as large" in capsys.readouterr().out

    def test_tiwary_while_walkers_fill_the_wells(self, capsys):
        walkers, rng, dt = 50, np.random.default_rng(6), 4e-4
        bias = MetadynamicsBias(
            kT=KT, sigma=0.1, height=0.02 * KT, bias_factor=8, pace=250, hills="HILLS", names=["x"]
        )
        x, rows = np.full((walkers, 1), -1.0), []
        for step in range(1, 30_001):
            V, slope = bias.potential(x)
            if step % 50 == 0:
                # the bias that moves the walkers on, before the hill of this step
                rows.append(np.column_stack([np.full(walkers, step), x, V]))
            force = -(24 * x * (x**2 - 1) + 1) - slope / KT
            bias.update(x, step)
            x = x + force * dt + np.sqrt(2 * dt) * rng.standard_normal(x.shape)
        table = np.concatenate(rows)
        write_colvar("COLVAR", dict(zip(("time", "x", "bias"), table.T, strict=True)))
        how = ("--colvar", "COLVAR", "--reweight", "tiwary", "--skip", 10_000, "--temperature", 300)
        fes("HILLS", *how, "--unit", "kT", "--grid=-1.6:1.6", "--bins", 64, "--convergence", "time.png")
        out = capsys.readouterr().out
        difference, error = found(out, "2 − 1")
        assert 0.02 < error < 0.4
        assert abs(difference - EXACT) < 0.6
        assert f"c(t) of {120 * walkers} hills" in out
        assert Path("time.png").exists()


class Bond(MLCalculator):
    """Two atoms and a spring."""

    def evaluate(self, atoms, members=False):
        vector = atoms.positions[1] - atoms.positions[0]
        r = np.linalg.norm(vector)
        pull = 4.0 * (r - 2.5) * vector / r
        return Prediction(energy=2.0 * (r - 2.5) ** 2, forces=np.array([pull, -pull]))


class TestWindows:
    def test_a_list_of_files(self, capsys):
        rng, kappa = np.random.default_rng(7), 0.6
        lines = ["# file center kappa"]
        for k, c in enumerate(np.linspace(-1.4, 1.4, 12)):
            s = draw(rng, double_well(LINE) + 0.5 * kappa * (LINE - c) ** 2 / KT, 600)
            np.savetxt(f"w{k}.txt", np.column_stack([np.arange(600), s]))
            lines.append(f"w{k}.txt {c:.12g} {kappa}")
        Path("list").write_text("\n".join(lines))
        fes("--windows", "list", "--temperature", 300, "--unit", "kT", "--plot", "F.png", "--cv", "x")
        out = capsys.readouterr().out
        assert "free energy of x from 12 umbrella windows" in out
        difference, error = found(out, "2 − 1")
        assert abs(difference - EXACT) < 4 * error < 1.2
        Path("list").write_text("\n".join(lines[:4] + lines[8:]))
        fes("--windows", "list", "--temperature", 300, status=2)
        assert "without a sample in common" in capsys.readouterr().err

    def test_temperatures_of_their_own(self, capsys):
        rng, kappa, lines = np.random.default_rng(9), 0.6, []
        for k, c in enumerate(np.linspace(-1.4, 1.4, 12)):
            T = 300 if k % 2 else 400
            energy = double_well(LINE) * KT
            s = draw(rng, (energy + 0.5 * kappa * (LINE - c) ** 2) / (units.kB * T), 600)
            E = np.interp(s, LINE, energy) - 50
            write_colvar(f"w{k}", {"time": np.arange(600), "x": s, "bias": 0 * s, "energy": E})
            lines.append(f"w{k} {c:.12g} {kappa} {T}")
        Path("list").write_text("\n".join(lines))
        fes("--windows", "list", "--temperature", 300, "--unit", "kT")
        difference, error = found(capsys.readouterr().out, "2 − 1")
        assert abs(difference - EXACT) < 4 * error < 1.2
        Path("list").write_text("\n".join(lines)[:-4])
        fes("--windows", "list", status=2)
        assert "temperature of some windows: give" in capsys.readouterr().err

    def test_a_folder_of_umbrella_windows(self, capsys):
        pytest.importorskip("pymbar")
        from ase_mlsample.dynamics import umbrella_windows

        atoms = Atoms("Al2", [[0, 0, 0], [2.4, 0, 0]], calculator=Bond())

        def baoab(atoms, window):
            noise = np.random.default_rng([1, window])
            return LangevinBAOAB(atoms, 8 * units.fs, temperature_K=300, T_tau=80 * units.fs, rng=noise)

        row = umbrella_windows(
            atoms, baoab, Distance(0, 1), temperature_K=300, centers=[2.3, 2.5, 2.7], kappa=4.0,
            steps=2500, directory="row", log_interval=5, progress=False,
        )  # fmt: skip
        assert len(row) == 3
        fes(
            "--windows",
            "row",
            "--skip",
            1,
            "--grid",
            "2.3:2.7",
            "--bins",
            8,
            "--out",
            "F.npz",
            "--blocks",
            10,
        )
        F, names, unit = read_free_energy("F.npz")
        assert (names, unit) == (("distance",), "eV")
        assert pytest.approx(KT) == F.kT
        r = F.axes[0]
        exact = 2 * (r - 2.5) ** 2 - 2 * KT * np.log(r)
        assert F.rmse(exact) < 0.3 * KT
        assert "3 umbrella windows" in capsys.readouterr().out
        fes("--windows", "row", "--energy-unit", "kJ/mol", status=2)


class TestBadInput:
    @pytest.fixture(autouse=True)
    def files(self):
        rng = np.random.default_rng(8)
        write_hills("HILLS", rng.normal(0, 0.5, (30, 1)))
        write_hills("other", rng.normal(0, 0.5, (30, 1)), factor=5.0)
        times = np.arange(100.0)
        write_colvar("COLVAR", {"time": times, "x": rng.normal(0, 0.5, 100), "bias": 0 * times})
        write_colvar("back", {"time": times % 50, "x": times, "bias": 0 * times})
        write_colvar("two", {"time": times, "x": times, "a.bias": 0 * times, "b.bias": 0 * times})
        Path("corrupt").write_text(Path("HILLS").read_text() + "31 0.5 zero 0.01 8\n")
        Path("list").write_text("gone 0.0 1.0\n")
        Path("broken").write_text("COLVAR 0.0\n")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("HILLS", "at which temperature?"),
            ("HILLS --temperature 300 --kT 1", "say the same thing"),
            ("HILLS --temperature -3", "must be positive"),
            ("HILLS --kT 1 --unit eV", "leaves the unit of the files open"),
            ("--temperature 300", "a free energy of what?"),
            ("nothing --temperature 300", "no file nothing"),
            ("corrupt --temperature 300", "corrupt, line"),
            ("HILLS other --temperature 300", "other is not of the run of HILLS: bias_factor"),
            ("HILLS --temperature 300 --grid 1:", "write it as low:high"),
            ("HILLS --temperature 300 --grid 0:1 0:1", "one entry for each of x"),
            ("HILLS --temperature 300 --basins 0:1", "two basins at least"),
            ("HILLS --temperature 300 --basins 0:0.1,0:1 0:1", "one low:high is needed for each of x"),
            ("HILLS --temperature 300 --project y", "the variables are x"),
            ("HILLS --temperature 300 --periodic x", "name=low:high"),
            ("HILLS --temperature 300 --plot fes.jpeg", "ends on .png"),
            ("HILLS --temperature 300 --out COLVAR", "--overwrite replaces it"),
            ("HILLS --temperature 300 --skip 3", "--skip is for samples"),
            ("HILLS --temperature 300 --bandwidth 1", "--bandwidth is for samples"),
            ("--colvar COLVAR --temperature 300", "go together"),
            ("--colvar COLVAR --reweight tiwary --temperature 300", "needs the HILLS"),
            ("--colvar COLVAR --reweight static --temperature 300 --cv y", "no column 'y'"),
            ("--colvar COLVAR --reweight static --temperature 300 --skip 200", "ends at 99"),
            ("--colvar COLVAR --reweight static --temperature 300 --blocks 1", "errors need two"),
            ("--colvar COLVAR two --reweight static --temperature 300", "other columns"),
            ("--colvar two --reweight static --temperature 300", "which of the columns"),
            ("--colvar back --reweight static --temperature 300", "the time goes back at 49"),
            ("--windows list --temperature 300", "gone"),
            ("--windows broken --temperature 300", "line 1: 'file center kappa"),
            ("--windows . --temperature 300", "holds no window-*.ckpt"),
            ("--windows away --temperature 300", "there is no away"),
            ("HILLS --windows . --temperature 300", "stands alone"),
        ],
    )
    def test_is_named_in_one_line(self, capsys, words, message):
        fes(*words.split(), status=2)
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    def test_an_empty_run(self, capsys):
        write_hills("empty", np.empty((0, 1)))
        fes("empty", "--temperature", 300, status=2)
        assert "no hills yet" in capsys.readouterr().err
