"""A validation as files: its figures, its part of a run's report, and a page of its own."""

from __future__ import annotations

import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ase_mlsample._files import write_atomic
from ase_mlsample.report.drawn import Drawn, write_figure
from ase_mlsample.report.markup import as_json
from ase_mlsample.report.validation_figures import figure_names, plan_figures
from ase_mlsample.report.validation_section import Validated, validation_section

if TYPE_CHECKING:
    from ase_mlsample.validation.suite import Validation

__all__ = ["read_run_validation", "write_validation_page"]

_FILE = "validation.json"


def write_validation_page(folder: Path) -> list[Path]:
    """Write ``validation.html``, a page of a validation alone, and its figures (PNG and SVG).

    Parameters
    ----------
    folder
        Holds ``validation.json``; each file is replaced whole.

    Returns
    -------
    list of Path
        The files written, the page first.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no ``validation.json``, or it cannot be read.
    """
    from ase_mlsample.validation.files import load_validation

    folder = Path(folder)
    found = load_validation(folder / _FILE)
    validated, written = _drawn(found, folder, "")
    source = files("ase_mlsample.report")
    title = f"Validation of {found.model}"
    section = validation_section(validated, heading="Properties beside the reference and the literature")
    page = Template(source.joinpath("template.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=source.joinpath("style.css").read_text(encoding="utf-8"),
        body=f"<header>\n<h1>{escape(title)}</h1></header>\n<main>{section}</main>",
        data=as_json({}),
        script=source.joinpath("tables.js").read_text(encoding="utf-8"),
    )
    write_atomic(folder / "validation.html", page.encode())
    return [folder / "validation.html", *written]


def read_run_validation(directory: Path) -> tuple[Validated | None, list[Path], list[str]]:
    """The validation of a run, its figures written.

    Parameters
    ----------
    directory
        Of the run; its validation is in ``validation/``.

    Returns
    -------
    Validated or None
        None where nothing was validated.
    list of Path
        Files written.
    list of str
        What is wrong with it, in words.
    """
    from ase_mlsample.validation.files import load_validation

    folder = directory / "validation"
    if not (folder / _FILE).is_file():
        return None, [], []
    try:
        found = load_validation(folder / _FILE)
    except ValueError as error:
        return Validated(None, problem=str(error)), [], [f"validation: {error}"]
    outdated = _outdated(found, directory)
    validated, written = _drawn(found, folder, "validation/", outdated)
    return validated, written, [f"validation: {outdated}"] if outdated else []


def _drawn(found: Validation, folder: Path, address: str, outdated: str = "") -> tuple[Validated, list[Path]]:
    """The figures of a validation as files and for the page; those of an earlier state go."""
    from ase_mlsample.validation.checks import all_checks

    plans = plan_figures(found.to_dict())
    written: list[Path] = []
    drawn: dict[str, Drawn] = {}
    for name, plan in plans.items():
        paths, drawn[name] = write_figure(plan.draw(), name, folder)
        written += paths
    possible = figure_names(check.name for check in all_checks(found.suite, found.symbol))
    for name in possible - set(plans):
        for kind in ("png", "svg"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return Validated(found, plans, drawn, address, outdated=outdated), written


def _outdated(found: Validation, directory: Path) -> str:
    """Whether the run has another model by now, in a sentence; empty if it is the same."""
    from ase_mlsample.active.models import has_model, model_file

    def same(folder: Path) -> bool:
        return has_model(folder) and _content(model_file(folder)) == found.fingerprint

    if same(directory):
        return ""
    again = f"run `mlsample validate {directory.resolve().name}` again"
    if not has_model(directory):
        return f"the run has no model that they could be of; {again}"
    numbers = [path.name for path in sorted(directory.glob("models/*")) if path.name.isdigit() and same(path)]
    whose = f"the model of generation {int(numbers[-1])}" if numbers else "another model"
    return f"they are of {whose}, and the run has a newer one: {again}"


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
