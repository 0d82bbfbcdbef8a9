"""What `mlsample md` is told, every value checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from ase_mlsample.active.config_file import explain

__all__ = [
    "CalculatorSettings",
    "DeepVESSettings",
    "MDSettings",
    "MetadynamicsSettings",
    "OPESSettings",
    "VESSettings",
    "WallSettings",
    "parse_settings",
]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _as_pairs(value: Any) -> Any:
    """``[2, 3]`` is the one pair of a single variable."""
    flat = isinstance(value, list | tuple) and all(isinstance(one, int | float) for one in value)
    return (value,) if flat and len(value) == 2 else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_as_list), Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalculatorSettings(_Section):
    """A calculator made by a factory.

    Attributes
    ----------
    factory : ``"module:factory"`` that returns an ASE calculator.
    kwargs : its keyword arguments.
    """

    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


class WallSettings(_Section):
    """A wall V = κ (s − at)^exponent; one number, or one for each variable.

    Attributes
    ----------
    at : where it begins.
    kappa_eV : eV per variable to the power ``exponent``.
    exponent : above 1.
    """

    at: Numbers
    kappa_eV: Numbers
    exponent: float = 2.0


class WalkersSettings(_Section):
    """Runs that build up one bias together, each with a ``directory`` of its own and the same ``seed``.

    Attributes
    ----------
    directory : that they share.
    walker : number of this one, from 0.
    walkers : their number.
    """

    directory: Path
    walker: NonNegativeInt
    walkers: PositiveInt

    @model_validator(mode="after")
    def _one_of_them(self) -> WalkersSettings:
        if self.walker >= self.walkers:
            raise ValueError(
                f"walker {self.walker} of {self.walkers}: they are counted from 0 to {self.walkers - 1}"
            )
        return self


class _Bias(_Section):
    """What all biases share."""

    run: ClassVar[str]
    """Class of `ase_mlsample.dynamics`."""

    bias_factor: float | None = None
    pace: PositiveInt = 500
    lower_wall: WallSettings | None = None
    upper_wall: WallSettings | None = None
    walkers: WalkersSettings | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the dynamics; those that were not given are left to it."""
        left_out = {"method", "lower_wall", "upper_wall", "walkers"}
        given = self.model_dump(exclude=left_out, exclude_unset=True) | {"pace": self.pace}
        kept = {name: value for name, value in given.items() if value is not None or name == "bias_factor"}
        return {name.removesuffix("_eV"): value for name, value in kept.items()}


class MetadynamicsSettings(_Bias):
    """Arguments of `ase_mlsample.dynamics.Metadynamics`; ``bias_factor: null`` does not temper."""

    run: ClassVar[str] = "Metadynamics"
    method: Literal["metadynamics"]
    sigma: Numbers
    height_eV: PositiveFloat
    bias_factor: float | None
    grid_spacing: Numbers | None = None


class OPESSettings(_Bias):
    """Arguments of `ase_mlsample.dynamics.OPES`."""

    run: ClassVar[str] = "OPES"
    method: Literal["opes"]
    barrier_eV: PositiveFloat
    sigma: Numbers | None = None
    explore: bool = False
    sigma_min: Numbers | None = None
    adaptive_stride: PositiveInt | None = None
    compression: NonNegativeFloat = 1.0


