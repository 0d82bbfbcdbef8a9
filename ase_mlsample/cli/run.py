"""Learn a potential by active learning, as a YAML file says; run again, it goes on where it was.

The folder of the run explains itself: config.yaml (as resolved), ledger.db, models/, candidates/ coloured by
disagreement, dataset.extxyz, log.jsonl, summary.json, report.html with its plots in report/, and the newest
model on top. A run can be killed at any moment: no recorded label is lost or computed again.
"""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample run examples/silicon.yaml
mlsample run examples/silicon.yaml --workers 4 --set directory=runs/more --set stop.max_generations=8
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="use another value than the file's (repeatable; items of lists count from 0)",
    )
    parser.add_argument("--workers", type=int, help="processes for labels and trajectories; 1 uses none")
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="try failed labels again, with the next generation's; a finished run trains once more for them",
    )
    parser.add_argument(
        "--job-scripts", action="store_true", help="only print the scripts of the blocks that it would submit"
    )
    parser.add_argument("--check", action="store_true", help="only check the configuration")


def run(args: Namespace) -> int:
    """Run, or go on."""
    from ase_mlsample.active import ActiveLoop, read_config
    from ase_mlsample.report import write_report

    overrides = list(args.overrides)
    if args.workers is not None:
        overrides.append(f"executors.workers={args.workers}")
    config = read_config(args.config, overrides=overrides)
    if args.check:
        print(f"{args.config} is fine")
        return 0
    if args.job_scripts:
        from ase_mlsample.active.engines import job_scripts

        for kind, script in job_scripts(config).items():
            print(f"# {kind}\n{script}")
        return 0
    try:
        ActiveLoop(config, report=write_report).run(retry_failed=args.retry_failed)
    except KeyboardInterrupt as interruption:
        print(f"interrupted; run the same command again to go on in {config.directory}", file=sys.stderr)
        return 128 + getattr(interruption, "signal", signal.SIGINT)
    return 0
