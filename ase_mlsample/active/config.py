"""What a run is told: one section a part, every value checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ase_mlsample.active.executor_settings import ExecutorSettings
from ase_mlsample.active.reference_settings import FREE_REFERENCE_KEYS, ReferenceSettings
from ase_mlsample.training.models import DeepPotentialSettings, check_type
from ase_mlsample.training.settings import ModelSettings, TrainingSettings

__all__ = [
    "AsynchronousSettings",
    "CommitteeSettings",
    "ExecutorSettings",
    "ExploreSettings",
    "ExplorerSettings",
    "InitialSettings",
    "ReferenceSettings",
    "RunConfig",
    "SamplerSettings",
    "SelectionSettings",
    "StartSettings",
    "StopSettings",
    "TransformSettings",
    "UncertaintyBiasSettings",
    "comparable_part",
    "frozen_part",
]

# these may differ between a run and its continuation: they do not change what was recorded
_FREE = {"name", "directory", "executors", "stop", "testset", "live"}


def frozen_part(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a continuation must share with the run that it continues, of plain values."""
    return {key: value for key, value in values.items() if key not in _FREE}


def comparable_part(values: Mapping[str, Any]) -> dict[str, Any]:
    """`frozen_part` without what may change of the reference: how often and how long a label is tried."""
    frozen = frozen_part(values)
    if isinstance(frozen.get("reference"), Mapping):
        kept = {key: item for key, item in frozen["reference"].items() if key not in FREE_REFERENCE_KEYS}
        frozen["reference"] = kept
    return frozen


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(BaseModel):
    """An object by name; keys without a meaning of their own are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the object."""
        return dict(self.model_extra or {})


class TransformSettings(_Named):
    """A transform or a filter by name (key ``transform`` or ``filter``); other keys are its arguments."""

    transform: str = Field(validation_alias=AliasChoices("transform", "filter"))


class SamplerSettings(_Named):
    """A sampler by name; keys that are not listed here are its arguments.

    An argument may be a sampler, a transform or a filter itself: a mapping with the key ``sampler``,
    ``transform`` or ``filter`` in the same form.

    Attributes
    ----------
    sampler : class of ``ase_mlsample.samplers``, or ``"module:factory"``.
    weight : share of this sampler among the starts of trajectories.
    transforms : transforms and filters that each structure goes through, in this order.
    filters : after them; a structure that one refuses is drawn again.
    """

    sampler: str
    weight: PositiveFloat = 1.0
    transforms: tuple[TransformSettings, ...] = ()
    filters: tuple[TransformSettings, ...] = ()

    @property
    def stages(self) -> list[tuple[str, dict[str, Any]]]:
        """Names and arguments of transforms and filters in their order."""
        return [(item.transform, item.arguments) for item in (*self.transforms, *self.filters)]


class StartSettings(SamplerSettings):
    """A sampler of the first frames of trajectories.

    Attributes
    ----------
    limits : keywords of `ase_mlsample.dynamics.Guards` that hold in place of those of ``explore.limits`` for
        trajectories from here.
    """

    limits: dict[str, Any] = Field(default_factory=dict)


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


class UncertaintyBiasSettings(_Section):
    """Arguments of `ase_mlsample.calculators.UncertaintyBias`.

    Attributes
    ----------
    height_eV : of the bias, for the whole structure.
    width : eV per √atom.
    calibrated : whether the width is compared with the calibrated spread of the energy.
    """

    height_eV: NonNegativeFloat
    width: PositiveFloat
    calibrated: bool = True


class ExplorerSettings(_Named):
    """An explorer by name; keys that are not listed here are its arguments.

    The argument ``cv`` is a collective variable as `ase_mlsample.cvs.make_cv` takes it: text such as
    ``StructureFactor(q=1.96).mean()``, a mapping such as ``{variable: Distance, first: 0, second: 1}``, or a
    list of these. What the trajectories of `MetadynamicsExplorer` or `OPESExplorer` have filled, and what
    those of `VESExplorer` or `DeepVESExplorer` have learned, the ones of later generations start from.
    `StaticBiasExplorer` reads its ``bias`` from a file, whose path is relative to the configuration's.

    Attributes
    ----------
    explorer : class of ``ase_mlsample.dynamics``, or ``"module:factory"``, which is given ``gate`` and
        ``keep_every=1`` besides its arguments, and ``guards`` where there are limits.
    weight : share of this explorer among the trajectories.
    uncertainty_bias : the model's energy is lowered where its members disagree.
    """

    explorer: str = "RampedMD"
    weight: PositiveFloat = 1.0
    uncertainty_bias: UncertaintyBiasSettings | None = None


