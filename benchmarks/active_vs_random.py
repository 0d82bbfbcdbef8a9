"""Does active learning pay? The same number of labels, chosen by the loop or drawn from the same samplers.

    python benchmarks/active_vs_random.py examples/silicon.yaml --directory runs/pays

For each seed the loop runs to its end. As many structures as it had labelled are then drawn at random from
the configuration's `initial` samplers, in their proportions, and labelled. Both sets train a new ensemble
from nothing with the same settings, so that only the choice of structures differs. Printed is the held-out
force error (RMSE over RMS) by class and the ratio active/random, its median over seeds at the end; exit
status 1 if that is above 0.9. Run again, it goes on. --set shortens, for example
--set stop.max_generations=2 --set training.epochs=20.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from ase.io import read

from ase_mlsample.active import ActiveLoop, RunConfig, read_config
from ase_mlsample.active.models import evaluate, train


def random_config(config: RunConfig, n_labels: int, directory: Path) -> RunConfig:
    """One generation of n_labels structures from the initial samplers, in their proportions."""
    shares = np.array([item.n for item in config.initial], dtype=float)
    edges = np.round(np.cumsum(shares) / shares.sum() * n_labels).astype(int)
    counts = np.diff(edges, prepend=0)
    # a stream of its own: the first draws must not be the active run's
    return config.model_copy(
        update={
            "initial": tuple(
                item.model_copy(update={"n": int(n)})
                for item, n in zip(config.initial, counts, strict=True)
                if n
            ),
            "stop": config.stop.model_copy(update={"max_generations": 1}),
            "seed": config.seed + 100_000,
            "directory": directory,
        }
    )


def retrained(config: RunConfig, data: Path, folder: Path) -> dict[str, float]:
    """Held-out force errors of a new ensemble on a data set."""
    train(
        frames=read(data, index=":"),
        model=config.model,
        settings=config.training,
        directory=str(folder),
        start=None,
        seed=(config.seed, 7),
        elements=config.elements,
        progress=True,
    )
    found = evaluate(model=str(folder), testset=str(config.testset))
    return {kind: errors["force_error"] for kind, errors in found["classes"].items()}


def compare(config: RunConfig, directory: Path) -> dict[str, dict[str, float]]:
    """Errors of both ways for one seed, kept in a file."""
    file = directory / f"seed{config.seed}.json"
    if file.exists():
        return json.loads(file.read_text())
    active = config.model_copy(update={"directory": directory / f"active{config.seed}"})
    summary = ActiveLoop(active).run()
    n_labels = sum(summary["labels"].values())
    drawn = random_config(config, n_labels, directory / f"random{config.seed}")
    ActiveLoop(drawn).run()
    errors = {
        way: retrained(config, run.directory / "dataset.extxyz", directory / f"{way}{config.seed}-model")
        for way, run in (("active", active), ("random", drawn))
    }
    as_run = summary["generations"][-1]["evaluate"]["classes"]
    errors["active as run"] = {kind: found["force_error"] for kind, found in as_run.items()}
    file.write_text(json.dumps(errors, indent=1))
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="YAML file of a run with a testset")
    parser.add_argument("--directory", type=Path, default=Path("runs/active_vs_random"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    ratios = []
    for seed in args.seeds:
        config = read_config(args.config, overrides=[*args.overrides, f"seed={seed}"])
        if config.testset is None:
            parser.error(f"{args.config} names no testset")
        errors = compare(config, args.directory)
        print(f"\nseed {seed}: force error (RMSE/RMS) on the held-out set")
        for way, by_class in errors.items():
            print(f"  {way:<14}" + "".join(f"{kind:>10} {error:.3f}" for kind, error in by_class.items()))
        ratios.append(errors["active"]["all"] / errors["random"]["all"])
        print(f"  ratio active/random: {ratios[-1]:.3f}")
    median = float(np.median(ratios))
    print(f"\nmedian ratio of {len(ratios)} seeds: {median:.3f} (wanted at most 0.9)")
    return int(median > 0.9)


if __name__ == "__main__":
    sys.exit(main())
