"""What a sampler, a transform and a filter are, and how they are chained with ``|``."""

from __future__ import annotations

import abc
import math
import numbers
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from ase import Atoms

__all__ = [
    "AtomsFilter",
    "AtomsSampler",
    "AtomsTransform",
    "Filter",
    "FilterChain",
    "Pipeline",
    "Sampler",
    "Transform",
    "TransformChain",
]


@runtime_checkable
class Sampler(Protocol):
    """Anything that proposes structures: ``sample(n, rng)`` yields n frames, equal for equal generators."""

    def sample(self, n: int, rng: np.random.Generator) -> Iterator[Atoms]:
        """Yield ``n`` frames with their provenance in ``info``."""
        ...


@runtime_checkable
class Transform(Protocol):
    """Anything that makes a new frame from a frame: ``transform(atoms, rng)``, the given frame unchanged."""

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a changed copy."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Anything that says whether a frame may pass, and if not why: ``accepts(atoms)``."""

    def accepts(self, atoms: Atoms) -> tuple[bool, str]:
        """Return (True, "") or (False, reason)."""
        ...


Window = float | tuple[float, float]
Stage = Filter | Callable[[Atoms, np.random.Generator], Atoms]


def checked_count(n: int) -> int:
    """Return ``n`` when it is a number of frames; TypeError or ValueError otherwise."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n must be a whole number of frames, got {n!r}; pass for example n=10")
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}; pass the number of frames that you want")
    return int(n)


def checked_generator(rng: np.random.Generator) -> np.random.Generator:
    """Return ``rng`` when it is a Generator; TypeError otherwise, so that no global state is ever used."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}; "
            "pass numpy.random.default_rng(seed)"
        )
    return rng


def checked_window(name: str, window: Window, *, least: float = 0.0, unit: str = "") -> tuple[float, float]:
    """Return the window (low, high) as numbers; one number stands for a window of no width.

    Raises
    ------
    TypeError
        For what is neither a number nor a pair of numbers.
    ValueError
        Unless least <= low <= high < inf.
    """
    bounds = (window, window) if isinstance(window, numbers.Real) else window
    try:
        low, high = (float(bound) for bound in bounds)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or a window (low, high){unit}, got {window!r}") from error
    if not least <= low <= high < math.inf:
        raise ValueError(
            f"{name} must be a window (low, high){unit} with {least:g} <= low <= high, got {window!r}"
        )
    return low, high


def checked_sizes(n_atoms: int | tuple[int, int]) -> tuple[int, int]:
    """Return a window of numbers of atoms; TypeError or ValueError for anything else."""
    low, high = checked_window("n_atoms", n_atoms, least=1)
    if low % 1 or high % 1:
        raise ValueError(f"n_atoms must be whole numbers, got {n_atoms!r}; use for example (8, 32)")
    return int(low), int(high)


class AtomsSampler(abc.ABC):
    """Base of the samplers here: a subclass draws one frame, this class counts, checks and composes.

    ``sampler | transform`` and ``sampler | filter`` give a :class:`Pipeline`. The first k of n frames are the
    same as those of ``sample(k, rng)`` from an equal generator.
    """

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return one new frame with ``source`` and ``config_type`` in its ``info``."""

    def sample(self, n: int, rng: np.random.Generator) -> Iterator[Atoms]:
        """Yield ``n`` frames.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Every random number comes from here.

        Raises
        ------
        TypeError, ValueError
            At the call, for a count or a generator that is none.
        RuntimeError
            While iterating, when the bounded effort for a frame is spent.
        """
        count, generator = checked_count(n), checked_generator(rng)
        return (self.draw(generator) for _ in range(count))

    def __or__(self, stage: Stage) -> Pipeline:
        return Pipeline(self, stage)


class AtomsTransform(abc.ABC):
    """Base of the transforms here: ``a | b`` is a transform again, ``sampler | a`` a sampler."""

    @abc.abstractmethod
    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a changed copy of ``atoms`` (no calculator), noted in its ``info``."""

    def __or__(self, stage: Callable[[Atoms, np.random.Generator], Atoms]) -> TransformChain:
        if not callable(stage):
            return NotImplemented
        return TransformChain(self, stage)

    def __ror__(self, sampler: Sampler) -> Pipeline:
        return Pipeline(sampler, self)


