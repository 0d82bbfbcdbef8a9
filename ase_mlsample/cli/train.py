"""Train an ensemble of ANI networks on labelled frames and write its model file.

The frames may come from any file that ASE reads or from an ase.db; they need energies, and may have forces
and stress. Interrupted, the same command goes on from the last checkpoint.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_mlsample.training import Dataset, TrainingResult

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample train data.extxyz --out si.safetensors --members 4 --epochs 200
mlsample train theirs.xyz --energy-key energy --forces-key forces --settings train.yaml --out si.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("data", type=Path, help="labelled frames (extxyz, traj, ase.db)")
    parser.add_argument("--out", type=Path, default=Path("model.safetensors"), help="model file to write")
    parser.add_argument(
        "--directory", type=Path, help="folder of checkpoint and history (default: beside --out)"
    )
    parser.add_argument("--settings", type=Path, help="YAML file with `model:` and `training:` sections")
    parser.add_argument("--warm-start", type=Path, help="earlier model file to go on from")
    parser.add_argument("--members", type=int, help="networks in the ensemble (default 4)")
    parser.add_argument("--epochs", type=int, help="sweeps over the data at most")
    parser.add_argument("--max-minutes", type=float, help="stop training after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--energy-key", default="REF_energy", help="key of the energies (default REF_energy)")
    parser.add_argument("--forces-key", default="REF_forces", help="key of the forces (default REF_forces)")
    parser.add_argument("--stress-key", default="REF_stress", help="key of the stress (default REF_stress)")
    parser.add_argument(
        "--calculator-labels",
        action="store_true",
        help="take labels from the calculators stored with the frames",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Train, write the model, print its errors."""
    import numpy as np

    from ase_mlsample.calculators.ani_model import ANIModel
    from ase_mlsample.training import Dataset, ModelSettings, TrainingSettings, train_ensemble

    sections = _sections(args.settings)
    training = TrainingSettings.model_validate(
        sections["training"] | _given(epochs=args.epochs, max_minutes=args.max_minutes)
    )
    if args.warm_start is not None and (sections["model"] or args.members is not None):
        raise ValueError(
            "--warm-start keeps the earlier model as it is: drop --members and the `model:` section"
        )
    model = ModelSettings.model_validate(sections["model"] | _given(members=args.members))
    dataset = Dataset.read(
        args.data,
        energy_key=args.energy_key,
        forces_key=args.forces_key,
        stress_key=args.stress_key,
        calculator_labels=args.calculator_labels,
    )
    result = train_ensemble(
        dataset,
        model=model if args.warm_start is None else ANIModel.load(args.warm_start),
        settings=training,
        rng=np.random.default_rng(args.seed),
        directory=args.directory or args.out.with_suffix(".training"),
        progress=not args.quiet,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result.calculator.save(args.out)
    _report(dataset, result, args.out)
    return 0


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _sections(path: Path | None) -> dict[str, dict[str, Any]]:
    """The `model` and `training` sections of a settings file, empty where there is none."""
    if path is None:
        return {"model": {}, "training": {}}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(path) or {}
    except YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or set(content) - {"model", "training"}:
        raise ValueError(f"{path} may hold the sections `model` and `training` only, not {content!r}")
    return {name: dict(content.get(name) or {}) for name in ("model", "training")}


def _report(dataset: "Dataset", result: "TrainingResult", path: Path) -> None:
    from rich.table import Table

    from ase_mlsample.active.summary import wide_console

    table = Table(
        title=f"{dataset!r}, {result.epochs} epochs in {result.seconds:.0f} s", title_justify="left"
    )
    for heading in ("errors (RMSE)", "energy, meV/atom", "forces, meV/Å", "stress, GPa"):
        table.add_column(heading, justify="left" if heading.startswith("errors") else "right")
    rows = [(f"member {k}, its validation frames", m) for k, m in enumerate(result.validation)]
    if result.held_out is not None:
        rows.append(("ensemble, held-out frames", result.held_out))
    for name, metrics in rows:
        table.add_row(
            name,
            f"{1e3 * metrics.energy_rmse:.1f}",
            "–" if metrics.forces_rmse is None else f"{1e3 * metrics.forces_rmse:.0f}",
            "–" if metrics.stress_rmse is None else f"{160.2176634 * metrics.stress_rmse:.2f}",
        )
    console = wide_console()
    console.print(table)
    for name, covered in result.coverage.items():
        console.print(
            f"{name}: {covered.before:.0%} of errors within 1 σ as they come, "
            f"{covered.after:.0%} calibrated, {covered.expected:.0%} expected"
        )
    console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
