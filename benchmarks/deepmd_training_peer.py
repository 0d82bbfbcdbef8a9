"""deepmd-kit's side of `training_deepmd.py`: trains se_e2_a models, run by the Python it is installed for.

    python benchmarks/deepmd_training_peer.py FOLDER

FOLDER/request.json says what to do: `train` and `test` (data systems), `steps`, `seeds`, `backend` ("tf" or
"pt") and, to change them, entries of `model`, `learning_rate`, `loss` and `training` of deepmd-kit's input.
Each model is trained, frozen and evaluated in FOLDER/<seed>. FOLDER/result.json then holds for each seed
`wall` (s a step as deepmd-kit itself measures it, without its first steps), `cpu` (s a step of user and
system time, those of a run of one step taken off) and `predictions`, a file with `energies` (eV) and `forces`
(eV/Å) of the test systems in their order. Finished seeds are not trained again.

    pip install "deepmd-kit[cpu]"              # in an environment of its own: brings TensorFlow
    pip install nvidia-cuda-runtime-cu12       # a library that deepmd-kit 3.2 asks for on a CPU, too
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

#: A published setting for silicon; a request changes what it names.
INPUT: dict[str, dict[str, Any]] = {
    "model": {
        "type_map": ["Si"],
        "descriptor": {
            "type": "se_e2_a",
            "sel": [80],
            "rcut": 6.0,
            "rcut_smth": 3.0,
            "neuron": [20, 40, 80],
            "axis_neuron": 16,
            "precision": "float32",
        },
        "fitting_net": {"neuron": [80, 80, 80], "precision": "float32"},
    },
    "learning_rate": {"type": "exp", "decay_steps": 100, "start_lr": 1e-3, "stop_lr": 3.5e-8},
    "loss": {
        "type": "ener",
        "start_pref_e": 0.02,
        "limit_pref_e": 1,
        "start_pref_f": 1000,
        "limit_pref_f": 1,
        "start_pref_v": 0,
        "limit_pref_v": 0,
    },
    "training": {"disp_freq": 100, "save_freq": 10**9},
}
_AVERAGE = re.compile(r"average training time: ([0-9.eE+-]+) s/batch")


def training_input(request: dict[str, Any], seed: int, steps: int) -> dict[str, Any]:
    """deepmd-kit's input of one model."""
    found = {name: {**INPUT[name], **request.get(name, {})} for name in INPUT}
    for part in ("descriptor", "fitting_net"):
        found["model"][part] = {**found["model"][part], "seed": seed}
    systems = {"systems": [str(Path(s).absolute()) for s in request["train"]]}
    systems["batch_size"] = request.get("batch_size", 1)
    found["training"] = {
        **found["training"],
        "training_data": systems,
        "numb_steps": steps,
        "seed": seed,
    }
    return found


def dp(backend: str, folder: Path, *arguments: str) -> float:
    """Run a command of deepmd-kit; its CPU time in s. Its output goes to log.txt."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("a") as log:
        command = [sys.executable, "-m", "deepmd", f"--{backend}", *arguments]
        done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"deepmd-kit failed: {' '.join(command)}; see {folder / 'log.txt'}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_cost(request: dict[str, Any], folder: Path) -> float:
    """CPU time in s of a training of one step: imports, statistics and the graph."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.json").write_text(json.dumps(training_input(request, 1, 1)))
    return dp(request["backend"], folder, "train", "input.json", "--skip-neighbor-stat")


def train(request: dict[str, Any], seed: int, folder: Path, start: float) -> dict[str, Any]:
    """Train and freeze one model, and evaluate it on the test systems."""
    folder.mkdir(parents=True, exist_ok=True)
    steps, backend = request["steps"], request["backend"]
    (folder / "log.txt").write_text("")
    (folder / "input.json").write_text(json.dumps(training_input(request, seed, steps)))
    spent = dp(backend, folder, "train", "input.json", "--skip-neighbor-stat")
    average = _AVERAGE.findall((folder / "log.txt").read_text())
    model = folder / ("frozen.pb" if backend == "tf" else "frozen.pth")
    dp(backend, folder, "freeze", "-o", model.name)
    predict(model, request["test"], folder / "predictions.npz")
    return {
        "wall": float(average[-1]) if average else None,
        "cpu": (spent - start) / steps,
        "predictions": str(folder / "predictions.npz"),
    }


def predict(model: Path, systems: list[str], output: Path) -> None:
    """Energies and forces of all frames of systems, one after the other."""
    from deepmd.infer import DeepPot

    potential = DeepPot(str(model))
    energies, forces = [], []
    for system in map(Path, systems):
        types = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
        names = (system / "type_map.raw").read_text().split()
        mapped = [potential.get_type_map().index(names[index]) for index in types]
        for folder in sorted(system.glob("set.*")):
            boxes = None if (system / "nopbc").exists() else np.load(folder / "box.npy")
            energy, force = potential.eval(np.load(folder / "coord.npy"), boxes, mapped)[:2]
            energies.append(energy.ravel())
            forces.append(force.reshape(-1, 3))
    np.savez(output, energies=np.concatenate(energies), forces=np.concatenate(forces))


def main() -> None:
    import deepmd

    folder = Path(sys.argv[1]).absolute()
    request = json.loads((folder / "request.json").read_text())
    file = folder / "result.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    found["version"] = deepmd.__version__
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start = None
    for seed in request["seeds"]:
        if str(seed) in found:
            continue
        start = start_cost(request, folder / "start") if start is None else start
        found[str(seed)] = train(request, seed, folder / str(seed), start)
        file.write_text(json.dumps(found, indent=1))
    file.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
