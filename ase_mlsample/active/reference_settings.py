"""What a configuration says of the calculator that labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from ase_mlsample.active.factories import factory_name
from ase_mlsample.active.label import Reference, reference_name, reported_version

__all__ = ["FREE_REFERENCE_KEYS", "OutlierSettings", "ReferenceSettings"]

# how labels are had may change in the course of a run: it does not change the labels
FREE_REFERENCE_KEYS = ("retries", "timeout_s", "stop_after", "gentler", "outliers")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OutlierSettings(_Section):
    """Which labels are too far off to be learned from; they are recorded as rejected, with the reason.

    Attributes
    ----------
    isolated_atoms : energies of single atoms in eV by element, "compute" to have the reference compute each
        in a box, or None for no check against them.
    box : Å, edge of that box.
    window_eV : lowest and highest energy per atom relative to isolated atoms.
    deviation_eV : eV/atom; with the model of the generation before, a label's energy may differ from its
        prediction by this, or by ``deviation_sigma`` calibrated standard deviations where that is more; None
        for no check against the ensemble.
    deviation_sigma : see above.
    """

    isolated_atoms: Literal["compute"] | dict[str, float] | None = None
    box: PositiveFloat = 12.0
    window_eV: tuple[float, float] = (-12.0, 2.0)
    deviation_eV: PositiveFloat | None = None
    deviation_sigma: NonNegativeFloat = 10.0

    @model_validator(mode="after")
    def _says_something(self) -> OutlierSettings:
        if self.isolated_atoms is None and self.deviation_eV is None:
            raise ValueError(
                "give isolated_atoms (energies in eV by element, or 'compute'), deviation_eV, or leave "
                "outliers out"
            )
        if self.window_eV[0] >= self.window_eV[1]:
            raise ValueError(f"window_eV = {list(self.window_eV)} must rise (eV/atom)")
        if isinstance(self.isolated_atoms, dict):
            for symbol in self.isolated_atoms:
                if atomic_numbers.get(symbol, 0) == 0:
                    raise ValueError(f"isolated_atoms: {symbol!r} is not the symbol of a chemical element")
        return self


class ReferenceSettings(_Section):
    """The calculator that labels.

    A failed label is tried again by its kind: a bad geometry never; electrons that did not converge with the
    gentler recipes; a lack of memory, disk or time ``retries`` times, by another worker process; others
    ``retries`` times.

    Attributes
    ----------
    factory : function of ``ase_mlsample.references`` (gpaw, espresso …), or ``"module:factory"``, that
        returns an ASE calculator.
    kwargs : its keyword arguments.
    version : free text that tells two references with the same arguments apart; what the factory itself says
        of its code and pseudopotentials counts besides.
    max_force : eV/Å; a structure with a larger force is recorded as rejected and not learned from.
    retries : further attempts at a label that failed.
    timeout_s : limit of one attempt in seconds.
    stop_after : failures of one kind, one after the other without a label between them, that end the run.
    gentler : keyword arguments that take the place of the given ones in the 1st, 2nd … retry of a label that
        did not converge; None for the factory's own recipes.
    stress : whether labels have a stress where the calculator knows one.
    outliers : labels that are too far off are not learned from.
    """

    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    version: str = ""
    max_force: PositiveFloat = 20.0
    retries: NonNegativeInt = 1
    timeout_s: PositiveFloat | None = None
    stop_after: PositiveInt = 10
    gentler: tuple[Annotated[dict[str, Any], Field(min_length=1)], ...] | None = None
    stress: bool = True
    outliers: OutlierSettings | None = None

    @field_validator("factory", mode="before")
    @classmethod
    def _by_name(cls, factory: Any) -> str:
        return reference_name(factory_name(factory))

    def reference(self) -> Reference:
        """The reference as workers know it.

        Raises
        ------
        ValueError, ReferenceFailure
            Its version cannot be found out: the code is not installed, or a pseudopotential is missing.
        """
        return Reference(
            self.factory,
            kwargs=self.kwargs,
            version=self.version,
            max_force=self.max_force,
            reported=reported_version(self.factory, self.kwargs),
            gentler=self.gentler,
            stress=self.stress,
        )
