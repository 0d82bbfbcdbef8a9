"""From a classical potential to a Deep Potential of another reference, and its free energy of freezing.

    python examples/classical_to_ab_initio.py                  # goes on from where it was interrupted

The recipe of L. Bonati and M. Parrinello, Phys. Rev. Lett. 121, 265701 (2018), for 64 atoms of silicon:

1. A cheap classical potential crosses between liquid and crystal under a bias on the similarity of the atoms'
   surroundings to diamond's, and its configurations are labelled by the reference. Here it is Stillinger and
   Weber's form as refitted to amorphous silicon (R. L. C. Vink et al., J. Non-Cryst. Solids 282, 248, 2001),
   which is far off: its bonds are a quarter weaker, and it melts a thousand kelvin higher.
2. An ensemble of Deep Potentials learns the labels.
3. The ensemble itself is driven back and forth at the temperature of interest; what it visits is labelled,
   too, and it learns on.
4. Its free energy at this temperature, by metadynamics.

The reference stands for ab initio: it is Stillinger and Weber's potential of 1985, so that everything takes
minutes, and the same run with the reference itself shows how good the result is. With a DFT code in
`reference()` the rest stays as it is.
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io import read, write
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.analysis import FreeEnergy, read_colvar
from ase_mlsample.analysis.free_energy import from_samples
from ase_mlsample.analysis.reweighting import tiwary_offsets, tiwary_weights
from ase_mlsample.biases import read_hills
from ase_mlsample.calculators import DeepPotentialEnsemble, MLCalculator, StillingerWeber
from ase_mlsample.cvs import CollectiveVariable, EnvironmentSimilarity
from ase_mlsample.dynamics import Metadynamics, StochasticCellRescaling
from ase_mlsample.training import Dataset, DeepPotentialSettings, TrainingSettings, train_ensemble
from ase_mlsample.validation.held_out import labelled

SHORT = "MLSAMPLE_SHORT" in os.environ
TEMPERATURE_K, CLASSICAL_K = 1700.0, 2900.0  # near the melting points of reference and classical potential
DIAMOND = bulk("Si", a=5.431, cubic=True)
LIQUID, CRYSTAL = (0.0, 0.4), (0.7, 1.0)  # the mean similarity to diamond on either side
MODEL = DeepPotentialSettings(
    members=2 if SHORT else 4, cutoff=5.0, embedding=(8, 16, 32), axis_neurons=8, fitting=(32, 32, 32)
)


def classical() -> MLCalculator:
    """What explores at first."""
    return StillingerWeber(epsilon=1.64833, lambda_=31.5)


def reference() -> MLCalculator:
    """What labels, in place of DFT."""
    return StillingerWeber()


def variable() -> CollectiveVariable:
    """The mean similarity to diamond, in the orientation of the cell."""
    return EnvironmentSimilarity.from_crystal(DIAMOND, sigma=0.40).mean()


def dynamics(calc: MLCalculator, kelvin: float, folder: Path, interval: int) -> Metadynamics:
    """Biased dynamics at no pressure, from the crystal, or from a folder's checkpoint."""
    atoms = DIAMOND * 2
    rng = np.random.default_rng(1)
    thermalize_momenta(atoms, kelvin, rng=rng)
    atoms.calc = calc
    integrator = StochasticCellRescaling(
        atoms, 2 * units.fs, temperature_K=kelvin, pressure_au=0.0, compressibility_au=1.6, rng=rng
    )
    if (folder / "checkpoint").exists():
        return Metadynamics.load(folder / "checkpoint", integrator, variable())
    folder.mkdir(parents=True, exist_ok=True)
    return Metadynamics(
        integrator,
        variable(),
        temperature_K=kelvin,
        sigma=0.02,
        height=kelvin * units.kB,
        bias_factor=40,
        pace=20 if SHORT else 150,
        hills=folder / "HILLS",
        logfile=folder / "COLVAR",
        log_interval=10 if SHORT else 50,
        trajectory=folder / "run.extxyz",
        trajectory_interval=interval,
        progress=False,
        checkpoint=folder / "checkpoint",
        checkpoint_interval=20_000,
    )


