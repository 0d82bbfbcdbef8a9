"""Coordination: how many atoms of one group are near those of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, require_finite
from ase_mlsample.cvs.indices import checked_indices, require_atoms
from ase_mlsample.cvs.neighbors import Neighbors
from ase_mlsample.cvs.switching import StretchedSwitch

__all__ = ["Coordination"]

Group = str | Sequence[int]


class Coordination(CollectiveVariable):
    """Number of pairs of two groups, Σ_{i∈A} Σ_{j∈B} s(r_ij), or within one group, each pair once.

    s is PLUMED's rational switching function, stretched to end at ``d_max`` with continuous derivatives
    (:class:`~ase_mlsample.cvs.switching.StretchedSwitch`). All periodic images within ``d_max`` count, also
    of an atom itself, so that small cells give per atom what their supercells give; PLUMED counts the nearest
    image only, which is the same where ``d_max`` is below half the cell.

    Parameters
    ----------
    first : str or sequence of int
        Group A: a chemical symbol, or indices of atoms from 0.
    second : str or sequence of int, optional
        Group B; by default pairs within A are counted. An atom in both groups does not count with itself, and
        a pair in both of them counts twice.
    r0 : float, Å
        Width of the switching function, counted from ``d0``; the function is nn/mm there.
    d0 : float, Å
        Distance up to which a pair counts fully.
    nn, mm : int
        Exponents; mm = 2 nn unless given.
    d_max : float, Å, optional
        Where the function ends; as in PLUMED where ((r − d0)/r0)^(nn − mm) = 1e-5 unless given. That is far
        out for small exponents, d0 + 6.8 r0 for 6 and 12: the nearer the end, the fewer pairs to go through.
    cutoff : "smooth" or "plumed"
        "plumed" leaves out what makes the slope continuous at ``d_max``: for comparison with PLUMED.
    skin : float, Å
        Of the neighbour list; it changes the speed and nothing else.
    name : str

    Raises
    ------
    ValueError
        For lengths, exponents or indices out of range; in evaluation if a group is empty or lacks atoms.
    KeyError
        If a symbol is not an element's.

    Examples
    --------
    >>> from ase.build import bulk
    >>> cv = Coordination("Si", r0=2.9, nn=24, d_max=3.7)
    >>> round(float(cv(bulk("Si", a=5.431))[0]), 1)
    4.0
    """

    def __init__(
        self,
        first: Group,
        second: Group | None = None,
        *,
        r0: float,
        d0: float = 0.0,
        nn: int = 6,
        mm: int | None = None,
        d_max: float | None = None,
        cutoff: str = "smooth",
        skin: float = 1.0,
        name: str = "coordination",
    ) -> None:
        super().__init__([name])
        self._switch = StretchedSwitch(r0=r0, d0=d0, nn=nn, mm=mm, d_max=d_max, cutoff=cutoff)
        self._neighbors = Neighbors(self._switch.d_max, skin)
        self._first = _group(first, name)
        self._second = None if second is None else _group(second, name)
        groups = {"first": self._first, "second": self._second}
        plain = {key: g.tolist() if isinstance(g, np.ndarray) else g for key, g in groups.items()}
        self.parameters = {**plain, **self._switch.todict()}

    @property
    def d_max(self) -> float:
        """Where the switching function ends, in Å."""
        return self._switch.d_max

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient and virial; see :class:`CollectiveVariable`."""
        from ase_mlsample import _core

        require_finite(atoms)
        ours = self._members(self._first, atoms)
        theirs = ours if self._second is None else self._members(self._second, atoms)
        graph = self._neighbors.graph(atoms)
        counts = np.repeat(ours, np.diff(graph.first)) & theirs[graph.second]
        chosen = slice(None) if counts.all() else np.flatnonzero(counts)
        distances = graph.distances[chosen]
        s, slope = self._switch(distances)
        pull = np.zeros((len(counts), 3))
        pull[chosen] = (slope / distances)[:, None] * graph.vectors[chosen]
        once = 0.5 if self._second is None else 1.0
        gradient, virial = _core.pull_edges(
            graph.first, graph.second, graph.vectors, pull, np.full(len(atoms), once)
        )
        return CVValue(np.array([once * s.sum()]), gradient[None], virial[None])

    def _members(self, group: str | NDArray[np.int64], atoms: Atoms) -> NDArray[np.bool_]:
        if isinstance(group, str):
            members = np.asarray(atoms.numbers == atomic_numbers[group])
            if not members.any():
                raise ValueError(f"{self.names[0]}: there is no {group} in {atoms.symbols}")
            return members
        require_atoms(group, atoms, self.names[0])
        members = np.zeros(len(atoms), dtype=bool)
        members[group] = True
        return members


def _group(group: Group, name: str) -> str | NDArray[np.int64]:
    if not isinstance(group, str):
        return checked_indices(group, name)
    if group not in atomic_numbers or group == "X":
        raise KeyError(f"{name}: {group!r} is not a chemical symbol")
    return group
