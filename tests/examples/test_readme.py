"""The Python in README.md, and the samplers of the handbook, run as printed."""

import re
from pathlib import Path

import numpy as np
from ase.io import write

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.samplers import PerturbedCrystal
from ase_mlsample.validation.held_out import labelled

README = Path(__file__).parents[2] / "README.md"
HANDBOOK = Path(__file__).parents[2] / "docs" / "handbook.md"


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sampler = PerturbedCrystal("diamond", symbol="Si", rattle=0.1, n_atoms=(2, 4))
    frames = [labelled(atoms, StillingerWeber()) for atoms in sampler.sample(20, np.random.default_rng(0))]
    write("silicon.extxyz", frames)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    code = "\n".join(blocks).replace("epochs=200", "epochs=2").replace("members=4", "members=2")
    code = code.replace("run(1000)", "run(20)")
    names = {}
    exec(compile(code, str(README), "exec"), names)  # noqa: S102
    assert names["spread"].force_sigma.shape == (8,)
    assert names["dynamics"].step == 40


def test_the_handbooks_samplers_draw():
    (block,) = re.findall(r"## Samplers\n.*?```python\n(.*?)```", HANDBOOK.read_text(), flags=re.DOTALL)
    names = {}
    exec(compile(block, str(HANDBOOK), "exec"), names)  # noqa: S102
    assert len(names["frames"]) == 21
    assert {atoms.info["source"] for atoms in names["frames"]} == {
        "RandomDisorder",
        "RandomSpaceGroup",
        "PerturbedCrystal",
        "TwoPhase",
    }
