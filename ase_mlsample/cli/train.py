"""Train an ensemble of ANI networks, or of Deep Potentials, on labelled frames and write its model file.

The frames may come from any file that ASE reads or from an ase.db; they need energies, and may have forces
and stress. Several files may have weights. Interrupted, the same command goes on from the last checkpoint.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_mlsample.training import Dataset, DataSettings, LearningCurve, TrainingResult
    from ase_mlsample.training.evaluation import Metrics

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample train data.extxyz --out si.safetensors --members 4 --epochs 200
mlsample train data.extxyz --type deep_potential --out si.safetensors
mlsample train theirs.xyz --energy-key energy --forces-key forces --settings train.yaml --out si.safetensors
mlsample train dft.extxyz cheap.extxyz --weights 1 0.2 --testset test.extxyz
mlsample train better.extxyz --start si.safetensors --recipe transfer --out better.safetensors
mlsample train --continue si.training --epochs +100
mlsample train data.extxyz --learning-curve 0.1 0.3 1.0 --repeats 3
"""

_MODEL = Path("model.safetensors")
_COMMAND = "command.json"
_SECTIONS = ("data", "model", "training")
_KEYS = ("energy_key", "forces_key", "stress_key", "calculator_labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("data", type=Path, nargs="*", help="labelled frames (extxyz, traj, ase.db)")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="a weight for each file of data"
    )
    parser.add_argument("--out", type=Path, help=f"model file to write (default {_MODEL})")
    parser.add_argument(
        "--directory", type=Path, help="folder of checkpoint and history (default: beside --out)"
    )
    parser.add_argument("--settings", type=Path, help=f"YAML file with sections {', '.join(_SECTIONS)}")
    parser.add_argument(
        "--type",
        choices=("ani", "deep_potential"),
        help="kind of networks (default: as in --settings, or ani)",
    )
    parser.add_argument("--members", type=int, help="networks in the ensemble (default 4)")
    parser.add_argument("--epochs", help="sweeps over the data at most; +N with --continue")
    parser.add_argument("--max-minutes", type=float, help="stop training after this time")
    parser.add_argument("--seed", type=int, help="seed of everything random (default 0)")
    parser.add_argument(
        "--testset", type=Path, help="further labelled frames, under the same keys, to give errors on"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    _add_start(parser)
    _add_keys(parser)
    curve = parser.add_argument_group("learning curve")
    curve.add_argument(
        "--learning-curve",
        type=float,
        nargs="+",
        metavar="F",
        help="train on these fractions of the frames, one after the other",
    )
    curve.add_argument("--repeats", type=int, help="orders of the frames for each fraction (default 1)")


def _add_start(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("going on from an earlier model")
    group.add_argument("--start", "--warm-start", type=Path, help="model file to start from")
    group.add_argument(
        "--recipe",
        choices=("fine-tuning", "transfer", "deepmd"),
        help="settings for more data of the same reference, or for data of another one; deepmd: for a new "
        "model, the loss and the rates of deepmd-kit",
    )
    group.add_argument(
        "--freeze",
        action="append",
        metavar="PATTERN",
        help="do not train parameters such as layers.0 or Si.layers.*.bias (may be repeated)",
    )
    group.add_argument(
        "--self-energies", choices=("keep", "refit"), help="fit the atomic energies to the new labels, or not"
    )
    group.add_argument(
        "--continue",
        dest="folder",
        type=Path,
        metavar="DIR",
        help="go on with the training in a folder: to its end, with --epochs +N beyond it, or on other data",
    )


def _add_keys(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where the labels are")
    for name in ("energy", "forces", "stress"):
        group.add_argument(f"--{name}-key", default=f"REF_{name}", help=f"(default REF_{name})")
    group.add_argument(
        "--calculator-labels",
        action="store_true",
        help="take labels from the calculators stored with the frames",
    )


def run(args: argparse.Namespace) -> int:
    """Train, write the model, print its errors."""
    if args.repeats is not None and args.learning_curve is None:
        raise ValueError("--repeats belongs to --learning-curve")
    if args.folder is not None:
        return _continue(args)
    sections = _sections(args.settings)
    sources = _sources(args, sections["data"])
    model, settings = _model_and_settings(args, sections)
    if args.learning_curve is not None:
        return _learning_curve(args, sources, model, settings)
    import numpy as np

    from ase_mlsample.training import Dataset, train_ensemble

    out = args.out or _MODEL
    directory = args.directory or out.with_suffix(".training")
    dataset = Dataset.read_all(sources)
    testset = _testset(args)
    result = train_ensemble(
        dataset,
        model=model,
        settings=settings,
        rng=np.random.default_rng(args.seed or 0),
        directory=directory,
        progress=not args.quiet,
        # not before: the folder may turn out to hold another training
        on_epoch=lambda _: _remember(directory, sources, out),
    )
    _remember(directory, sources, out)
    return _finish(dataset, result, out, testset)


def _continue(args: argparse.Namespace) -> int:
    from ase_mlsample.training import Dataset, continue_training

    names = (
        "settings type members max_minutes seed start recipe freeze self_energies learning_curve directory"
    )
    given = [name for name in names.split() if getattr(args, name) is not None]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"--continue keeps model, settings, seed and folder of the training: drop {options}")
    if args.epochs is not None and not args.epochs.startswith("+"):
        raise ValueError(f"with --continue epochs are added: write --epochs +{args.epochs}")
    if args.weights is not None and not args.data:
        raise ValueError("--weights belongs to files of data; --continue knows the weights of its own")
    sources, out = _recalled(args.folder, needed=not args.data)
    if args.data:
        sources = _sources(args, [])
    dataset = Dataset.read_all(sources)
    testset = _testset(args)
    result = continue_training(
        dataset,
        directory=args.folder,
        more_epochs=None if args.epochs is None else _epochs(args.epochs),
        progress=not args.quiet,
    )
    return _finish(dataset, result, args.out or out, testset)


def _learning_curve(
    args: argparse.Namespace, sources: "list[DataSettings]", model: Any, settings: Any
) -> int:
    import numpy as np

    from ase_mlsample.training import Dataset, learning_curve

    directory = args.directory or (args.out or _MODEL).with_suffix(".learning")
    curve = learning_curve(
        Dataset.read_all(sources),
        testset=_testset(args),
        fractions=args.learning_curve,
        repeats=1 if args.repeats is None else args.repeats,
        model=model,
        settings=settings,
        rng=np.random.default_rng(args.seed or 0),
        directory=directory,
        progress=not args.quiet,
    )
    curve.plot(directory / "learning_curve.png")
    _print_curve(curve, directory)
    return 0


def _model_and_settings(args: argparse.Namespace, sections: dict[str, Any]) -> tuple[Any, Any]:
    from ase_mlsample.training import TrainingSettings, model_settings

    if args.epochs is not None and args.epochs.startswith("+"):
        raise ValueError(f"--epochs {args.epochs} adds epochs to a training: name it with --continue DIR")
    changes = _given(
        epochs=None if args.epochs is None else _epochs(args.epochs),
        max_minutes=args.max_minutes,
        recipe=args.recipe,
        freeze=args.freeze,
        self_energies=args.self_energies,
    )
    settings = TrainingSettings.model_validate(sections["training"] | changes)
    if args.start is not None and (sections["model"] or args.members is not None or args.type is not None):
        raise ValueError(
            "--start keeps the earlier model as it is: drop --members, --type and the `model:` section"
        )
    if args.start is not None:
        from ase_mlsample.calculators.loading import load_model

        return load_model(args.start), settings
    return model_settings(sections["model"] | _given(type=args.type, members=args.members)), settings


def _epochs(text: str) -> int:
    digits = text.removeprefix("+")
    if not digits.isdecimal() or int(digits) < 1:
        raise ValueError(f"--epochs {text}: it must be a whole number of at least 1")
    return int(digits)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _sources(args: argparse.Namespace, listed: list[Any]) -> "list[DataSettings]":
    """Files of data, from the command line or else from the settings file."""
    from ase_mlsample.training import DataSettings

    if not args.data:
        if not listed:
            raise ValueError(
                "no data: name files of labelled frames, or list them under `data:` in --settings"
            )
        if args.weights is not None:
            raise ValueError(
                "--weights goes with files on the command line; give each entry of `data:` a weight"
            )
        return [DataSettings.model_validate(entry) for entry in listed]
    if listed:
        raise ValueError("data are given on the command line and in --settings; drop one of them")
    weights = args.weights or [1.0] * len(args.data)
    if len(weights) != len(args.data):
        raise ValueError(f"--weights gives {len(weights)} numbers for {len(args.data)} files of data")
    stems = [path.stem for path in args.data]
    return [
        DataSettings(
            path=path,
            name=None if stems.count(path.stem) == 1 else str(path),
            weight=weight,
            **{key: getattr(args, key) for key in _KEYS},
        )
        for path, weight in zip(args.data, weights, strict=True)
    ]


def _testset(args: argparse.Namespace) -> "Dataset | None":
    from ase_mlsample.training import Dataset

    keys = {name: getattr(args, name) for name in _KEYS}
    return None if args.testset is None else Dataset.read(args.testset, **keys)


def _sections(path: Path | None) -> dict[str, Any]:
    """The sections of a settings file, empty where there is none; data paths relative to it."""
    if path is None:
        return {"data": [], "model": {}, "training": {}}
    from ase_mlsample._yaml import yaml_mapping

    content = yaml_mapping(path)
    if set(content) - set(_SECTIONS):
        raise ValueError(f"{path} may hold the sections {', '.join(_SECTIONS)} only, not {content!r}")
    data = content.get("data") or []
    entries = [
        dict(e) if isinstance(e, dict) else {"path": e} for e in (data if isinstance(data, list) else [data])
    ]
    for entry in entries:
        if "path" in entry:
            entry["path"] = path.parent / str(entry["path"])
    return {"data": entries} | {name: dict(content.get(name) or {}) for name in ("model", "training")}


def _remember(directory: Path, sources: "list[DataSettings]", out: Path) -> None:
    """Note in the training's folder where its data are, for --continue."""
    from ase_mlsample._files import write_atomic

    data = [s.model_copy(update={"path": s.path.absolute()}).model_dump(mode="json") for s in sources]
    content = json.dumps({"data": data, "out": str(out.absolute())}, indent=1).encode()
    path = directory / _COMMAND
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)


def _recalled(directory: Path, *, needed: bool) -> "tuple[list[DataSettings], Path]":
    from ase_mlsample.training import DataSettings

    path = directory / _COMMAND
    if not path.exists():
        if not needed:
            return [], directory.with_suffix(_MODEL.suffix)
        raise FileNotFoundError(
            f"{directory} does not say where its data are (there is no {_COMMAND}); name the folder beside "
            "the model file, such as si.training, or give the data too"
        )
    content = json.loads(path.read_text())
    return [DataSettings.model_validate(entry) for entry in content["data"]], Path(content["out"])


def _finish(dataset: "Dataset", result: "TrainingResult", out: Path, testset: "Dataset | None") -> int:
    """Write the model and print its errors."""
    from ase_mlsample.training import dataset_errors

    out.parent.mkdir(parents=True, exist_ok=True)
    result.calculator.save(out)
    rows = [(f"member {k}, its validation frames", m) for k, m in enumerate(result.validation)]
    if result.held_out is not None:
        rows.append(("ensemble, held-out frames", result.held_out))
    rows += [(f"ensemble, held-out frames of {name}", m) for name, m in result.held_out_by_set.items()]
    if testset is not None:
        rows.append(("ensemble, test set", dataset_errors(result.calculator, testset)))
    _report(dataset, result, rows, out)
    return 0


def _report(
    dataset: "Dataset", result: "TrainingResult", rows: "list[tuple[str, Metrics]]", out: Path
) -> None:
    from rich.table import Table

    from ase_mlsample.active.summary import wide_console

    table = Table(
        title=f"{dataset!r}, {result.epochs} epochs in {result.seconds:.0f} s", title_justify="left"
    )
    for heading in ("errors (RMSE)", "energy, meV/atom", "forces, meV/Å", "stress, GPa"):
        table.add_column(heading, justify="left" if heading.startswith("errors") else "right")
    for name, metrics in rows:
        table.add_row(name, *_cells(metrics))
    console = wide_console()
    console.print(table)
    for name, covered in result.coverage.items():
        console.print(
            f"{name}: {covered.before:.0%} of errors within 1 σ as they come, "
            f"{covered.after:.0%} calibrated, {covered.expected:.0%} expected"
        )
    if result.cut:
        console.print(f"cut {len(result.cut)} of {len(dataset)} frames as outliers (outliers.extxyz)")
    console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)


def _cells(metrics: "Metrics") -> tuple[str, str, str]:
    return (
        f"{1e3 * metrics.energy_rmse:.1f}",
        "–" if metrics.forces_rmse is None else f"{1e3 * metrics.forces_rmse:.0f}",
        "–" if metrics.stress_rmse is None else f"{160.2176634 * metrics.stress_rmse:.2f}",
    )


def _print_curve(curve: "LearningCurve", directory: Path) -> None:
    from rich.table import Table

    from ase_mlsample.active.summary import wide_console

    table = Table(title=f"errors on {curve.test_frames} frames", title_justify="left")
    for heading in ("frames", "repeat", "energy, meV/atom", "forces, meV/Å", "stress, GPa"):
        table.add_column(heading, justify="right")
    for point in sorted(curve.points, key=lambda p: (p.n_frames, p.repeat)):
        table.add_row(str(point.n_frames), str(point.repeat), *_cells(point.errors))
    console = wide_console()
    console.print(table)
    console.print(f"wrote {directory}/learning_curve.json and .png", highlight=False, soft_wrap=True)
