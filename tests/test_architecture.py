"""The dependency direction and the size of modules, read from the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ase_mlsample"
MODULES = sorted(PACKAGE.rglob("*.py"))

FOUNDATION = {"_core", "_files", "_lazy", "_yaml"}
POTENTIALS = FOUNDATION | {"calculators", "cvs", "biases"}
METHODS = POTENTIALS | {"training", "dynamics", "samplers", "analysis"}
MAY_IMPORT = {
    "_core": set(),
    "_files": set(),
    "_lazy": set(),
    "_yaml": set(),
    "cvs": FOUNDATION,
    "biases": FOUNDATION,
    "samplers": FOUNDATION,
    "analysis": FOUNDATION,
    "references": FOUNDATION,
    "calculators": FOUNDATION | {"cvs", "biases"},
    "training": POTENTIALS | {"analysis"},
    "dynamics": POTENTIALS | {"analysis"},
    "active": METHODS | {"references"},
    "validation": METHODS | {"references"},
    "report": METHODS | {"active", "validation"},
    "gui": METHODS | {"active"},
    "ase_plugins": set(),
    "testing": METHODS,
    "cli": METHODS | {"references", "active", "validation", "report", "gui", ""},
}
HEAVY = {"torch", "torchani", "phonopy", "vesin", "matplotlib"}
# where a module may need torch as a whole; all others, and the packages' doors, import it in functions
MAY_BE_HEAVY = {"calculators", "training"}
DOORS = ("__init__", "base", "prediction", "committee", "stillinger_weber", "aev", "settings", "dataset")


def part(module: Path) -> str:
    """First folder or module below the package; "" for the package itself."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").removeprefix("__init__")


def imported(module: Path, *, top_level: bool = False) -> set[str]:
    """Dotted names of all that a module imports; with `top_level` only what its import executes."""
    tree = ast.parse(module.read_text())
    names = set()
    for node in _executed(tree) if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _executed(node):
    for child in ast.iter_child_nodes(node):
        is_lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_lazy |= isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not is_lazy:
            yield child
            yield from _executed(child)


def executed_packages(module: Path) -> set[str]:
    """Packages of others that importing a module loads, also by way of our own modules."""
    found, seen, waiting = set(), set(), [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in imported(current, top_level=True):
            head, *rest = name.split(".")
            if head == "ase_mlsample":
                waiting += own_files(rest)
            else:
                found.add(head)
    return found


def own_files(parts: list[str]) -> list[Path]:
    """Files that importing a dotted name executes: the packages on the way and the module."""
    files = [PACKAGE / "__init__.py"]
    for depth in range(1, len(parts) + 1):
        place = PACKAGE.joinpath(*parts[:depth])
        files += [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists()]
    return files


def own_parts(names: set[str]) -> set[str]:
    """Parts of the package among dotted names."""
    parts = set()
    for name in names:
        head, *rest = name.split(".")
        if head == "ase_mlsample" and rest != ["__version__"]:
            parts.add(rest[0] if rest else "")
    return parts


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
class TestModule:
    def test_imports_only_what_lies_below(self, module):
        here = part(module)
        if here == "":
            return  # the package itself names everything, lazily
        assert here in MAY_IMPORT, f"{here} is new: say here what it may import"
        wrong = own_parts(imported(module)) - MAY_IMPORT[here] - {here}
        assert not wrong, f"{here} must not import {sorted(wrong)}"

    def test_loads_nothing_heavy_on_import(self, module):
        if part(module) in MAY_BE_HEAVY and module.stem not in DOORS:
            return
        assert not executed_packages(module) & HEAVY

    def test_is_short(self, module):
        assert len(module.read_text().splitlines()) <= 420

    def test_says_what_is_public(self, module):
        tree = ast.parse(module.read_text())
        if not any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.ImportFrom)
            for node in tree.body
        ):
            return
        if module.parent.name == "_core" or module == PACKAGE / "__init__.py":
            return  # compiled names; public subpackages
        targets = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "__all__" in targets

    def test_has_a_docstring(self, module):
        assert ast.get_docstring(ast.parse(module.read_text()))
