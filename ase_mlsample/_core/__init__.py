"""The compiled inner loops; everything here is private to the package."""

try:
    from ase_mlsample._core._native import *  # noqa: F403
    from ase_mlsample._core._native import instruction_set
except ImportError as error:
    raise ImportError(
        f"the compiled core of ase_mlsample cannot be loaded ({error}); "
        "build it with `pip install -e .` in the source folder"
    ) from error

instruction_set()  # a wrong MLSAMPLE_ISA is an error here, not in the middle of a calculation