def _one_or_several(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


class ExploreSettings(_Section):
    """Trajectories that look for what the ensemble does not know.

    Attributes
    ----------
    n : trajectories a generation.
    start : samplers of their first frames.
    dynamics : one explorer or several, of which each trajectory draws one; their gate is set from the trust
        window.
    limits : keywords of `ase_mlsample.dynamics.Guards`, shared by all explorers.
    timeout_s : limit of one trajectory in seconds.
    """

    n: PositiveInt = 40
    start: tuple[StartSettings, ...] = Field(min_length=1)
    dynamics: Annotated[
        Annotated[ExplorerSettings, Tag("one")]
        | Annotated[tuple[ExplorerSettings, ...], Field(min_length=1), Tag("several")],
        Discriminator(_one_or_several),
    ] = ExplorerSettings()
    limits: dict[str, Any] = Field(default_factory=dict)
    timeout_s: PositiveFloat | None = None

    @property
    def explorers(self) -> tuple[ExplorerSettings, ...]:
        """The explorers, one or several."""
        return self.dynamics if isinstance(self.dynamics, tuple) else (self.dynamics,)


class SelectionSettings(_Section):
    """The trust window and the batch.

    The measure of a frame is the largest of its atoms' calibrated ``force_sigma`` σ, or of σ / (1 + |F| /
    level), which forgives atoms with large forces F. Frames at or above ``hi`` are rejected as unphysical,
    those at or above ``lo`` are candidates, the others count as learned.

    Attributes
    ----------
    measure : "force" or "relative".
    level : eV/Å, for the relative measure; over it this is the relative deviation of DP-GEN.
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

    measure: Literal["force", "relative"] = "force"
    level: PositiveFloat | None = None
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
        if self.measure == "relative" and self.level is None:
            raise ValueError(
                "measure 'relative' needs a level in eV/Å, such as the usual force on an atom; give level"
            )
        if self.measure == "force" and self.level is not None:
            raise ValueError(
                f"level = {self.level} belongs to the relative measure; "
                "give measure: relative, or leave level out"
            )
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


class AsynchronousSettings(_Section):
    """How sampling, labelling and training overlap in a run with ``mode: asynchronous``.

    Attributes
    ----------
    train_after : new labels with which the next training begins; ``selection.batch`` plus
        ``selection.audit`` where None.
    max_staleness : in generations. A candidate that an older model than the newest proposed is judged again
        by the newest before it is labelled, and dropped when that is certain of it, or when the newest is
        more than this many generations ahead. At most (max_staleness + 1) · train_after labels are had
        without a model that has learned from them: then labelling waits for the training. Structures of
        ``initial`` are labelled in any case.
    """

    train_after: PositiveInt | None = None
    max_staleness: NonNegativeInt = 2


class RunConfig(_Section):
    """The whole configuration of a run.

    Attributes
    ----------
    name : title of the run.
    directory : output folder.
    seed : of every random number.
    elements : of all structures.
    reference, model, training, initial, explore, selection, stop, executors, asynchronous : see their
        classes.
    mode : "synchronous" (one step after the other; a seed gives the same data set whenever and wherever it
        runs) or "asynchronous" (sampling, labelling and training overlap; what is proposed when depends on
        how fast things go).
    fine_tuning : training settings of later generations, which then start from the model before; without them
        every generation is trained from nothing with ``training``.
    testset : extxyz file of held-out structures with ``REF_energy`` and ``REF_forces``, their class in
        ``config_type``.
    live : whether trajectories show their newest frame in ``live/`` while they run.
    """

    name: str = "run"
    directory: Path
    seed: NonNegativeInt = 1
    elements: tuple[str, ...] = Field(min_length=1)
    reference: ReferenceSettings
    model: Annotated[ModelSettings | DeepPotentialSettings | CommitteeSettings, Discriminator("type")] = (
        ModelSettings()
    )
    training: TrainingSettings = Field(default=TrainingSettings(), validate_default=True)
    fine_tuning: TrainingSettings | None = None
    initial: tuple[InitialSettings, ...] = Field(min_length=1)
    explore: ExploreSettings
    selection: SelectionSettings = SelectionSettings()
    stop: StopSettings = StopSettings()
    executors: ExecutorSettings = ExecutorSettings()
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    asynchronous: AsynchronousSettings = AsynchronousSettings()
    testset: Path | None = None
    live: bool = True

    @field_validator("model", mode="before")
    @classmethod
    def _default_type(cls, model: Any) -> Any:
        if not isinstance(model, Mapping):
            return model
        check_type(model.get("type", "ani"), ("ani", "deep_potential", "committee"))
        return {"type": "ani", **model}

    @field_validator("elements")
    @classmethod
    def _elements_exist(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in elements:
            if atomic_numbers.get(symbol, 0) == 0:
                raise ValueError(f"{symbol!r} is not the symbol of a chemical element")
        if len(set(elements)) != len(elements):
            raise ValueError(f"elements {list(elements)} are repeated; name each once")
        return elements

    @field_validator("training")
    @classmethod
    def _suited(cls, training: TrainingSettings, info: ValidationInfo) -> TrainingSettings:
        # a resolved configuration says what is done
        return training.suited_to(getattr(info.data.get("model"), "type", "ani"))

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
        return frozen_part(self.to_dict())
