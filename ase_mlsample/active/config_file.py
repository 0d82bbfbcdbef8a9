"""A configuration from a YAML 1.2 file: read, overridden, validated, tried out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ValidationError

from ase_mlsample._yaml import dump_yaml, yaml_value
from ase_mlsample.active.config import (
    CommitteeSettings,
    ExplorerSettings,
    ExploreSettings,
    RunConfig,
    SamplerSettings,
)
from ase_mlsample.active.engines import check_executors
from ase_mlsample.active.factories import as_arguments, build, build_explorer, build_sampler
from ase_mlsample.training.settings import ModelSettings

_INSTANT = (
    "ase_mlsample.calculators.",
    "ase.calculators.eam",
    "ase.calculators.emt",
    "ase.calculators.lj",
    "ase.calculators.morse",
    "ase.calculators.tersoff",
)
# what pydantic says of a choice between models, and no key
_TAGS = ("ani", "deep_potential", "committee", "one", "several", "processes", "parsl", "dask")
_EXPECTED = (ValueError, TypeError, KeyError, RuntimeError, OSError, NotImplementedError)

__all__ = ["check_config", "differences", "dump_config", "explain", "parse_config", "read_config"]


def read_config(path: Path | str, *, overrides: Iterable[str] = ()) -> RunConfig:
    """Read, validate and try out a configuration file.

    Parameters
    ----------
    path : YAML 1.2 file. Paths of input files in it are relative to its folder.
    overrides : ``"section.key=value"``, the value in YAML; items of lists are counted from 0.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Anything in it that could not work: the message names the key, for an unknown one also the nearest.
    """
    path = Path(path)
    values = yaml_value(path.read_text(), str(path))
    if not isinstance(values, dict):
        raise ValueError(f"{path} does not hold a mapping of sections but {type(values).__name__}")
    for override in overrides:
        _override(values, override)
    config = parse_config(values, source=str(path), folder=path.parent)
    check_config(config)
    return config


def parse_config(values: Mapping[str, Any], *, source: str, folder: Path | None = None) -> RunConfig:
    """Validate plain values without trying them out; every problem is listed.

    Raises
    ------
    ValueError
        With one line a problem.
    """
    try:
        config = RunConfig.model_validate(dict(values))
    except ValidationError as error:
        problems = error.errors()
        inner = {problem["loc"][:-1] for problem in problems}
        lines = [
            explain(item, RunConfig)
            for item in problems
            if item["type"] != "too_short" or item["loc"] not in inner
        ]
        raise ValueError(f"{source}: " + "; ".join(dict.fromkeys(lines))) from None
    return config if folder is None else _with_files_in(folder, config)


def _with_files_in(folder: Path, config: RunConfig) -> RunConfig:
    """The configuration with the full paths of its input files."""
    found: dict[str, Any] = {}
    if config.testset is not None:
        found["testset"] = (folder / config.testset).resolve()
    explorers = [_with_bias_in(folder, item) for item in config.explore.explorers]
    if any(new is not old for new, old in zip(explorers, config.explore.explorers, strict=True)):
        several = isinstance(config.explore.dynamics, tuple)
        dynamics = tuple(explorers) if several else explorers[0]
        found["explore"] = config.explore.model_copy(update={"dynamics": dynamics})
    return config.model_copy(update=found)


def _with_bias_in(folder: Path, settings: ExplorerSettings) -> ExplorerSettings:
    """An explorer's settings with the full path of the file that its bias is read from, if it is."""
    bias = settings.arguments.get("bias")
    if settings.explorer != "StaticBiasExplorer" or not isinstance(bias, str):
        return settings
    return settings.model_copy(update={"bias": str((folder / bias).resolve())})


def check_config(config: RunConfig) -> None:
    """Try out what can only be known by making it: factories, samplers, dynamics, the held-out set.

    Raises
    ------
    ValueError
        Naming the section and what is wrong with it.
    """
    with _Section("reference"):
        calculator = build(config.reference.factory, config.reference.kwargs)
        _check_elements(calculator, config.elements)
    if isinstance(config.model, CommitteeSettings):
        for number, arguments in enumerate(config.model.members):
            with _Section(f"model.members.{number}"):
                build(config.model.factory, arguments)
    elif isinstance(config.model, ModelSettings):
        with _Section("model.aev"):
            config.model.aev.parameters(config.elements)
    elif isinstance(config.model.sel, dict) and set(config.model.sel) != set(config.elements):
        raise ValueError(
            f"model.sel: it is for {sorted(config.model.sel)}, the run for {sorted(config.elements)}; give "
            "every element's, or 'auto'"
        )
    samplers: list[tuple[str, SamplerSettings]] = [
        *((f"initial.{number}", settings) for number, settings in enumerate(config.initial)),
        *((f"explore.start.{number}", settings) for number, settings in enumerate(config.explore.start)),
    ]
    for name, settings in samplers:
        with _Section(name):
            _check_sampler(settings, config.elements)
    _check_exploring(config.explore)
    check_executors(config)
    if config.testset is not None:
        with _Section("testset"):
            _check_testset(config.testset)


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML text that `read_config` reads again."""
    return dump_yaml(config.to_dict())


def differences(old: Any, new: Any, *, path: str = "") -> list[str]:
    """Keys whose values differ between two plain configurations, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), path=f"{path}.{key}" if path else str(key))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for number, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, path=f"{path}.{number}")
        ]
    return [] if old == new else [f"{path}: {old!r} before, {new!r} now"]


