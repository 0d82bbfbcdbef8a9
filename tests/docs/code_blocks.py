"""The code blocks of README and handbook, with what the comments before them say about testing them.

An HTML comment, which readers do not see, goes before the block that it is about:

    <!-- test: short "epochs=200" "epochs=2" -->   pairs of texts that are exchanged to save time
    <!-- test: not run, needs GPAW -->             the reason why a block is only compiled, or only parsed
    <!-- test: a testset -->                       what a YAML block is: a run (default), a testset, an md

and one of several lines holds Python of its own, run at its place: files that the page takes for granted, or
assertions about what a block did:

    <!-- test: python
    assert spread.force_sigma.shape == (8,)
    -->
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "ROOT", "Block", "blocks", "pages"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_COMMENT = re.compile(r"<!-- test: (?P<text>.*?)\s*-->", re.DOTALL)
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks) *$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code in a page.

    Attributes
    ----------
    page : path relative to the repository.
    line : of its first line in the page.
    language : what the fence says; "hidden" for Python in a comment.
    code : as printed, without indentation of the fence.
    shortened : as it is tested.
    reason : why it is not run, or None.
    kind : what a YAML block describes.
    """

    page: str
    line: int
    language: str
    code: str
    shortened: str
    reason: str | None = None
    kind: str = "run"

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """README and every page of the handbook, relative to the repository."""
    found = [path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_")]
    study = ROOT / "examples" / "silicon_crystallisation" / "README.md"
    return [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", study, *sorted(found))]


def blocks(page: str) -> list[Block]:
    """Code of a page in its order.

    Raises
    ------
    ValueError
        For a comment about testing that belongs to no block or says nothing known.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = [(match.start(), match) for match in _FENCE.finditer(text) if match["language"][:1] != "{"]
    comments = [
        (match.start(), match)
        for match in _COMMENT.finditer(text)
        if not any(start <= match.start() < fence.end() for start, fence in fences)
    ]
    found: list[Block] = []
    pending: list[str] = []
    for start, match in sorted([*fences, *comments], key=lambda item: item[0]):
        line = text.count("\n", 0, start) + 2
        if "text" in match.groupdict():
            kind, _, rest = match["text"].partition("\n")
            if kind == "python":
                found.append(Block(page, line, "hidden", rest, rest))
            else:
                pending.append(match["text"])
            continue
        found.append(_block(page, line, match, pending))
        pending = []
    if pending:
        raise ValueError(f"{page}: no block follows {pending}")
    return found


def _block(page: str, line: int, match: re.Match[str], comments: list[str]) -> Block:
    indent = match["indent"]
    code = "".join(row.removeprefix(indent) for row in match["code"].splitlines(keepends=True))
    shortened, reason, kind = code, None, "run"
    for comment in comments:
        word, _, rest = comment.partition(" ")
        if word == "short":
            shortened = _exchanged(shortened, shlex.split(rest), f"{page}:{line}")
        elif comment.startswith("not run, "):
            reason = comment.removeprefix("not run, ")
        elif word in ("a", "an"):
            kind = rest
        else:
            raise ValueError(f"{page}:{line}: unknown comment {comment!r}")
    return Block(page, line, match["language"].strip(), code, shortened, reason, kind)


def _exchanged(code: str, words: list[str], place: str) -> str:
    if len(words) % 2:
        raise ValueError(f"{place}: texts to exchange come in pairs, not {words}")
    for old, new in zip(words[::2], words[1::2], strict=True):
        if old not in code:
            raise ValueError(f"{place}: {old!r} is not in the block that is to be shortened")
        code = code.replace(old, new)
    return code
