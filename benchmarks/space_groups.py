"""Random crystals of all space groups: is the symmetry there, do the windows hold, how long does it take?

    python benchmarks/space_groups.py [--crystals 20] [--peer 1] [--plot wyckoff.png] [--groups 1 62 227]

Silicon at 2.0 to 2.8 g/cm³ with up to 32 atoms in the primitive cell, for the 220 groups whose general
position fits, and with up to 96 atoms for the other ten. Every crystal is checked: every operation of the
group asked for is applied to it, spglib names its group, distances and density are measured. Printed is the
fraction with exactly the group asked for, how varied the choice of Wyckoff positions is, and CPU milliseconds
per crystal; beside PyXtal's where that is installed, crystal by crystal with the same group, number of atoms,
density and minimum distance: once PyXtal's own minimum for silicon, and once ours, which is twice as long.
Exit status 1 where a figure falls short of what the package promises.
"""

import argparse
import signal
import statistics
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_mlsample.samplers import RandomSpaceGroup, symmetry_deviation
from ase_mlsample.samplers.packing import AMU_PER_A3, minimum_distances
from ase_mlsample.samplers.wyckoff import space_group

DENSITY = (2.0, 2.8)
OURS = float(minimum_distances(["Si"])[0, 0])  # Å
PEER = 0.5 * OURS  # PyXtal's default: half the sum of covalent radii
PEER_LIMIT_S = 5


class Tally:
    """What is counted over all crystals of a set of groups."""

    def __init__(self) -> None:
        self.exact: dict[int, float] = {}
        self.choices: dict[int, Counter[str]] = defaultdict(Counter)
        self.free: Counter[int] = Counter()
        self.sizes: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.failures: Counter[int] = Counter()
        self.worst = {"deviation": 0.0, "distance": np.inf, "density": 0.0, "supergroups": 0}


def derivation() -> float:
    """Seconds for the Wyckoff positions of all groups, and a check of their number."""
    start = time.process_time()
    count = sum(len(space_group(number).wyckoff) for number in range(1, 231))
    seconds = time.process_time() - start
    if count != 1731:
        raise RuntimeError(f"{count} Wyckoff positions instead of 1731")
    return seconds


def examine(atoms: Atoms, number: int, tally: Tally) -> bool:
    """Measure one crystal; return whether spglib finds exactly the group."""
    worst = tally.worst
    worst["deviation"] = max(worst["deviation"], symmetry_deviation(atoms, number))
    worst["distance"] = min(worst["distance"], neighbor_list("d", atoms, 2 * OURS).min(initial=np.inf))
    density = atoms.get_masses().sum() * AMU_PER_A3 / atoms.get_volume()
    worst["density"] = max(worst["density"], DENSITY[0] - density, density - DENSITY[1])
    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
    )
    return found is not None and found.number == number


def survey(groups: list[int], crystals: int, n_atoms: tuple[int, int]) -> Tally:
    tally = Tally()
    for number in groups:
        sampler = RandomSpaceGroup("Si", spacegroups=number, n_atoms=n_atoms, density=DENSITY)
        free = {one.label: one.n_free for one in space_group(number).wyckoff}
        exact = 0
        for index in range(crystals):
            rng = np.random.default_rng([number, index])
            start = time.process_time()
            try:
                atoms = sampler.draw(rng)
            except RuntimeError:
                tally.failures[number] += 1
                continue
            tally.seconds.append(time.process_time() - start)
            exact += examine(atoms, number, tally)
            labels = atoms.info["wyckoff"].split("+")
            tally.choices[number][atoms.info["wyckoff"]] += 1
            tally.free.update(free[label] for label in labels)
            tally.sizes[len(atoms)] += 1
        tally.exact[number] = exact / crystals
    return tally


def show(tally: Tally, crystals: int, title: str) -> bool:
    """Print the figures; return whether they are as promised."""
    fractions = np.array(list(tally.exact.values()))
    least = min(tally.exact, key=lambda number: tally.exact[number])
    below = sorted(number for number, share in tally.exact.items() if share < 0.5)
    milliseconds = 1e3 * np.array(tally.seconds)
    distinct = [len(counter) for counter in tally.choices.values()]
    print(f"\n{title}: {len(fractions)} groups, {crystals} crystals each")
    print(
        f"  exactly the group        min {fractions.min():.2f} (No. {least})  "
        f"median {np.median(fractions):.2f}  mean {fractions.mean():.3f}  below one half: {below or 'none'}"
    )
    print(f"  no crystal found         {sum(tally.failures.values())} {dict(tally.failures) or ''}")
    print(f"  largest deviation        {tally.worst['deviation']:.1e} Å, all operations of all crystals")
    print(f"  shortest distance        {tally.worst['distance']:.4f} Å, asked for {OURS:.4f}")
    print(f"  beyond the density       {tally.worst['density']:.1e} g/cm³")
    print(
        f"  different occupations    min {min(distinct)}  median {np.median(distinct):.0f} "
        f"of {crystals}; orbits with 0, 1, 2, 3 free parameters: {[tally.free[k] for k in range(4)]}"
    )
    print(
        f"  CPU ms per crystal       median {np.median(milliseconds):.2f}  mean {milliseconds.mean():.2f}  "
        f"95 % {np.quantile(milliseconds, 0.95):.1f}  max {milliseconds.max():.0f}"
    )
    return (
        not below
        and not tally.failures
        and tally.worst["deviation"] < 1e-8
        and tally.worst["distance"] >= OURS
        and tally.worst["density"] < 1e-9
    )


