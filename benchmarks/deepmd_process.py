"""deepmd-kit in a process of its own (`deepmd_peer.py`), since it brings other libraries."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ase import Atoms


class DeepMD:
    """deepmd-kit's evaluation of four models of its own.

    With `threads` the process is started for that number: TensorFlow cannot change it later.
    """

    columns = ("forces", "members", "step")

    def __init__(
        self, python: Path, folder: Path, *, backend: str = "pt", threads: int | None = None
    ) -> None:
        script = Path(__file__).with_name("deepmd_peer.py")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._backend = folder, backend
        self._errors = (folder / "errors.log").open("w")
        pipe, environment = subprocess.PIPE, dict(os.environ)
        if threads is not None:
            names = ("OMP_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS", "TF_INTRA_OP_PARALLELISM_THREADS")
            environment |= dict.fromkeys(names, str(threads))
            environment |= {"DP_INTER_OP_PARALLELISM_THREADS": "1", "TF_INTER_OP_PARALLELISM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, script],
            stdin=pipe,
            stdout=pipe,
            stderr=self._errors,
            text=True,
            bufsize=1,
            env=environment,
        )
        self.version = ""

    def structure(self, atoms: Atoms) -> dict[str, Any]:
        """Send the atoms; the first time this makes the models, which takes a minute.

        Returns energy, forces and virial of the first model.
        """
        arrays = {
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "velocities": atoms.get_velocities().tolist(),
        }
        request = {"structure": arrays, "folder": str(self._folder), "backend": self._backend}
        answer: dict[str, Any] = self._ask(request)
        self.version = answer["version"]
        return answer

    def measure(self, column: str, threads: int, block: float, *, cpu: bool) -> float:
        """Seconds of a call."""
        request = {"column": column, "threads": threads, "block": block, "cpu": cpu}
        return float(self._ask(request)["seconds"])

    def _ask(self, request: dict[str, Any]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("deepmd-kit's process has no pipes")
        print(json.dumps(request), file=self._process.stdin)
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.flush()
            last = Path(self._errors.name).read_text().splitlines()[-1:]
            raise SystemExit(f"deepmd-kit ended early: {last} (all of it with --deepmd-models FOLDER)")
        return json.loads(answer)
