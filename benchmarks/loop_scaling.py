"""What the loop's driver costs, and how busy workers are: 10,000 labels on 1 to 1,024 simulated workers.

    python benchmarks/loop_scaling.py [--workers 1 4 16 64 256 1024] [--labels 10000] [--plot scaling.png]

The driver is the real one (`ase_mlsample.active.asynchronous`): its ledger, its results on disk, its judging,
choosing and recording. Only the workers are simulated: a call takes a time drawn from what was measured on
DFT labels (GPAW, plane waves, 1 core: silicon of 8 atoms at Γ 2.5 s, on 3×3×3 points 14 s, of 64 atoms
75 s, aluminium of 32 atoms 33 s, tin of 8 atoms 10.6 s …), and its result is made up when its time has come.
Nothing sleeps: the clock jumps to the next event (discrete events), and the time that the driver itself took
is added to it as it was measured, so that a slow driver makes its workers wait as it would in earnest. This
is exact and cheap, where 1,024 sleeping processes would measure the scheduler of one machine.

Workers do labels and trajectories (20 s); a training takes 60 s elsewhere. Efficiency is the share of all
workers' time, until the last label, in which they were at work. For comparison the same work done one step
after the other (a synchronous run: trajectories, labels and training of a generation wait for each other),
without any cost of the driver. Results made up here are written by the simulated workers: that time is not
the driver's. Exit status 1 if the driver takes 20 ms a label or more, or 256 workers are busy for less than
90 % of their time.
"""

import argparse
import heapq
import itertools
import json
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import jsonio
from rich.console import Console

from ase_mlsample.active import RunConfig, asynchronous, tasks
from ase_mlsample.active.dispatch import Dispatcher
from ase_mlsample.active.explore import pack
from ase_mlsample.active.run_directory import RunDirectory
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.summary import write_summary
from ase_mlsample.active.workspace import Workspace

# seconds of one core for energy, forces and stress
LABEL_S = (2.5, 3.8, 4.8, 14.0, 6.1, 10.6, 33.0, 58.0, 75.0)
# their spread between runs of the same structure
SPREAD = 0.13
TRAJECTORY_S, JUDGING_S, TRAINING_S = 20.0, 2.0, 60.0
# trajectories that meet an uncertain frame; frames that the next model is still uncertain of
UNCERTAIN, STILL = 0.6, 0.7
LIMIT_MS, LIMIT_EFFICIENCY, LIMIT_AT = 20.0, 0.90, 256


class Simulation:
    """The clock: simulated seconds, in which the driver's own pass, too: wall clock, CPU, or none (None)."""

    def __init__(self, *, wall: bool | None) -> None:
        self.now = 0.0
        self.driver_cpu = self.driver_wall = 0.0
        self.last_label = 0.0
        self._events: list[tuple[float, int, object]] = []
        self._order = itertools.count()
        self._wall = wall
        self.resume()

    def resume(self) -> None:
        """The driver goes on."""
        self._cpu_mark, self._wall_mark = time.thread_time(), time.perf_counter()

    def pause(self) -> None:
        """The driver has come to a wait, or the workers take over: what it took has passed for all."""
        cpu, wall = time.thread_time() - self._cpu_mark, time.perf_counter() - self._wall_mark
        self.driver_cpu += cpu
        self.driver_wall += wall
        self.now += {True: wall, False: cpu, None: 0.0}[self._wall]

    def after(self, seconds: float, action) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), action))

    def advance(self) -> None:
        """Do what has happened by now; where nothing has, jump to what happens next."""
        if not self._events:
            raise RuntimeError("the driver waits, and nothing is under way")
        self.now = max(self.now, self._events[0][0])
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()


class EndedCalls:
    """Stands in for the queue that the driver waits at."""

    simulation: Simulation

    def __init__(self) -> None:
        self._calls: deque[Future] = deque()
        self.put = self._calls.append

    def empty(self) -> bool:
        """Whether the driver would have to wait."""
        return not self._calls

    def get(self) -> Future:
        """The next call to end, waited for in simulated time."""
        if not self._calls:
            self.simulation.pause()
            while not self._calls:
                self.simulation.advance()
            self.simulation.resume()
        return self._calls.popleft()


