"""Take labelled structures of a file, or a folder of deepmd-kit's, into a run: they seed it, or add to it.

The run may be new: then its folder is made as its YAML file says, and the structures are labels of its
first generation. Labels must be of the run's reference, as their REF_reference says or you do with
--same-reference; frames without energy or forces are refused. Structures that the run has a label of already
are left out.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase_mlsample.active.config import RunConfig

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample import examples/silicon.yaml old.extxyz --same-reference && mlsample run examples/silicon.yaml
mlsample import runs/silicon runs/older/dataset.extxyz
mlsample import runs/silicon theirs.xyz --energy-key energy --forces-key forces --same-reference"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, help="a run's directory, or the YAML file of an old or new run")
    parser.add_argument(
        "structures",
        type=Path,
        nargs="+",
        help="files of labelled structures that ASE reads, or folders of deepmd-kit's",
    )
    for name in ("energy", "forces", "stress"):
        parser.add_argument(f"--{name}-key", default=f"REF_{name}", help=f"(REF_{name})")
    parser.add_argument(
        "--same-reference", action="store_true", help="the labels are of the run's reference: I know it"
    )


def run(args: Namespace) -> int:
    """Import each file."""
    from ase_mlsample.active.exchange import import_labels

    config = _config(args.run)
    for path in args.structures:
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        counts = import_labels(
            config,
            path,
            energy_key=args.energy_key,
            forces_key=args.forces_key,
            stress_key=args.stress_key,
            same_reference=args.same_reference,
        )
        print(
            f"{path}: {counts['new']} new structures, {counts['waiting']} that waited for their label, "
            f"{counts['known']} known and left out; they are in {config.directory}"
        )
    return 0


def _config(path: Path) -> RunConfig:
    from ase_mlsample.active.config_file import read_config

    if path.is_dir():
        if not (path / "config.yaml").is_file():
            raise FileNotFoundError(f"{path} is not the folder of a run (it has no config.yaml)")
        return read_config(path / "config.yaml", overrides=[f"directory={path.absolute()}"])
    return read_config(path)
