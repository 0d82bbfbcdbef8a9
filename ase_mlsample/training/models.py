"""Either kind of model before its first training, chosen by its `type`."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from ase_mlsample.training.settings import ModelSettings
from ase_mlsample.training.strict import Strict

__all__ = [
    "AnyModelSettings",
    "DeepPotentialSettings",
    "check_type",
    "has_narrow_switch",
    "model_settings",
]

_NARROWEST_SWITCH = 0.01


def has_narrow_switch(switch_start: float, cutoff: float) -> bool:
    """Whether a switch (Å) is narrower than single precision can evaluate: a hundredth of the cutoff."""
    return cutoff - switch_start < _NARROWEST_SWITCH * cutoff  # to the last bit as in the compiled core


class DeepPotentialSettings(Strict):
    """An ensemble of Deep Potentials before its first training.

    Attributes
    ----------
    type
        "deep_potential".
    members
        Networks in the ensemble.
    cutoff
        Å.
    switch_start
        Where the switch to zero begins, Å, a hundredth of the cutoff before it at least; at half of it where
        None.
    sel
        Slots for the neighbours of each element, which normalise (none is ever left out): a number for all,
        one for each element, or "auto", a tenth more than the most in the data, up to a multiple of 4.
    embedding, axis_neurons, fitting
        Widths of the embedding networks, rows of the smaller matrix, widths of the hidden layers of the
        fitting networks.
    type_embedding
        "pair": an embedding network for each pair of elements; "one-side": for each element of the neighbour.
    initial
        How weights are drawn: "spread", so that the embedding tells distances apart from the start, or
        "deepmd", as deepmd-kit does.
    repulsion
        Add the switched short-range repulsion (ZBL), so that atoms never fall onto each other.
    symbols
        Elements of the model; those of the data set where None.
    """

    type: Literal["deep_potential"] = "deep_potential"
    members: PositiveInt = 4
    cutoff: PositiveFloat = 6.0
    switch_start: PositiveFloat | None = None
    sel: Literal["auto"] | PositiveInt | dict[str, PositiveInt] = "auto"
    embedding: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (20, 40, 80)
    axis_neurons: PositiveInt = 16
    fitting: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (80, 80, 80)
    type_embedding: Literal["pair", "one-side"] = "pair"
    initial: Literal["spread", "deepmd"] = "spread"
    repulsion: bool = True
    symbols: tuple[str, ...] | None = None

    @field_validator("sel", mode="before")
    @classmethod
    def _slots(cls, sel: Any) -> Any:
        numbers = list(sel.values()) if isinstance(sel, Mapping) else [] if sel == "auto" else [sel]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise ValueError(f"it must be 'auto', a whole number, or one for each element, not {sel!r}")
        return sel

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        start = self.switch_start
        if start is not None and has_narrow_switch(start, self.cutoff):
            raise ValueError(
                f"switch_start ({start} Å) must be below cutoff ({self.cutoff} Å) by a hundredth of it"
            )
        if self.axis_neurons > self.embedding[-1]:
            raise ValueError(
                f"axis_neurons ({self.axis_neurons}) must be at most the last of embedding ({self.embedding})"
            )
        return self


AnyModelSettings: TypeAlias = ModelSettings | DeepPotentialSettings

_KINDS: dict[str, type[ModelSettings] | type[DeepPotentialSettings]] = {
    "ani": ModelSettings,
    "deep_potential": DeepPotentialSettings,
}


def model_settings(values: Mapping[str, Any]) -> AnyModelSettings:
    """Settings of the kind that `type` names, "ani" where it is absent.

    Raises
    ------
    ValueError
        For an unknown type or key, naming the nearest known one, and for impossible values.
    """
    kind = values.get("type", "ani")
    check_type(kind, tuple(_KINDS))
    return _KINDS[kind].model_validate(dict(values))


def check_type(kind: Any, known: Sequence[str]) -> None:
    """Refuse a type of model that is not known, naming the nearest one.

    Raises
    ------
    ValueError
        If it is not.
    """
    if kind not in known:
        close = difflib.get_close_matches(str(kind), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise ValueError(f"unknown type of model {kind!r}; {hint}")
