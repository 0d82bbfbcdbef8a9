"""Structure of a liquid from frames of one run: g(r), S(q) and bond angles, with statistical errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.analysis.pair_structure import (
    bond_angles,
    first_minimum,
    radial_distribution,
    structure_factor,
)
from ase_mlsample.validation.properties import Curve, Quantity, curve

__all__ = ["liquid_structure"]

FloatArray = NDArray[np.float64]

#: Parts of a run, whose differences tell the errors.
PARTS = 10
#: Drawn sets of as many parts: an error from so many is known to 4 %, far better than ten parts tell it.
_DRAWS = 300


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """Functions of every part (P, K) on their common points (K,), and the number of neighbours (P,)."""

    r: FloatArray
    g: FloatArray
    q: FloatArray
    s: FloatArray
    angles: FloatArray
    density: FloatArray
    neighbours: FloatArray

    def numbers(self, weights: FloatArray) -> FloatArray:
        """Place and height of the peak of g(r), neighbours, peak of S(q), mean angle, for (P,) weights."""
        g, s, density = weights @ self.g, weights @ self.s, weights @ self.density
        mean = self.angles @ density / max(density.sum(), np.finfo(float).tiny)
        peaks = self.r[np.argmax(g)], g.max(), weights @ self.neighbours, self.q[np.argmax(s)]
        return np.array([*peaks, mean])


def liquid_structure(
    frames: Sequence[Atoms],
    *,
    r_max: float,
    q_max: float,
    reach: float | None = None,
    rng: np.random.Generator,
) -> tuple[tuple[Quantity, ...], dict[str, Curve]]:
    """Numbers and curves of the structure of a liquid.

    The run is cut into ten parts. Errors are the scatter of the numbers over sets of ten parts, drawn with
    repetition: where a maximum could as well be elsewhere, as on a noisy plateau, its place has a large one.
    They hold where a part is longer than the liquid remembers, else they are lower bounds; and at the volume
    of the frames: what that volume is uncertain by is not in them.

    Parameters
    ----------
    frames : sequence of Atoms
        In their order, of one cell; at least ten. What is over after tens is left out at the start.
    r_max, q_max : float
        Ends of g(r), Å, and S(q), 1/Å.
    reach : float, optional
        Å, up to which atoms are neighbours; by default the first minimum of g(r). To compare two liquids
        give one for both: the number of neighbours goes with its third power.
    rng : numpy.random.Generator
        Draws the parts.

    Returns
    -------
    tuple of Quantity
        "first_peak", Å, and "peak_height" of g(r); "coordination" and "mean_angle", degrees, of neighbours
        within reach; "main_peak" of S(q), 1/Å. All with a statistical error.
    dict of Curve
        "rdf", "structure_factor" and "angles".

    Raises
    ------
    ValueError
        For less than ten frames; without `reach` when g(r) has no minimum up to `r_max`.

    References
    ----------
    B. Efron, Ann. Statist. 7, 1 (1979): the bootstrap. Its variance of a mean is (P − 1)/P of the right one,
    which is made good.
    """
    length = len(frames) // PARTS
    if not length:
        raise ValueError(f"{len(frames)} frames are too few for errors from {PARTS} parts; run longer")
    used = frames[len(frames) - PARTS * length :]
    parts, reach = _measured([used[k * length : (k + 1) * length] for k in range(PARTS)], r_max, q_max, reach)
    even = np.full(PARTS, 1 / PARTS)
    values = parts.numbers(even)
    drawn = [parts.numbers(rng.multinomial(PARTS, even) / PARTS) for _ in range(_DRAWS)]
    errors = np.std(drawn, axis=0) * np.sqrt(PARTS / (PARTS - 1))
    named = (
        ("first_peak", "Å", "first peak of g(r)"),
        ("peak_height", "", "height of this peak"),
        ("coordination", "", f"neighbours within {reach:.2f} Å"),
        ("main_peak", "1/Å", "main peak of S(q)"),
        ("mean_angle", "°", f"mean bond angle within {reach:.2f} Å"),
    )
    quantities = tuple(
        Quantity(key, float(value), unit, label, error=float(error))
        for (key, unit, label), value, error in zip(named, values, errors, strict=True)
    )
    curves = {
        "rdf": curve(parts.r, even @ parts.g),
        "structure_factor": curve(parts.q, even @ parts.s),
        "angles": curve(parts.angles, even @ parts.density),
    }
    return quantities, curves


def _measured(
    parts: Sequence[Sequence[Atoms]], r_max: float, q_max: float, reach: float | None
) -> tuple[_Parts, float]:
    """Functions of every part, and the reach of neighbours, which is one for all."""
    pairs = [radial_distribution(part, r_max=r_max, bins=round(r_max / 0.05)) for part in parts]
    waves = [structure_factor(part, q_max=q_max, bins=round(q_max / 0.08)) for part in parts]
    r, g = pairs[0][0], np.array([one[1] for one in pairs])
    reach = first_minimum(r, g.mean(axis=0)) if reach is None else reach
    bonds = [bond_angles(part, cutoff=reach) for part in parts]
    found = _Parts(
        r=r,
        g=g,
        q=waves[0][0],
        s=np.array([one[1] for one in waves]),
        angles=bonds[0][0],
        density=np.array([one[1] for one in bonds]),
        neighbours=np.array([one[2] for one in bonds]),
    )
    return found, reach
