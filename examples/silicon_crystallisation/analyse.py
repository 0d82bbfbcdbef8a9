"""What a run of run.py has found so far: free energy, barriers, snapshots, the largest cluster.

    python examples/silicon_crystallisation/analyse.py

While the bias still learns the free energy is −V − k_BT ln p, of the network and its target. Samples since
the bias has come to rest, static or all but static, are reweighted by e^{V/k_BT}, with errors from blocks.
Everything goes into the folder of the run: silicon.png, summary.json, and liquid, transition_state and
crystal as extxyz, coloured in `mlsample view` by crystallinity or cluster.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms, units
from ase.io import read, write
from run import FOLDER, N_ATOMS, TEMPERATURE_K, THRESHOLD

from ase_mlsample.analysis import jackknife, read_colvar
from ase_mlsample.analysis.clusters import Clusters, find_clusters
from ase_mlsample.analysis.free_energy import FreeEnergy, from_samples
from ase_mlsample.analysis.reweighting import bias_weights
from ase_mlsample.biases import DeepVESBias
from ase_mlsample.dynamics.checkpoint import read_checkpoint

KT = TEMPERATURE_K * units.kB
LIQUID, CRYSTAL = (0.0, 30.0), (N_ATOMS - 30.0, float(N_ATOMS))
BOND = 3.1  # Å, half way between the first two shells of neighbours
DRIFT = 1.0  # k_BT by which a bias at rest may still differ from what it is in the end
BLOCKS = (10, 20)
PUBLISHED = {"from_liquid": 77.7, "from_crystal": 67.0, "liquid": 1, "crystal": 215}  # k_BT, atoms


def load_bias(folder: Path) -> DeepVESBias:
    """The bias of the run as it is now."""
    state = read_checkpoint(folder / "checkpoint").bias
    bias = DeepVESBias(**state["settings"])
    bias.load_state_dict(state)
    return bias


def from_network(folder: Path) -> FreeEnergy:
    """−V − k_BT ln p of the network and its target as they are now, in k_BT."""
    (axis,), energy = load_bias(folder).free_energy()
    return FreeEnergy((axis,), energy / KT, 1.0, (None,))


def at_rest(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (ps) of the log, n, and which lines are of a bias at rest: those after the last beyond DRIFT.

    That V did not move where the run was is all that matters: reweighting never asks for it elsewhere.
    """
    times, n, bias = read_colvar(folder / "COLVAR").columns(["time", "n", "bias"]).T
    moved = np.flatnonzero(np.abs(bias - load_bias(folder).potential(n[:, None])[0]) > DRIFT * KT)
    return times, n, np.arange(len(n)) > (moved[-1] if len(moved) else -1)


def from_samples_at_rest(folder: Path) -> list[FreeEnergy]:
    """Reweighted free energies, in each number of blocks; none until the run went both ways at rest."""
    _, n, rest = at_rest(folder)
    n = n[rest]
    if len(n) < 2 * max(BLOCKS) or 0 in transitions(n):
        return []
    V = load_bias(folder).potential(n[:, None])[0]
    return [reweighted(n, V, blocks) for blocks in BLOCKS]


def reweighted(n: np.ndarray, bias: np.ndarray, blocks: int) -> FreeEnergy:
    """Free energy of samples under a static bias, in k_BT, with their weights in blocks."""
    weights = bias_weights(bias / KT, kT=1.0)
    return from_samples(n, np.arange(0.5, N_ATOMS), kT=1.0, weights=weights, n_blocks=blocks)


def barriers(curves: list[FreeEnergy]) -> dict[str, Any] | None:
    """Both barriers, minima and the top between them; None while no way across was seen.

    Errors are the largest over the curves, which differ in the number of blocks.
    """
    first = curves[0]
    try:
        forth, back = first.barrier(LIQUID, CRYSTAL), first.barrier(CRYSTAL, LIQUID)
    except ValueError:
        return None
    found: dict[str, Any] = {"liquid": forth.bottom[0], "crystal": back.bottom[0], "top": forth.saddle[0]}
    for name, way in (("from_liquid", forth), ("from_crystal", back)):
        ends = [int(np.argmin(np.abs(first.axes[0] - place[0]))) for place in (way.bottom, way.saddle)]
        found[name] = way.height
        found[f"{name}_error"] = (
            max(_error(curve, ends) for curve in curves) if first.blocks is not None else None
        )
    return found


