"""The page ``report.html``: its sections, from a run's numbers, figures and structures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template

from ase_mlsample.report import tables
from ase_mlsample.report.drawn import Drawn
from ase_mlsample.report.history import History
from ase_mlsample.report.markup import as_json, definitions, figure, items, paragraph, section
from ase_mlsample.report.structures import ShownStructure, element_table
from ase_mlsample.report.validation_section import Validated, in_one_sentence, validation_section
from ase_mlsample.report.verdict import verdict

__all__ = ["CAPTIONS", "Page", "render"]

# all plots by name, with what they show
CAPTIONS = {
    "force_errors": "Force errors on the held-out set by class, over the labels learned from. "
    "1 is as bad as predicting no forces at all.",
    "energy_errors": "Energy errors on the held-out set by class, without any shift.",
    "force_parity": "Force components of the last model against the reference.",
    "energy_parity": "Energies of the last model against the reference.",
    "uncertainty": "Predicted and true error of each atom's force. On the dashed line they are equal.",
    "calibration": "Error against predicted σ in twelve bins of equal population. "
    "Under the dashed line error bars are too large, above it too small.",
    "coverage": "Errors inside an interval of so many σ, and what Gaussian members would give.",
    "candidates": "What the trust window said of the frames at which trajectories were looked at.",
    "trust_window": "The trust window: a frame whose largest deviation lies in it is a candidate.",
    "origins": "Structures proposed for labelling, by sampler or explorer.",
    "kinds": "The same structures by their class.",
    "stage_times": "Wall time by stage.",
    "labels": "What became of the structures proposed in each generation.",
}

_VIEWER = """<div id="viewer" hidden>
<div class="controls">
<span class="pick"><button type="button" class="before" aria-label="previous structure">‹</button>
<select class="which" aria-label="structure"></select>
<button type="button" class="after" aria-label="next structure">›</button></span>
<label>colour by <select class="scalar"></select></label>
<label><input type="checkbox" class="bonds"> bonds</label>
<label><input type="checkbox" class="cell" checked> cell</label>
</div>
<div class="picture"><canvas class="stage" tabindex="0" role="img"
 aria-label="the chosen structure; drag or arrow keys turn it"></canvas>
