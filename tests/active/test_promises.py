"""The table of promises names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs/promises.md").read_text().splitlines() if line.startswith("| ")][1:]


def names_of(path):
    """Tests of a file, as pytest names them without their parameters."""
    found = {""}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:40] for row in ROWS])
def test_every_promise_has_its_tests(row):
    *_, named, _ = row.split("|")
    tests = re.findall(r"`([^`]+)`", named)
    assert tests
    file = None
    for test in tests:
        before, _, name = test.partition("::")
        file = before or file
        path = ROOT / file if "/" in file else ROOT / "tests/active" / file
        pattern = re.escape(name.partition("[")[0]).replace("\\*", ".*").replace("…", ".*")
        assert any(re.fullmatch(pattern, known) for known in names_of(path)), test
