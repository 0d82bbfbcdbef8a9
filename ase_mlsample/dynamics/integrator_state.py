"""A snapshot of an integrator's own variables, whatever integrator it is."""

from __future__ import annotations

import inspect
import io
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell

__all__ = ["capture", "restore"]

State = dict[str, Any]

# of ASE's base classes, and nothing that a step depends on
_OUTSIDE = {
    "atoms", "_actual_atoms", "optimizable", "observers", "logfile", "trajectory", "_orig_trajectory",
    "_master", "comm", "_exitstack", "max_steps",
}  # fmt: skip

# settings that ASE's classes keep under another name than that of their argument
_RENAMED = {"dt", "temp", "fr", "fix_com", "kT", "pressure", "compressibility", "pfactor_given", "ndof"}

_KIND = "kind"
_LIVING = ("object", "generator", "random state")  # these must be there to be restored
_CODE = types.FunctionType | types.BuiltinFunctionType | types.MethodType | types.ModuleType | type


def capture(integrator: Any) -> State:
    """Return all that the next steps of an integrator depend on, besides atoms and calculator.

    Taken are the attributes of the integrator and of the parts that it consists of (thermostats, barostats):
    numbers, text, arrays, lists, tuples and dictionaries of these, and random generators. Left out are atoms,
    calculators, observers, files and functions. What is shared is kept as shared.

    Parameters
    ----------
    integrator : ASE dynamics

    Returns
    -------
    dict
        Of plain values and arrays, which are copies.

    Raises
    ------
    ValueError
        For an integrator that draws from the global generator of numpy: others use it too, so its state would
        not be that of the run.
    TypeError
        For an attribute of another type, which could not be restored.
    """
    return _Reader(type(integrator)).part(integrator, "")


def restore(integrator: Any, state: Mapping[str, Any]) -> None:
    """Take up a state of :func:`capture`, so that the next steps are those of the integrator it came from.

    Everything is checked before anything changes. Generators are changed in place, since others may hold
    them. Atoms are not touched: give them their positions, momenta and cell too.

    Parameters
    ----------
    integrator : ASE dynamics
        Made by the same class with the same settings.
    state : dict

    Raises
    ------
    ValueError
        For a state of another class, of other settings, or of generators of another kind or shared in another
        way, naming all that differs; and as :func:`capture`.
    TypeError
        As :func:`capture`.
    """
    found = capture(integrator)
    if not isinstance(state, Mapping) or state.get(_KIND) != "object" or "values" not in state:
        raise ValueError(f"this is no state of an integrator: {state!r:.80}")
    differences = list(_differences(integrator, found, state))
    if differences:
        shown = "; ".join(differences)
        raise ValueError(
            f"the state is of another integrator than this {type(integrator).__name__}: {shown}. "
            "Make the integrator with the class and the settings of the run that is to go on"
        )
    _Writer().part(integrator, state, "")


class _Reader:
    """Turns attributes into plain values; remembers what it has seen, by identity."""

    def __init__(self, root: type) -> None:
        self.root, self.seen = root, dict[int, str]()

    def part(self, part: Any, where: str) -> State:
        self.seen[id(part)] = where
        values = {name: self.value(value, _join(where, name)) for name, value in _own(part).items()}
        return {_KIND: "object", "class": _class_name(type(part)), "values": values}

    def value(self, value: Any, where: str) -> Any:
        if value is None or type(value) in (bool, int, float, str) or isinstance(value, np.generic):
            return value
        if _is_global(value):
            raise ValueError(
                f"{where} of this {self.root.__name__} is numpy's global generator, which others draw from "
                "too, so the run could not be continued; pass rng=np.random.default_rng(seed)"
            )
        if isinstance(value, tuple):
            return tuple(self.items(value, where))
        if id(value) in self.seen:
            return {_KIND: "shared", "with": self.seen[id(value)]}
        self.seen[id(value)] = where
        leaf = _leaf(value)
        return self.composed(value, where) if leaf is None else leaf

    def items(self, values: Sequence[Any], where: str) -> list[Any]:
        return [self.value(item, f"{where}[{n}]") for n, item in enumerate(values) if not _outside(item)]

    def composed(self, value: Any, where: str) -> Any:
        if isinstance(value, list):
            return self.items(value, where)
        if isinstance(value, dict):
            own = [(key, item) for key, item in value.items() if not _outside(item)]
            items = [(key, self.value(item, f"{where}[{key!r}]")) for key, item in own]
            return {_KIND: "mapping", "items": items}
        if _is_part(value, self.root):
            return self.part(value, where)
        raise TypeError(
            f"{where} of this {self.root.__name__} is a {type(value).__module__}.{type(value).__qualname__}, "
            "which a checkpoint cannot keep: numbers, text, arrays, numpy Generators, lists, tuples, "
            "dictionaries, and objects of ase.md or of the integrator's own package can"
        )


