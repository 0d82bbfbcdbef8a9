"""Draws docs/_static/viewer.png: the live view of a biased run, with its plots, on a screen that nobody sees.

    xvfb-run -s "-screen 0 1200x640x24" python docs/figures/viewer.py

Silicon is driven out of the diamond structure by metadynamics of its crystallinity at 1,700 K; three
Stillinger–Weber potentials that differ in their angular term stand for the ensemble.
"""

import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from PIL import Image, ImageGrab

from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.cvs import EnvironmentSimilarity
from ase_mlsample.dynamics import Metadynamics
from ase_mlsample.gui import LiveView, open_live

T, STEPS, EVERY, SHOWN = 1700, 2000, 10, 104
FIGURE = Path(__file__).parents[1] / "_static" / "viewer.png"


def run() -> list[Atoms]:
    """Frames as a live view gets them."""
    rng = np.random.default_rng(1)
    atoms = bulk("Si", cubic=True) * 2
    atoms.calc = Committee([StillingerWeber(lambda_=strength) for strength in (20.0, 21.0, 22.0)])
    thermalize_momenta(atoms, T, rng=rng)
    langevin = Langevin(atoms, 2 * units.fs, temperature_K=T, friction=0.02, fixcm=False, rng=rng)
    order = EnvironmentSimilarity.from_crystal(bulk("Si", a=5.431, cubic=True), sigma=0.40).mean()
    order = order.named("crystallinity")
    how = {"sigma": 0.03, "height": 0.5, "bias_factor": 50, "pace": 20, "hills": None, "progress": False}
    frames: list[Atoms] = []
    with Metadynamics(langevin, order, temperature_K=T, **how) as dynamics:
        view = LiveView(dynamics)
        dynamics.attach(lambda: frames.append(view.frame()), interval=EVERY)
        dynamics.run(STEPS)
    return frames


def photograph(path: Path) -> Image.Image:
    """Both windows, one of the frames chosen."""
    viewer = open_live(path, history=1000, interval_s=1000.0, plot=True)
    viewer.window.win.geometry("640x608+0+0")
    viewer.plot_window.win.geometry("556x608+644+0")
    viewer.window.win.update()
    viewer.set_frame(SHOWN, focus=True)
    for _ in range(5):
        viewer.window.win.update()
    picture = ImageGrab.grab(xdisplay=None)
    viewer.exit()
    return picture


def main() -> None:
    """Run, show, photograph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "silicon.extxyz"
        write(path, run())
        photograph(path).quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            FIGURE, optimize=True
        )


if __name__ == "__main__":
    main()
