"""Collective variables written as text, for command lines and configurations."""

from __future__ import annotations

import ast
import difflib
import importlib
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.cvs.arithmetic import stack
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.cvs.pooling import PerAtomVariable

_NOT_VARIABLES = {"CVValue", "CollectiveVariable", "PerAtomVariable", "Template", "find_templates", "make_cv"}

__all__ = ["crystal", "crystallinity", "make_cv", "shell_midpoint"]

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


Description = str | Mapping[str, Any] | Sequence[Any] | CollectiveVariable | PerAtomVariable


def make_cv(description: Description) -> CollectiveVariable | PerAtomVariable:
    """A collective variable, or a quantity of every atom, from its description.

    Parameters
    ----------
    description : str, mapping, sequence or variable
        An expression of public names of ``ase_mlsample.cvs`` and numbers, such as
        ``'Distance(0, 1) - Distance(1, 2)'``, ``'StructureFactor(q=1.96).mean()'``,
        ``'stack(cos(Dihedral(0, 1, 2, 3)), Volume())'`` or
        ``'crystallinity("Si:diamond:5.431").count(threshold=0.5)'``; or ``"module:factory"``, which is
        called. A mapping has such a text, or a class name, as ``variable``, and keyword arguments besides.
        A sequence of descriptions is a variable of several components. A variable is given back as it is.

    Raises
    ------
    ValueError
        For text that is no such expression, unknown names, or arguments that a variable refuses.

    Examples
    --------
    >>> make_cv("Distance(0, 1) - Distance(1, 2)").names
    ('(distance-distance)',)
    >>> make_cv({"variable": "Coordination", "first": "Si", "r0": 2.6})
    Coordination(first='Si', second=None, r0=2.6, d0=0.0, d_max=17.713..., nn=6, mm=12, cutoff='smooth')
    """
    if isinstance(description, CollectiveVariable | PerAtomVariable):
        return description
    if isinstance(description, Sequence) and not isinstance(description, str):
        return stack(*(_component(item) for item in description))
    text, arguments = str(description), {}
    if isinstance(description, Mapping):
        if "variable" not in description:
            raise ValueError(f"{dict(description)!r} names no variable; write {{variable: Distance, ...}}")
        text = str(description["variable"])
        arguments = {str(key): value for key, value in description.items() if key != "variable"}
    made = _imported(text) if _is_reference(text) else _evaluated(text)
    if callable(made) and not isinstance(made, CollectiveVariable | PerAtomVariable):
        made = _called(text, made, arguments)
    elif arguments:
        raise ValueError(f"{text!r} is a variable already and takes no {', '.join(arguments)}")
    if not isinstance(made, CollectiveVariable | PerAtomVariable):
        raise ValueError(f"{description!r} makes a {type(made).__name__}, which is no collective variable")
    return made


def _component(description: Description) -> CollectiveVariable:
    made = make_cv(description)
    if isinstance(made, PerAtomVariable):
        raise ValueError(f"{description!r} is a quantity of every atom; pool it, with .mean() or .count()")
    return made


def crystal(text: str) -> Atoms:
    """The crystal of a short text: a file that ASE reads, or ``symbol:structure:a``.

    Parameters
    ----------
    text : str
        Such as ``"Si:diamond:5.431"``, ``"Mg:hcp:3.21:c=5.21"``, ``"Al:fcc"`` (ASE's lattice constant), or
        the name of a file. Structures are those of ``ase.build.bulk``; cubic ones have their cubic cell.

    Raises
    ------
    ValueError
        If it is neither, or what the file holds is not periodic.
    """
    if Path(text).is_file():
        from ase.io import read

        found = read(text)
        found = found if isinstance(found, Atoms) else found[-1]
        if not found.pbc.any():
            raise ValueError(f"{text} holds no crystal: {found.symbols} is not periodic; set cell and pbc")
        return found
    from ase.build import bulk

    symbol, *rest = text.split(":")
    try:
        lengths = dict(part.split("=") for part in rest[2:])
        given = {key: float(value) for key, value in lengths.items()}
        if len(rest) > 1:
            given["a"] = float(rest[1])
        if rest[0] not in ("hcp", "wurtzite"):
            given["cubic"] = True
        return bulk(symbol, rest[0], **given)
    except (IndexError, KeyError, TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"{text!r} is no crystal ({error}): write symbol:structure:a, such as Si:diamond:5.431 or "
            "Mg:hcp:3.21:c=5.21, or the name of a file with one"
        ) from error


