"""The active-learning loop: a function of its ledger, so that running it again resumes it at any point."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from rich.console import Console

from ase_mlsample.active.config import RunConfig
from ase_mlsample.active.config_file import check_config
from ase_mlsample.active.dispatch import NotStartedError
from ase_mlsample.active.engines import open_executors
from ase_mlsample.active.executor_settings import KINDS
from ase_mlsample.active.executors import check_main_guard
from ase_mlsample.active.labelling import label_proposals, take_in
from ase_mlsample.active.learning import evaluate_model, publish, train_model
from ase_mlsample.active.proposing import explore_and_select, propose_initial, propose_nothing
from ase_mlsample.active.run_directory import RunDirectory
from ase_mlsample.active.shutdown import interruptible
from ase_mlsample.active.stop import stop_reason
from ase_mlsample.active.summary import generation_table, wide_console, write_summary
from ase_mlsample.active.workspace import Workspace

__all__ = ["ActiveLoop", "run"]

Step = Callable[[Workspace, int], None]


class ActiveLoop:
    """Learn a potential from nothing: propose, label, train, explore where the ensemble is unsure, again.

    Parameters
    ----------
    config : of the run; `ase_mlsample.active.read_config` reads one from a file.
    explore, label, train : executors (``concurrent.futures.Executor``) to use instead of the configured ones.
    console : where progress goes; standard output by default.
    report : called with the folder of the run after each generation, to draw its plots; what it raises is
        logged and does not end the run.

    Examples
    --------
    >>> config = read_config("silicon.yaml")
    >>> summary = ActiveLoop(config).run()
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        explore: Executor | None = None,
        label: Executor | None = None,
        train: Executor | None = None,
        console: Console | None = None,
        report: Callable[[Path], object] | None = None,
    ) -> None:
        self.config = config
        self.console = console or wide_console()
        self.report = report
        self._given = {"explore": explore, "label": label, "train": train}

    def run(self, *, retry_failed: bool = False) -> dict[str, Any]:
        """Run, or go on, until a stop rule holds.

        Parameters
        ----------
        retry_failed : try again the labels that are recorded as failed. A run that has come to its end adds a
            generation for them, which does not explore; the stop rule is asked again after it.

        Returns
        -------
        dict
            The content of ``summary.json``.

        Raises
        ------
        RuntimeError
            Training failed, no label could be had, workers cannot start, or another run holds the folder.
        ValueError
            The configuration cannot work, or the folder holds a run with another configuration, reference or
            ledger version.
        KeyboardInterrupt
            SIGINT or SIGTERM came; run again to go on.
        """
        check_main_guard()
        check_config(self.config)
        with RunDirectory(self.config) as directory, interruptible():
            directory.log.write("resumed" if directory.resumed else "started", name=self.config.name)
            with open_executors(self.config, self._given, folder=directory.path) as executors:
                workspace = Workspace(directory, executors, console=self.console)
                try:
                    take_in(workspace, retry_failed=retry_failed)
                    return self._course(workspace, retry_failed=retry_failed)
                except KeyboardInterrupt as interruption:
                    self._wind_down(workspace, interruption)
                    raise
                except Exception as error:
                    directory.log.write("failed", error=f"{type(error).__name__}: {error}")
                    raise

    def _course(self, workspace: Workspace, *, retry_failed: bool) -> dict[str, Any]:
        if self.config.mode == "synchronous":
            return self._generations(workspace, retry_failed=retry_failed)
        from ase_mlsample.active.asynchronous import run_asynchronously

        summary = run_asynchronously(workspace, show=self._show, retry_failed=retry_failed)
        self._print(f"Finished: {summary['finished']}. Everything is in {workspace.directory.path}")
        return summary

    def _wind_down(self, workspace: Workspace, interruption: KeyboardInterrupt) -> None:
        """Let labels that run finish and record them; the rest is in the ledger, to be done."""
        log, labels = workspace.log, workspace.executors["label"]
        log.write("interrupted", why=str(interruption), running=labels.under_way)
        if getattr(interruption, "at_once", False):
            return
        if labels.under_way:
            self._print(f"{interruption}: labels that run are finished first; once more ends the run at once")
            try:
                labels.drain()
            except KeyboardInterrupt:
                log.write("interrupted_again", unfinished=labels.under_way)
                raise
        try:
            finished = take_in(workspace)
        except NotStartedError:  # nor are isolated atoms computed any more, which labels are checked against
            finished = 0
        waiting = len(workspace.ledger.waiting(workspace.reference))
        log.write("wound_down", finished=finished, waiting=waiting)
        self._print(
            f"{finished} labels were finished and {waiting} structures wait for theirs; "
            f"run it again to go on in {workspace.directory.path}"
        )

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _generations(self, workspace: Workspace, *, retry_failed: bool) -> dict[str, Any]:
        steps: dict[str, Step] = {
            "select": explore_and_select,
            "label": label_proposals,
            "train": train_model,
            "evaluate": evaluate_model,
        }
        if self.config.testset is None:
            del steps["evaluate"]
        generation, propose = 0, propose_initial
        while True:
            for name, step in steps.items():
                self._do(workspace, generation, name, propose if name == "select" else step)
            stages, propose = workspace.ledger.stages(), explore_and_select
            if generation + 1 not in stages:  # the newest one: is it the last?
                reason = stop_reason(stages, self.config.stop)
                if reason is not None and retry_failed and workspace.ledger.waiting(workspace.reference):
                    reason, propose = None, propose_nothing
                workspace.ledger.finish_stage(generation, "end", {"reason": reason})
                summary = self._show(workspace, generation)
                if reason is not None:
                    workspace.log.write("finished", reason=reason)
                    self._print(f"Finished: {reason}. Everything is in {workspace.directory.path}")
                    return summary
            generation += 1

    def _do(self, workspace: Workspace, generation: int, name: str, step: Step) -> None:
        if name in workspace.ledger.stages().get(generation, {}):
            return
        began = time.monotonic()
        step(workspace, generation)
        seconds = round(time.monotonic() - began, 2)
        workspace.log.write("stage", generation=generation, stage=name, seconds=seconds)

    def _show(self, workspace: Workspace, generation: int, *, report: bool = True) -> dict[str, Any]:
        publish(workspace, generation)
        summary = write_summary(workspace.ledger, workspace.directory.path)
        workspace.log.write("generation", generation=generation)
        workspace.console.print(generation_table(summary))
        if self.report is not None and report:
            try:
                self.report(workspace.directory.path)
            except Exception as error:  # plots must not cost a run
                workspace.log.write("report_failed", error=f"{type(error).__name__}: {error}")
                self._print(f"The report could not be written: {error}")
        return summary


def run(
    config: RunConfig, *, executors: Mapping[str, Executor] | None = None, **options: Any
) -> dict[str, Any]:
    """Run, or go on with, a configuration; short for `ActiveLoop`.

    Parameters
    ----------
    config : of the run.
    executors : by the names "explore", "label" and "train"; anything with the interface of
        ``concurrent.futures.Executor`` (Dask's ``client.get_executor()``, Parsl's ``ParslPoolExecutor``)
        whose workers see the folder of the run. They are not ended.
    **options : of `ActiveLoop` and `ActiveLoop.run`.

    Raises
    ------
    ValueError
        An executor for work that there is not, besides those of `ActiveLoop.run`.
    """
    if unknown := sorted(set(executors or {}) - set(KINDS)):
        raise ValueError(f"executors {', '.join(unknown)}: there is work of the kinds {', '.join(KINDS)}")
    retry_failed = options.pop("retry_failed", False)
    loop = ActiveLoop(config, **{**options, **(executors or {})})
    return loop.run(retry_failed=retry_failed)