<div class="tip" hidden></div>
<div class="bar"><span>0</span><span class="ramp"></span><span class="top"></span>
<span class="name"></span></div>
</div>
<dl class="facts"></dl>
</div>
<noscript><p>The three-dimensional view needs JavaScript. The structures are in report/data.json too.</p>
</noscript>"""


@dataclass(frozen=True)
class Page:
    """What the page is made from.

    Attributes
    ----------
    history
        Of the run.
    figures
        SVG by name.
    structures
        To look at.
    notes
        What is missing and why.
    validated
        Properties of the model, or None.
    directory
        Name of the run's folder.
    """

    history: History
    figures: Mapping[str, Drawn] = field(default_factory=dict)
    structures: Sequence[ShownStructure] = ()
    notes: Sequence[str] = ()
    validated: Validated | None = None
    directory: str = ""


def render(page: Page) -> str:
    """The whole page as text: it loads nothing, and the same numbers give the same text."""
    history = page.history
    name = str(history.config.get("name") or "run")
    sections = {
        "Errors": section("errors", "Errors by generation and class", *_errors(page)),
        "Uncertainty": section("uncertainty-of-forces", "Predicted against true error", *_uncertainty(page)),
        "Validation": _validation(page),
        "Exploration": section("exploration", "Exploration", *_exploration(page)),
        "Origins": section("origin", "Origin of the structures", *_origins(page)),
        "Structures": section("look", "The worst and the least certain structures", *_structures(page)),
        "Cost": section("cost", "Time and cost", *_cost(page)),
        "Configuration": section("configuration", "Configuration", _configuration(history)),
    }
    anchors = [text.split('"', 2)[1] for text in sections.values()]
    links = "".join(f'<li><a href="#{a}">{t}</a></li>' for t, a in zip(sections, anchors, strict=True))
    notes = (
        f'<aside class="notice"><p>Missing or doubtful:</p>{items(page.notes)}</aside>' if page.notes else ""
    )
    head = [
        f"<header>\n<h1>{escape(name)}</h1>",
        paragraph(_state(history), "sub"),
        definitions(_facts(history)),
    ]
    body = [*head, "</header>", _verdict(page), notes, f'<nav aria-label="sections"><ul>{links}</ul></nav>']
    body += ["<main>", *sections.values(), "</main>", _footer(history)]
    source = files("ase_mlsample.report")
    data = {
        "elements": element_table(page.structures),
        "structures": [structure.to_dict() for structure in page.structures],
    }
    return Template(source.joinpath("template.html").read_text(encoding="utf-8")).substitute(
        title=f"{escape(name)} – report",
        style=source.joinpath("style.css").read_text(encoding="utf-8"),
        body="\n".join(part for part in body if part),
        data=as_json(data),
        script="\n".join(source.joinpath(name).read_text(encoding="utf-8") for name in _scripts(page)),
    )


def _scripts(page: Page) -> list[str]:
    wanted = {"viewer.js": bool(page.structures), "tables.js": page.validated is not None}
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _verdict(page: Page) -> str:
    found = verdict(page.history)
    sentences = list(found.sentences)
    if page.validated is not None and page.validated.found is not None:
        whose = "Properties of an older model" if page.validated.outdated else "Properties"
        sentences.append(f"{whose}: {in_one_sentence(page.validated.found)}")
    parts = [paragraph(found.headline, "headline"), items(sentences), tables.last_errors(page.history)]
    return f'<section class="verdict" id="verdict" aria-label="verdict">{"".join(parts)}</section>'


def _errors(page: Page) -> Iterable[str]:
    if not page.history.judged:
        yield paragraph("No model has been judged on a held-out set.")
        yield tables.validation_errors(page.history)
        return
    yield _plots(page, "force_errors", "energy_errors")
    yield tables.errors_by_generation(page.history)
    yield tables.validation_errors(page.history)


def _uncertainty(page: Page) -> Iterable[str]:
    yield _plots(
        page, "uncertainty", "calibration", "coverage", "force_parity", "energy_parity"
    ) or paragraph("The last model was not evaluated on a held-out set for this report.")
    yield tables.honesty(page.history)


def _validation(page: Page) -> str:
    hint = f"`mlsample validate {page.directory}` does, and its results appear here."
    return validation_section(
        page.validated, heading="Validation: properties beside the reference and the literature", hint=hint
    )


def _exploration(page: Page) -> Iterable[str]:
    yield _plots(page, "candidates", "trust_window") or paragraph("Nothing has been explored yet.")
    if any(g.explored for g in page.history.generations):
        yield paragraph(_measure(page.history.config.get("selection") or {}))
    yield tables.exploration(page.history)


def _measure(selection: Mapping[str, object]) -> str:
    if selection.get("measure") == "relative":
        level = selection.get("level")
        return (
            f"The deviation of an atom is σ / (1 + |F| / {level} eV/Å), with its force F and the calibrated "
            "disagreement σ of the ensemble on it."
        )
    return "The deviation of an atom is the calibrated disagreement σ of the ensemble on its force."


def _origins(page: Page) -> Iterable[str]:
    yield _plots(page, "origins", "kinds") or paragraph("No structure has been proposed yet.")
    yield tables.label_states(page.history)


def _structures(page: Page) -> Iterable[str]:
    if not page.structures:
        yield paragraph("There is no structure to show yet: neither held-out predictions nor an exploration.")
        return
    yield paragraph(
        "Held-out structures with the largest error of an atom's force (the worst of each class, then the "
        "next), and of the frames that the last exploration chose for labelling those that the ensemble was "
        "least sure of. Drag to turn; "
        "wheel or two fingers zoom; arrow keys turn too; point at an atom for its numbers."
    )
    yield _VIEWER


def _cost(page: Page) -> Iterable[str]:
    yield _plots(page, "stage_times", "labels") or paragraph("No stage is complete yet.")
    yield tables.stage_seconds(page.history)
    yield tables.worker_seconds(page.history)
    yield tables.failures(page.history)


def _configuration(history: History) -> str:
    text = json.dumps(history.config, indent=2, ensure_ascii=False)
    return f"<details><summary>All settings, as resolved</summary><pre>{escape(text)}</pre></details>"


def _plots(page: Page, *names: str) -> str:
    shown = [figure(name, page.figures[name], CAPTIONS[name]) for name in names if name in page.figures]
    return '<div class="plots">\n' + "\n".join(shown) + "\n</div>" if shown else ""


def _state(history: History) -> str:
    n = len(history.generations)
    state = "finished" if history.summary["finished"] else "running" if history.running else "not finished"
    generations = "no generation yet" if n == 0 else f"{n} generation{'s' if n > 1 else ''}"
    return f"{state}, {generations}, state of the ledger at {_when(history.changed)}"


def _facts(history: History) -> dict[str, str]:
    config = history.config
    reference, model = config.get("reference") or {}, config.get("model") or {}
    kwargs = ", ".join(f"{key}={value!r}" for key, value in (reference.get("kwargs") or {}).items())
    version = f", version {reference['version']}" if reference.get("version") else ""
    facts = {
        "elements": ", ".join(str(symbol) for symbol in config.get("elements", ())),
        "reference": f"{reference.get('factory', 'unknown')}({kwargs}){version}",
        "model": _model(model),
        "seed": str(config.get("seed", "not recorded")),
        "held-out set": str(config.get("testset") or "none"),
        "began": _when(history.created),
        "software": ", ".join(f"{name} {number}" for name, number in history.versions.items())
        or "versions were not recorded by the run",
    }
    return {word: value for word, value in facts.items() if value}


def _model(model: Mapping[str, object]) -> str:
    if not model:
        return ""
    members, aev = model.get("members"), model.get("aev")
    if not isinstance(members, int):
        count = len(members) if isinstance(members, list | tuple) else "some"
        return f"{model.get('type', 'committee')} of {count} × {model.get('factory', 'calculators')}"
    text = f"{members} members, type {model.get('type', 'ani')}"
    if isinstance(aev, Mapping) and "radial_cutoff" in aev:
        text += f", cutoffs {aev['radial_cutoff']} and {aev.get('angular_cutoff')} Å"
    for key, what in (
        ("cutoff", "cutoff {} Å"),
        ("embedding", "embedding {}"),
        ("fitting", "fitting {}"),
        ("hidden", "hidden layers {}"),
    ):
        text += f", {what.format(model[key])}" if model.get(key) else ""
    return text


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _footer(history: History) -> str:
    text = (
        "Rebuilt at any time by `mlsample report` from the ledger. Plots as PNG and SVG and the numbers "
        "behind them (data.json) are in report/, the summary in summary.json. Units: eV, Å, eV/Å."
    )
    fingerprint = history.summary["reference"].get("fingerprint", "")
    return f"<footer>{paragraph(text)}{paragraph(f'Reference fingerprint: {fingerprint}')}</footer>"