class TransformChain(AtomsTransform):
    """Several transforms, one after the other."""

    def __init__(self, *transforms: Callable[[Atoms, np.random.Generator], Atoms]) -> None:
        self.transforms = transforms

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return ``atoms`` after every transform."""
        for transform in self.transforms:
            atoms = transform(atoms, rng)
        return atoms

    def __repr__(self) -> str:
        return " | ".join(repr(transform) for transform in self.transforms)


class AtomsFilter(abc.ABC):
    """Base of the filters here: ``a | b`` accepts what both accept, ``sampler | a`` is a sampler."""

    @abc.abstractmethod
    def accepts(self, atoms: Atoms) -> tuple[bool, str]:
        """Return (True, "") or (False, reason)."""

    def __or__(self, other: Filter) -> FilterChain:
        if not isinstance(other, Filter):
            return NotImplemented
        return FilterChain(self, other)

    def __ror__(self, sampler: Sampler) -> Pipeline:
        return Pipeline(sampler, self)


class FilterChain(AtomsFilter):
    """Several filters; the reason is the first one's that refuses."""

    def __init__(self, *filters: Filter) -> None:
        self.filters = filters

    def accepts(self, atoms: Atoms) -> tuple[bool, str]:
        """Return (True, "") when every filter accepts."""
        for one in self.filters:
            accepted, reason = one.accepts(atoms)
            if not accepted:
                return False, reason
        return True, ""


class Pipeline(AtomsSampler):
    """A sampler followed by transforms and filters; what a filter refuses is drawn again from the start.

    Parameters
    ----------
    sampler : Sampler
        Where frames come from.
    *stages : Transform or Filter
        Applied in this order.
    max_rejections : int
        Frames refused in a row before a RuntimeError says why they were refused.
    """

    def __init__(self, sampler: Sampler, *stages: Stage, max_rejections: int = 200) -> None:
        if not isinstance(sampler, Sampler):
            raise TypeError(
                f"a pipeline starts with a sampler, got {type(sampler).__name__}; "
                "the first object needs a method sample(n, rng)"
            )
        for stage in stages:
            if not isinstance(stage, Filter) and not callable(stage):
                raise TypeError(
                    f"a sampler is followed by transforms and filters, got {type(stage).__name__}; "
                    "a transform is callable with (atoms, rng), a filter has accepts(atoms)"
                )
        if max_rejections < 1:
            raise ValueError(f"max_rejections must be at least 1, got {max_rejections}")
        self.sampler, self.stages, self.max_rejections = sampler, stages, max_rejections

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return the next frame that passes every stage."""
        reasons: Counter[str] = Counter()
        for _ in range(self.max_rejections):
            atoms, reason = self._pass(next(iter(self.sampler.sample(1, rng))), rng)
            if not reason:
                return atoms
            reasons[reason] += 1
        commonest, count = reasons.most_common(1)[0]
        raise RuntimeError(
            f"{self.max_rejections} frames in a row were refused, {count} of them with '{commonest}'; "
            "loosen the filter or change the sampler"
        )

    def _pass(self, atoms: Atoms, rng: np.random.Generator) -> tuple[Atoms, str]:
        for stage in self.stages:
            if isinstance(stage, Filter):
                accepted, reason = stage.accepts(atoms)
                if not accepted:
                    return atoms, reason or type(stage).__name__
            else:
                atoms = stage(atoms, rng)
        return atoms, ""

    def __or__(self, stage: Stage) -> Pipeline:
        return Pipeline(self.sampler, *self.stages, stage, max_rejections=self.max_rejections)

    def __repr__(self) -> str:
        return " | ".join(repr(part) for part in (self.sampler, *self.stages))
