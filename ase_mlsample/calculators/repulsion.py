"""Screened nuclear repulsion at short distances, for models that never saw atoms that close."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import ArrayLike, NDArray

__all__ = ["Repulsion"]


@dataclass(frozen=True, slots=True)
class Repulsion:
    """Ziegler–Biersack–Littmark repulsion, switched to zero before atoms reach bonding distances.

    V(r) = Z₁Z₂e²/(4πε₀r) φ(r/a) with the universal screening φ(x) = 0.18175 e^(−3.1998x)
    + 0.50986 e^(−0.94229x) + 0.28022 e^(−0.4029x) + 0.02817 e^(−0.20162x), a = 0.8854 a₀/(Z₁^0.23 + Z₂^0.23).
    It is multiplied by 1 − 10t³ + 15t⁴ − 6t⁵, t = (r − r_inner)/(r_outer − r_inner), so that energy, forces
    and the derivatives of the forces are continuous.

    Parameters
    ----------
    inner, outer : float
        Where the switch begins and ends, in units of the sum of the two covalent radii (as in ``ase.data``).
        With the defaults silicon feels nothing beyond 1.78 Å: crystals and liquids are untouched.

    Raises
    ------
    ValueError
        If not 0 ≤ inner < outer.

    References
    ----------
    J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon (1985).
    """

    inner: float = 0.5
    outer: float = 0.8

    def __post_init__(self) -> None:
        if not (np.isfinite(self.outer) and 0 <= self.inner < self.outer):
            raise ValueError(
                f"the switch of the repulsion must have 0 <= inner < outer, "
                f"got inner={self.inner!r}, outer={self.outer!r}"
            )

    def cutoff(self, symbols: Iterable[str]) -> float:
        """Longest range (Å) among pairs of the given elements.

        Parameters
        ----------
        symbols : iterable of str

        Raises
        ------
        ValueError
            If there are no symbols.
        KeyError
            If a symbol is not an element's.
        """
        radii = [float(covalent_radii[atomic_numbers[symbol]]) for symbol in _known(symbols)]
        return 2 * self.outer * max(radii)

    def evaluate(
        self,
        numbers: ArrayLike,
        first: NDArray[np.int64],
        second: NDArray[np.int32],
        vectors: NDArray[np.float64],
        frame_first: ArrayLike,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Energies, gradients and virials of concatenated structures.

        Parameters
        ----------
        numbers : (N,) array of int
            Atomic numbers of all atoms.
        first, second, vectors : (N+1,), (E,) and (E, 3) arrays
            Full neighbour list, both directions of each pair, as ``_core.NeighborList`` gives it, at least
            as long as :meth:`cutoff`. ``second`` counts atoms through all structures.
        frame_first : (S+1,) array of int
            Where each structure's atoms begin; ``[0, N]`` for one structure.

        Returns
        -------
        atomic_energies : (N,) array, eV
            Half of the energy of each pair goes to each of its atoms.
        gradient : (N, 3) array, eV/Å
            dE/dr, the negative of the forces.
        virial : (S, 3, 3) array, eV
            dE/dε for each structure.

        Raises
        ------
        ValueError
            For atomic numbers that are no element's, or arrays that do not fit together.
        """
        from ase_mlsample import _core

        inner, outer = _tables(self.inner, self.outer)
        return _core.zbl(
            np.ascontiguousarray(numbers, dtype=np.int32),
            first,
            second,
            vectors,
            inner,
            outer,
            np.ascontiguousarray(frame_first, dtype=np.int64),
        )

    def to_dict(self) -> dict[str, float]:
        """The parameters, as JSON can hold them."""
        return {"inner": float(self.inner), "outer": float(self.outer)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Repulsion":
        """The inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : mapping

        Raises
        ------
        KeyError
            If a parameter is missing or unknown.
        """
        if set(values) != {"inner", "outer"}:
            raise KeyError(f"a repulsion is described by 'inner' and 'outer', not by {sorted(values)}")
        return cls(inner=float(values["inner"]), outer=float(values["outer"]))


def _known(symbols: Iterable[str]) -> list[str]:
    names = list(symbols)
    if not names:
        raise ValueError("the range of a repulsion needs at least one element")
    for name in names:
        if name not in atomic_numbers or name == "X":
            raise KeyError(f"{name!r} is not a chemical symbol")
    return names


@lru_cache(maxsize=8)
def _tables(inner: float, outer: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranges (Å) by atomic numbers; zero for ghost atoms (number 0), which the kernel refuses."""
    radii = np.array(covalent_radii, dtype=float)
    sums = radii[:, None] + radii[None, :]
    sums[0, :] = sums[:, 0] = 0.0
    return inner * sums, outer * sums
