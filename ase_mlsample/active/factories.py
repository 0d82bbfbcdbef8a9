"""Objects named in a configuration: ``"module:factory"`` with keyword arguments, and samplers by name."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, cast

from ase_mlsample.samplers.base import Sampler

__all__ = ["as_arguments", "build", "build_sampler", "factory_name", "resolve"]


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
    arguments : keyword arguments; lists become tuples.
    transforms : names and arguments of transforms applied to each structure, in this order.

    Raises
    ------
    ValueError
        No such sampler, or it refuses its arguments.
    """
    sampler = build(_known(name), as_arguments(arguments))
    for transform_name, transform_arguments in transforms:
        sampler = sampler | build(_known(transform_name), as_arguments(transform_arguments))
    if not isinstance(sampler, Sampler):
        raise ValueError(f"{name!r} makes a {type(sampler).__name__}, which has no sample(n, rng)")
    return sampler


def _known(name: str) -> str:
    if ":" in name:
        return name
    import difflib

    from ase_mlsample import samplers

    if hasattr(samplers, name):
        return f"ase_mlsample.samplers:{name}"
    names = [known for known in samplers.__all__ if known[0].isupper()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(names))}"
    raise ValueError(f"no sampler or transform {name!r}; {hint} Others are given as 'module:factory'")


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
