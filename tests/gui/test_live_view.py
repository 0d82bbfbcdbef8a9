"""What a script attaches to its dynamics; the window's process is not started."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import FIRE

from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import Metadynamics
from ase_mlsample.gui import LiveView, live_view
from ase_mlsample.gui.frame_numbers import FrameNumbers


class Window:
    """The process of a window that is open until it is closed."""

    def __init__(self, *args, **options):
        self.args, self.options, self.status = args, options, None

    def poll(self):
        return self.status


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setattr(live_view, "require_window", lambda: None)
    monkeypatch.setattr(live_view, "view_mlsample", Window)


@pytest.fixture
def atoms():
    silicon = bulk("Si", cubic=True)
    silicon.rattle(0.1, seed=1)
    silicon.calc = Committee([StillingerWeber(lambda_=strength) for strength in (20.0, 22.0)])
    return silicon


def test_a_biased_run_of_an_ensemble(atoms, rng):
    integrator = Langevin(atoms, units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng)
    how = {"sigma": 0.1, "height": 0.02, "bias_factor": 10, "pace": 2, "hills": None, "progress": False}
    calc = atoms.calc
    with Metadynamics(integrator, Distance(0, 1), temperature_K=300, **how) as dynamics:
        view = LiveView(dynamics)
        dynamics.attach(view, interval=2)
        dynamics.run(4)
        biased_forces = atoms.get_forces()
    frames = read(view.path, ":")
    numbers = FrameNumbers(frames)
    assert numbers.is_one_trajectory
    assert [atoms.info["step"] for atoms in frames] == [0, 2, 4]
    assert numbers.column("time_fs") == pytest.approx([0, 2, 4])
    assert len(numbers.variables) == 1
    assert numbers.column("bias")[-1] > 0
    last = frames[-1]
    last_forces = last.get_forces()
    assert not np.allclose(last_forces, biased_forces, atol=1e-4)  # those of the model
    bare = last.copy()
    assert last.arrays["force_sigma"] == pytest.approx(
        calc.get_spread(bare).calibrated.force_sigma, abs=1e-5
    )  # the file keeps eight decimals of positions
    assert view.window.args == (view.path,)
    assert view.window.options == {
        "live": True,
        "color": "force_sigma",
        "log": False,
        "history": 200,
        "plot": True,
    }
    assert "force_sigma" not in atoms.arrays  # the user's atoms are left as they are


def test_plain_dynamics_without_an_ensemble(atoms, tmp_path):
    atoms.calc = StillingerWeber()
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    dynamics.attach(LiveView(dynamics, path=tmp_path / "md.extxyz"), interval=1)
    dynamics.run(2)
    frames = read(tmp_path / "md.extxyz", ":")
    assert [frame.info["time_fs"] for frame in frames] == pytest.approx([0, 2, 4])
    assert "force_sigma" not in frames[0].arrays
    assert frames[-1].get_potential_energy() == pytest.approx(atoms.get_potential_energy())


def test_an_optimizer_has_steps_and_no_time(atoms, tmp_path):
    optimizer = FIRE(atoms, logfile=None)
    optimizer.attach(LiveView(optimizer, path=tmp_path / "a.extxyz", spread=False))
    optimizer.run(fmax=1e-9, steps=2)
    frames = read(tmp_path / "a.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 1, 2]
    assert "time_fs" not in frames[0].info
    assert "force_sigma" not in frames[0].arrays


def test_the_atoms_behind_a_cell_filter_are_shown(atoms, tmp_path):
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimizer.attach(LiveView(optimizer, path=tmp_path / "a.extxyz"))
    optimizer.run(fmax=1e-9, steps=2)
    frames = read(tmp_path / "a.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 1, 2]
    assert frames[-1].get_forces() == pytest.approx(atoms.get_forces(), abs=1e-5)
    assert frames[-1].get_potential_energy() == pytest.approx(atoms.get_potential_energy())
    with pytest.raises(TypeError, match="of one structure, not of a NEB"):
        LiveView(FIRE(NEB([atoms, atoms.copy(), atoms.copy()], method="improvedtangent"), logfile=None))


def test_a_closed_window_ends_the_writing_and_not_the_run(atoms, tmp_path):
    dynamics = VelocityVerlet(atoms, units.fs)
    view = LiveView(dynamics, path=tmp_path / "md.extxyz")
    dynamics.attach(view)
    dynamics.run(1)
    view.window.status = 0
    dynamics.run(3)
    assert len(read(tmp_path / "md.extxyz", ":")) == 2
    assert dynamics.nsteps == 4


def test_a_full_disk_ends_the_view_and_not_the_run(atoms, tmp_path):
    dynamics = VelocityVerlet(atoms, units.fs)
    dynamics.attach(LiveView(dynamics, path=tmp_path / "nowhere" / "md.extxyz"))
    with pytest.warns(UserWarning, match="the live view ends"):
        dynamics.run(2)
    assert dynamics.nsteps == 2


def test_the_temporary_file_goes_with_the_view(atoms):
    view = LiveView(VelocityVerlet(atoms, units.fs))
    folder = view.path.parent
    assert folder.is_dir()
    del view
    assert not folder.exists()