def crystallinity(text: str, *, sigma: float | None = None, **arguments: Any) -> PerAtomVariable:
    """Environment similarity to a crystal given as text.

    Parameters
    ----------
    text : str
        See :func:`crystal`.
    sigma : float, Å, optional
        Width; 0.17 of the distance of nearest neighbours unless given, 0.4 Å in silicon.
    **arguments
        Others of ``EnvironmentSimilarity.from_crystal``.
    """
    from ase_mlsample.cvs.environment import EnvironmentSimilarity

    atoms = crystal(text)
    width = round(0.17 * _shells(atoms)[0], 3) if sigma is None else sigma
    return EnvironmentSimilarity.from_crystal(atoms, sigma=width, **arguments)


def shell_midpoint(atoms: Atoms) -> float:
    """Half way between the first two shells of neighbours of a crystal, in Å, which tells bonds apart."""
    first, second = _shells(atoms)
    return 0.5 * (first + second)


def _shells(atoms: Atoms) -> tuple[float, float]:
    """Distances of the nearest neighbours and of the next shell."""
    from ase_mlsample import _core

    reach = 1.5 * float(atoms.get_volume() / len(atoms)) ** (1 / 3)
    while True:
        pairs = _core.NeighborList(reach)
        pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
        distances = np.sort(np.asarray(pairs.distances))
        later = distances[distances > 1.05 * distances[0]] if len(distances) else distances
        if len(later):
            return float(distances[0]), float(later[0])
        reach *= 1.3


def _is_reference(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def _imported(text: str) -> Any:
    module, _, name = text.partition(":")
    folder = os.getcwd()  # noqa: PTH109
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        return reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{text!r} cannot be imported: {error}") from error


def _named(name: str) -> Any:
    from ase_mlsample import cvs

    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    if name in cvs.__all__:
        return getattr(cvs, name)
    known = sorted({*cvs.__all__, *_FUNCTIONS} - _NOT_VARIABLES)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
    raise ValueError(f"no collective variable {name!r}; {hint} Others are given as 'module:factory'")


def _attribute(owner: Any, name: str) -> Any:
    if name.startswith("_") or not hasattr(owner, name):
        label = owner.__name__ if isinstance(owner, type) else type(owner).__name__
        raise ValueError(f"{label} has no {name!r}")
    return getattr(owner, name)


def _called(text: str, target: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return target(**arguments)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{text}: {error.args[0] if error.args else error}") from error


def _evaluated(text: str) -> Any:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ValueError(
            f"{text!r} is no expression of collective variables ({error.msg}); such as 'Distance(0, 1)'"
        ) from error
    try:
        return _value(tree.body)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{text}: {error.args[0] if error.args else error}") from error


def _value(node: ast.expr) -> Any:
    """Value of an expression; nothing but names of the package, their methods and plain values is allowed."""
    found: Any
    if isinstance(node, ast.Name):
        found = _named(node.id)
    elif isinstance(node, ast.Attribute):
        found = _attribute(_value(node.value), node.attr)
    elif isinstance(node, ast.Call) and all(keyword.arg for keyword in node.keywords):
        given = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
        found = _value(node.func)(*(_value(argument) for argument in node.args), **given)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        found = _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = -_value(node.operand)
    elif isinstance(node, ast.List | ast.Tuple):
        found = [_value(item) for item in node.elts]
    elif isinstance(node, ast.Constant):
        found = node.value
    else:
        raise ValueError(f"{ast.unparse(node)!r} is not part of an expression of collective variables")
    return found


_FUNCTIONS: dict[str, Callable[..., Any]] = {"crystal": crystal, "crystallinity": crystallinity}
