"""Learning rates: a function of the step for decaying schedules, of the validation loss for the plateau."""

import math
from typing import NotRequired, TypedDict

from ase_mlsample.training.settings import TrainingSettings

__all__ = ["Leg", "PlateauState", "Schedule"]


class Leg(TypedDict):
    """A stretch of training with a decay of its own: its first step, its steps, the rate it starts from."""

    first: int
    steps: int
    peak: float


class PlateauState(TypedDict):
    """What a schedule remembers; checkpoints from before there were legs have none."""

    factor: float
    best: float
    waited: int
    legs: NotRequired[list[Leg]]


class Schedule:
    """The learning rate of every step.

    Parameters
    ----------
    settings
        Rates, schedule, warm-up.
    total_steps
        Steps of the whole training, later legs apart.
    """

    def __init__(self, settings: TrainingSettings, *, total_steps: int) -> None:
        self._settings = settings
        self._legs = [Leg(first=0, steps=total_steps, peak=settings.learning_rate)]
        self._plateau = PlateauState(factor=1.0, best=math.inf, waited=0)

    @property
    def n_legs(self) -> int:
        """Legs begun so far."""
        return len(self._legs)

    @property
    def end(self) -> int:
        """The step at which the present leg is over."""
        return self._legs[-1]["first"] + self._legs[-1]["steps"]

    def begin_leg(self, first: int, *, steps: int) -> None:
        """Decay once more, over `steps` steps from step `first` on (warm restart [Loshchilov, Hutter 2017]).

        The peak is the learning rate times the leg's length over that of the first, at most 1: a short leg
        must not undo what it has no time to learn again. The constant schedule stays constant.
        """
        s = self._settings
        length = 1.0 if s.schedule == "constant" else min(1.0, steps / self._legs[0]["steps"])
        peak = max(s.final_learning_rate, s.learning_rate * length)
        self._legs.append(Leg(first=first, steps=steps, peak=peak))
        self._plateau["factor"], self._plateau["waited"] = peak / s.learning_rate, 0

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, …."""
        s = self._settings
        leg = next(leg for leg in reversed(self._legs) if leg["first"] <= step)
        warmup = min(1.0, (step + 1) / s.warmup_steps) if s.warmup_steps else 1.0
        return warmup * self._decayed(min(1.0, (step - leg["first"]) / max(1, leg["steps"] - 1)), leg["peak"])

    def _decayed(self, progress: float, peak: float) -> float:
        s = self._settings
        if s.schedule == "cosine":
            fall = 0.5 * (1.0 + math.cos(math.pi * progress))
            return s.final_learning_rate + (peak - s.final_learning_rate) * fall
        if s.schedule == "exponential":
            return float(peak * (s.final_learning_rate / peak) ** progress)
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
        state = self._plateau.copy()
        state["legs"] = [leg.copy() for leg in self._legs]
        return state

    def restore(self, state: PlateauState) -> None:
        """Go on from a checkpoint."""
        self._plateau = PlateauState(factor=state["factor"], best=state["best"], waited=state["waited"])
        self._legs = [leg.copy() for leg in state.get("legs", self._legs)]
