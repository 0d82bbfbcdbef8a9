"""Liquid aluminium of a learned potential and of its reference: the pair distribution g(r) of both.

    mlsample run examples/aluminium.yaml
    python examples/aluminium_liquid.py --model runs/aluminium/model.safetensors

108 atoms at constant volume, 1,100 K, molten at 3,000 K. Errors are from blocks of the run. Without a model
the reference is compared with itself from another seed, which shows what the length of the run is worth.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.geometry.rdf import get_rdf
from ase.md.langevin import Langevin

from ase_mlsample.calculators import ANIEnsemble

SHORT = "MLSAMPLE_SHORT" in os.environ
TEMPERATURE_K, LATTICE = 1100, 4.25  # K; Å, of the fcc cell of 2.33 g/cm³
R_MAX, BINS, BLOCKS = 6.0, 100, 5


def liquid(calc, seed: int, picoseconds: float) -> tuple[np.ndarray, dict[str, float]]:
    """g(r) of the blocks of a run (BLOCKS, BINS), and what else is worth knowing."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Al", a=LATTICE, cubic=True) * 3
    atoms.calc = calc
    dynamics = Langevin(atoms, 4 * units.fs, temperature_K=3000, friction=0.02, fixcm=False, rng=rng)
    melting = 10 if SHORT else 1000
    dynamics.run(melting)
    dynamics.set_temperature(temperature_K=TEMPERATURE_K)
    dynamics.run(melting)
    steps = max(BLOCKS, int(picoseconds / 0.1))  # a frame each 0.1 ps
    curves, sigmas, pressures = [], [], []
    for _ in range(steps):
        dynamics.run(1 if SHORT else 25)
        curves.append(get_rdf(atoms, R_MAX, BINS)[0])
        ideal = len(atoms) * units.kB * TEMPERATURE_K / atoms.get_volume()
        pressures.append((ideal - atoms.get_stress()[:3].mean()) / units.GPa)
        if isinstance(calc, ANIEnsemble):
            sigmas.append(calc.get_spread().calibrated.force_sigma.mean())
    found = {"pressure_GPa": float(np.mean(pressures))}
    if sigmas:
        found["mean_force_sigma"] = float(np.mean(sigmas))
    return np.array([block.mean(axis=0) for block in np.array_split(np.array(curves), BLOCKS)]), found


def main() -> None:
    """Run both and compare."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="model file; the reference once more without it")
    parser.add_argument("--ps", type=float, default=0.5 if SHORT else 10.0, help="length of each run")
    parser.add_argument("--folder", type=Path, default=Path("runs/aluminium_liquid"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    second = EMT() if options.model is None else ANIEnsemble.load(options.model)
    runs = {
        "EMT": liquid(EMT(), 1, options.ps),
        "learned" if options.model else "EMT again": liquid(second, 2, options.ps),
    }
    r = (np.arange(BINS) + 0.5) * R_MAX / BINS
    figure, axes = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
    for (name, (blocks, found)), style in zip(runs.items(), ("-", "--"), strict=True):
        mean, error = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(BLOCKS)
        axes.plot(r, mean, style, label=name)
        axes.fill_between(r, mean - error, mean + error, alpha=0.3, linewidth=0)
        print(f"{name}: peak {mean.max():.2f} at {r[mean.argmax()]:.2f} Å, {json.dumps(found)}")
    (first, _), (other, _) = runs.values()
    difference = np.sqrt(np.mean((first.mean(axis=0) - other.mean(axis=0)) ** 2))
    noise = np.sqrt(np.mean((first.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / BLOCKS))
    print(f"g(r) differs by {difference:.3f} (root mean square), of which noise {noise:.3f}")
    axes.set(xlabel="r, Å", ylabel="g(r)", xlim=(1.8, R_MAX), title=f"liquid aluminium, {TEMPERATURE_K} K")
    axes.legend(frameon=False)
    figure.savefig(options.folder / "rdf.svg")


if __name__ == "__main__":
    main()
