"""What can be set about a model and its training; unknown names and impossible values are rejected."""

import difflib
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ase_mlsample.calculators.aev import AEVParameters

__all__ = ["AEVSettings", "ModelSettings", "TrainingSettings"]


class _Strict(BaseModel):
    """Frozen, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown setting {key!r}; {hint}")
        return values


class AEVSettings(_Strict):
    """The descriptor: a preset, or one's own cutoffs and numbers of shifts by the width rule.

    Attributes
    ----------
    preset
        "element" (the metal set scaled to the element's covalent radius), "metal", "ani1x", "ani2x", or
        "custom", which takes the other attributes. Naming any of those implies "custom".
    radial_cutoff, angular_cutoff, start
        Å.
    n_radial, n_angular, n_sections
        Numbers of radial shifts, angular shifts and angular sections.
    zeta
        Sharpness of the sections; needed unless there are 4 or 8 of them.
    cutoff_function
        "cosine" or "smooth".
    """

    preset: Literal["element", "metal", "ani1x", "ani2x", "custom"] = "element"
    radial_cutoff: PositiveFloat | None = None
    angular_cutoff: PositiveFloat | None = None
    start: PositiveFloat = 1.25
    n_radial: PositiveInt = 16
    n_angular: PositiveInt = 8
    n_sections: PositiveInt = 4
    zeta: PositiveFloat | None = None
    cutoff_function: Literal["cosine", "smooth"] = "cosine"

    @model_validator(mode="before")
    @classmethod
    def _custom(cls, values: Any) -> Any:
        if isinstance(values, dict) and set(values) - {"preset"}:
            preset = values.get("preset", "custom")
            if preset != "custom":
                raise ValueError(
                    f"the preset {preset!r} takes no other settings; drop {sorted(set(values) - {'preset'})} "
                    "or use preset 'custom'"
                )
            return {**values, "preset": "custom"}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.preset == "custom" and (self.radial_cutoff is None or self.angular_cutoff is None):
            raise ValueError("a custom AEV needs radial_cutoff and angular_cutoff (Å)")
        return self

    @model_serializer(mode="wrap")
    def _dumped(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What makes the same settings again: a preset alone takes no other keys."""
        values: dict[str, Any] = dump(self)
        return values if self.preset == "custom" else {"preset": self.preset}

    def parameters(self, symbols: tuple[str, ...]) -> AEVParameters:
        """The AEV for the given elements.

        Raises
        ------
        ValueError
            If the numbers do not make an AEV.
        """
        if self.preset == "element":
            return AEVParameters.for_element(symbols)
        if self.preset == "metal":
            return AEVParameters.metal(symbols)
        if self.preset == "ani1x":
            return AEVParameters.ani1x(symbols)
        if self.preset == "ani2x":
            return AEVParameters.ani2x(symbols)
        assert self.radial_cutoff is not None and self.angular_cutoff is not None  # noqa: S101, PT018 - validated
        return AEVParameters.from_steps(
            symbols,
            start=self.start,
            radial_cutoff=self.radial_cutoff,
            angular_cutoff=self.angular_cutoff,
            n_radial=self.n_radial,
            n_angular=self.n_angular,
            n_sections=self.n_sections,
            zeta=self.zeta,
            cutoff_function=self.cutoff_function,
        )


class ModelSettings(_Strict):
    """An ensemble of ANI networks before its first training.

    Attributes
    ----------
    type
        "ani".
    members
        Networks in the ensemble.
    aev
        The descriptor.
    hidden
        Widths of the hidden layers.
    activation
        "gelu", whose second derivatives are continuous, "celu" (α = 0.1, as in
        ANI), "softplus" or "tanh".
    repulsion
        Add the switched short-range repulsion (ZBL), so that atoms never fall onto each other.
    symbols
        Elements of the model; those of the data set where None.
    """

    type: Literal["ani"] = "ani"
    members: PositiveInt = 4
    aev: AEVSettings = AEVSettings()
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64, 32), min_length=1)
    activation: Literal["celu", "gelu", "softplus", "tanh"] = "gelu"
    repulsion: bool = True
    symbols: tuple[str, ...] | None = None


class TrainingSettings(_Strict):
    """How an ensemble is trained. Errors enter the loss in units of the data's own force scale.

    Attributes
    ----------
    epochs
        Sweeps over the data at most.
    batch_size
        Frames in a step.
    learning_rate, final_learning_rate
        At the start and, for decaying schedules, at the end (for "plateau": training stops below it).
    schedule
        "cosine" or "exponential" from the first to the final rate over `epochs`; "plateau": times
        `plateau_factor` after `plateau_patience` validations without improvement (ANI-Al: 0.5 and 100);
        "constant".
    warmup_steps
        Steps over which the rate rises linearly.
    optimizer, weight_decay
        "adam" (`weight_decay` adds to the gradient) or "adamw" (decoupled).
    gradient_clip
        Largest norm of a member's gradient; None does not clip.
    average
        Decay per step of the exponential average of the weights, which is what is validated and kept; 0 for
        none.
    energy_weight, forces_weight, stress_weight
        Weights of the mean squared errors.
    energy_normalization
        "atom": energy per atom; "sqrt": energy per √N (ANI).
    relative_forces
        Level in eV/Å: an atom's force error has weight 1/(1 + (|F|/level)²), so that violent frames do not
        drown calm ones; None weighs all alike.
    precision
        "float32" or "float64" networks and AEVs.
    validation
        "cv" (strided cross-validation) or "bagging".
    folds, validation_folds, held_out_folds
        Folds of the set, those a member is chosen by, and those held out from all members for calibration.
    validation_interval
        Epochs between validations.
    patience
        Validations without improvement of any member before training stops; None goes on to the end.
    max_minutes
        Stops training early (the schedule is not shortened); None for no limit.
    checkpoint_seconds
        Least time between checkpoints, which are written at ends of epochs.
    torch_threads
        Threads of the networks' matrix products, which are small: more than one seldom pays. The sweeps over
        neighbours have their own threads.
    """

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 1e-2
    final_learning_rate: PositiveFloat = 3e-5
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = "cosine"
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    plateau_patience: PositiveInt = 100
    warmup_steps: int = Field(default=50, ge=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegativeFloat = 0.0
    gradient_clip: PositiveFloat | None = 10.0
    average: float = Field(default=0.99, ge=0, lt=1)
    energy_weight: NonNegativeFloat = 10.0
    forces_weight: NonNegativeFloat = 1.0
    stress_weight: NonNegativeFloat = 0.1
    energy_normalization: Literal["atom", "sqrt"] = "atom"
    relative_forces: PositiveFloat | None = None
    precision: Literal["float32", "float64"] = "float32"
    validation: Literal["cv", "bagging"] = "cv"
    folds: int = Field(default=16, ge=3)
    validation_folds: PositiveInt = 2
    held_out_folds: PositiveInt = 1
    validation_interval: PositiveInt = 5
    patience: PositiveInt | None = None
    max_minutes: PositiveFloat | None = None
    checkpoint_seconds: NonNegativeFloat = 30.0
    torch_threads: PositiveInt = 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate {self.final_learning_rate} is above learning_rate {self.learning_rate}"
            )
        if self.energy_weight == self.forces_weight == self.stress_weight == 0:
            raise ValueError(
                "energy_weight, forces_weight and stress_weight are all 0: there is nothing to learn"
            )
        return self