def _error(curve: FreeEnergy, ends: list[int]) -> float:
    with np.errstate(divide="ignore"):
        return float(jackknife(curve.blocks, lambda p: np.log(p[ends[0]] / p[ends[1]]))[1])


def band(curve: FreeEnergy, zero: int) -> np.ndarray:
    """Standard errors of F(n) − F(zero) of a reweighted curve."""
    with np.errstate(divide="ignore", invalid="ignore"):
        errors: np.ndarray = jackknife(curve.blocks, lambda p: np.log(p / p[zero]))[1]
    return errors


def transitions(n: np.ndarray) -> tuple[int, int]:
    """How often the structure froze and melted, by where n was last beyond either threshold."""
    state = np.where(n > CRYSTAL[0], 1, np.where(n < LIQUID[1], -1, 0))
    state = state[state != 0]
    return int(np.sum(np.diff(state) > 0)), int(np.sum(np.diff(state) < 0))


def clusters_of(atoms: Atoms) -> Clusters:
    """Clusters of crystalline atoms; the crystallinity is in the trajectory."""
    return find_clusters(atoms, "crystallinity", cutoff=BOND, threshold=THRESHOLD)


def choose_snapshots(folder: Path, frames: list[Atoms], places: dict[str, float]) -> dict[str, Atoms]:
    """Write the frame nearest to each place, with crystallinity and cluster of every atom."""
    values = np.array([frame.info["cv"] for frame in frames])
    found = {}
    for name, place in places.items():
        atoms = frames[int(np.argmin(np.abs(values - place)))]
        clusters = clusters_of(atoms)
        clusters.annotate(atoms)
        atoms.info["largest_cluster"] = clusters.largest
        write(folder / f"{name}.extxyz", atoms)
        found[name] = atoms
    return found


def draw(
    path: Path,
    log: tuple[np.ndarray, np.ndarray, np.ndarray],
    curves: dict[str, FreeEnergy],
    largest: tuple[np.ndarray, np.ndarray],
    snapshots: dict[str, Atoms],
) -> None:
    """The count in time, its free energy beside the published numbers, the largest cluster, snapshots."""
    times, n, rest = log
    layout = [[name] * len(snapshots) for name in ("time", "energy", "cluster")] + [list(snapshots)]
    figure, panels = plt.subplot_mosaic(
        layout, figsize=(7.2, 12.4), layout="constrained", height_ratios=(2, 3, 2, 2)
    )
    panels["time"].plot(times / 1000, n, ".", markersize=0.8, rasterized=True)
    if "reweighted" in curves:
        panels["time"].axvspan(times[rest][0] / 1000, times[-1] / 1000, color="0.9", zorder=0)
    title = "Si 216, Stillinger–Weber, 1,700 K, 1 atm; grey: the bias is at rest"
    panels["time"].set(xlabel="time, ns", ylabel="cubic-diamond atoms n", title=title)
    draw_energies(panels["energy"], curves)
    panels["cluster"].plot([0, N_ATOMS], [0, N_ATOMS], color="0.7", linewidth=1)
    panels["cluster"].plot(*largest, ".", markersize=3)
    panels["cluster"].set(xlabel="cubic-diamond atoms n", ylabel="atoms in the largest cluster")
    panels["cluster"].set(xlim=(-3, N_ATOMS + 3), ylim=(-5, N_ATOMS + 10))
    for name, atoms in snapshots.items():
        shown = draw_atoms(panels[name], atoms)
        panels[name].set(title=f"{name.replace('_', ' ')}, n = {atoms.info['cv']:.0f}")
    bar = {"location": "bottom", "shrink": 0.5, "aspect": 50, "label": "crystallinity"}
    figure.colorbar(shown, ax=[panels[name] for name in snapshots], **bar)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_atoms(panel: Any, atoms: Atoms) -> Any:
    """Look at atoms along z, the nearest on top."""
    order = np.argsort(atoms.get_scaled_positions()[:, 2])
    places, depth = atoms.get_positions(wrap=True)[order], np.linspace(0.5, 1, len(atoms))
    colours = atoms.arrays["crystallinity"][order]
    panel.set(aspect="equal", xticks=[], yticks=[])
    return panel.scatter(
        *places[:, :2].T, c=colours, s=55 * depth**2, vmin=0, vmax=1, edgecolors="0.2", linewidths=0.3
    )


