"""When a learning bias slows down, and when it stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ase_mlsample.biases.arguments import positive, whole

__all__ = ["Phase", "RateSchedule"]

Phase = Literal["learning", "decaying", "static"]


class RateSchedule:
    """The learning rate decays while the run samples what it should; small enough, it is zero.

    Parameters
    ----------
    decay : int
        The scale of the rate becomes (1 − 1/decay) times itself in each iteration …
    kl_threshold : float
        … in which the divergence from the target is below this …
    constant_iterations : int
        … once this many iterations were done.
    static_below : float
        The scale at which learning ends.

    Attributes
    ----------
    scale : float
        Factor on the learning rate, from 1 down.
    phase : {"learning", "decaying", "static"}
        With the full rate or one that does not fall at present, with a falling one, not at all.

    Raises
    ------
    ValueError
        For settings out of range.
    """

    def __init__(
        self, *, decay: int, kl_threshold: float, constant_iterations: int, static_below: float
    ) -> None:
        self.decay = whole(decay, "decay", least=2)
        self.kl_threshold = positive(kl_threshold, "kl_threshold")
        self.static_below = positive(static_below, "static_below")
        if self.static_below >= 1:
            raise ValueError(f"static_below is a factor to the learning rate, below 1, got {static_below!r}")
        self.constant_iterations = whole(constant_iterations, "constant_iterations", least=0)
        self.scale = 1.0
        self.phase: Phase = "learning"

    def advance(self, iteration: int, divergence: float) -> None:
        """Take note of an iteration, counted from 1, and the divergence after it."""
        falls = divergence < self.kl_threshold and iteration > self.constant_iterations
        if falls:
            self.scale *= 1 - 1 / self.decay
        self.phase = "static" if self.scale < self.static_below else "decaying" if falls else "learning"

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        names = ("decay", "kl_threshold", "constant_iterations", "static_below")
        return {name: getattr(self, name) for name in names}

    def state(self) -> dict[str, Any]:
        """Return what changes."""
        return {"scale": self.scale, "phase": self.phase}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.scale, self.phase = float(state["scale"]), state["phase"]
