"""Rebuild a run's report from its directory: report.html, one file that opens without a network.

Errors by generation and class, predicted against true error, properties that `mlsample validate` computed,
what exploration found, where structures came from, time and cost, and a three-dimensional look at the worst
and the least certain structures. Plots (PNG, SVG) and numbers (data.json) go to report/ beside it, with
summary.json. Works while the run goes on. Of a folder of `mlsample validate` it rebuilds validation.html.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "mlsample report runs/silicon --open"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("directory", type=Path, help="a run's directory, or that of a validation")
    parser.add_argument(
        "--no-model", action="store_true", help="leave out what needs the model evaluated on the held-out set"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: Namespace) -> int:
    """Write the report and say where it is."""
    from ase_mlsample.report import write_report, write_validation_page

    if _is_validation(args.directory):
        page, *others = write_validation_page(args.directory)
    else:
        page, *others = write_report(args.directory, evaluate=not args.no_model)
    for path in others:
        print(path)
    address = page.resolve().as_uri()
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser: {address}")
    if args.open:
        import webbrowser

        if not webbrowser.open(address):
            raise RuntimeError(f"no browser could be started; open {address} by hand")
    return 0


def _is_validation(directory: Path) -> bool:
    return (directory / "validation.json").is_file() and not (directory / "ledger.db").exists()