def _leaf(value: Any) -> Any:
    """What has no parts of its own, copied, or None."""
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return value.copy()
    if isinstance(value, Cell):
        return {_KIND: "cell", "array": value.array.copy()}
    if isinstance(value, np.random.Generator):
        return {_KIND: "generator", "state": _copied(value.bit_generator.state)}
    if isinstance(value, np.random.RandomState):
        return {_KIND: "random state", "state": _copied(value.get_state(legacy=False))}
    return None


class _Writer:
    """Gives an integrator the values of a state."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def part(self, part: Any, state: Mapping[str, Any], where: str) -> None:
        self.made[where] = part
        values = state["values"]
        for name in [name for name in _own(part) if name not in values]:
            delattr(part, name)  # left from steps that the state does not know of
        for name, value in values.items():
            setattr(part, name, self.value(value, _join(where, name), vars(part).get(name)))

    def value(self, value: Any, where: str, present: Any) -> Any:
        if isinstance(value, Mapping):
            return self.marked(value, where, present)
        if isinstance(value, np.ndarray):
            made: Any = value.copy()
        elif isinstance(value, list | tuple):
            there = present if isinstance(present, list | tuple) else ()
            items = [
                self.value(item, f"{where}[{n}]", there[n] if n < len(there) else None)
                for n, item in enumerate(value)
            ]
            made = tuple(items) if isinstance(value, tuple) else items
        else:
            return value
        self.made[where] = made
        return made

    def marked(self, value: Mapping[str, Any], where: str, present: Any) -> Any:
        kind = value[_KIND]
        if kind == "shared":
            return self.made[value["with"]]
        made = present
        if kind == "object":
            self.part(present, value, where)
        elif kind == "generator":
            present.bit_generator.state = value["state"]
        elif kind == "random state":
            present.set_state(value["state"])
        elif kind == "cell":
            made = Cell(np.array(value["array"]))
        else:
            there = present if isinstance(present, dict) else {}
            made = {
                key: self.value(item, f"{where}[{key!r}]", there.get(key)) for key, item in value["items"]
            }
        self.made[where] = made
        return made


def _differences(part: Any, found: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[str]:
    """What a state has that a part of an integrator could not take up."""
    if found["class"] != state["class"]:
        yield f"its class is {state['class']} (here {found['class']})"
        return
    kind: type = type(part)
    settings = _settings(kind)
    here, there = found["values"], state["values"]
    for name in sorted(here.keys() | there.keys()):
        mine, theirs = here.get(name), there.get(name)
        yield from _clashes(name, vars(part).get(name), mine, theirs)
        if name.lstrip("_") in settings and not {_kind(mine), _kind(theirs)} & {*_LIVING, "shared"}:
            if name not in here or name not in there:
                yield f"{name} is missing " + ("here" if name in there else "there")
            elif not _same(mine, theirs):
                yield f"{name} is {_shown(theirs)} (here {_shown(mine)})"


def _clashes(name: str, present: Any, mine: Any, theirs: Any) -> Iterator[str]:
    """What a value needs that cannot be made and is not there: parts, and generators as they are shared."""
    if isinstance(theirs, list | tuple):
        listed = isinstance(mine, list | tuple) and len(mine) == len(present) == len(theirs)
        for n, item in enumerate(theirs):
            there = (present[n], mine[n]) if listed else (None, None)
            yield from _clashes(f"{name}[{n}]", there[0], there[1], item)
        return
    kinds = _kind(mine), _kind(theirs)
    if kinds[1] == "mapping":
        held, known = (present, dict(mine["items"])) if kinds[0] == "mapping" else ({}, {})
        for key, item in theirs["items"]:
            yield from _clashes(f"{name}[{key!r}]", held.get(key), known.get(key), item)
    elif kinds == ("object", "object"):
        yield from (f"{name}: {difference}" for difference in _differences(present, mine, theirs))
    elif kinds[0] == kinds[1] and kinds[0] in ("generator", "random state"):
        given, own = theirs["state"]["bit_generator"], mine["state"]["bit_generator"]
        if given != own:
            yield f"{name} is a generator of type {given} (here {own})"
    elif kinds == ("shared", "shared"):
        if mine["with"] != theirs["with"]:
            yield f"{name} is the same object as {theirs['with']} (here as {mine['with']})"
    elif theirs is not None and (kinds[0] in _LIVING or kinds[1] in _LIVING):
        yield f"{name} is {_shown(theirs)} (here {_shown(mine)})"


def _own(part: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if name not in _OUTSIDE and not _outside(value)}


def _outside(value: Any) -> bool:
    """Whether a value is none of the integrator's own: atoms, calculators, files, code."""
    if isinstance(value, Atoms | io.IOBase | _CODE):
        return not _is_global(value)
    return hasattr(value, "get_potential_energy") or hasattr(value, "calculation_required")


