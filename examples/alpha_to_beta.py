"""From α to β: the energy along the tetragonal path from diamond to β-tin, the volume relaxed at every point.

    python examples/alpha_to_beta.py                               # silicon, Stillinger-Weber
    python examples/alpha_to_beta.py --model runs/silicon/model.safetensors
    python examples/alpha_to_beta.py --element Sn                  # tin, density-functional theory by pw.x

Both structures are one body-centred tetragonal lattice with two atoms a cell (I4₁/amd), diamond at c/a = √2
and β-tin near 0.55. Of an ensemble each member has its own curve; their mean and spread are drawn.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.references import espresso

SHORT = "MLSAMPLE_SHORT" in os.environ
DIAMOND = np.sqrt(2)
VOLUME = {"Si": (20.0, 15.0), "Sn": (36.8, 28.4)}  # Å³/atom, about, of diamond and of β-tin


def cell(symbol: str, ratio: float, volume: float) -> Atoms:
    """Two atoms in the primitive cell, with c/a and the volume (Å³/atom) given."""
    a = (4 * volume / ratio) ** (1 / 3)
    c = ratio * a
    vectors = np.array([[-a, a, c], [a, -a, c], [a, a, -c]]) / 2
    return Atoms([symbol, symbol], positions=[[0, 0, 0], [0, a / 2, c / 4]], cell=vectors, pbc=True)


def calculator(element: str, model: Path | None):
    """An ensemble from a file, or the reference of the element."""
    if model is not None:
        return ANIEnsemble.load(model, dtype="float64")
    if element == "Si":
        return StillingerWeber()
    # small enough for a laptop, to show the way; for numbers take the ready settings: elements alone
    return espresso(elements=["Sn"], cutoff=200, k_spacing=0.45, smearing_width=0.2)


def energies(calc, atoms: Atoms) -> np.ndarray:
    """Energy of the members, or of the one calculator, eV/atom."""
    if getattr(calc, "supports_spread", False):
        return calc.evaluate(atoms, members=True).member_energies / len(atoms)
    atoms.calc = calc
    return np.array([atoms.get_potential_energy() / len(atoms)])


def relaxed(calc, symbol: str, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest energy over the volume (eV/atom) and its volume (Å³/atom), of each curve, at one c/a."""
    share = np.clip((DIAMOND - ratio) / (DIAMOND - 0.55), 0, 1)
    middle = (1 - share) * VOLUME[symbol][0] + share * VOLUME[symbol][1]
    while True:
        volumes = middle * np.linspace(0.85, 1.15, 7 if symbol == "Sn" else 15)
        table = np.array([energies(calc, cell(symbol, ratio, volume)) for volume in volumes])
        lowest = int(table.mean(axis=1).argmin())
        if 1 < lowest < len(volumes) - 2:
            return minima(volumes, table)
        middle = volumes[lowest]  # the minimum lies near an end: look around it


def minima(volumes: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest energy and its volume of each curve (volumes, curves): Birch's cubic in V^(-2/3)."""
    found = []
    for curve in table.T:
        middle = int(np.clip(curve.argmin(), 2, len(volumes) - 3))
        near = slice(middle - 2, middle + 3)
        fit = np.polynomial.Polynomial.fit(volumes[near] ** (-2 / 3), curve[near], 3)
        fine = np.linspace(*volumes[near][[0, -1]], 1001)
        values = fit(fine ** (-2 / 3))
        found.append((values.min(), fine[values.argmin()]))
    lowest, at = np.array(found).T
    return lowest, at


def draw(path: dict, file: Path, reference: dict | None) -> None:
    """Energy and volume over c/a, of each curve its own diamond being zero; the reference's dashed."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for curves, style in ((reference, "--"), (path, "-o")):
        if curves is None:
            continue
        ratio, energy, volume = (np.array(curves[key]) for key in ("c/a", "energy", "volume"))
        energy = 1000 * (energy - energy[-1:])
        for axes, values in ((left, energy), (right, volume)):
            mean = values.mean(axis=1)
            (line,) = axes.plot(ratio, mean, style, markersize=3, label=curves["title"])
            if values.shape[1] > 1:
                spread = values.std(axis=1, ddof=1)
                axes.fill_between(
                    ratio, mean - spread, mean + spread, alpha=0.3, linewidth=0, color=line.get_color()
                )
    left.set(xlabel="c/a", ylabel="energy above diamond, meV/atom")
    right.set(xlabel="c/a", ylabel="volume, Å³/atom")
    left.legend(frameon=False, fontsize=8)
    figure.savefig(file)


def main() -> None:
    """Walk the path and write it as .json and .svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--element", choices=("Si", "Sn"), default="Si")
    parser.add_argument("--model", type=Path, help="model file; the reference of the element without it")
    parser.add_argument("--points", type=int, default=3 if SHORT else 15)
    parser.add_argument("--folder", type=Path, default=Path("runs/alpha_to_beta"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    calc = calculator(options.element, options.model)
    source = "ensemble" if options.model else {"Si": "Stillinger–Weber", "Sn": "PBE, pw.x"}[options.element]
    path = {"title": f"{options.element}, {source}", "c/a": [], "energy": [], "volume": []}
    for ratio in np.linspace(0.48, DIAMOND, options.points):
        energy, volume = relaxed(calc, options.element, ratio)
        path["c/a"].append(float(ratio))
        path["energy"].append(energy.tolist())
        path["volume"].append(volume.tolist())
        print(f"c/a {ratio:.3f}  {energy.mean():9.4f} eV/atom  {volume.mean():6.2f} Å³/atom", flush=True)
    name = f"{options.element}{'_model' if options.model else ''}"
    (options.folder / f"{name}.json").write_text(json.dumps(path))
    beside = options.folder / f"{options.element}.json"
    reference = json.loads(beside.read_text()) if options.model and beside.exists() else None
    draw(path, options.folder / f"{name}.svg", reference)
    print(f"wrote {options.folder / name}.svg and .json")


if __name__ == "__main__":
    main()
