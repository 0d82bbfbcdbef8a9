"""Objects named in a configuration: ``"module:factory"`` with keyword arguments, samplers and explorers."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ase_mlsample.samplers.base import AtomsSampler, Filter, Pipeline, Sampler

if TYPE_CHECKING:
    from ase_mlsample.dynamics import Explorer, UncertaintyGate

__all__ = [
    "as_arguments",
    "build",
    "build_explorer",
    "build_sampler",
    "factory_name",
    "resolve",
]

# keys by which a mapping among arguments names a transform or a filter
_STAGES = ("transform", "filter")


def factory_name(factory: str | Callable[..., Any]) -> str:
    """``"module:name"`` of a factory, which is how workers are told of it.

    Raises
    ------
    ValueError
        The factory is a lambda, is defined inside a function or in the ``__main__`` script: a worker process
        could not import it.
    """
    if isinstance(factory, str):
        return factory
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", None)
    if not module or not name or "<" in name:
        raise ValueError(
            f"the factory {factory!r} has no importable name (a lambda, or defined inside a function); "
            "define it at the top level of a module and give it as 'module:factory'"
        )
    if module == "__main__":
        raise ValueError(
            f"the factory {name!r} is defined in the script that runs (__main__), which worker processes "
            "cannot import it from; move it to a module of its own and give it as 'module:factory'"
        )
    return f"{module}:{name}"


def resolve(name: str) -> Callable[..., Any]:
    """Import ``"module:factory"``; modules in the current folder are found too.

    Raises
    ------
    ValueError
        The text has not this form, or there is no such module or factory.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f"{name!r} is not of the form 'module:factory', such as 'ase.calculators.emt:EMT'")
    if module_name == "__main__":
        raise ValueError(
            f"{name!r}: workers cannot import from the script that runs (__main__); move the factory "
            "to a module of its own"
        )
    folder = os.getcwd()  # noqa: PTH109
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(
            f"{name!r}: the module {module_name!r} cannot be imported ({error}); "
            "install it, or put it in the folder that the run is started from"
        ) from error
    try:
        target = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ValueError(f"{name!r}: the module {module_name!r} has no {attribute!r}") from None
    if not callable(target):
        raise ValueError(f"{name!r} is a {type(target).__name__}, not something that can be called")
    return cast("Callable[..., Any]", target)


