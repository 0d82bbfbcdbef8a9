"""Steinhardt's bond order: local, averaged over neighbours, and its correlation between neighbours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.neighbors import Neighbors
from ase_mlsample.cvs.pooling import PerAtomVariable, Pullback

__all__ = ["AveragedSteinhardt", "LocalBondOrder", "Steinhardt"]

_Array = NDArray[np.float64]

_LARGEST_DEGREE = 16


class Steinhardt(PerAtomVariable):
    """Steinhardt's local order q_l of every atom, with the conventional factor.

    q_l(i) = [4π/(2l+1) Σ_m |q_lm(i)|²]^½ with q_lm(i) = Σ_j s(r_ij) Y_lm(r_ij) / Σ_j s(r_ij): in perfect fcc
    q₆ = 0.574524 and q₄ = 0.190941. s is one up to `inner`, zero from `cutoff` on, and falls between them
    with continuous second derivatives.

    Parameters
    ----------
    l : int
        Degree, 1 to 16.
    cutoff : float, Å
        From here on a neighbour does not count; between the first and second shell in close-packed crystals,
        beyond the second in bcc.
    inner : float, Å, optional
        Up to here a neighbour counts fully; 0.85 of the cutoff by default.
    skin : float, Å
        How much further neighbours are remembered; it changes the speed and nothing else.

    Raises
    ------
    ValueError
        For a degree or radii out of range.

    References
    ----------
    P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983).

    Notes
    -----
    The number of neighbours n in the denominator is (n² + 10⁻⁶)^½, so that the order of an atom fades with
    its last neighbour instead of jumping to zero; at n = 12 this changes it by 3e-9 of its value. Where
    q_l = 0 the derivative does not exist, and is taken as zero.

    Examples
    --------
    >>> from ase.build import bulk
    >>> copper = bulk("Cu", a=3.6, cubic=True)
    >>> Steinhardt(6, cutoff=3.4).values(copper).round(6).tolist()
    [0.574524, 0.574524, 0.574524, 0.574524]
    """

    kind: ClassVar[str] = "local"
    label: ClassVar[str] = "q"

    def __init__(
        self,
        l: int = 6,  # noqa: E741 (its name in every text)
        *,
        cutoff: float,
        inner: float | None = None,
        skin: float = 0.6,
    ) -> None:
        if int(l) != l or not 1 <= l <= _LARGEST_DEGREE:
            raise ValueError(f"l = {l!r}: a whole number from 1 to {_LARGEST_DEGREE} is meant")
        if not (np.isfinite(cutoff) and cutoff > 0):
            raise ValueError(f"cutoff = {cutoff!r} must be a positive length in Å")
        self.inner = 0.85 * cutoff if inner is None else float(inner)
        if not 0 <= self.inner < cutoff:
            raise ValueError(f"inner = {inner!r} Å must lie between 0 and the cutoff of {cutoff} Å")
        self.l, self.cutoff = int(l), float(cutoff)
        self.name = f"{self.label}{self.l}"
        self.parameters = {"l": self.l, "cutoff": self.cutoff, "inner": self.inner, "skin": float(skin)}
        self._neighbors = Neighbors(self.cutoff, skin)

    def forward(self, atoms: Atoms) -> tuple[_Array, Pullback]:
        """Order of all atoms, and the function for their derivatives.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            Without atoms, for positions that are no numbers, atoms on top of each other, or a periodic cell
            without volume.
        """
        from ase_mlsample import _core

        if len(atoms) == 0:
            raise ValueError("there are no atoms to evaluate a collective variable of")
        order = _core.BondOrder(
            *self._neighbors.graph(atoms),
            kind=self.kind,
            degree=self.l,
            inner=self.inner,
            outer=self.cutoff,
        )
        return order.values, order.pull


class AveragedSteinhardt(Steinhardt):
    """Order averaged over an atom and its neighbours, q̄_l, which tells crystals apart at high temperature.

    q̄_l(i) = [4π/(2l+1) Σ_m |q̄_lm(i)|²]^½ with q̄_lm(i) = [q_lm(i) + Σ_j s_ij q_lm(j)]/(1 + Σ_j s_ij).

    Parameters
    ----------
    l : int
        Degree, 1 to 16.
    cutoff : float, Å
        As in :class:`Steinhardt`.
    inner : float, Å, optional
        As in :class:`Steinhardt`.
    skin : float, Å
        As in :class:`Steinhardt`.

    Raises
    ------
    ValueError
        For a degree or radii out of range.

    References
    ----------
    W. Lechner, C. Dellago, J. Chem. Phys. 129, 114707 (2008).
    """

    kind: ClassVar[str] = "averaged"
    label: ClassVar[str] = "averaged_q"


class LocalBondOrder(Steinhardt):
    """Correlation of an atom's order with its neighbours', Σ_j s_ij q̂_l(i)·q̂_l(j) / Σ_j s_ij.

    q̂_l(i) is the vector of the q_lm(i) over its length: one in a perfect lattice of equivalent, equally
    oriented atoms, near zero in a liquid.

    Parameters
    ----------
    l : int
        Degree, 1 to 16.
    cutoff : float, Å
        As in :class:`Steinhardt`.
    inner : float, Å, optional
        As in :class:`Steinhardt`.
    skin : float, Å
        As in :class:`Steinhardt`.

    Raises
    ------
    ValueError
        For a degree or radii out of range.

    References
    ----------
    P. R. ten Wolde, M. J. Ruiz-Montero, D. Frenkel, Phys. Rev. Lett. 75, 2714 (1995).

    Notes
    -----
    The length is (|q_l|² + 10⁻⁸)^½, so that nothing is singular where an atom has no order.
    """

    kind: ClassVar[str] = "correlation"
    label: ClassVar[str] = "bond_order_q"