class _Variational(_Bias):
    target: Literal["uniform"] | None = None
    plot_interval: PositiveInt | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the dynamics."""
        given = super().arguments()
        return given if self.target is None else given | {"target": {"class": "Uniform"}}


class VESSettings(_Variational):
    """Arguments of `ase_mlsample.dynamics.VES`.

    Attributes
    ----------
    bases : a mapping such as ``{class: Legendre, order: 20, interval: [2, 5]}`` for each variable.
    plot_interval : iterations from one drawing of the convergence to the next.
    """

    run: ClassVar[str] = "VES"
    method: Literal["ves"]
    bases: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_as_list), Field(min_length=1)]
    step_size_eV: PositiveFloat | None = None
    average_window: PositiveFloat | None = None
    target_pace: PositiveInt = 1


class DeepVESSettings(_Variational):
    """Arguments of `ase_mlsample.dynamics.DeepVES`.

    Attributes
    ----------
    bounds : ``[low, high]`` of each variable, null for a periodic one; one pair serves a single variable.
    plot_interval : iterations from one drawing of the convergence to the next.
    """

    run: ClassVar[str] = "DeepVES"
    method: Literal["deep_ves"]
    bounds: Annotated[tuple[tuple[float, float] | None, ...], BeforeValidator(_as_pairs)]
    tau: PositiveInt = 10_000
    decay: PositiveInt = 2_000
    hidden: Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_list)] = (48, 24, 12)
    activation: Literal["relu", "tanh"] = "relu"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    energy_unit_eV: PositiveFloat | None = None
    bins: Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_list)] | None = None
    target_points: PositiveInt | None = None
    kl_threshold: PositiveFloat = 0.5
    static_below: PositiveFloat = 5e-5
    constant_iterations: NonNegativeInt = 0


BiasSettings = MetadynamicsSettings | OPESSettings | VESSettings | DeepVESSettings
_METHODS: dict[str, type[BiasSettings]] = {
    "metadynamics": MetadynamicsSettings,
    "opes": OPESSettings,
    "ves": VESSettings,
    "deep_ves": DeepVESSettings,
}


class MDSettings(_Section):
    """The whole description of a run.

    Attributes
    ----------
    structure : file that ASE reads (its last frame), or a crystal such as ``Si:diamond:5.431``.
    repeat : cells along each vector; one number for all three.
    calculator : model file (``.safetensors``), ``"module:factory"``, or the latter with ``kwargs``.
    precision : "float32" or "float64", of the networks of a model file.
    temperature_K, pressure_GPa : without a pressure the cell stays as it is (Langevin dynamics); with one it
        keeps its shape (stochastic cell rescaling).
    timestep_fs : of the integration.
    steps : in total; a run that is called again makes those that are missing.
    seed : of velocities, noise and bias.
    keep_velocities : whether those in the file are taken; drawn at the temperature otherwise.
    directory : folder of the run's files.
    friction_per_ps : of Langevin dynamics.
    thermostat_fs, barostat_fs, compressibility_per_GPa : of stochastic cell rescaling.
    log_interval, trajectory_interval, checkpoint_interval : steps from one write to the next.
    cv : variable as `ase_mlsample.cvs.make_cv` takes it, or a list; logged, and what the bias acts on.
    bias : one of the methods; none without it.
    """

    structure: str
    repeat: Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_list)] = (1,)
    calculator: str | CalculatorSettings
    precision: Literal["float32", "float64"] | None = None
    temperature_K: PositiveFloat
    pressure_GPa: float | None = None
    timestep_fs: PositiveFloat = 1.0
    steps: PositiveInt
    seed: NonNegativeInt = 0
    keep_velocities: bool = False
    directory: Path = Path("md")
    friction_per_ps: PositiveFloat = 10.0
    thermostat_fs: PositiveFloat = 100.0
    barostat_fs: PositiveFloat = 1000.0
    compressibility_per_GPa: PositiveFloat = 0.01
    log_interval: PositiveInt = 100
    trajectory_interval: PositiveInt = 1000
    checkpoint_interval: PositiveInt = 10_000
    cv: str | dict[str, Any] | tuple[str | dict[str, Any], ...] | None = None
    bias: Annotated[BiasSettings, Discriminator("method")] | None = None

    @model_validator(mode="after")
    def _complete(self) -> MDSettings:
        if len(self.repeat) not in (1, 3):
            raise ValueError(f"repeat {list(self.repeat)} must be one number or three")
        if self.precision is not None and not self.has_model_file:
            raise ValueError(
                f"precision {self.precision!r} is that of a model file (.safetensors); a factory is told its "
                "own in kwargs"
            )
        if self.bias is not None and self.cv is None:
            raise ValueError("a bias acts on a variable: give cv, such as 'Distance(0, 1)'")
        return self

    @property
    def has_model_file(self) -> bool:
        """Whether the calculator is read from a model file."""
        return isinstance(self.calculator, str) and self.calculator.endswith(".safetensors")

    def frozen(self) -> dict[str, Any]:
        """What a continuation must share, as plain values; atoms are compared with the checkpoint's."""
        return self.model_dump(mode="json", exclude={"steps", "directory", "structure"})


def parse_settings(values: Mapping[str, Any], *, source: str) -> MDSettings:
    """Validate plain values; every problem is listed, an unknown key with the nearest known one.

    Raises
    ------
    ValueError
        With one part of the line a problem.
    """
    rest, problems = dict(values), list[str]()
    bias = rest.pop("bias", None)
    if bias is not None:
        bias = {"method": bias} if isinstance(bias, str) else bias
        method = bias.get("method") if isinstance(bias, Mapping) else None
        if method not in _METHODS:
            raise ValueError(f"{source}: bias: method must be one of {', '.join(_METHODS)}, got {method!r}")
        bias, found = _validated(bias, _METHODS[method])
        problems += [f"bias: {line}" for line in found]
    settings, found = _validated(rest if bias is None else rest | {"bias": bias}, MDSettings)
    problems += found
    if problems or not isinstance(settings, MDSettings):
        raise ValueError(f"{source}: " + "; ".join(problems))
    return settings


def _validated(values: Mapping[str, Any], model: type[BaseModel]) -> tuple[BaseModel | None, list[str]]:
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        return None, list(dict.fromkeys(explain(problem, model) for problem in error.errors()))