def run(calc: MLCalculator, kelvin: float, folder: Path, steps: int, frames: int) -> None:
    """So many steps in a folder, counting those that are done."""
    with dynamics(calc, kelvin, folder, max(1, steps // frames)) as driven:
        driven.run(max(0, steps - driven.step))


def spread_out(folder: Path, n: int) -> list[Atoms]:
    """Of a trajectory's frames so many, as evenly over the variable as they are there."""
    frames = read(folder / "run.extxyz", index="1:")
    order = np.argsort([float(np.ravel(atoms.info["cv"])[0]) for atoms in frames])
    values = np.array([float(np.ravel(frames[k].info["cv"])[0]) for k in order])
    wanted = np.linspace(values[0], values[-1], n)
    chosen = sorted(set(np.clip(np.searchsorted(values, wanted), 0, len(frames) - 1).tolist()))
    rest = [k for k in range(0, len(frames), max(1, len(frames) // n)) if k not in chosen]
    return [frames[order[k]] for k in sorted([*chosen, *rest[: n - len(chosen)]])]


def label(frames: Sequence[Atoms], path: Path) -> None:
    """Write frames with what the reference says of them."""
    write(path, [labelled(atoms, reference()) for atoms in frames])


def learn(files: Sequence[Path], start: Path | None, folder: Path, epochs: int) -> DeepPotentialEnsemble:
    """Train, or find trained, the ensemble of all labels so far."""
    datasets = [Dataset.read(file) for file in files]
    together = sum(datasets[1:], start=datasets[0])
    first = MODEL if start is None else DeepPotentialEnsemble.load(start / "model.safetensors").model
    rates = {"recipe": "fine-tuning"} if start is not None else {"learning_rate": 3e-3}
    settings = TrainingSettings(**rates, epochs=epochs, batch_size=2, validation_interval=min(5, epochs))
    result = train_ensemble(
        together,
        model=first,
        settings=settings,
        rng=np.random.default_rng(2),
        directory=folder,
        progress=False,
    )
    errors = result.held_out
    print(
        f"{folder.name}: {len(together)} frames; on frames that no member saw "
        f"{1000 * errors.energy_rmse:.1f} meV/atom and {errors.forces_rmse:.3f} eV/Å"
    )
    return result.calculator


def free_energy(folder: Path) -> FreeEnergy:
    """From the log of a run, its first fifth left out, with the hills' own offset in time."""
    kT = TEMPERATURE_K * units.kB
    colvar, hills = read_colvar(folder / "COLVAR"), read_hills(folder / "HILLS")
    kept = slice(len(colvar.times) // 5, None)
    values, bias = colvar.columns([*variable().names, "bias"])[kept].T
    offsets = tiwary_offsets(hills, np.linspace(-0.1, 1.1, 601), kT=kT)
    just_before = colvar.times[kept] - 1e-6  # a bias in the log is from before the hill of its step
    weights = tiwary_weights(bias, just_before, hills, offsets, kT=kT)
    return from_samples(values, np.linspace(0, 1, 11 if SHORT else 41), kT=kT, weights=weights, n_blocks=10)


def report(found: dict[str, FreeEnergy], folder: Path) -> None:
    """Profiles side by side, then barriers and the difference of the basins, in units of k_BT."""
    import matplotlib.pyplot as plt

    names = list(found)
    kT = TEMPERATURE_K * units.kB
    print(f"\n{'diamond':<8}" + "".join(f"{f'F, {name}':>26}" for name in names) + "   (k_BT)")
    axis = found[names[0]].axes[0]
    figure, plot = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for row in range(0, len(axis), 1 if SHORT else 2):
        print(f"{axis[row]:<8.2f}" + "".join(f"{found[name].values[row] / kT:>26.1f}" for name in names))
    for name in names:
        plot.plot(axis, found[name].values / kT, label=name)
        print(f"\n{name}: ", end="")
        try:
            freezing, melting = (found[name].barrier(*way) for way in ((LIQUID, CRYSTAL), (CRYSTAL, LIQUID)))
            difference, error = found[name].basin_difference(LIQUID, CRYSTAL)
        except ValueError as problem:
            print(f"not long enough to say more ({problem})", end="")
            continue
        print(
            f"barrier to freezing {freezing.height / kT:.1f} ± {freezing.error / kT:.1f} k_BT, to melting "
            f"{melting.height / kT:.1f} ± {melting.error / kT:.1f}, F(crystal) − F(liquid) "
            f"{difference / kT:.1f} ± {error / kT:.1f}",
            end="",
        )
    plot.set(xlabel="similarity to diamond", ylabel=r"$F$, $k_\mathrm{B}T$")
    plot.legend()
    figure.savefig(folder / "free_energy.png", dpi=160)
    print(f"\nsee {folder / 'free_energy.png'}")


def main() -> None:
    """All steps, each of which is left out when it is done already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/classical_to_ab_initio"))
    parser.add_argument("--steps", type=int, default=200 if SHORT else 400_000, help="of the free energies")
    options = parser.parse_args()
    folder, frames = options.folder, 20 if SHORT else 200
    exploring, epochs = (100, 4) if SHORT else (60_000, 60)
    begun = time.perf_counter()

    def clock(what: str) -> None:
        print(f"{(time.perf_counter() - begun) / 60:5.1f} min  {what}", flush=True)

    run(classical(), CLASSICAL_K, folder / "explore0", exploring, 4 * frames)
    label(spread_out(folder / "explore0", frames), folder / "labels0.extxyz")
    clock("explored with the classical potential")
    model = learn([folder / "labels0.extxyz"], None, folder / "model0", epochs)
    clock("trained")
    run(model, TEMPERATURE_K, folder / "explore1", exploring, 4 * frames)
    label(spread_out(folder / "explore1", frames), folder / "labels1.extxyz")
    clock("explored with the Deep Potential")
    files = [folder / "labels0.extxyz", folder / "labels1.extxyz"]
    model = learn(files, folder / "model0", folder / "model1", epochs)
    clock("trained on")
    calculators = {"Deep Potential": model, "reference": reference()}
    places = {name: folder / name.replace(" ", "_") for name in calculators}
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the two processes when they start
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(run, calc, TEMPERATURE_K, places[name], options.steps, 100)
            for name, calc in calculators.items()
        ]
        for job in jobs:
            job.result()
    clock("free energies")
    report({name: free_energy(place) for name, place in places.items()}, folder)


if __name__ == "__main__":
    main()