class _Section:
    """Errors inside name the section that they are about."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _EXPECTED):
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            raise ValueError(f"{self.name}: {message}") from error


def _check_elements(calculator: Any, elements: Sequence[str]) -> None:
    """Ask a reference that answers at once for one atom of each element."""
    if not type(calculator).__module__.startswith(_INSTANT):
        return
    for symbol in elements:
        try:
            Atoms(symbol, calculator=calculator).get_potential_energy()
        except Exception as error:
            raise ValueError(
                f"{type(calculator).__name__} cannot compute {symbol} ({error}); "
                "give it parameters for this element, or choose another reference or other elements"
            ) from error


def _check_sampler(settings: SamplerSettings, elements: Sequence[str]) -> None:
    sampler = build_sampler(settings.sampler, settings.arguments, settings.stages)
    for atoms in sampler.sample(1, np.random.default_rng(0)):
        foreign = sorted(set(atoms.get_chemical_symbols()) - set(elements))
        if foreign:
            raise ValueError(f"makes structures with {', '.join(foreign)}, but elements are {list(elements)}")


def _check_exploring(settings: ExploreSettings) -> None:
    """Make every explorer, and the guards of every start."""
    several = isinstance(settings.dynamics, tuple)
    with _Section("explore.limits"):
        _check_limits(settings.limits)
    for number, start in enumerate(settings.start):
        with _Section(f"explore.start.{number}.limits"):
            _check_limits({**settings.limits, **start.limits})
    limited = settings.limits or next((start.limits for start in settings.start if start.limits), {})
    for number, explorer in enumerate(settings.explorers):
        with _Section(f"explore.dynamics.{number}" if several else "explore.dynamics"):
            _check_explorer(explorer, limited)


def _check_limits(limits: Mapping[str, Any]) -> None:
    build("ase_mlsample.dynamics:Guards", as_arguments(limits))


def _check_explorer(settings: ExplorerSettings, limits: Mapping[str, Any]) -> None:
    from ase_mlsample.dynamics import UncertaintyGate

    ours = {
        "gate": "it follows from selection.lo and selection.hi",
        "keep_every": "selection.batch and selection.audit say what is kept",
        "guards": "explore.limits holds for all explorers",
        "visited": "the loop carries it from generation to generation",
        "learned": "the loop carries it from generation to generation",
    }
    for key, reason in ours.items():
        if key in settings.arguments:
            raise ValueError(f"leave out {key}: {reason}")
    explorer = build_explorer(settings.explorer, settings.arguments, gate=UncertaintyGate(1.0), limits=limits)
    if settings.uncertainty_bias is not None and hasattr(explorer, "carried_bias"):
        raise ValueError(f"{settings.explorer} has a bias of its own; leave out uncertainty_bias")


def _check_testset(path: Path) -> None:
    from ase.io import iread

    if not path.is_file():
        raise ValueError(f"there is no file {path}; `mlsample testset` makes one")
    number = -1
    for number, atoms in enumerate(iread(path, index=":")):
        if "REF_energy" not in atoms.info or "REF_forces" not in atoms.arrays:
            raise ValueError(f"frame {number} of {path} lacks REF_energy or REF_forces")
    if number < 0:
        raise ValueError(f"{path} is empty")


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"--set {override}: write it as section.key=value")
    *parents, last = path.strip().split(".")
    place: Any = values
    for key in parents:
        if isinstance(place, list):
            place = place[_item(place, key, override)]
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            raise ValueError(f"--set {override}: {key!r} lies inside a plain value")
    value = yaml_value(text, f"--set {override}")
    if isinstance(place, list):
        place[_item(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ValueError(f"--set {override}: {last!r} lies inside a plain value")


def _item(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise ValueError(f"--set {override}: {key!r} is no item of a list of {len(place)} (from 0)")
    return int(key)


def explain(problem: Any, model: type[BaseModel]) -> str:
    """One line for one of pydantic's errors about a model; an unknown key comes with the nearest one."""
    location = [part for part in problem["loc"] if part not in _TAGS]
    path = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(problem["loc"][:-1], model)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return f"unknown key {path!r}; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _known_keys(location: Sequence[Any], model: type[BaseModel]) -> list[str]:
    """Keys of the section at a place, found by walking the models."""
    sections = [model]
    for part in location:
        if part in _TAGS:  # which of several models it is
            named = [section for section in sections if _type_of(section) == part]
            sections = named or sections
        elif not isinstance(part, int):
            section = sections[-1] if part == "model" else sections[0]
            sections = _models(section.model_fields[part].annotation)
            if not sections:
                return []
            sections = [sections[-1]] if part == "model" else sections
    return list(sections[0].model_fields)


def _type_of(section: type[BaseModel]) -> str | None:
    field = section.model_fields.get("type")
    named = get_args(field.annotation) if field is not None else ()
    return named[0] if named else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
