"""Every code block of README and handbook: Python runs, YAML is validated, command lines are parsed.

The Python of a page runs in order, in one namespace and an empty folder, with ``MLSAMPLE_SHORT`` set. What a
comment exempts is compiled and its imports are looked up, and it is listed in `NOT_RUN` below.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType

import pytest

from ase_mlsample._yaml import yaml_value
from ase_mlsample.active import read_config
from ase_mlsample.active.config_file import check_config, parse_config
from ase_mlsample.cli import VERBS
from ase_mlsample.cli.md_settings import parse_settings
from ase_mlsample.validation.held_out import HeldOutSettings
from tests.docs.code_blocks import DOCS, ROOT, blocks, pages

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON, SHELL = ("python", "hidden"), ("sh",)
OTHER = ("text", "bibtex", "ini")  # shown, and nothing to run

#: What cannot run here, by page and reason, with the number of blocks; a new one has to be entered.
NOT_RUN: dict[tuple[str, str], int] = {
    ("docs/clusters.md", "needs a Dask cluster"): 1,
    ("docs/committees.md", "needs CHGNet"): 1,
    ("docs/committees.md", "needs MACE"): 2,
    ("docs/committees.md", "needs models of deepmd-kit"): 2,
    ("docs/howto/looking.md", "needs a notebook"): 1,
    ("docs/howto/looking.md", "needs a screen"): 1,
    ("docs/references.md", "needs pw.x"): 1,
    ("docs/tutorials/aluminium.md", "needs the model of the whole example"): 1,
    ("docs/tutorials/own_classes.md", "needs my_samplers.py beside it"): 1,
    ("docs/tutorials/own_reference.md", "needs GPAW"): 1,
    ("docs/tutorials/silicon.md", "needs the model of the whole demo"): 1,
}

#: Programs that command lines may call besides `mlsample`, `make` and `python`.
PROGRAMS = {".", "apt-get", "cd", "git", "pip", "printf", "env", "dask", "export", "pw.x", "ase"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder in which short settings hold."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MLSAMPLE_SHORT", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.language == "python" for b in blocks(page))]
)
def test_python_runs(page, here, monkeypatch):
    import matplotlib.pyplot as plt

    module = ModuleType("handbook")  # a real one, so that what a page defines can be pickled
    monkeypatch.setitem(sys.modules, "handbook", module)
    for block in blocks(page):
        if block.language not in PYTHON or block.reason:
            continue
        # lines of messages and tracebacks are those of the page
        code = "\n" * (block.line - 1) + block.shortened
        exec(compile(code, str(ROOT / page), "exec"), vars(module))  # noqa: S102
    plt.close("all")


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.reason and b.language == "python"], ids=lambda block: block.place
)
def test_python_that_does_not_run_could(block):
    tree = ast.parse(block.code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ase_mlsample"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), block.place


def test_nothing_is_left_out_silently():
    found: dict[tuple[str, str], int] = {}
    for block in BLOCKS:
        if block.reason:
            found[block.page, block.reason] = found.get((block.page, block.reason), 0) + 1
    assert found == NOT_RUN
    languages = {block.language for block in BLOCKS}
    assert languages <= {*PYTHON, *SHELL, *OTHER, "yaml", ""}
    assert len([b for b in BLOCKS if b.language == "python" and not b.reason]) > 40


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=lambda block: block.place)
def test_yaml_is_valid(block, here):
    values = yaml_value(block.shortened, block.place)
    if block.kind == "testset":
        HeldOutSettings.model_validate(values)
    elif block.kind == "md":
        parse_settings(values, source=block.place)
    elif block.kind == "run":
        config = _within_a_run(values, block.place)
        # codes and batch systems need not be there; samplers, explorers and limits are tried out
        if not block.reason and not (isinstance(values, dict) and {"reference", "executors"} & set(values)):
            check_config(config)
    else:
        raise AssertionError(f"{block.place}: what is {block.kind!r}?")


def _within_a_run(values, place):
    """The block's sections in place of those of the silicon example; a list is one of samplers."""
    whole = yaml_value((ROOT / "examples" / "silicon.yaml").read_text(), "silicon.yaml")
    whole["testset"] = None
    values = {"explore": {"start": values}} if isinstance(values, list) else values
    for key, value in _without_dots(values).items():
        old = whole.get(key)
        sections = isinstance(old, dict) and isinstance(value, dict)
        # a model of another kind has other settings
        same = sections and value.get("type", old.get("type")) == old.get("type")
        whole[key] = {**old, **value} if same else value
    return parse_config(whole, source=place)


def _without_dots(values):
    if isinstance(values, dict):
        return {key: _without_dots(value) for key, value in values.items() if key != "..."}
    return values


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in SHELL], ids=lambda block: block.place)
def test_command_lines_parse(block):
    for line in block.code.replace("\\\n", " ").splitlines():
        for words in _commands(line):
            _check_command(words, f"{block.place}: {line}")


def test_commands_in_running_text_parse():
    """`mlsample verb …` between back quotes names a verb and options that there are."""
    count = 0
    for page in PAGES:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
        for command in re.findall(r"`(mlsample [^`…]*)`", text):
            words = shlex.split(command)
            verb = words[1]
            if verb.isupper():  # VERB stands for any
                continue
            assert verb in VERBS or verb in ("--help", "--version"), f"{page}: {command}"
            options = {word for word in words[2:] if word.startswith("--")}
            assert options <= set(_parser(verb)._option_string_actions), f"{page}: {command}"
            count += 1
    assert count > 20


def _commands(line: str) -> list[list[str]]:
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", ";"):
            commands.append([])
        elif commands[-1] or "=" not in word.split("/")[0]:  # VARIABLE=value before a program
            commands[-1].append(word)
    return [command for command in commands if command]


def _check_command(words: list[str], place: str) -> None:
    program, *arguments = words
    if program == "mlsample":
        _check_verb(arguments, place)
    elif program == "make":
        for target in arguments:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), place
    elif program in ("python", "python3") and not arguments[0].startswith("-"):
        assert arguments[0].startswith("my_") or (ROOT / arguments[0]).is_file(), place
    else:
        assert program in PROGRAMS | {"python", "python3"}, place


def _check_verb(words: list[str], place: str) -> None:
    verb, *rest = words
    assert verb in VERBS, place
    try:
        args = _parser(verb).parse_args(rest)
    except SystemExit as stop:
        raise AssertionError(f"{place} does not parse") from stop
    if verb == "run" and (ROOT / args.config).is_file():
        read_config(ROOT / args.config, overrides=["testset=null", *args.overrides])


def _parser(verb: str) -> ArgumentParser:
    module = importlib.import_module(f"ase_mlsample.cli.{verb}{'_' * (verb == 'import')}")
    parser = ArgumentParser(prog=f"mlsample {verb}", exit_on_error=True)
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true")
    return parser


def test_links_lead_somewhere():
    """Relative links of README and pages are files of the repository."""
    count = 0
    for page in PAGES:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
            count += 1
    assert count > 20
    assert (DOCS / "index.md").is_file()
    assert Path(ROOT / "examples").is_dir()