def histogram(tally: Tally, plot: Path | None) -> None:
    """Print how atoms chose among the positions of some groups, and draw it for all."""
    shares: dict[int, Counter[str]] = {}
    for number, counter in tally.choices.items():
        shares[number] = Counter()
        for text, count in counter.items():
            for label in text.split("+"):
                shares[number][label] += count
    print("\nOrbits by Wyckoff position:")
    for number in [n for n in (2, 14, 62, 123, 166, 194, 198, 216) if n in shares]:
        group = space_group(number)
        listed = "  ".join(f"{one.label} {shares[number][one.label]}" for one in group.wyckoff)
        print(f"  {group.symbol:9} {listed}")
    positions = {n: [one.label for one in space_group(n).wyckoff] for n in shares}
    used = sum(shares[n][label] > 0 for n, labels in positions.items() for label in labels)
    print(f"  used at least once: {used} of {sum(map(len, positions.values()))} positions")
    if plot is None:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(9, 5.5), layout="constrained")
    for number, labels in positions.items():
        total = sum(shares[number].values())
        heights = [shares[number][label] / total for label in labels]
        bottoms = np.concatenate([[0.0], np.cumsum(heights)[:-1]])
        colours = plt.colormaps["viridis"](np.linspace(1, 0, len(labels)))[::-1]
        axes[0].bar([number] * len(labels), heights, bottom=bottoms, width=1.0, color=colours)
    axes[0].set(
        xlabel="space group", ylabel="share of the orbits", xlim=(0.5, max(shares) + 0.5), ylim=(0, 1)
    )
    axes[0].set_title("Wyckoff positions chosen, first letter dark, general position light")
    axes[1].bar(list(tally.sizes), list(tally.sizes.values()), color="0.4")
    axes[1].set(xlabel="atoms in the primitive cell", ylabel="crystals")
    figure.savefig(plot, dpi=150)
    print(f"  plot: {plot}")


class _Late(Exception):  # noqa: N818 (no error: the peer took too long)
    pass


def _late(*_: object) -> None:
    raise _Late


def peer_seconds(number: int, atoms: Atoms, distance: float, seed: int) -> float | None:
    """CPU seconds of PyXtal for a crystal such as this one; None when it gave up or took too long."""
    from pyxtal import pyxtal
    from pyxtal.lattice import Lattice
    from pyxtal.symmetry import Group
    from pyxtal.tolerance import Tol_matrix

    rng = np.random.default_rng(seed)
    tolerance = Tol_matrix(("Si", "Si", distance), prototype="atomic")
    group = Group(number)
    volume = atoms.get_volume() * space_group(number).n_centrings
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(PEER_LIMIT_S)
    start = time.process_time()
    try:
        lattice = Lattice(group.lattice_type, volume, random_state=rng)
        crystal = pyxtal()
        crystal.from_random(
            3,
            group,
            ["Si"],
            [len(atoms)],
            lattice=lattice,
            conventional=False,
            tm=tolerance,
            random_state=rng,
            max_count=1,
        )
        return time.process_time() - start if crystal.valid else None
    except _Late:
        return None
    except Exception:  # PyXtal raises many kinds when it gives up
        return None
    finally:
        signal.alarm(0)


def against_peer(groups: list[int], crystals: int) -> bool:
    """Print times beside PyXtal's; return whether ours are at least five times shorter."""
    try:
        import pyxtal
    except ImportError:
        print("\nPyXtal is not installed: no comparison")
        return True
    warnings.simplefilter("ignore")
    print(f"\nBeside PyXtal {pyxtal.__version__}, CPU ms per crystal, {len(groups)} groups × {crystals}")
    fast = True
    for name, distance in (("PyXtal's minimum distance", PEER), ("ours", OURS)):
        mine, theirs, missed = [], [], 0
        for number in groups:
            sampler = RandomSpaceGroup("Si", spacegroups=number, density=DENSITY, min_distance=distance)
            for index in range(crystals):
                rng = np.random.default_rng([number, index])
                start = time.process_time()
                atoms = sampler.draw(rng)
                mine.append(time.process_time() - start)
                seconds = peer_seconds(number, atoms, distance, index)
                missed += seconds is None
                theirs += [] if seconds is None else [seconds]
        ours, other = 1e3 * statistics.median(mine), 1e3 * statistics.median(theirs)
        print(
            f"  {name:26} {distance:.2f} Å: ours {ours:.2f}, PyXtal {other:.1f} where it succeeded "
            f"(none in {PEER_LIMIT_S} s: {missed} of {len(mine)}), ratio {other / ours:.0f}"
        )
        fast &= other >= 5 * ours
    return fast


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crystals", type=int, default=20, help="of each group")
    parser.add_argument("--peer", type=int, default=1, help="crystals of each group beside PyXtal; 0: none")
    parser.add_argument("--groups", type=int, nargs="+", default=list(range(1, 231)), help="all by default")
    parser.add_argument("--peer-step", type=int, default=1, help="only every so many groups beside PyXtal")
    parser.add_argument("--plot", type=Path, help="histogram of the Wyckoff choices")
    options = parser.parse_args()
    print(f"Wyckoff positions of all 230 groups: 1731, derived in {derivation():.2f} s")
    small = [number for number in options.groups if space_group(number).order <= 32]
    large = [number for number in options.groups if space_group(number).order > 32]
    fine = True
    if small:
        tally = survey(small, options.crystals, (1, 32))
        fine &= show(tally, options.crystals, "Up to 32 atoms")
        histogram(tally, options.plot)
    if large:
        fine &= show(survey(large, options.crystals, (1, 96)), options.crystals, "Up to 96 atoms")
    if options.peer:
        fine &= against_peer(small[:: options.peer_step], options.peer)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
