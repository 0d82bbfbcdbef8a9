"""What can be set about a model and its training; unknown names and impossible values are rejected."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.training.strict import Strict

__all__ = [
    "RECIPES",
    "AEVSettings",
    "DataSettings",
    "ModelSettings",
    "OutlierSettings",
    "PrefactorSettings",
    "TrainingSettings",
]

#: What `TrainingSettings.recipe` presets; all but "deepmd" are for training on from an earlier model.
RECIPES: dict[str, dict[str, Any]] = {
    "deepmd": {
        "prefactors": {},
        "schedule": "exponential",
        "learning_rate": 1e-3,
        "final_learning_rate": 3.5e-8,
        "batch_size": 1,
        "warmup_steps": 0,
        "gradient_clip": None,
        "average": 0.0,
    },
    "fine-tuning": {"learning_rate": 1e-3, "final_learning_rate": 1e-5},
    "transfer": {
        "freeze": ("alternate",),
        "self_energies": "refit",
        "learning_rate": 3e-3,
        "final_learning_rate": 1e-5,
    },
}

#: Their features are ten times as many as those of an AEV, and a step moves every weight by the rate.
_DEEP_POTENTIAL_RATE = 1e-3


class DataSettings(Strict):
    """A file of labelled frames among several.

    Attributes
    ----------
    path
        Any file that ASE reads, an ase.db, or a folder of deepmd-kit's data systems.
    name
        What errors are listed under; the file's name without its ending where None.
    weight
        Multiplies the frames' ``config_weight``.
    energy_key, forces_key, stress_key, calculator_labels
        As for `Dataset`.
    """

    path: Path
    name: str | None = Field(default=None, min_length=1)
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    energy_key: str = "REF_energy"
    forces_key: str = "REF_forces"
    stress_key: str = "REF_stress"
    calculator_labels: bool = False

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, values: Any) -> Any:
        return {"path": values} if isinstance(values, str | Path) else values


class AEVSettings(Strict):
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


class ModelSettings(Strict):
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


class OutlierSettings(Strict):
    """Which frames are cut from a set before it is learned from; a limit that is None is not applied.

    The first two look at labels alone and hold for all frames. The third looks at a model's errors: cutting
    held-out frames by it would make the calibration too good, so these stay.

    Attributes
    ----------
    energy_deviation
        Largest deviation of the energy per atom from a robust fit to the composition, in median absolute
        deviations times 1.4826 (standard deviations, were they Gaussian); about 10 for mixed structures.
    max_force
        Largest norm of a force, eV/Å.
    model_error
        Largest error of an ensemble from a first, shorter pass, in multiples of the usual one (by medians):
        of the energy per atom, and of the root mean square force error of a frame; 5 to 10.
    first_pass
        Length of that pass, as a fraction of `epochs` (and of `max_minutes`).
    """

    energy_deviation: PositiveFloat | None = None
    max_force: PositiveFloat | None = None
    model_error: PositiveFloat | None = None
    first_pass: float = Field(default=0.25, gt=0, le=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.energy_deviation is self.max_force is self.model_error is None:
            raise ValueError("outliers sets no limit; give energy_deviation, max_force or model_error")
        return self


class PrefactorSettings(Strict):
    """Loss weights that follow the learning rate from the first of two numbers to the second.

    p = p_end + (p_start − p_end)·rate/learning_rate, in the loss of deepmd-kit [Wang et al., Comput. Phys.
    Commun. 228, 178 (2018)], p_E ΔE²/N + p_F |ΔF|²/3N + p_V |ΔΞ|²/9N in eV and Å with Ξ = −dE/dε, averaged
    over frames.

    Attributes
    ----------
    energy, forces, virial
        Start and end.
    """

    energy: tuple[NonNegativeFloat, NonNegativeFloat] = (0.02, 1.0)
    forces: tuple[NonNegativeFloat, NonNegativeFloat] = (1000.0, 1.0)
    virial: tuple[NonNegativeFloat, NonNegativeFloat] = (10.0, 1.0)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any((*self.energy, *self.forces, *self.virial)):
            raise ValueError("all prefactors are 0: there is nothing to learn")
        return self


class TrainingSettings(Strict):
    """How an ensemble is trained. Errors enter the loss in units of the data's own force scale.

    Attributes
    ----------
    recipe
        Preset; what is set besides it counts more. For training on from an earlier model: "fine-tuning",
        lower rates, for more data of the same reference. "transfer", for data of another level of theory, as
        ANI-1ccx came from ANI-1x [Smith et al., Nat. Commun. 10, 2903 (2019)], where 60 of 325 thousand
        parameters were trained again: as many as the second and the last of the four layers have, hence
        `freeze` "alternate", `self_energies` "refit", lower rates. For a new one: "deepmd", a frame a step
        with the loss, its prefactors and the learning rate of deepmd-kit's examples.
    epochs
        Sweeps over the data at most.
    more_epochs
        Further legs of so many epochs after the training's end, each with a decay of its own from a peak of
        `learning_rate` times the leg's length over that of the first (at most 1). `continue_training` adds
        them.
    batch_size
        Frames in a step.
    learning_rate, final_learning_rate
        At the start and, for decaying schedules, at the end (for "plateau": training stops below it). Deep
        Potentials start with 1e-3 where no rate is set.
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
    freeze
        Parameters of the earlier model that stay as they are, bit for bit (in `precision`): patterns over
        names such as "Si.layers.0.weight", where a part will do: "layers.0" (the first of every element;
        "layers.-1" is the last), "Si", ``"*.bias"``. "alternate" is the first layer and every second one
        after it, except the last; of Deep Potentials the fitting networks', and all of the embedding.
    self_energies
        Of an earlier model: "keep", or "refit" its atomic energies by least squares to the difference of the
        new labels from its predictions, for data of another reference. The scale is kept.
    outliers
        Frames to cut before training; they are listed in ``outliers.extxyz``.
    energy_weight, forces_weight, stress_weight
        Weights of the mean squared errors.
    prefactors
        The loss of deepmd-kit in place of these weights; they do not count then.
    energy_normalization
        "atom": energy per atom; "sqrt": energy per √N (ANI).
    relative_forces
        Level in eV/Å: an atom's force error has weight 1/(1 + (|F|/level)²), so that violent frames do not
        drown calm ones; None weighs all alike.
    precision
        "float32" or "float64" networks and descriptors, in training and in the calculator that it returns; a
        run of the loop evaluates its models in it.
    validation
        "cv" (strided cross-validation) or "bagging".
    folds, validation_folds, held_out_folds
        Folds of the set, those a member is chosen by, and those held out from all members for calibration.
        A frame's fold depends on its place in the set: frames appended later leave the others' as they are.
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

    recipe: Literal["fine-tuning", "transfer", "deepmd"] | None = None
    epochs: PositiveInt = 100
    more_epochs: tuple[PositiveInt, ...] = ()
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
    freeze: tuple[str, ...] = ()
    self_energies: Literal["keep", "refit"] = "keep"
    outliers: OutlierSettings | None = None
    energy_weight: NonNegativeFloat = 10.0
    forces_weight: NonNegativeFloat = 1.0
    stress_weight: NonNegativeFloat = 0.1
    prefactors: PrefactorSettings | None = None
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

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        freeze = values.get("freeze")
        if isinstance(freeze, str):  # one name in a YAML file
            values = {**values, "freeze": (freeze,)}
        recipe = values.get("recipe")
        return {**RECIPES[recipe], **values} if recipe in RECIPES else values

    def suited_to(self, kind: str) -> Self:
        """The same, with the first learning rate of a kind of model ("ani", …) where none was set."""
        if kind != "deep_potential" or "learning_rate" in self.model_fields_set:
            return self
        final = min(self.final_learning_rate, _DEEP_POTENTIAL_RATE)
        return self.model_copy(update={"learning_rate": _DEEP_POTENTIAL_RATE, "final_learning_rate": final})

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
