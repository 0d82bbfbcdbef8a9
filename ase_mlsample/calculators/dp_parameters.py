"""Parameters of the Deep Potential: its environment matrix and the sizes of its networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from ase.data import atomic_numbers

__all__ = ["DeepPotentialParameters"]

#: How an embedding network depends on the elements: on both, or on the neighbour's alone.
TYPE_EMBEDDINGS = ("pair", "one-side")


@dataclass(frozen=True, kw_only=True)
class DeepPotentialParameters:
    """What defines a Deep Potential [Zhang et al., NeurIPS 31, 4436 (2018)]: the se_e2_a of deepmd-kit.

    With u = clip((r − r_s)/(r_c − r_s), 0, 1) and w = 1 + u³(−6u² + 15u − 10), a neighbour j of the atom i,
    at the vector (x, y, z) of length r, is the row R = (w/r)(1, x/r, y/r, z/r) of the environment matrix.
    The rows of an atom of element a are standardised, R̃ = (R − (m_a, 0, 0, 0))/(d_a, t_a, t_a, t_a), and

    * T = (1/N_c) Σ_j g_ab(s̃_j) ⊗ R̃_j over N_c = Σ sel slots, neighbours and empty ones (r → ∞) alike,
    * D = T T_<ᵀ with T_< the first `axis_neurons` rows of T,

    where g_ab, the embedding network, takes s̃ = R̃₀ alone and the fitting network of element a takes D.

    No neighbour is ever left out: `sel` sets N_c and the number of empty slots, which is negative where an
    atom has more neighbours of an element than its `sel`.

    Parameters
    ----------
    symbols : sequence of str
        Chemical symbols, in the order of the species index.
    sel : mapping from str to int
        Slots for the neighbours of each element.
    cutoff : float
        r_c, Å.
    switch_start : float
        r_s, Å; below it w is 1.
    embedding : tuple of int
        Widths of the embedding networks. A layer adds its input to its output where their widths are equal,
        and its input twice over where the width doubles.
    axis_neurons : int
        Rows of T_<, at most the last width of the embedding.
    fitting : tuple of int
        Widths of the hidden layers of the fitting networks. A layer as wide as the one before it adds its
        input to its output times a trained factor.
    type_embedding : str
        "pair": an embedding network for each pair of elements; "one-side": for each element of the neighbour.

    Raises
    ------
    ValueError
        For unknown or repeated elements, and for numbers that are not finite, not positive or out of range.
    """

    symbols: tuple[str, ...]
    sel: Mapping[str, int]
    cutoff: float = 6.0
    switch_start: float = 0.5
    embedding: tuple[int, ...] = (20, 40, 80)
    axis_neurons: int = 16
    fitting: tuple[int, ...] = (80, 80, 80)
    type_embedding: str = "pair"

    def __post_init__(self) -> None:
        symbols = tuple(self.symbols)
        object.__setattr__(self, "symbols", symbols)
        _check_symbols(symbols)
        for name in ("cutoff", "switch_start"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("embedding", "fitting"):
            object.__setattr__(self, name, _whole_numbers(name, getattr(self, name)))
        object.__setattr__(self, "axis_neurons", _whole_numbers("axis_neurons", (self.axis_neurons,))[0])
        self._take_sel()
        self._check_numbers()

    def _take_sel(self) -> None:
        if set(self.sel) != set(self.symbols):
            raise ValueError(f"sel is given for {sorted(self.sel)}, needed for {sorted(self.symbols)}")
        slots = _whole_numbers("sel", [self.sel[symbol] for symbol in self.symbols])
        object.__setattr__(self, "sel", dict(zip(self.symbols, slots, strict=True)))

    def _check_numbers(self) -> None:
        if not (np.isfinite(self.cutoff) and 0 <= self.switch_start < self.cutoff):
            raise ValueError(
                "the switch must have 0 ≤ switch_start < cutoff (Å), "
                f"not {self.switch_start} and {self.cutoff}"
            )
        if self.axis_neurons > self.embedding[-1]:
            raise ValueError(
                f"axis_neurons ({self.axis_neurons}) must be at most the last width of the embedding "
                f"({self.embedding[-1]})"
            )
        if self.type_embedding not in TYPE_EMBEDDINGS:
            raise ValueError(
                f"type_embedding must be one of {', '.join(TYPE_EMBEDDINGS)}, not {self.type_embedding!r}"
            )

    def __hash__(self) -> int:
        return hash((self.symbols, self.slots, self.cutoff, self.switch_start, self.embedding, self.fitting))

    @property
    def slots(self) -> tuple[int, ...]:
        """`sel` in species order."""
        return tuple(self.sel[symbol] for symbol in self.symbols)

    @property
    def n_slots(self) -> int:
        """N_c, the sum of `sel`, which normalises."""
        return sum(self.slots)

    @property
    def length(self) -> int:
        """Number of features of an atom: the last width of the embedding times `axis_neurons`."""
        return self.embedding[-1] * self.axis_neurons

    @property
    def embedding_keys(self) -> tuple[tuple[str, ...], ...]:
        """What the embedding networks are for, in their order.

        Pairs (centre, neighbour) with the centre's element slowest, or (neighbour,) with the one-side
        embedding.
        """
        if self.type_embedding == "one-side":
            return tuple((b,) for b in self.symbols)
        return tuple((a, b) for a in self.symbols for b in self.symbols)

    def embedding_index(self, centre: int, neighbour: int) -> int:
        """Number of the embedding network for two species indices."""
        one_side = self.type_embedding == "one-side"
        return neighbour if one_side else centre * len(self.symbols) + neighbour

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, for JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises
        ------
        ValueError
            For missing or unknown keys, or values out of range.
        """
        known = {field.name for field in fields(cls)}
        if missing := sorted(known - set(values)):
            raise ValueError(f"Deep Potential parameters lack {', '.join(missing)}")
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown Deep Potential parameters: {', '.join(unknown)}")
        return cls(**values)


def _whole_numbers(name: str, values: Iterable[Any]) -> tuple[int, ...]:
    numbers = tuple(values)
    good = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in numbers)
    if not numbers or not good:
        raise ValueError(f"{name} of a Deep Potential must be whole numbers of at least 1, not {numbers}")
    return tuple(int(n) for n in numbers)


def _check_symbols(symbols: tuple[str, ...]) -> None:
    if not symbols:
        raise ValueError("a Deep Potential needs at least one element; give symbols, for instance ('Si',)")
    for symbol in symbols:
        if atomic_numbers.get(symbol, 0) == 0:
            raise ValueError(f"{symbol!r} is not the symbol of a chemical element")
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"elements are repeated in {symbols}; name each once")
