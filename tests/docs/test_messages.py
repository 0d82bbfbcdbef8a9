"""The messages in docs/errors.md are those of the package: each quoted one is found in its source."""

import ast
import re

import pytest

from tests.docs.code_blocks import DOCS, ROOT

QUOTED = re.findall(r"^`+(.*?)`+\n: ", (DOCS / "errors.md").read_text(), flags=re.MULTILINE)
GAP = "\0"


def texts(tree):
    """Every literal text, with a gap where something is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)


@pytest.fixture(scope="module")
def source():
    files = sorted((ROOT / "ase_mlsample").rglob("*.py"))
    return [text for file in files for text in texts(ast.parse(file.read_text()))]


@pytest.mark.parametrize("message", QUOTED)
def test_message_is_in_the_source(message, source):
    pieces = [re.escape(piece.strip(" ")) for piece in message.split("…") if len(piece.strip(" .;:()")) > 3]
    pattern = re.compile(".*".join(pieces), flags=re.DOTALL)
    assert pieces
    assert any(pattern.search(text) for text in source), message


def test_there_are_many():
    assert len(QUOTED) > 30
