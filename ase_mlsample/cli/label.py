"""Label structures with a reference calculator, durably: killed and started again, it goes on.

Every answer is kept in a folder beside the output before it counts, so that no label is computed twice. The
output holds the labelled structures under REF_energy, REF_forces and REF_stress with all digits; the others
are listed at the end with what can be done. With --check-convergence it measures instead how far the settings
of the reference are from converged for these structures.

Exit status: 0 when all are labelled, 1 when some are not.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

    from ase_mlsample.active.reference_settings import ReferenceSettings

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample label structures.extxyz --factory gpaw --kwargs '{elements: [Si]}' -o labelled.extxyz
mlsample label structures.extxyz --config examples/silicon.yaml --workers 2 --retry-failed
mlsample label some.extxyz --config run.yaml --check-convergence"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    from ase_mlsample.cli.label_convergence import add_convergence_options

    parser.add_argument("structures", type=Path, help="file of structures that ASE reads")
    parser.add_argument("-o", "--output", type=Path, help="extxyz file (structures.labelled.extxyz)")
    parser.add_argument("--factory", help="gpaw, espresso … of ase_mlsample.references, or module:factory")
    parser.add_argument("--kwargs", metavar="YAML", help="keyword arguments of the factory")
    parser.add_argument("--config", type=Path, help="YAML file of a run, for its reference section")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another setting of the reference section",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (1: in this one)")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--results", type=Path, help="folder of the results (output.labels)")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an output that is not of this command"
    )
    add_convergence_options(parser)


def run(args: Namespace) -> int:
    """Label, write, and list what failed."""
    if args.check_convergence:
        from ase_mlsample.cli.label_convergence import check_convergence

        return int(check_convergence(args))
    from ase.io import read

    from ase_mlsample.active.label_file import label_structures
    from ase_mlsample.active.summary import wide_console

    if args.workers < 1 or args.threads < 1:
        raise ValueError(f"--workers {args.workers}, --threads {args.threads}: at least one of each")
    settings = reference_settings(args)
    output = args.output or args.structures.with_name(f"{args.structures.stem}.labelled.extxyz")
    folder = args.results or output.with_suffix(".labels")
    if output.exists() and not folder.exists() and not args.overwrite:
        raise ValueError(f"{output} exists; --overwrite replaces it, --output names another")
    frames = read(args.structures, index=":")
    if not frames:
        raise ValueError(f"{args.structures} holds no structure")
    results = label_structures(
        frames,
        settings,
        folder=folder,
        workers=args.workers,
        threads=args.threads,
        retry_failed=args.retry_failed,
        console=wide_console(),
    )
    return _write(frames, results, settings, output, folder)


def reference_settings(args: Namespace) -> ReferenceSettings:
    """The reference that the command line names, by --factory or by the file of a run.

    Raises
    ------
    ValueError
        It names none, or two, or settings that there are not.
    """
    from pydantic import ValidationError

    from ase_mlsample.active.config_file import explain
    from ase_mlsample.active.reference_settings import ReferenceSettings

    values = _values(args)
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text}: write it as key=value, such as --set max_force=30")
        *sections, last = key.removeprefix("reference.").split(".")
        place = values
        for name in sections:
            place = place.setdefault(name, {})
        place[last] = _yaml(value, f"--set {text}")
    try:
        return ReferenceSettings.model_validate(values)
    except ValidationError as error:
        problems = [explain(item, ReferenceSettings) for item in error.errors()]
        raise ValueError("reference: " + "; ".join(problems)) from None


def _values(args: Namespace) -> dict[str, Any]:
    if (args.factory is None) == (args.config is None):
        raise ValueError(
            "name the reference: --factory with --kwargs, or --config with the YAML file of a run"
        )
    if args.factory is not None:
        kwargs = {} if args.kwargs is None else _yaml(args.kwargs, "--kwargs")
        if not isinstance(kwargs, dict):
            raise ValueError(f"--kwargs {args.kwargs}: write a mapping, such as '{{cutoff: 300}}'")
        return {"factory": args.factory, "kwargs": kwargs}
    if args.kwargs is not None:
        raise ValueError("--kwargs belongs to --factory; change a file's values by --set kwargs.name=value")
    values = _yaml(args.config.read_text(), str(args.config))
    section = values.get("reference") if isinstance(values, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"{args.config} has no section `reference`")
    return dict(section)


def _yaml(text: str, source: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None


def _write(
    frames: Sequence[Atoms],
    results: Sequence[dict[str, Any]],
    settings: ReferenceSettings,
    output: Path,
    folder: Path,
) -> int:
    from ase_mlsample.active.frames import write_exact
    from ase_mlsample.active.label_file import labelled_frame

    reference = settings.reference()
    pairs = list(zip(frames, results, strict=True))
    number = write_exact(
        output, (labelled_frame(atoms, found, reference) for atoms, found in pairs if _had(found))
    )
    seconds = sum(float(found["seconds"]) for found in results)
    print(f"{output}: {number} of {len(frames)} structures labelled, {seconds / max(1, number):.3g} s each")
    missing = [(n, atoms, found) for n, (atoms, found) in enumerate(pairs) if not _had(found)]
    if missing:
        _list(missing, settings, folder)
    return 1 if missing else 0


def _had(result: dict[str, Any]) -> bool:
    return bool(result["status"] == "labelled")


def _list(
    missing: Sequence[tuple[int, Atoms, dict[str, Any]]], settings: ReferenceSettings, folder: Path
) -> None:
    """Tables of what was not labelled: each structure, and what can be done about each kind."""
    from collections import Counter

    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from ase_mlsample.active.remedies import REMEDIES
    from ase_mlsample.active.summary import failure_table, wide_console

    table = Table(
        title="not labelled (frames count from 0)", title_justify="left", box=SIMPLE, pad_edge=False
    )
    for heading in ("frame", "structure", "kind", "attempts", "why"):
        table.add_column(heading, overflow="fold")
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for number, atoms, result in missing:
        kind, why = _why(result, settings)
        kinds[kind] += 1
        examples.setdefault(kind, why)
        cells = (
            str(number),
            atoms.get_chemical_formula(),
            kind,
            str(result["attempts"]),
            " ".join(why.split()),
        )
        table.add_row(*(escape(cell[:300]) for cell in cells))
    console = wide_console()
    console.print(table)
    console.print(
        failure_table(
            [
                {"kind": kind, "count": n, "example": examples[kind], "remedy": REMEDIES.get(kind, "")}
                for kind, n in kinds.items()
            ]
        )
    )
    console.print(f"everything about them is in {folder}", highlight=False, markup=False, soft_wrap=True)


def _why(result: dict[str, Any], settings: ReferenceSettings) -> tuple[str, str]:
    if result["status"] == "rejected":
        return "forces", f"a force of {result['max_force']:.3g} eV/Å, over max_force = {settings.max_force:g}"
    error = result["error"]
    return error.get("kind", "unknown"), f"{error['type']}: {error['message']}"