def _is_global(value: Any) -> bool:
    """Whether drawing from a value changes numpy's global generator."""
    globally = np.random.mtrand._rand
    return value is np.random or value is globally or getattr(value, "__self__", None) is globally


def _is_part(value: Any, root: type) -> bool:
    packages = {"ase", root.__module__.partition(".")[0], "ase_mlsample"}
    return hasattr(value, "__dict__") and type(value).__module__.partition(".")[0] in packages


@cache
def _settings(kind: type) -> frozenset[str]:
    """Names that are arguments of a class or of what it derives from: what its user chose."""
    names = set(_RENAMED)
    for ancestor in kind.__mro__[:-1]:
        if "__init__" in vars(ancestor):
            names |= set(inspect.signature(vars(ancestor)["__init__"]).parameters)
    return frozenset(names)


def _same(mine: Any, theirs: Any) -> bool:
    """Whether two settings are equal but for the rounding of a change of units."""
    if isinstance(mine, Mapping) or isinstance(theirs, Mapping):
        kinds = _kind(mine), _kind(theirs)
        content = {"mapping": "items", "cell": "array"}.get(kinds[0] or "")
        return kinds[0] == kinds[1] and (content is None or _same(mine[content], theirs[content]))
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        return len(mine) == len(theirs) and all(map(_same, mine, theirs))
    if isinstance(mine, str | None) or isinstance(theirs, str | None):
        return type(mine) is type(theirs) and bool(mine == theirs)
    return np.shape(mine) == np.shape(theirs) and bool(
        np.allclose(mine, theirs, rtol=1e-12, atol=0, equal_nan=True)
    )


def _kind(value: Any) -> str | None:
    return value[_KIND] if isinstance(value, Mapping) else None


def _shown(value: Any) -> str:
    kind = _kind(value)
    if kind == "shared":
        return f"the same object as {value['with']}"
    if kind is not None:
        return f"a {value.get('class', kind)}"
    return f"{value!r:.60}".replace("\n", " ")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