class Workers(Executor):
    """Simulated workers: each does one call at a time, the first come first."""

    def __init__(self, simulation: Simulation, number: int, work: "MadeUp") -> None:
        self.simulation, self.capacity, self.work = simulation, number, work
        self.busy_s = 0.0
        self._free = number
        self._queue: deque = deque()

    def submit(self, fn, /, *args, **kwargs):  # noqa: ARG002
        """Take a call; its future is done when the simulation comes to it."""
        future: Future = Future()
        future.set_running_or_notify_cancel()
        task, directory = args[4]  # of what a Dispatcher hands over
        self.simulation.pause()
        self._queue.append((future, task, directory))
        self._begin()
        self.simulation.resume()
        return future

    def _begin(self) -> None:
        while self._free and self._queue:
            future, task, directory = self._queue.popleft()
            seconds = self.work.seconds(task)
            self._free -= 1
            self.busy_s += seconds

            def done(future=future, task=task, directory=directory, seconds=seconds) -> None:
                self.work.write(task, ResultStore(directory), seconds)
                if task.function.__name__ == "compute_label":
                    self.simulation.last_label = self.simulation.now
                self._free += 1
                future.set_result(task.key)
                self._begin()

            self.simulation.after(seconds, done)


class MadeUp:
    """Costs and results of calls."""

    def __init__(self, n_atoms: int, rng: np.random.Generator) -> None:
        self.rng, self.n_atoms = rng, n_atoms

    def seconds(self, task) -> float:
        """How long a call takes."""
        cost = {
            "compute_label": lambda: self.rng.choice(LABEL_S) * np.exp(SPREAD * self.rng.normal()),
            "explore": lambda: TRAJECTORY_S * np.exp(SPREAD * self.rng.normal()),
            "judge": lambda: JUDGING_S,
            "propose": lambda: 0.0,
            "train_recorded": lambda: TRAINING_S,
        }
        return float(cost[task.function.__name__]())

    def write(self, task, store: ResultStore, seconds: float) -> None:
        """Store the result of a call."""
        made = getattr(self, f"_{task.function.__name__}")(task.arguments)
        # not flushed to the disk: in earnest each worker does that on its own
        result = {"status": "done", **made, "attempts": 1, "seconds": seconds}
        store.path(task.key).write_text(jsonio.encode(result))

    def _frame(self, sigma: float, reason: str):
        positions = self.rng.uniform(0, 8.8, (self.n_atoms, 3))
        atoms = Atoms(f"Si{self.n_atoms}", positions=positions, cell=[8.8] * 3, pbc=True)
        atoms.info = {"force_sigma_max": sigma, "stop_reason": reason, "config_type": "made up"}
        return pack(atoms, force_sigma=self.rng.uniform(0, sigma, self.n_atoms))

    def _propose(self, arguments) -> dict:
        return {"frames": [self._frame(0.0, "initial") for _ in range(arguments["n"])]}

    def _explore(self, _) -> dict:
        frames = [self._frame(0.05, "running")]
        uncertain = self.rng.random() < UNCERTAIN
        if uncertain:
            frames.append(self._frame(self.rng.uniform(0.2, 0.5), "uncertain"))
        return {
            "frames": frames,
            "run": {"stop_reason": "uncertain" if uncertain else "finished", "checks": 20},
        }

    def _judge(self, arguments) -> dict:
        uncertain = self.rng.random(len(arguments["frames"])) < STILL
        return {"measures": [0.3 if each else 0.05 for each in uncertain]}

    def _compute_label(self, arguments) -> dict:
        forces = self.rng.normal(0, 1, (len(arguments["atoms"]), 3))
        return {
            "status": "labelled",
            "energy": -5.0 * self.n_atoms,
            "forces": forces,
            "stress": self.rng.normal(0, 0.01, 6),
            "max_force": float(np.linalg.norm(forces, axis=1).max()),
        }

    def _train_recorded(self, arguments) -> dict:
        folder = Path(arguments["directory"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "committee.json").write_text("{}")
        ones = {"energy": 1.0, "forces": 1.0, "stress": 1.0}
        return {
            "n_frames": len(arguments["frames"]), "force_rmse": 0.05, "energy_rmse": 0.01, "calibration": ones
        }  # fmt: skip


def configuration(folder: Path, workers: int, labels: int) -> RunConfig:
    batch = int(min(max(40, 4 * workers), labels // 5))
    disorder = {"sampler": "RandomDisorder", "composition": "Si", "n_atoms": [8, 8], "density": [2.0, 2.4]}
    return RunConfig.model_validate(
        {
            "directory": str(folder),
            "elements": ["Si"],
            "mode": "asynchronous",
            "asynchronous": {"train_after": batch, "max_staleness": 2},
            "reference": {"factory": "ase_mlsample.calculators:StillingerWeber"},
            "model": {
                "type": "committee",
                "factory": "ase_mlsample.calculators:StillingerWeber",
                "members": [{}, {}],
            },
            # twice what the first model learns from: workers go on while it is trained
            "initial": [{**disorder, "n": 2 * batch}],
            "explore": {"n": batch, "start": [disorder]},
            "selection": {"batch": batch, "audit": 0, "lo": 0.1, "hi": 1.0},
            "stop": {"max_generations": max(2, round(labels / batch)), "uncertain_fraction": 0.0},
        }
    )


def simulated(
    workers: int, labels: int, n_atoms: int, *, wall: bool | None, look=None, **changes: object
) -> dict[str, float]:
    """One run of the real driver on simulated workers; `look` is called with its workspace at the end."""
    simulation = EndedCalls.simulation = Simulation(wall=wall)
    asynchronous.SimpleQueue = tasks.SimpleQueue = EndedCalls
    work = MadeUp(n_atoms, np.random.default_rng(workers))
    pool, trainer = Workers(simulation, workers, work), Workers(simulation, 1, work)
    executors = {kind: Dispatcher(pool) for kind in ("explore", "label")} | {"train": Dispatcher(trainer)}
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w") as nothing:
        config = configuration(Path(folder) / "run", workers, labels).model_copy(update=changes)
        with RunDirectory(config) as directory:
            workspace = Workspace(directory, executors, console=Console(file=nothing))

            def show(workspace, _, **__):
                return write_summary(workspace.ledger, workspace.directory.path)

            simulation.resume()
            summary = asynchronous.run_asynchronously(workspace, show=show)
            simulation.pause()
            if look is not None:
                look(workspace)
    made = summary["labels"]["labelled"]
    # a trajectory under way at the end counts whole: at most one a worker, of hundreds
    return {
        "workers": workers,
        "labels": made,
        "generations": sum("train" in entry for entry in summary["generations"]),
        "hours": simulation.last_label / 3600,
        "efficiency": min(1.0, pool.busy_s / (workers * simulation.last_label)),
        "driver_cpu_ms": 1000 * simulation.driver_cpu / made,
        "driver_wall_ms": 1000 * simulation.driver_wall / made,
        "synchronous": synchronous(workers, made, config.selection.batch),
    }


def synchronous(workers: int, labels: int, batch: int) -> float:
    """Efficiency when all trajectories, all labels and the training of a generation wait for each other."""
    rng = np.random.default_rng(workers)
    busy = now = 0.0
    for start in range(0, labels, batch):
        number = min(batch, labels - start)
        trajectories = np.full(round(number / UNCERTAIN) if start else 0, TRAJECTORY_S)
        costs = rng.choice(LABEL_S, number)
        for drawn in (trajectories, costs):
            seconds = drawn * np.exp(SPREAD * rng.normal(size=len(drawn)))
            busy += seconds.sum()
            now += makespan(seconds, workers)
        now += TRAINING_S if start + batch < labels else 0.0
    return busy / (workers * now)


def makespan(seconds, workers: int) -> float:
    """When the last of calls ends that are handed to whoever is free."""
    ends = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    workers = [row["workers"] for row in rows]
    left.semilogx(workers, [row["efficiency"] for row in rows], "o-", base=2, label="asynchronous")
    left.semilogx(
        workers, [row["synchronous"] for row in rows], "s--", base=2, label="one step after the other"
    )
    left.axhline(LIMIT_EFFICIENCY, color="grey", lw=0.8)
    left.set(xlabel="workers", ylabel="share of time at work", ylim=(0, 1.03))
    left.legend(frameon=False)
    right.semilogx(workers, [row["driver_cpu_ms"] for row in rows], "o-", base=2, label="CPU")
    right.semilogx(workers, [row["driver_wall_ms"] for row in rows], "s--", base=2, label="wall clock")
    right.axhline(LIMIT_MS, color="grey", lw=0.8)
    right.set(xlabel="workers", ylabel="driver's time per label / ms", ylim=(0, None))
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64, 256, 512, 1024])
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=32, help="of a structure")
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="let the driver's CPU time pass, not the wall clock's (busy machine)",
    )
    parser.add_argument("--results", type=Path, help="JSON file that rows are added to")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    rows = json.loads(args.results.read_text()) if args.results and args.results.exists() else []
    for workers in args.workers:
        row = simulated(workers, args.labels, args.atoms, wall=not args.cpu)
        rows = sorted(
            [other for other in rows if other["workers"] != workers] + [row], key=lambda r: r["workers"]
        )
        if args.results:
            args.results.write_text(json.dumps(rows, indent=1))
    print("workers  labels  gen.   hours  efficiency  (synchronous)  driver ms/label: CPU   wall")
    for row in rows:
        print(
            f"{row['workers']:7d} {row['labels']:7d} {row['generations']:5d} {row['hours']:7.2f} "
            f"{row['efficiency']:11.1%} {row['synchronous']:14.1%} {row['driver_cpu_ms']:20.1f} "
            f"{row['driver_wall_ms']:6.1f}"
        )
    if args.plot:
        plot(rows, args.plot)
    cost = "driver_cpu_ms" if args.cpu else "driver_wall_ms"
    good = all(row[cost] < LIMIT_MS for row in rows)
    good &= all(row["efficiency"] > LIMIT_EFFICIENCY for row in rows if row["workers"] == LIMIT_AT)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
