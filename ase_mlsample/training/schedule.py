"""Learning rates: a function of the step for decaying schedules, of the validation loss for the plateau."""

import math
from typing import TypedDict

from ase_mlsample.training.settings import TrainingSettings

__all__ = ["PlateauState", "Schedule"]


class PlateauState(TypedDict):
    """What a plateau schedule remembers."""

    factor: float
    best: float
    waited: int


class Schedule:
    """The learning rate of every step.

    Parameters
    ----------
    settings
        Rates, schedule, warm-up.
    total_steps
        Steps of the whole training.
    """

    def __init__(self, settings: TrainingSettings, *, total_steps: int) -> None:
        self._settings = settings
        self._total = total_steps
        self._plateau = PlateauState(factor=1.0, best=math.inf, waited=0)

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, …."""
        s = self._settings
        warmup = min(1.0, (step + 1) / s.warmup_steps) if s.warmup_steps else 1.0
        return warmup * self._decayed(min(1.0, step / max(1, self._total - 1)))

    def _decayed(self, progress: float) -> float:
        s = self._settings
        if s.schedule == "cosine":
            fall = 0.5 * (1.0 + math.cos(math.pi * progress))
            return s.final_learning_rate + (s.learning_rate - s.final_learning_rate) * fall
        if s.schedule == "exponential":
            return float(s.learning_rate * (s.final_learning_rate / s.learning_rate) ** progress)
        return s.learning_rate * self._plateau["factor"]

    def validated(self, loss: float) -> bool:
        """Take in a validation loss; False when a plateau schedule has come to its end."""
        s, state = self._settings, self._plateau
        if s.schedule != "plateau":
            return True
        if loss < state["best"] * (1.0 - 1e-4):
            state["best"], state["waited"] = loss, 0
            return True
        state["waited"] += 1
        if state["waited"] >= s.plateau_patience:
            state["factor"] *= s.plateau_factor
            state["waited"] = 0
        return s.learning_rate * state["factor"] >= s.final_learning_rate

    def state(self) -> PlateauState:
        """What a checkpoint keeps."""
        return self._plateau.copy()

    def restore(self, state: PlateauState) -> None:
        """Go on from a checkpoint."""
        self._plateau = state.copy()
