"""Times of calls in turns, as the benchmarks beside other programs take them, and where they were taken."""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from ani_cases import STEPS, Call
from deepmd_process import DeepMD

from ase_mlsample import _core

Key = tuple["Case", str, str]


class Case(Protocol):
    """What is timed, with so many atoms and threads; hashable."""

    @property
    def atoms(self) -> int:
        """Number of atoms."""

    @property
    def threads(self) -> int:
        """Number of threads."""


class Stopwatch:
    """Seconds of a call, from as many as fill a block, by case, row and column."""

    def __init__(self, block: float, *, cpu: bool) -> None:
        self.block, self.cpu = block, cpu
        self.times: dict[Key, list[float]] = defaultdict(list)
        self._cost: dict[Key, float] = {}

    def measure(self, case: Case, row: str, column: str, call: Call) -> None:
        """One block of calls."""
        clock = time.thread_time if self.cpu else time.perf_counter
        name = (case, row, column)
        time.sleep(0.01)  # idle threads of the library that ran before go on spinning for a while
        start = time.perf_counter()
        call()  # wakes this library's threads
        self._cost[name] = min(self._cost.get(name, np.inf), time.perf_counter() - start)
        calls = int(np.clip(self.block / self._cost[name], 1, STEPS))
        start = clock()
        for _ in range(calls):
            call()
        self.times[name].append((clock() - start) / calls)

    def ask(self, case: Case, peer: DeepMD, column: str) -> None:
        """One block of calls of the other process."""
        spent = peer.measure(column, case.threads, self.block, cpu=self.cpu)
        self.times[case, "deepmd-kit", column].append(spent)

    def per_atom(self, case: Case, row: str, column: str) -> float:
        """Median, µs an atom; NaN where it was not measured."""
        times = self.times.get((case, row, column))
        return float(np.median(times)) / case.atoms * 1e6 if times else float("nan")


def machine(modules: dict[str, ModuleType]) -> str:
    """Processor, load, kernels and versions, as comments."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    versions = ", ".join(f"{name} {module.__version__}" for name, module in modules.items())
    load = os.getloadavg()[0]
    where = f"{names[0] if names else platform.processor()}, {os.cpu_count()} CPUs, load {load:.1f}"
    return f"# {where}; kernels for {_core.instruction_set()}\n# {versions}"
