"""Put a potential through the properties that people check, against its reference and the literature.

Every property of an ensemble is evaluated for its mean potential and for each member alone, which gives the
value and its ±. Results of a run join its report.html; those of any other model are a page of their own,
validation.html, in a folder with validation.json, the figures, and the answers one by one. Stopped and
started again, it goes on with what is missing; checks that were done before stay. The slow checks, thermal
expansion and melting by molecular dynamics, are done with --slow, or when --only names them.

Exit status: 0 when every check gave a result, 1 when some failed. Verdicts do not change it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_mlsample.validation.evaluation import Source

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample validate runs/silicon --reference ase_mlsample.calculators:StillingerWeber
mlsample validate model.safetensors --suite silicon --only elastic phonons --out checked
mlsample validate model.safetensors --slow --workers 2"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", help="folder of a run, model file (.safetensors), or module:factory of any ASE calculator"
    )
    parser.add_argument(
        "--suite", default="auto", help="silicon, tin or aluminium; auto: of the model's element"
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="calculator to compare with, by the same protocol: module:factory, a model file, or a reference "
        "of this package such as gpaw",
    )
    parser.add_argument(
        "--reference-kwargs", metavar="YAML", help="keyword arguments of the reference's factory"
    )
    parser.add_argument(
        "--reference-answers",
        type=Path,
        metavar="FOLDER",
        help="answers of the reference, shared by the validations of several models (with the results)",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder of the results (validation in that of a run, else model.validation)",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="CHECK", help="these checks and no others")
    parser.add_argument("--skip", nargs="+", default=[], metavar="CHECK", help="leave these out")
    parser.add_argument("--slow", action="store_true", help="thermal expansion and melting too")
    parser.add_argument(
        "--quick", action="store_true", help="smaller cells and shorter runs, for a first look"
    )
    parser.add_argument(
        "--members",
        choices=("fast", "all", "none"),
        default="fast",
        help="evaluate members alone for all but the slow checks, for all, or for none",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (1: in this one)")
    parser.add_argument("--retry-failed", action="store_true", help="evaluate again what failed before")
    parser.add_argument("--list", action="store_true", help="list the checks of the suite, and stop")


def run(args: Namespace) -> int:
    """Evaluate, write, and show the table."""
    from ase_mlsample.active.summary import wide_console
    from ase_mlsample.cli.validate_table import check_list, progress_bar, validation_table
    from ase_mlsample.cli.validate_target import target
    from ase_mlsample.validation.checks import chosen, suite
    from ase_mlsample.validation.suite import run_suite

    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: at least one")
    meant = target(args.model, args.out)
    folder, model = meant.folder, _source(meant.model, {})
    name, symbol, checks = suite(args.suite, _symbols(model))
    console = wide_console()
    if args.list:
        console.print(check_list(name, checks))
        return 0
    wanted = chosen(checks, only=args.only, skip=args.skip, slow=args.slow)
    with progress_bar(f"validating {symbol}") as progress, _executor(args.workers) as executor:
        found = run_suite(
            wanted,
            symbol,
            model,
            suite=name,
            folder=folder,
            executor=executor,
            workers=args.workers,
            reference=_reference(args),
            reference_answers=args.reference_answers,
            quick=args.quick,
            members=args.members,
            retry_failed=args.retry_failed,
            progress=progress,
        )
    asked = {check.name for check in wanted}
    shown = tuple(one for one in found.outcomes if one.check in asked)
    found = replace(found, outcomes=shown, quick=any(one.quick for one in shown))
    console.print(validation_table(found))
    page = meant.write_page()
    told = f"{page}; open it in a browser: {page.resolve().as_uri()}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    return 1 if any(outcome.result is None for outcome in found.outcomes) else 0


def _source(described: str, kwargs: dict[str, Any]) -> Source:
    """The calculator that a model file or a factory makes."""
    import hashlib

    from ase_mlsample import __version__
    from ase_mlsample.validation.evaluation import Source

    path = Path(described)
    if described.endswith(".safetensors") or path.name == "committee.json":
        if kwargs:
            raise ValueError(f"--reference-kwargs {kwargs}: a model file such as {described} takes none")
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such model file", described)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        return Source(described, partial(_loaded, str(path.resolve()), content), content)
    if ":" not in described:
        raise ValueError(
            f"{described} is neither a model file (.safetensors) nor the module:factory of a calculator"
        )
    from ase_mlsample.active.factories import resolve

    resolve(described)  # says at once what is wrong with the name
    fingerprint = f"{described} {sorted(kwargs.items())!r} {__version__}"
    return Source(described, partial(_built, described, kwargs), fingerprint)


def _loaded(path: str, content: str, precision: str) -> Any:
    """The model of a file, which has to be what it was when the validation began."""
    import hashlib

    from ase_mlsample.active.models import load_model
    from ase_mlsample.calculators import load_ensemble

    if hashlib.sha256(Path(path).read_bytes()).hexdigest() != content:
        raise RuntimeError(
            f"{path} was replaced while it was validated. Start again for the new model; the old one can be "
            "validated from a copy"
        )
    if path.endswith(".json"):  # a committee of a run's, whose factories choose the precision
        return load_model(Path(path).parent)
    return load_ensemble(path, dtype="float64" if precision == "float64" else "float32")


def _built(name: str, kwargs: dict[str, Any], precision: str) -> Any:  # noqa: ARG001 (factories choose it)
    from ase_mlsample.active.factories import build

    return build(name, kwargs)


def _reference(args: Namespace) -> Source | None:
    from ase_mlsample._yaml import yaml_value
    from ase_mlsample.active.label import reference_name

    if args.reference is None:
        for given in ("reference_kwargs", "reference_answers"):
            if getattr(args, given) is not None:
                raise ValueError(f"--{given.replace('_', '-')} belongs to --reference")
        return None
    kwargs = {} if args.reference_kwargs is None else yaml_value(args.reference_kwargs, "--reference-kwargs")
    if not isinstance(kwargs, dict):
        raise ValueError(f"--reference-kwargs {args.reference_kwargs}: write a mapping, such as '{{k: 1}}'")
    is_file = args.reference.endswith(".safetensors")
    return _source(args.reference if is_file else reference_name(args.reference), kwargs)


def _symbols(model: Source) -> list[str]:
    """Elements that the model says it knows; none for a calculator that does not say."""
    parameters = getattr(model.make("float32"), "parameters", None) or {}
    known = parameters.get("elements") or [parameters[key] for key in ("symbol",) if key in parameters]
    return [str(symbol) for symbol in known]


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor

    executor: Executor = SerialExecutor() if workers == 1 else ProcessExecutor(workers)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
