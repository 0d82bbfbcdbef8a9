"""Held-out sets: strained and rattled prototypes, and the liquid, labelled by the reference.

The volumes and the liquid come from the reference itself, so that every class lies where the reference
has it, and no sampler of the active loop has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from ase_mlsample.samplers.prototypes import Prototype, estimated_volume, prototype
from ase_mlsample.validation.liquid import LiquidSettings, liquid_frames
from ase_mlsample.validation.relaxed_cell import near_cube, relaxed_scales, scaled

__all__ = [
    "CrystalSettings",
    "HeldOutSettings",
    "LabellerSettings",
    "held_out_frames",
    "held_out_set",
    "labelled",
]

Fraction = Annotated[float, Field(ge=0.0, le=0.3)]


class LabellerSettings(BaseModel):
    """The calculator that labels, spelled as in a run's configuration.

    Attributes
    ----------
    factory
        ``module:factory`` that returns an ASE calculator.
    kwargs
        Its keyword arguments.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


class CrystalSettings(BaseModel):
    """Prototypes, strained around their relaxed cells, then rattled.

    Attributes
    ----------
    prototypes
        Names that `ase_mlsample.samplers.prototypes` knows.
    frames
        How many of each.
    strain
        Bound on the three principal strains, which are drawn independently along random axes.
    rattle_A
        Range of the standard deviation of the displacements, Å; drawn anew for each frame.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    prototypes: tuple[str, ...] = Field(min_length=1)
    frames: PositiveInt = 50
    strain: Fraction = 0.05
    rattle_A: tuple[float, float] = (0.03, 0.12)

    @model_validator(mode="after")
    def _ordered(self) -> CrystalSettings:
        low, high = self.rattle_A
        if not 0 <= low <= high:
            raise ValueError(f"rattle_A = {self.rattle_A} must be an increasing range of lengths")
        return self


class HeldOutSettings(BaseModel):
    """Everything a held-out set follows from; the same settings give the same file.

    Attributes
    ----------
    reference
        The calculator that relaxes, melts and labels.
    symbol
        The element.
    n_atoms
        Atoms in every frame; crystals take the supercell of this size nearest to a cube.
    seed
        Of all random numbers.
    crystals, liquid
        The classes; either may be left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    reference: LabellerSettings
    symbol: str
    n_atoms: Annotated[int, Field(ge=2)] = 64
    seed: Annotated[int, Field(ge=0)]
    crystals: CrystalSettings | None = None
    liquid: LiquidSettings | None = None

    @model_validator(mode="after")
    def _some_class(self) -> HeldOutSettings:
        if self.crystals is None and self.liquid is None:
            raise ValueError("a held-out set needs `crystals`, `liquid` or both")
        return self


def held_out_set(
    settings: HeldOutSettings, calculator: Any, *, progress: Callable[[str], None] | None = None
) -> list[Atoms]:
    """Make the frames and label them, one after the other.

    Parameters
    ----------
    settings, calculator, progress
        As for `held_out_frames`.

    Returns
    -------
    list of Atoms
        As of `held_out_frames`, with ``REF_energy`` (eV), ``REF_forces`` (eV/Å) and, where the reference has
        it, ``REF_stress`` (eV/Å³, Voigt).

    Raises
    ------
    ValueError
        For an unknown prototype, or a size that it cannot be repeated to.
    RuntimeError
        If the reference returns a label that is not finite, or the liquid did not melt.
    """
    frames = held_out_frames(settings, calculator, progress=progress)
    return [labelled(atoms, calculator) for atoms in frames]


