"""Small pieces of HTML, everything that comes from a run escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ase_mlsample.report.drawn import Drawn
from ase_mlsample.report.style import GRID, INK, MUTED

__all__ = [
    "Cell",
    "Markup",
    "as_json",
    "definitions",
    "figure",
    "inline_svg",
    "items",
    "notice",
    "paragraph",
    "section",
    "subsection",
    "table",
]


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


# the text of a cell, or its text and CSS class
Cell = str | tuple[str, str]

_PAGE_COLOURS = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--grid)"}


def paragraph(text: str, css: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_class(css)}>{escape(text)}</p>"


def items(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def definitions(pairs: Mapping[str, str]) -> str:
    """Words and what they stand for."""
    rows = "".join(f"<dt>{escape(word)}</dt><dd>{escape(value)}</dd>\n" for word, value in pairs.items())
    return f'<dl class="what">\n{rows}</dl>'


def section(name: str, heading: str, *parts: str) -> str:
    """A section of the page that can be linked to."""
    body = "\n".join(part for part in parts if part)
    return f'<section id="{escape(name)}">\n<h2>{escape(heading)}</h2>\n{body}\n</section>'


def subsection(name: str, heading: str, *parts: str) -> str:
    """A part of a section that can be linked to."""
    body = "\n".join(part for part in parts if part)
    return f'<section id="{escape(name)}">\n<h3>{escape(heading)}</h3>\n{body}\n</section>'


def notice(words: str, texts: Iterable[str] = (), *, css: str = "notice") -> str:
    """What a reader must not miss, with a list of particulars."""
    listed = list(texts)
    return f'<aside class="{escape(css)}">{paragraph(words)}{items(listed) if listed else ""}</aside>'


def table(
    headings: Sequence[Cell],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: str = "",
    label: str = "",
    css: str = "",
) -> str:
    """A table that scrolls by itself where the page is narrow; the first cell of a row is its heading.

    Parameters
    ----------
    headings, rows
        Cells.
    caption
        Above it.
    label
        For those who hear the page, where there is no caption.
    css
        Class.
    """
    head = "".join(_cell("th", cell, ' scope="col"') for cell in headings)
    body = "\n".join(
        "<tr>"
        + _cell("th", row[0], ' scope="row"')
        + "".join(_cell("td", cell) for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    name = f' aria-label="{escape(caption or label)}"' if caption or label else ""
    return (
        f'<div class="scroll" role="group" tabindex="0"{name}><table{_class(css)}>{told}\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def figure(
    name: str, drawn: Drawn, caption: str, *, folder: str = "report/", prefix: str = "", css: str = ""
) -> str:
    """A plot in the page, with links to its files beside the page.

    Parameters
    ----------
    name
        Of the files.
    drawn
        The plot.
    caption
        Below it.
    folder
        Of the files, as seen from the page.
    prefix
        Of the identifiers in the page.
    css
        Class.
    """
    links = " ".join(
        f'<a href="{escape(folder)}{name}.{kind}" aria-label="{name} as {kind.upper()}">{kind.upper()}</a>'
        for kind in ("png", "svg")
    )
    return (
        f'<figure id="{prefix}{name}"{_class(css)}>\n{inline_svg(drawn.svg, prefix + name, drawn.text)}\n'
        f'<figcaption>{escape(caption)} <span class="files">{links}</span></figcaption>\n</figure>'
    )


def inline_svg(svg: bytes, name: str, label: str) -> str:
    """An SVG file of matplotlib's as an element of an HTML page.

    Identifiers get the prefix ``name``, sizes are left to the page, and the ink takes the page's colours, so
    that a dark page is legible.

    Raises
    ------
    ValueError
        It holds no ``<svg>`` element.
    """
    text = svg.decode()
    found = re.search(r"<svg\b.*</svg>", text, re.DOTALL)
    if found is None:
        raise ValueError(f"figure {name!r}: there is no <svg> element in {text[:60]!r}")
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", found.group(), flags=re.DOTALL)
    opening, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    opening = f'<svg {box.group() if box else ""} role="img" aria-label="{escape(label)}"'
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'\b(?:xlink:)?href="#', f'href="#{name}-', rest)
    rest = re.sub(r"url\(#", f"url(#{name}-", rest).replace("xlink:href=", "href=")
    rest = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", rest)
    for ink, page in _PAGE_COLOURS.items():
        rest = re.sub(rf"(fill|stroke): {ink}\b", rf"\1: {page}", rest)
    # what has no fill of its own, text above all, is black by the rules of SVG
    return re.sub(r"\n\s*", "\n", f'{opening} fill="currentColor">{rest}')


def as_json(content: Any) -> str:
    """Compact JSON that can stand in a ``<script>`` element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cell(tag: str, cell: Cell, attributes: str = "") -> str:
    text, css = (cell, "") if isinstance(cell, str) else cell
    return f"<{tag}{attributes}{_class(css)}>{text if isinstance(text, Markup) else escape(text)}</{tag}>"


def _class(css: str) -> str:
    return f' class="{escape(css)}"' if css else ""