def draw_energies(panel: Any, curves: dict[str, FreeEnergy]) -> None:
    for number, (label, curve) in enumerate(curves.items()):
        (axis,), values = curve.axes, np.where(np.isfinite(curve.values), curve.values, np.nan)
        in_liquid = np.where(axis <= LIQUID[1], values, np.nan)
        zero = int(np.nanargmin(values if np.isnan(in_liquid).all() else in_liquid))
        colour = f"C{number}"
        panel.plot(axis, values - values[zero], color=colour, label=label)
        if curve.blocks is not None:
            errors = 2 * np.nan_to_num(band(curve, zero), posinf=0.0)
            low, high = values - values[zero] - errors, values - values[zero] + errors
            panel.fill_between(axis, low, high, color=colour, alpha=0.25, linewidth=0)
    top, back = PUBLISHED["from_liquid"], PUBLISHED["from_crystal"]
    label = f"published: {top} and {back} $k_\\mathrm{{B}}T$"
    panel.axhline(top, color="0.3", linestyle="--", linewidth=1, label=label)
    panel.plot([PUBLISHED["crystal"]], [top - back], "s", color="0.3", markersize=5)
    panel.plot([PUBLISHED["liquid"]], [0], "s", color="0.3", markersize=5)
    panel.set(xlabel="cubic-diamond atoms n", ylabel=r"$F$, $k_\mathrm{B}T$", xlim=(-3, N_ATOMS + 3))
    panel.legend(frameon=False)


def describe(label: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"{label}: no way between liquid and crystal was seen yet"
    heights = [
        f"{found[name]:.1f}"
        + (f" ± {found[f'{name}_error']:.1f}" if found[f"{name}_error"] is not None else "")
        for name in ("from_liquid", "from_crystal")
    ]
    return (
        f"{label}: barrier {heights[0]} k_BT from the liquid, {heights[1]} back; minima near "
        f"{found['liquid']:.1f} and {found['crystal']:.1f}, top near {found['top']:.1f}"
    )


def main() -> None:
    """Analyse a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    times, n, rest = at_rest(folder)
    curves, results = {"network": [from_network(folder)]}, {}
    if at_last := from_samples_at_rest(folder):
        curves["reweighted"] = at_last
    for label, made in curves.items():
        results[label] = barriers(made)
        print(describe(label, results[label]))
    print(
        f"published: {PUBLISHED['from_liquid']} and {PUBLISHED['from_crystal']} k_BT, minima near 1 and 215"
    )

    frames: list[Atoms] = read(folder / "run.extxyz", "1:")  # without the ideal crystal it began with
    best = next((found for found in reversed(results.values()) if found), None)
    best = best or {"liquid": PUBLISHED["liquid"], "crystal": PUBLISHED["crystal"], "top": N_ATOMS / 2}
    places = {"liquid": best["liquid"], "transition_state": best["top"], "crystal": best["crystal"]}
    snapshots = choose_snapshots(folder, frames, places)
    counts = np.array([frame.info["cv"] for frame in frames])
    largest = np.array([clusters_of(frame).largest for frame in frames])
    shown = {label: made[-1] for label, made in curves.items()}
    draw(folder / "silicon.png", (times, n, rest), shown, (counts, largest), snapshots)
    froze, melted = transitions(n)
    summary = {
        "time_ns": times[-1] / 1000,
        "at_rest_from_ns": float(times[rest][0]) / 1000 if at_last else None,
        "crossings_at_rest": sum(transitions(n[rest])),
        "froze": froze,
        "melted": melted,
        "free_energy": results,
        "published": PUBLISHED,
        "snapshots": {
            name: {
                "n": atoms.info["cv"],
                "step": int(atoms.info["step"]),
                "largest_cluster": atoms.info["largest_cluster"],
            }
            for name, atoms in snapshots.items()
        },
        "hours": sum(_seconds(folder)) / 3600,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    print(f"{summary['time_ns']:g} ns, froze {froze} and melted {melted} times; see {folder / 'silicon.png'}")


def _seconds(folder: Path) -> list[float]:
    return [json.loads(line)["seconds"] for line in (folder / "pieces.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
