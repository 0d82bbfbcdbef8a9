"""What a run is told: one section a part, every value checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from ase_mlsample.active.factories import factory_name
from ase_mlsample.active.label import Reference
from ase_mlsample.training.settings import ModelSettings, TrainingSettings

__all__ = [
    "CommitteeSettings",
    "ExecutorSettings",
    "ExploreSettings",
    "InitialSettings",
    "ReferenceSettings",
    "RunConfig",
    "SamplerSettings",
    "SelectionSettings",
    "StopSettings",
    "TransformSettings",
]

# these may differ between a run and its continuation: they do not change what was recorded
_FREE = {"name", "directory", "executors", "stop", "testset"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReferenceSettings(_Section):
    """The calculator that labels.

    Attributes
    ----------
    factory : ``"module:factory"`` that returns an ASE calculator.
    kwargs : its keyword arguments.
    version : free text that tells two references with the same arguments apart.
    max_force : eV/Å; a structure with a larger force is recorded as rejected and not learned from.
    retries : further attempts at a label that failed.
    timeout_s : limit of one attempt in seconds.
    """

    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    version: str = ""
    max_force: PositiveFloat = 20.0
    retries: NonNegativeInt = 1
    timeout_s: PositiveFloat | None = None

    @field_validator("factory", mode="before")
    @classmethod
    def _by_name(cls, factory: Any) -> str:
        return factory_name(factory)

    def reference(self) -> Reference:
        """The reference as workers know it."""
        return Reference(self.factory, kwargs=self.kwargs, version=self.version, max_force=self.max_force)


class TransformSettings(BaseModel):
    """A transform by name; every other key is one of its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)
    transform: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the transform."""
        return dict(self.model_extra or {})


class SamplerSettings(BaseModel):
    """A sampler by name; keys that are not listed here are its arguments.

    Attributes
    ----------
    sampler : class of ``ase_mlsample.samplers``, or ``"module:factory"``.
    weight : share of this sampler among the starts of trajectories.
    transforms : applied to each structure, in this order.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    sampler: str
    weight: PositiveFloat = 1.0
    transforms: tuple[TransformSettings, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the sampler."""
        return dict(self.model_extra or {})


class InitialSettings(SamplerSettings):
    """A sampler of the first generation.

    Attributes
    ----------
    n : number of structures.
    """

    n: PositiveInt


class CommitteeSettings(_Section):
    """A fixed committee of calculators, which is calibrated on the labels but not trained.

    Attributes
    ----------
    factory : ``"module:factory"`` that returns an ASE calculator.
    members : keyword arguments of each member.
    """

    type: Literal["committee"] = "committee"
    factory: str
    members: tuple[dict[str, Any], ...] = Field(min_length=2)


class ExploreSettings(_Section):
    """Trajectories that look for what the ensemble does not know.

    Attributes
    ----------
    n : trajectories a generation.
    start : samplers of their first frames.
    dynamics : arguments of `ase_mlsample.dynamics.RampedMD`; its gate is set from the trust window.
    timeout_s : limit of one trajectory in seconds.
    """

    n: PositiveInt = 40
    start: tuple[SamplerSettings, ...] = Field(min_length=1)
    dynamics: dict[str, Any] = Field(default_factory=dict)
    timeout_s: PositiveFloat | None = None


class SelectionSettings(_Section):
    """The trust window and the batch.

    The measure of a frame is its largest calibrated ``force_sigma``. Frames at or above ``hi`` are rejected
    as unphysical, those at or above ``lo`` are candidates, the others count as learned.

    Attributes
    ----------
    batch : candidates labelled a generation.
    audit : frames labelled besides, at random among those that the trajectories passed through in certainty,
        at most one each: errors that all members share do not show in their disagreement.
    lo : eV/Å, or "auto": ``lo_factor`` times the error of an atom's force on validation data (√3 times the
        component RMSE), at least ``lo_floor``.
    hi : eV/Å, or "auto": ``hi_factor`` times lo.
    lo_factor, hi_factor : see above.
    lo_floor : eV/Å.
    strategy : "novelty" (farthest point in AEV space) or "random" among the candidates.
    """

    batch: PositiveInt = 40
    audit: NonNegativeInt = 20
    lo: Literal["auto"] | PositiveFloat = "auto"
    hi: Literal["auto"] | PositiveFloat = "auto"
    lo_factor: PositiveFloat = 1.5
    hi_factor: Annotated[float, Field(gt=1.0)] = 6.0
    lo_floor: PositiveFloat = 0.05
    strategy: Literal["novelty", "random"] = "novelty"

    @model_validator(mode="after")
    def _window(self) -> SelectionSettings:
        if self.lo != "auto" and self.hi != "auto" and self.lo >= self.hi:
            raise ValueError(f"lo = {self.lo} must be below hi = {self.hi} (both in eV/Å)")
        return self


class StopSettings(_Section):
    """When the loop ends.

    Attributes
    ----------
    max_generations : trained generations, the first one included.
    uncertain_fraction, rounds : the loop ends when fewer than this fraction of the frames that were looked at
        were candidates or rejected in each of this many generations in a row, and the error is flat or under
        its target.
    force_error : target; component RMSE over RMS of the worst class of the held-out set, or, without one,
        component RMSE in eV/Å on validation data.
    flat : relative improvement over the last generation that counts as none.
    """

    max_generations: PositiveInt = 5
    uncertain_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02
    rounds: PositiveInt = 2
    force_error: PositiveFloat | None = None
    flat: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.03


class ExecutorSettings(_Section):
    """Where work runs.

    Attributes
    ----------
    workers : processes for labels and trajectories; 1 runs everything in this process.
    threads : of each worker.
    train_threads : of the training process; workers × threads where None.
    """

    workers: PositiveInt = 1
    threads: PositiveInt = 1
    train_threads: PositiveInt | None = None


class RunConfig(_Section):
    """The whole configuration of a run.

    Attributes
    ----------
    name : title of the run.
    directory : output folder.
    seed : of every random number.
    elements : of all structures.
    reference, model, training, initial, explore, selection, stop, executors : see their classes.
    fine_tuning : training settings of later generations, which then start from the model before; without them
        every generation is trained from nothing with ``training``.
    testset : extxyz file of held-out structures with ``REF_energy`` and ``REF_forces``, their class in
        ``config_type``.
    """

    name: str = "run"
    directory: Path
    seed: NonNegativeInt = 1
    elements: tuple[str, ...] = Field(min_length=1)
    reference: ReferenceSettings
    model: Annotated[ModelSettings | CommitteeSettings, Discriminator("type")] = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    fine_tuning: TrainingSettings | None = None
    initial: tuple[InitialSettings, ...] = Field(min_length=1)
    explore: ExploreSettings
    selection: SelectionSettings = SelectionSettings()
    stop: StopSettings = StopSettings()
    executors: ExecutorSettings = ExecutorSettings()
    testset: Path | None = None

    @field_validator("model", mode="before")
    @classmethod
    def _default_type(cls, model: Any) -> Any:
        return {"type": "ani", **model} if isinstance(model, Mapping) else model

    @field_validator("elements")
    @classmethod
    def _elements_exist(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in elements:
            if atomic_numbers.get(symbol, 0) == 0:
                raise ValueError(f"{symbol!r} is not the symbol of a chemical element")
        if len(set(elements)) != len(elements):
            raise ValueError(f"elements {list(elements)} are repeated; name each once")
        return elements

    @model_validator(mode="after")
    def _same_elements(self) -> RunConfig:
        symbols = getattr(self.model, "symbols", None)
        if symbols is not None and set(symbols) != set(self.elements):
            raise ValueError(f"model.symbols {list(symbols)} are not those of the run, {list(self.elements)}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the resolved ``config.yaml`` has them."""
        return self.model_dump(mode="json")

    def frozen(self) -> dict[str, Any]:
        """The part that a continuation must share."""
        return {key: value for key, value in self.to_dict().items() if key not in _FREE}
