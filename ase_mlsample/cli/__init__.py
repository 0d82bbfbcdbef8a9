"""The command line `mlsample`: one module a verb, imported only when the verb is used.

A verb's module holds its help as docstring, `EXAMPLE` (command lines for ``--help``),
`add_arguments(parser)` and `run(args) -> int`. What it raises decides the exit status:
bad input (`ValueError`, `TypeError`, `KeyError`, a missing file) is 2, any other failure 1;
either way one line says why, and ``--debug`` shows the traceback.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from keyword import iskeyword
from types import ModuleType
from typing import Any

__all__ = ["VERBS", "main"]

VERBS = {
    "run": "learn a potential by active learning, as a YAML file says; run again, it goes on",
    "status": "where a run stands: generations, labels, errors",
    "label": "label structures with a reference calculator, durably; run again, it goes on",
    "import": "take labelled structures of a file into a run",
    "export": "write the labelled structures of a run as extended XYZ",
    "report": "rebuild report.html, plots and summary.json of a run from its directory",
    "view": "look at candidates, or at a run at work, in the ASE GUI, coloured by disagreement",
    "md": "molecular dynamics, plain or biased (metadynamics, OPES, VES, Deep-VES); run again, it goes on",
    "cv": "collective variables along a trajectory, crystallinity and clusters of its atoms",
    "fes": "free energy along variables: from hills, reweighted samples or umbrella windows",
    "train": "train an ensemble on labelled frames",
    "sample": "draw structures from a sampler",
    "validate": "put a potential through the properties that are checked: crystals, phonons, defects, liquid",
    "testset": "make a labelled held-out set from prototypes and liquid",
}

BAD_INPUT = (ValueError, TypeError, KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status.

    Parameters
    ----------
    argv
        The command line without the program's name; that of the process by default.

    Returns
    -------
    int
        0 done, 1 the work failed, 2 bad input, 130 interrupted, 143 ended by SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        from ase_mlsample import __version__

        print(f"mlsample {__version__}")
        return 0
    verb, *rest = words
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "verbs: " + ", ".join(VERBS)
        return _complain(f"unknown verb {verb!r}; {hint}", 2)
    module = importlib.import_module(f"ase_mlsample.cli.{verb}{'_' * iskeyword(verb)}")
    try:
        args = _parser(verb, module).parse_args(rest)
    except SystemExit as stop:  # argparse has said what is wrong
        return int(stop.code or 0)
    return _run(module, args)


def _overview() -> str:
    lines = ["usage: mlsample VERB ... [--debug]", ""]
    lines += [f"  {verb:<9}{help_text}" for verb, help_text in VERBS.items()]
    lines += ["", "`mlsample VERB --help` explains a verb with an example; `mlsample --version`."]
    lines += ["Exit status: 0 done, 1 the work failed and said why, 2 bad input, 130 interrupted."]
    return "\n".join(lines)


def _parser(verb: str, module: ModuleType) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"mlsample {verb}",
        description=module.__doc__,
        epilog="example:\n  " + module.EXAMPLE.strip().replace("\n", "\n  "),
        formatter_class=RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    return parser


def _run(module: ModuleType, args: object) -> int:
    try:
        return int(module.run(args))
    except KeyboardInterrupt as interruption:
        return _complain(str(interruption) or "interrupted", 128 + getattr(interruption, "signal", 2))
    except BrokenPipeError:  # the reader of a pipe (head, less) went away: nothing is wrong
        return 0
    except Exception as error:
        if getattr(args, "debug", False):
            traceback.print_exc()
        bad_input = isinstance(error, BAD_INPUT)
        return _complain(_one_line(error), 2 if bad_input else 1)


def _one_line(error: Exception) -> str:
    # str() of a KeyError is the repr of its argument, quotes included
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    elif type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        text = "; ".join(_setting(problem) for problem in error.errors())
    text = " ".join(text.split())
    planned = isinstance(error, (*BAD_INPUT, RuntimeError, OSError)) and text
    return text if planned else " ".join(f"{type(error).__name__}: {text} (--debug shows where)".split())


def _setting(problem: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _complain(message: str, status: int) -> int:
    print(f"mlsample: {message}", file=sys.stderr)
    return status
