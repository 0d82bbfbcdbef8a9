"""Run pytest with another build of the compiled core: python tests/sanitized.py BUILD_FOLDER [ARGUMENTS]."""

import importlib.util
import sys
from pathlib import Path

import pytest

NAME = "ase_mlsample._core._native"


def main() -> int:
    (library,) = Path(sys.argv[1]).glob("_native*.so")
    spec = importlib.util.spec_from_file_location(NAME, library)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    # tests that start processes of their own would run the installed build there
    return int(pytest.main([*sys.argv[2:], "--deselect", "tests/core/test_instruction_sets.py"]))


if __name__ == "__main__":
    sys.exit(main())