def build(name: str, arguments: Mapping[str, Any]) -> Any:
    """Call ``"module:factory"`` with keyword arguments.

    Raises
    ------
    ValueError
        The factory does not know an argument, or refuses its value.
    """
    factory = resolve(name)
    try:
        return factory(**arguments)
    except (TypeError, ValueError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{name}({_arguments(arguments)}) fails: {message}{_signature(factory)}") from error


def build_sampler(
    name: str, arguments: Mapping[str, Any], transforms: Sequence[tuple[str, Mapping[str, Any]]] = ()
) -> Sampler:
    """A sampler of ``ase_mlsample.samplers`` by its class name, or any by ``"module:factory"``.

    Parameters
    ----------
    name : class name or ``"module:factory"``.
    arguments : keyword arguments; lists become tuples, and mappings with the key ``sampler``, ``transform``
        or ``filter`` the objects that they name, with ``transforms`` and ``filters`` of a nested sampler.
    transforms : names and arguments of transforms and filters applied to each structure, in this order.

    Raises
    ------
    ValueError
        No such sampler, transform or filter, or it refuses its arguments.
    """
    sampler = build(_sampling(name), _resolved(arguments))
    if not isinstance(sampler, Sampler):
        raise ValueError(f"{name!r} makes a {type(sampler).__name__}, which has no sample(n, rng)")
    for stage_name, stage_arguments in transforms:
        sampler = _followed(sampler, _stage(stage_name, stage_arguments))
    return sampler


def build_explorer(
    name: str,
    arguments: Mapping[str, Any],
    *,
    gate: UncertaintyGate,
    limits: Mapping[str, Any] | None = None,
    carried: Mapping[str, Any] | None = None,
) -> Explorer:
    """An explorer of ``ase_mlsample.dynamics`` by its class name, or any by ``"module:factory"``.

    Parameters
    ----------
    name : class name or ``"module:factory"``; it is given ``gate``, ``keep_every=1``, ``guards`` where there
        are limits, and its arguments.
    arguments : keyword arguments; lists become tuples, and ``cv`` the collective variable that
        `ase_mlsample.cvs.make_cv` makes of it.
    gate : that stops trajectories.
    limits : keywords of `ase_mlsample.dynamics.Guards`; without any the explorer's own hold.
    carried : further arguments, from earlier generations: ``visited`` or ``learned``, for explorers with such
        entries in the summaries of their runs.

    Raises
    ------
    ValueError
        No such explorer, or it refuses its arguments.
    """
    from ase_mlsample import dynamics

    given = {"gate": gate, "keep_every": 1, **as_arguments(arguments)}
    if "cv" in arguments:
        from ase_mlsample.cvs import make_cv

        given["cv"] = make_cv(arguments["cv"])
    given |= carried or {}
    if limits:
        given["guards"] = build("ase_mlsample.dynamics:Guards", as_arguments(limits))
    explorer = build(_known(name, dynamics, "explorer", needs="explore"), given)
    if not callable(getattr(explorer, "explore", None)):
        raise ValueError(
            f"{name!r} makes a {type(explorer).__name__}, which has no explore(calc, atoms, rng)"
        )
    return cast("Explorer", explorer)


def _resolved(value: Any) -> Any:
    """Arguments with the samplers, transforms and filters that mappings among them name."""
    if isinstance(value, list | tuple):
        return tuple(_resolved(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("sampler"), str):
        rest = {key: item for key, item in value.items() if key not in ("sampler", "transforms", "filters")}
        listed = [value.get(key) or () for key in ("transforms", "filters")]
        return build_sampler(value["sampler"], rest, [_named(item) for items in listed for item in items])
    if any(isinstance(value.get(key), str) for key in _STAGES):
        return _stage(*_named(value))
    return {key: _resolved(item) for key, item in value.items()}


def _named(value: Any) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a transform or a filter."""
    names = [key for key in _STAGES if isinstance(value, Mapping) and isinstance(value.get(key), str)]
    if len(names) != 1:
        raise ValueError(
            f"{value!r} names no transform or filter; write it as {{transform: Rattle, amplitude: 0.1}}"
        )
    return value[names[0]], {key: item for key, item in value.items() if key != names[0]}


def _stage(name: str, arguments: Mapping[str, Any]) -> Any:
    stage = build(_sampling(name), _resolved(arguments))
    if isinstance(stage, Sampler) or not (isinstance(stage, Filter) or callable(stage)):
        raise ValueError(
            f"{name!r} makes a {type(stage).__name__}, which is neither a transform nor a filter"
        )
    return stage


def _followed(sampler: Sampler, stage: Any) -> Sampler:
    return sampler | stage if isinstance(sampler, AtomsSampler) else Pipeline(sampler, stage)


def _sampling(name: str) -> str:
    from ase_mlsample import samplers

    return _known(name, samplers, "sampler or transform")


def _known(name: str, door: ModuleType, what: str, *, needs: str | None = None) -> str:
    """``"module:name"`` of a public name of a package; others are in this form already.

    Parameters
    ----------
    name : as in the configuration.
    door : the package.
    what : is looked for, for the message.
    needs : method of the names that the message offers.
    """
    if ":" in name:
        return name
    import difflib

    if hasattr(door, name):
        return f"{door.__name__}:{name}"
    names = [known for known in door.__all__ if known[0].isupper()]
    if needs is not None:
        names = [known for known in names if _offers(getattr(door, known), needs)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(names))}"
    raise ValueError(f"no {what} {name!r}; {hint} Others are given as 'module:factory'")


def _offers(named: Any, method: str) -> bool:
    return hasattr(named, method) and not getattr(named, "_is_protocol", False)


def as_arguments(value: Any) -> Any:
    """Values of a configuration as Python arguments: lists become tuples."""
    if isinstance(value, Mapping):
        return {key: as_arguments(item) for key, item in value.items()}
    return tuple(as_arguments(item) for item in value) if isinstance(value, list) else value


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def _signature(factory: Callable[..., Any]) -> str:
    try:
        return f" (its signature: {inspect.signature(factory)})"
    except (TypeError, ValueError):
        return ""