def held_out_frames(
    settings: HeldOutSettings, calculator: Any, *, progress: Callable[[str], None] | None = None
) -> list[Atoms]:
    """Make the frames: crystals around the cells, and liquid, that the reference has.

    Parameters
    ----------
    settings
        What to make.
    calculator : ase Calculator
        The reference; needs energy and forces, gives stress if it can.
    progress
        Called with a line of text as classes are done.

    Returns
    -------
    list of Atoms
        Grouped by ``info["config_type"]``, with the settings of each frame in ``info``; no labels.

    Raises
    ------
    ValueError
        For an unknown prototype, or a size that it cannot be repeated to.
    RuntimeError
        If the liquid did not melt.
    """
    say = progress or _silence
    frames: list[Atoms] = []
    crystals = settings.crystals
    for kind in [] if crystals is None else [prototype(name) for name in crystals.prototypes]:
        supercell = _supercell(kind, settings, calculator)
        frames += _crystal_frames(settings, kind.name, supercell)
        volume = supercell.get_volume() / len(supercell)
        say(f"{kind.name}: frames around {volume:.3f} Å³/atom, where the reference has it at zero pressure")
    if settings.liquid is not None:
        rng = _stream(settings, "liquid")
        melt = liquid_frames(settings.liquid, settings.symbol, settings.n_atoms, calculator, rng)
        for done, atoms in enumerate(melt, start=1):
            frames.append(atoms)
            if done % 10 == 0 or done == settings.liquid.frames:
                say(f"liquid: {done}/{settings.liquid.frames} frames")
    return frames


def _silence(line: str) -> None:
    """Take a line of progress that nobody wants."""


def _stream(settings: HeldOutSettings, name: str) -> np.random.Generator:
    # a class keeps its frames when another is added or left out
    return np.random.default_rng([settings.seed, *name.encode()])


def _supercell(kind: Prototype, settings: HeldOutSettings, calculator: Any) -> Atoms:
    volume = estimated_volume(kind, settings.symbol)
    cells = [kind.build(settings.symbol, volume, conventional=conventional) for conventional in (True, False)]
    scales = relaxed_scales(cells[1], calculator, spacegroup=kind.spacegroup, name=kind.name)
    return near_cube([scaled(cell, scales) for cell in cells], settings.n_atoms)


def _crystal_frames(settings: HeldOutSettings, name: str, supercell: Atoms) -> Iterator[Atoms]:
    crystal, rng = settings.crystals or CrystalSettings(prototypes=(name,)), _stream(settings, name)
    for _ in range(crystal.frames):
        atoms = supercell.copy()
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        strain = (axes * rng.uniform(-crystal.strain, crystal.strain, 3)) @ axes.T
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        rattle = rng.uniform(*crystal.rattle_A)
        atoms.positions += rng.normal(0.0, rattle, (len(atoms), 3))
        atoms.info.update(config_type=name, rattle_A=rattle, source="held-out crystal")
        yield atoms


def labelled(atoms: Atoms, calculator: Any) -> Atoms:
    """Copy the atoms and write the reference's labels on them.

    Parameters
    ----------
    atoms
        Left alone.
    calculator : ase Calculator
        Its free energy is taken where it has one.

    Returns
    -------
    Atoms
        Without a calculator; ``REF_energy``, ``REF_forces`` and, if implemented, ``REF_stress``.

    Raises
    ------
    RuntimeError
        If a label is not finite.
    """
    frame = atoms.copy()
    frame.calc = calculator
    has = calculator.implemented_properties
    energy = float(frame.get_potential_energy(force_consistent="free_energy" in has))
    forces = np.array(frame.get_forces())
    stress = np.array(frame.get_stress()) if "stress" in has and frame.cell.rank == 3 else None
    frame.calc = None
    for name, values in (("energy", energy), ("forces", forces), ("stress", stress)):
        if values is not None and not np.isfinite(values).all():
            kind = atoms.info.get("config_type", atoms.get_chemical_formula())
            raise RuntimeError(f"the reference gave a {name} that is not finite for a frame of {kind!r}")
    frame.info["REF_energy"] = energy
    frame.arrays["REF_forces"] = forces
    if stress is not None:
        frame.info["REF_stress"] = stress
    return frame
