import subprocess
import sys

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.analysis import read_colvar
from ase_mlsample.biases import UpperWall, read_hills
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cli import main
from tests.calculators.ani_models import silicon_ensemble

SILICON = ["--structure", "Si:diamond:5.43", "--calculator", "ase_mlsample.calculators:StillingerWeber"]
SHORT = ["--set", "log_interval=2", "--set", "trajectory_interval=5", "--quiet"]
CV = ["--cv", "Distance(0, 1)"]
BIASES = {
    "plain": [],
    "observed": CV,
    "metadynamics": [
        *CV, "--bias", "metadynamics", "--set", "bias.sigma=0.1", "--set", "bias.height_eV=0.05",
        "--set", "bias.bias_factor=10", "--set", "bias.pace=3",
        "--set", "bias.upper_wall={at: 2.3, kappa_eV: 5}",
    ],
    "opes": [*CV, "--bias", "opes", "--set", "bias.barrier_eV=0.3", "--set", "bias.pace=2"],
    "ves": [
        *CV, "--bias", "ves", "--set", "bias.bases={class: Legendre, order: 4, interval: [2, 3]}",
        "--set", "bias.target=uniform", "--set", "bias.pace=3", "--set", "bias.plot_interval=2",
    ],
    "deep_ves": [
        *CV, "--bias", "deep_ves", "--set", "bias.bounds=[[2, 3]]", "--set", "bias.bias_factor=10",
        "--set", "bias.pace=3", "--set", "bias.bins=20", "--set", "bias.plot_interval=2",
    ],
}  # fmt: skip
WRITTEN = {
    "metadynamics": {"HILLS"},
    "opes": {"KERNELS"},
    "ves": {"COEFFS", "convergence.svg"},
    "deep_ves": {"convergence.svg"},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def md(*words, status=0):
    assert main(["md", *map(str, words)]) == status


def run(folder, steps, *words, status=0, temperature=900):
    settings = ["--temperature", temperature, "--steps", steps, "--seed", 4, "--directory", folder]
    md(*SILICON, *settings, *SHORT, *words, status=status)


def texts(folder):
    """All that a run wrote, besides pictures and what says how many steps were asked for."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in {"checkpoint", "md.yaml", "convergence.svg"}
    }


@pytest.mark.parametrize("pressure", [[], ["--pressure", "2"]], ids=["volume", "pressure"])
@pytest.mark.parametrize("bias", BIASES)
def test_a_run_in_two_pieces_equals_one(bias, pressure, here, capsys):
    words = [*BIASES[bias], *pressure]
    run("whole", 20, *words)
    run("parts", 13, *words)
    for path in (here / "parts").iterdir():  # what a killed run wrote after its checkpoint
        if path.name in {"COLVAR", "HILLS", "KERNELS", "COEFFS", "trajectory.extxyz"}:
            with path.open("a") as file:
                file.write("lost\n")
    run("parts", 20, *words)
    assert texts(here / "parts") == texts(here / "whole")
    names = {path.name for path in (here / "whole").iterdir()}
    expected = {"md.yaml", "COLVAR", "trajectory.extxyz", "checkpoint"} | WRITTEN.get(bias, set())
    assert names == expected
    assert "goes on from step 13" in capsys.readouterr().out


@pytest.mark.parametrize("bias", ["metadynamics", "deep_ves"])
def test_walkers_share_a_bias(bias, here):
    shown = [*SILICON, *SHORT, *BIASES[bias], "--temperature", "900", "--steps", "12", "--seed", "4"]
    started = []
    for number in range(2):
        shared = f"bias.walkers={{directory: shared, walker: {number}, walkers: 2}}"
        words = ["md", *shown, "--set", shared, "--directory", f"walker{number}"]
        command = [
            sys.executable,
            "-c",
            f"from ase_mlsample.cli import main; raise SystemExit(main({words}))",
        ]
        started.append(subprocess.Popen(command))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    logs = [read_colvar(here / f"walker{number}" / "COLVAR") for number in range(2)]
    assert not np.allclose(logs[0]["distance"], logs[1]["distance"])
    name = {"metadynamics": "HILLS", "deep_ves": "SAMPLES"}[bias]
    assert {path.name for path in (here / "shared").iterdir()} == {f"{name}.0", f"{name}.1"}
    if bias == "deep_ves":
        np.testing.assert_array_equal(logs[0]["kl"], logs[1]["kl"])


def test_plain_md_is_langevin_dynamics(here):
    run("md", 20)
    atoms = bulk("Si", "diamond", 5.43, cubic=True)
    thermalize_momenta(atoms, 900, rng=np.random.default_rng([4, 2]))
    atoms.calc = StillingerWeber()
    friction = 10 / (1000 * units.fs)
    rng = np.random.default_rng([4, 0])
    Langevin(atoms, units.fs, temperature_K=900, friction=friction, fixcm=False, rng=rng).run(20)
    last = read("md/trajectory.extxyz", -1)
    assert np.allclose(last.positions, atoms.positions, atol=1e-7)
    log = read_colvar("md/COLVAR")
    assert log["energy"][-1] == pytest.approx(StillingerWeber().evaluate(atoms).energy)
    assert log.times[-1] == pytest.approx(0.02)


def test_the_pressure_moves_the_cell(here):
    run("npt", 300, "--pressure", "30", "--repeat", "2", "--set", "barostat_fs=50", temperature=300)
    volume = read_colvar("npt/COLVAR")["volume"]
    assert volume[0] == pytest.approx(8 * 5.43**3)
    assert volume[-20:].mean() < 0.9 * volume[0]


def test_the_variable_is_biased_and_walled(here):
    run("biased", 21, *BIASES["metadynamics"])
    hills, log = read_hills("biased/HILLS"), read_colvar("biased/COLVAR")
    assert len(hills.heights) == 7
    frames = read("biased/trajectory.extxyz", ":")
    assert [frame.info["cv"] for frame in frames] == pytest.approx([f.get_distance(0, 1) for f in frames])
    # before the first hill there is only the wall
    first = log["distance"][:1]
    assert log["bias"][0] == pytest.approx(UpperWall(2.3, 5.0).potential(first)[0], rel=1e-6)


def test_a_file_of_settings(here, monkeypatch):
    (here / "inputs").mkdir()
    write("inputs/start.xyz", bulk("Si", cubic=True))
    (here / "inputs" / "md.yaml").write_text(
        "{structure: start.xyz, calculator: {factory: 'ase_mlsample.calculators:StillingerWeber'}, \n"
        "temperature_K: 500, timestep_fs: 2, steps: 4, log_interval: 1, directory: out, \n"
        "cv: [{variable: Distance, first: 0, second: 1}, 'Angle(0, 1, 2)'], \n"
        "bias: {method: metadynamics, sigma: [0.1, 0.2], height_eV: 0.01, bias_factor: null, pace: 2}}\n"
    )
    md("inputs/md.yaml", "--quiet")
    assert len(read_hills("out/HILLS").heights) == 2
    md("inputs/md.yaml", "--quiet", "--steps", "8")
    assert len(read_colvar("out/COLVAR")) == 9
    md("inputs/md.yaml", "--quiet", "--set", "bias.height_eV=0.02", status=2)


def test_a_learned_model(here):
    silicon_ensemble("float32").save(here / "si.safetensors")
    md(
        "--structure",
        "Si:diamond:5.43",
        "--calculator",
        "si.safetensors",
        "--temperature",
        300,
        "--steps",
        3,
        *SHORT,
    )
    assert len(read("md/trajectory.extxyz", ":")) == 1
    assert np.isfinite(read_colvar("md/COLVAR")["energy"]).all()


def test_precision_of_a_learned_model(here):
    silicon_ensemble("float32").save(here / "si.safetensors")
    energies = {}
    for precision in ("float32", "float64"):
        settings = ["--calculator", "si.safetensors", "--temperature", 300, "--steps", 1]
        words = ["--structure", "Si:diamond:5.43", *settings, "--precision", precision]
        md(*words, "--directory", precision, "--set", "log_interval=1", "--quiet")
        energies[precision] = read(f"{precision}/trajectory.extxyz").get_potential_energy()
    exact = silicon_ensemble("float64")
    atoms = bulk("Si", a=5.43, cubic=True)
    assert energies["float64"] == pytest.approx(exact.evaluate(atoms).energy, abs=1e-12)
    assert 1e-10 < abs(energies["float32"] - energies["float64"]) < 1e-3


def test_velocities_of_the_file(here):
    atoms = bulk("Si", cubic=True)
    thermalize_momenta(atoms, 700, rng=np.random.default_rng(0))
    write("hot.extxyz", atoms)
    words = [
        "--structure",
        "hot.extxyz",
        "--calculator",
        SILICON[3],
        "--temperature",
        700,
        "--steps",
        2,
        *SHORT,
    ]
    md(*words, "--set", "keep_velocities=true")
    first = read("md/trajectory.extxyz", 0)
    assert np.allclose(first.get_momenta(), atoms.get_momenta(), atol=1e-6)
    write("cold.extxyz", bulk("Si", cubic=True))
    words[1] = "cold.extxyz"
    md(*words, "--directory", "b", "--set", "keep_velocities=true", status=2)


def test_a_run_that_is_done(here, capsys):
    run("md", 4)
    before = texts(here / "md")
    run("md", 4)
    assert "4 steps are done already" in capsys.readouterr().out
    assert texts(here / "md") == before


def test_only_checked(here, capsys):
    run("md", 4, "--check", *BIASES["opes"])
    assert "fine" in capsys.readouterr().out
    assert not (here / "md").exists()


def test_another_run_in_the_folder(here, capsys):
    run("md", 4)
    run("md", 8, temperature=800, status=2)
    assert "temperature_K: 900.0 before, 800.0 now" in capsys.readouterr().err
    run("md", 8, *CV, status=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "timestepfs=2"], "unknown key 'timestepfs'; did you mean 'timestep_fs'?"),
        (["--set", "timestep_fs=-1"], "timestep_fs: Input should be greater than 0"),
        (["--set", "repeat=[1, 2]"], "one number or three"),
        (["--bias", "opes", "--set", "bias.barrier_eV=1"], "give cv"),
        ([*CV, "--bias", "opes", "--set", "bias.barier_eV=1"], "did you mean 'barrier_eV'?"),
        ([*CV, "--set", "bias.pace=2"], "bias: method must be one of metadynamics, opes, ves, deep_ves"),
        ([*BIASES["opes"], "--set", "bias.barrier_eV=0.001"], "barrier is 0.0129 kT"),
        (
            [*BIASES["opes"], "--set", "bias.sigma=[1, 2]"],
            "sigma must hold 1 number(s), one for each variable",
        ),
        ([*BIASES["ves"], "--set", "bias.bases={class: Legendre, order: 4}"], "was given without interval"),
        ([*BIASES["ves"], "--set", "bias.bias_factor=9"], "give either bias_factor"),
        ([*BIASES["deep_ves"], "--set", "bias.bounds=[[3, 2]]"], "low < high"),
        ([*BIASES["metadynamics"], "--set", "bias.upper_wall.at=[1, 2]"], "upper_wall.at must hold 1 number"),
        (["--cv", "Steinhardt(6, cutoff=3)"], "pool it"),
        (["--cv", "Distanse(0, 1)"], "did you mean 'Distance'?"),
        (["--cv", "Distance(0, 99)"], "cv: "),
        (["--set", "calculator=nowhere.safetensors"], "no such model file"),
        (["--set", "calculator=ase.calculators.emt:EMT"], "calculator: "),
        (["--precision", "float64"], "a factory is told its own in kwargs"),
        (["--set", "precision=float16"], "precision: Input should be 'float32' or 'float64'"),
        (["--set", "structure=Si:diamnd"], "no crystal"),
        (["--set", "steps"], "key=value"),
        (["--set", "steps=[1"], "not valid YAML"),
        (["--set", "seed.x=1"], "seed is 4"),
    ],
)
def test_bad_input(words, message, here, capsys):
    for check in ([], ["--check"]):
        run("md", 4, *words, *check, status=2)
        assert message in capsys.readouterr().err
        assert not (here / "md").exists()


@pytest.mark.parametrize(
    "words",
    [
        [*BIASES["ves"], "--set", "bias.average_window=20"],
        [*BIASES["deep_ves"], "--set", "bias.bounds=[2, 3]", "--set", "bias.hidden=8"],
        [*BIASES["opes"], "--set", "bias.compression=0", "--set", "bias.sigma=0.1"],
    ],
)
def test_numbers_as_files_have_them(words, here):
    run("md", 4, *words)
    run("md", 6, *words)
    assert len(read_colvar(here / "md" / "COLVAR")) == 4


def test_a_walker_that_goes_on_can_be_checked(here, capsys):
    for words in (BIASES["metadynamics"], BIASES["opes"]):
        walkers = [*words, "--set", "bias.walkers={directory: shared, walker: 0, walkers: 1}"]
        run(words[3], 6, *walkers)
        run(words[3], 9, *walkers, "--check")
        assert "fine" in capsys.readouterr().out


def test_molecules_have_no_pressure(here, capsys):
    write("water.xyz", molecule("H2O"))
    words = [
        "--structure",
        "water.xyz",
        "--calculator",
        "ase.calculators.emt:EMT",
        "--temperature",
        300,
        *SHORT,
    ]
    md(*words, "--steps", 3)
    md(*words, "--steps", 3, "--pressure", 0, "--directory", "b", status=2)
    assert "periodic" in capsys.readouterr().err


def test_files_that_are_none(here, capsys):
    md("nothing.yaml", status=2)
    (here / "list.yaml").write_text("[1, 2]")
    md("list.yaml", status=2)
    assert "must be a mapping" in capsys.readouterr().err


def test_a_run_that_fails_is_no_bad_input(here, capsys):
    (here / "breaking_down.py").write_text(
        "from ase_mlsample.calculators import StillingerWeber\n"
        "class Breaks(StillingerWeber):\n"
        "    calls = 0\n"
        "    def evaluate(self, atoms, members=False):\n"
        "        self.calls += 1\n"
        "        if self.calls > 7:\n"
        "            raise ValueError('two atoms on top of each other')\n"
        "        return super().evaluate(atoms, members)\n"
    )
    run("md", 20, *CV, "--set", "calculator=breaking_down:Breaks", status=1)
    assert "two atoms on top of each other; after step" in capsys.readouterr().err
    assert len(read_colvar("md/COLVAR")) > 1


def test_an_interrupted_run(here, capsys):
    (here / "interrupting.py").write_text(
        "from ase_mlsample.calculators import StillingerWeber\n"
        "class Stops(StillingerWeber):\n"
        "    calls = 0\n"
        "    def evaluate(self, atoms, members=False):\n"
        "        type(self).calls += 1\n"
        "        if type(self).calls == 9:\n"
        "            raise KeyboardInterrupt\n"
        "        return super().evaluate(atoms, members)\n"
    )
    words = ["--set", "calculator=interrupting:Stops", "--set", "checkpoint_interval=3"]
    run("md", 12, *words, status=130)
    assert "goes on from the last checkpoint" in capsys.readouterr().out
    run("md", 12, *words)
    run("whole", 12, "--set", "checkpoint_interval=3")
    assert texts(here / "md") == texts(here / "whole")
