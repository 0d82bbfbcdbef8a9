"""Labels for a list of structures, without a loop: durable, resumed when started again, failures recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms
from rich.console import Console

from ase_mlsample.active.dispatch import Dispatcher
from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor, check_main_guard
from ase_mlsample.active.label import Reference, structure_hash
from ase_mlsample.active.labelling import label_task
from ase_mlsample.active.progress import Bar, Pace
from ase_mlsample.active.reference_settings import ReferenceSettings
from ase_mlsample.active.remedies import Streak
from ase_mlsample.active.run_directory import EventLog
from ase_mlsample.active.running import hold
from ase_mlsample.active.shutdown import interruptible
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import Task, run_tasks

__all__ = ["label_structures", "labelled_frame"]


def label_structures(
    frames: Sequence[Atoms],
    settings: ReferenceSettings,
    *,
    folder: Path,
    workers: int = 1,
    threads: int = 1,
    retry_failed: bool = False,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """Label structures; what is in the folder already is not computed again.

    Parameters
    ----------
    frames : the structures; equal ones are computed once.
    settings : of the reference.
    folder : of the results, made when missing; one process works in it at a time.
    workers : processes; 1 computes in this one.
    threads : of each worker.
    retry_failed : try again what failed before.
    console : where progress goes.

    Returns
    -------
    list of dict
        For each frame what `compute_label` returned or the record of its failure, with ``attempts`` and
        ``seconds``.

    Raises
    ------
    ReferenceStoppedError
        So many labels failed one after the other that the reference does not seem to work.
    RuntimeError
        Another process works in the folder.
    KeyboardInterrupt
        SIGINT or SIGTERM came: labels that ran were finished, and the rest is done when it is started again.
    """
    check_main_guard()
    reference = settings.reference()
    keys = [f"{structure_hash(atoms)}.{reference.fingerprint}" for atoms in frames]
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder):
        store, log = ResultStore(folder), EventLog(folder / "log.jsonl")
        _forget(store, set(keys), all_failures=retry_failed)
        tasks = [
            label_task(key, atoms, reference, settings)
            for key, atoms in dict(zip(keys, frames, strict=True)).items()
        ]
        found = _run(tasks, settings, store, log, workers=(workers, threads), console=console or Console())
    return [_judged(found[key], settings.max_force) for key in keys]


def labelled_frame(atoms: Atoms, result: dict[str, Any], reference: Reference) -> Atoms:
    """A copy of a structure with its label under ``REF_energy``, ``REF_forces``, ``REF_stress``.

    ``REF_reference`` says by which reference it was computed, ``REF_recipe`` by which gentler recipe, if any.
    """
    copy = atoms.copy()
    copy.info["REF_energy"] = float(result["energy"])
    copy.arrays["REF_forces"] = result["forces"]
    copy.info.pop("REF_stress", None)
    if result["stress"] is not None:
        copy.info["REF_stress"] = result["stress"]
    copy.info["REF_reference"] = reference.fingerprint
    if result.get("recipe"):
        copy.info["REF_recipe"] = int(result["recipe"])
    return copy


def _run(
    tasks: list[Task],
    settings: ReferenceSettings,
    store: ResultStore,
    log: EventLog,
    *,
    workers: tuple[int, int],
    console: Console,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    streak = Streak(settings.stop_after)
    executor = ProcessExecutor(workers[0], threads=workers[1]) if workers[0] > 1 else SerialExecutor()
    dispatcher = Dispatcher(executor, stop=store.directory / "stop")
    (store.directory / "stop").unlink(missing_ok=True)
    pace = Pace(len(tasks))
    with interruptible(), Bar(console, "labels", pace, log=partial(log.write, "progress")) as bar:

        def take(batch: list[tuple[Task, dict[str, Any]]]) -> None:
            for task, result in batch:
                found[task.key] = result
                told = {
                    name: result.get(name) for name in ("status", "attempts", "seconds", "recipe", "error")
                }
                log.write("label", key=task.key, **told)
            bar.advance(len(batch))
            for _, result in batch:
                streak.add(result)

        try:
            run_tasks(tasks, dispatcher, store=store, window=2 * workers[0], take=take)
        except KeyboardInterrupt as interruption:
            if not getattr(interruption, "at_once", False):
                dispatcher.drain()
            raise
        finally:
            executor.shutdown(wait=False)
            (store.directory / "stop").unlink(missing_ok=True)
    return found


def _judged(result: dict[str, Any], max_force: float) -> dict[str, Any]:
    """A label that was had under another limit of forces counts by the present one."""
    if result["status"] == "failed":
        return result
    return result | {"status": "labelled" if result["max_force"] <= max_force else "rejected"}


def _forget(store: ResultStore, keys: set[str], *, all_failures: bool) -> None:
    """Forget failures that are tried again: all, or those whose cause lay outside and may be mended."""
    for key in keys & store.keys():
        result = store.take(key)
        if result is None or result["status"] != "failed":
            continue
        if all_failures or result["error"].get("kind") == "setup":
            store.remove(key)
