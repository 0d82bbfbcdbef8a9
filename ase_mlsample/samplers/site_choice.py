"""Which Wyckoff positions the atoms of a random crystal occupy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ase_mlsample.samplers.wyckoff import WyckoffPosition

__all__ = ["SiteChoice"]

_Needs = tuple[int, ...]


class SiteChoice:
    """Draws occupations of the Wyckoff positions of one space group.

    A position without free parameters holds one orbit, the others any number. Positions are drawn one after
    the other, first how many free parameters, then which position with that many: the special positions,
    which are many, do not crowd out the general one. A position is taken only if the rest can still be
    completed, which is decided exactly, so that no draw fails.

    Parameters
    ----------
    positions : sequence of WyckoffPosition
        All of one group, the general one last.
    """

    def __init__(self, positions: Sequence[WyckoffPosition]) -> None:
        self.positions = tuple(positions)
        self._kinds = [(one.size, one.n_free) for one in positions]
        fixed = Counter(one.size for one in positions if one.n_free == 0)
        self._sizes = tuple(sorted(fixed))
        self._supply = tuple(fixed[size] for size in self._sizes)
        self._free_sizes = sorted({one.size for one in positions if one.n_free})
        self._reachable = [True]  # by number of atoms, with free positions alone
        self._known: dict[tuple[_Needs, tuple[int, ...]], bool] = {}

    def fits(self, needs: Sequence[int], *, general: bool = False) -> bool:
        """Return whether these numbers of atoms by species can be placed.

        With ``general``: with an orbit on the general position.
        """
        if not general:
            return self._possible(tuple(needs), self._supply)
        return any(self._possible(rest, self._supply) for _, rest in self._less(needs, self.general.size))

    @property
    def general(self) -> WyckoffPosition:
        """The general position."""
        return self.positions[-1]

    def draw(
        self, needs: Sequence[int], rng: np.random.Generator, *, general: bool = False
    ) -> list[tuple[int, int]]:
        """Return the orbits as (position, species) pairs.

        Parameters
        ----------
        needs : sequence of int
            Atoms in the primitive cell by species.
        rng : numpy.random.Generator
        general : bool
            Begin with an orbit on the general position.

        Raises
        ------
        ValueError
            If there is no such occupation.
        """
        if not self.fits(needs, general=general):
            raise ValueError(f"no set of Wyckoff positions has {tuple(needs)} atoms; ask fits() first")
        left, supply = tuple(needs), list(self._supply)
        unused = [one.n_free == 0 for one in self.positions]
        chosen = []
        if general:
            starts = [
                pair for pair in self._less(left, self.general.size) if self._possible(pair[1], self._supply)
            ]
            species, left = starts[int(rng.integers(len(starts)))]
            chosen.append((len(self.positions) - 1, species))
        while any(left):
            wanting = [index for index, need in enumerate(left) if need]
            species = wanting[int(rng.integers(len(wanting)))]
            position, left = self._pick(left, species, supply, unused, rng)
            chosen.append((position, species))
        return chosen

    def _pick(
        self, left: _Needs, species: int, supply: list[int], unused: list[bool], rng: np.random.Generator
    ) -> tuple[int, _Needs]:
        """Return a position for a species and what is needed after it; update ``supply`` and ``unused``."""
        allowed: dict[tuple[int, int], bool] = {}
        by_freedom: dict[int, list[int]] = {}
        for index, kind in enumerate(self._kinds):
            size, n_free = kind
            if size > left[species] or not (n_free or unused[index]):
                continue
            if kind not in allowed:
                rest = _with(left, species, left[species] - size)
                supplied = tuple(supply) if n_free else self._without(supply, size)
                allowed[kind] = self._possible(rest, supplied)
            if allowed[kind]:
                by_freedom.setdefault(n_free, []).append(index)
        options = list(by_freedom.values())
        same = options[int(rng.integers(len(options)))]
        position = same[int(rng.integers(len(same)))]
        size = self.positions[position].size
        if self.positions[position].n_free == 0:
            unused[position] = False
            supply[self._sizes.index(size)] -= 1
        return position, _with(left, species, left[species] - size)

    @staticmethod
    def _less(needs: Sequence[int], size: int) -> Iterator[tuple[int, _Needs]]:
        """Yield the species that need ``size`` atoms, and the needs without these."""
        for species, need in enumerate(needs):
            if need >= size:
                yield species, _with(tuple(needs), species, need - size)

    def _without(self, supply: Sequence[int], size: int) -> tuple[int, ...]:
        return tuple(n - (one == size) for n, one in zip(supply, self._sizes, strict=True))

    def _free(self, need: int) -> bool:
        """Return whether positions with free parameters alone make up ``need`` atoms."""
        for total in range(len(self._reachable), need + 1):
            self._reachable.append(
                any(size <= total and self._reachable[total - size] for size in self._free_sizes)
            )
        return self._reachable[need]

    def _possible(self, needs: _Needs, supply: tuple[int, ...]) -> bool:
        """Return whether the needs can be met with the fixed positions still in supply and the free ones."""
        wanting = tuple(sorted(need for need in needs if not self._free(need)))
        if not wanting:
            return True
        key = (wanting, supply)
        if key not in self._known:
            first, rest = wanting[0], wanting[1:]
            # a species that free positions can make up alone needs no fixed one: only the others count
            self._known[key] = any(self._possible(rest, after) for after in self._fillings(first, supply, 0))
        return self._known[key]

    def _fillings(self, need: int, supply: tuple[int, ...], start: int) -> Iterator[tuple[int, ...]]:
        """Yield the supply left by every way in which fixed and free positions make up ``need``."""
        if start == len(supply):
            if self._free(need):
                yield supply
            return
        size = self._sizes[start]
        for count in range(min(supply[start], need // size) + 1):
            taken = (*supply[:start], supply[start] - count, *supply[start + 1 :])
            yield from self._fillings(need - count * size, taken, start + 1)


def _with(needs: _Needs, species: int, value: int) -> _Needs:
    return (*needs[:species], value, *needs[species + 1 :])
