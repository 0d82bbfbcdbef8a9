"""deepmd-kit's side of two benchmarks: times its own evaluation, run by the Python it is installed for.

Reads requests and writes answers, one JSON object a line. The models (se_e2_a, 6 Å, embedding 20-40-80,
fitting 80-80-80, single precision) are made here by one training step each, frozen and compressed, since
neither weights nor data change the cost. Beside each, model0.dp … hold the same weights as they were before
the compression, for `DeepPotentialEnsemble.convert_deepmd`.

    pip install "deepmd-kit[torch]" ase        # in an environment of its own
    pip install "deepmd-kit[cpu]" ase nvidia-cuda-runtime-cu12         # or TensorFlow: --backend tf

With PyTorch it must be the release that deepmd-kit was compiled for: others lack the compressed models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODELS = 4
STEPS = 24


def training_input(seed: int) -> dict[str, Any]:
    sizes = {"precision": "float32", "seed": seed}
    descriptor = {"type": "se_e2_a", "sel": [80], "rcut_smth": 3.0, "rcut": 6.0, "axis_neuron": 16, **sizes}
    return {
        "model": {
            "type_map": ["Si"],
            "descriptor": {**descriptor, "neuron": [20, 40, 80]},
            "fitting_net": {"neuron": [80, 80, 80], **sizes},
        },
        "learning_rate": {"type": "exp", "decay_steps": 5000, "start_lr": 1e-3, "stop_lr": 3.5e-8},
        "loss": {"type": "ener", "start_pref_e": 1, "limit_pref_e": 1, "start_pref_f": 1, "limit_pref_f": 1},
        "training": {
            "training_data": {"systems": ["data"], "batch_size": 1},
            "numb_steps": 1,
            "save_freq": 1000,  # beyond the end: TensorFlow then saves at it
            "seed": seed,
        },
    }


def write_data(folder: Path, positions: np.ndarray, cell: np.ndarray) -> None:
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "type.raw", np.zeros(len(positions), dtype=int), fmt="%d")
    (folder / "type_map.raw").write_text("Si\n")
    arrays = {"coord": positions, "box": cell, "energy": np.zeros(1), "force": np.zeros_like(positions)}
    for name, array in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", array.reshape(1, -1))


def make_models(folder: Path, positions: np.ndarray, cell: np.ndarray, backend: str) -> list[Path]:
    """Compressed models; those that the folder already holds are taken as they are."""
    suffix = {"pt": "pth", "tf": "pb"}[backend]
    models = [folder / f"model{seed}.{suffix}" for seed in range(MODELS)]
    write_data(folder / "data", positions, cell)
    for seed, model in enumerate(models):
        if model.exists():
            continue
        (folder / "input.json").write_text(json.dumps(training_input(seed)))
        for command in (
            "train input.json --skip-neighbor-stat",
            f"freeze -o frozen.{suffix}",
            f"convert-backend frozen.{suffix} {model.stem}.dp",
            f"compress -i frozen.{suffix} -o {model.name} -t input.json",
        ):
            subprocess.run(
                [sys.executable, "-m", "deepmd", f"--{backend}", *command.split()],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    return models


class Peer:
    """Four models, one structure."""

    def __init__(self, models: list[Path], backend: str) -> None:
        from deepmd.calculator import DP
        from deepmd.infer import DeepPot

        self._backend = backend
        self._calculator = DP(models[0])
        self._potentials = [DeepPot(str(model)) for model in models]
        self._cost: dict[tuple[str, int], float] = {}

    def structure(self, positions: np.ndarray, cell: np.ndarray, velocities: np.ndarray) -> None:
        """Atoms to evaluate, and how they move."""
        from ase import Atoms, units
        from ase.md.verlet import VelocityVerlet

        self._atoms = Atoms("Si" * len(positions), positions=positions, cell=cell, pbc=True)
        self._atoms.set_velocities(velocities)
        self._atoms.calc = self._calculator
        self._dynamics = VelocityVerlet(self._atoms, timestep=units.fs)
        self._positions, self._velocities = positions, velocities * units.fs
        self._done = 0
        self._cost = {}

    def measure(self, column: str, threads: int, block: float, *, cpu: bool) -> float:
        """Seconds of a call, from as many as fill `block` seconds."""
        spent = time.process_time  # TensorFlow works in threads of its own, whose number is the environment's
        if self._backend == "pt":
            import torch

            torch.set_num_threads(threads)
            spent = time.thread_time
        call: Callable[[], object] = {"forces": self._forces, "members": self._members, "step": self._step}[
            column
        ]
        clock = spent if cpu else time.perf_counter
        key = (column, threads)
        if key not in self._cost:
            for _ in range(3):  # the first calls are slow: torch optimises the graph
                call()
            start = time.perf_counter()
            call()
            self._cost[key] = time.perf_counter() - start
        calls = int(np.clip(block / self._cost[key], 1, STEPS))
        start = clock()
        for _ in range(calls):
            call()
        return (clock() - start) / calls

    def results(self, member: int) -> list[Any]:
        """Energy, forces and virial of the structure as it was sent."""
        inputs = self._positions.reshape(1, -1), self._atoms.cell.array.reshape(1, -1), [0] * len(self._atoms)
        return [array[0].tolist() for array in self._potentials[member].eval(*inputs)]

    def _inputs(self) -> tuple[np.ndarray, np.ndarray, list[int]]:
        self._done += 1
        there = abs((self._done + STEPS) % (2 * STEPS) - STEPS)
        coordinates = (self._positions + there * self._velocities).reshape(1, -1)
        return coordinates, self._atoms.cell.array.reshape(1, -1), [0] * len(self._atoms)

    def _forces(self) -> None:
        self._potentials[0].eval(*self._inputs())

    def _members(self) -> None:
        from deepmd.infer.model_devi import calc_model_devi

        coordinates, cell, types = self._inputs()
        calc_model_devi(coordinates, cell, np.array(types), self._potentials)

    def _step(self) -> None:
        self._done += 1
        if self._done % STEPS == 0:
            self._atoms.set_momenta(-self._atoms.get_momenta())
        self._dynamics.run(1)
        self._atoms.get_potential_energy()
        self._atoms.get_stress()


def main() -> None:
    # deepmd-kit and its libraries print: answers go to a copy of the standard output, the rest to errors
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import deepmd

    peer: Peer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"version": deepmd.__version__}
        if "structure" in request:
            arrays = {name: np.array(value) for name, value in request["structure"].items()}
            if peer is None:
                folder = Path(request["folder"]).resolve()
                backend = request.get("backend", "pt")
                peer = Peer(make_models(folder, arrays["positions"], arrays["cell"], backend), backend)
            peer.structure(**arrays)
            answer["energy"], answer["forces"], answer["virial"] = peer.results(0)
        elif peer is not None:
            answer["seconds"] = peer.measure(**request)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
