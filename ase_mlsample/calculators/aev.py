"""Parameters of the atomic environment vector (AEV) of the ANI networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ase.data import atomic_numbers, covalent_radii

if TYPE_CHECKING:
    from ase_mlsample._core import AEV

__all__ = ["AEVParameters"]

#: η · step² of the published sets (ANI-1x/2x and ANI-Al agree to 0.8 %).
WIDTH_RULE = 1.42
#: ζ of the published sets by number of angular sections; not given by the width rule.
ZETA_BY_SECTIONS = {4: 14.1, 8: 69.4}
#: Hydrogen-like elements would otherwise get cutoffs inside the first neighbour shell of anything else.
_SMALLEST_SCALE = 0.5


@dataclass(frozen=True, kw_only=True)
class AEVParameters:
    """What defines an AEV, after Smith, Isayev and Roitberg (Chem. Sci. 8, 3192, 2017) as TorchANI has it.

    For an atom i, with neighbour species b and unordered pairs of neighbour species {b, b'},

    * radial[b, m] = ¼ Σ_j exp(−η_R (r_ij − R_m)²) f_c(r_ij)
    * angular[{b, b'}, m, p] = 2^(1−ζ) Σ_{j<k} (1 + cos(θ − θ_p))^ζ exp(−η_A ((r_ij + r_ik)/2 − R_m)²)
      f_c(r_ij) f_c(r_ik), with θ = arccos(0.95 cos θ_jik).

    η, ζ, the shifts and the sections are rounded to single precision on construction, in double-precision
    models too: TorchANI stores them so, and energies agree to rounding only with the rounded values. The
    cutoffs are kept in double precision.

    Parameters
    ----------
    symbols : sequence of str
        Chemical symbols, in the order of the species index.
    radial_cutoff, angular_cutoff : float
        Å; the angular one must be below the radial one.
    radial_eta, angular_eta : float
        Å⁻².
    radial_shifts, angular_shifts : tuple of float
        R_m, in Å.
    zeta : float
        Sharpness of the angular sections.
    sections : tuple of float
        θ_p, in rad.
    cutoff_function : str
        "cosine", ½ cos(π r / R_c) + ½, or "smooth", exp(1 − 1 / max(1e-10, 1 − (r/R_c)²)).

    Raises
    ------
    ValueError
        For unknown or repeated elements, and for numbers that are not finite, not positive or out of range.
    """

    symbols: tuple[str, ...]
    radial_cutoff: float
    radial_eta: float
    radial_shifts: tuple[float, ...]
    angular_cutoff: float
    angular_eta: float
    zeta: float
    angular_shifts: tuple[float, ...]
    sections: tuple[float, ...]
    cutoff_function: str = "cosine"

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        for name in ("radial_cutoff", "angular_cutoff"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("radial_eta", "angular_eta", "zeta"):
            object.__setattr__(self, name, _single(getattr(self, name)))
        for name in ("radial_shifts", "angular_shifts", "sections"):
            object.__setattr__(self, name, tuple(_single(value) for value in getattr(self, name)))
        _check_symbols(self.symbols)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("radial_cutoff", "radial_eta", "angular_cutoff", "angular_eta", "zeta"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} of an AEV must be a positive number, not {value!r}")
        if self.angular_cutoff >= self.radial_cutoff:
            raise ValueError(
                f"the angular cutoff ({self.angular_cutoff} Å) must be below the radial one "
                f"({self.radial_cutoff} Å): shorten the former or lengthen the latter"
            )
        for name in ("radial_shifts", "angular_shifts", "sections"):
            values = getattr(self, name)
            if not values or not np.all(np.isfinite(values)) or min(values) < 0:
                raise ValueError(f"{name} of an AEV must be one or more numbers ≥ 0, not {values!r}")
        if self.cutoff_function not in ("cosine", "smooth"):
            raise ValueError(f"cutoff_function must be 'cosine' or 'smooth', not {self.cutoff_function!r}")

    @classmethod
    def from_steps(
        cls,
        symbols: str | Iterable[str],
        *,
        start: float,
        radial_cutoff: float,
        angular_cutoff: float,
        n_radial: int,
        n_angular: int,
        n_sections: int,
        radial_eta: float | None = None,
        angular_eta: float | None = None,
        zeta: float | None = None,
        cutoff_function: str = "cosine",
    ) -> Self:
        """Evenly spaced shifts R_m = start + m (R_c − start)/n and sections θ_p = π (2p + 1)/(2 n_sections).

        Where no η is given, the width rule η = 1.42/step² sets it. ζ follows from no rule: the published
        values are used for 4 and 8 sections, any other number of sections needs `zeta`.

        Parameters
        ----------
        symbols : sequence of str
            Chemical symbols in species order.
        start : float
            First shift, Å.
        radial_cutoff, angular_cutoff : float
            Å.
        n_radial, n_angular, n_sections : int
            Numbers of radial shifts, of angular shifts, and of angular sections.
        radial_eta, angular_eta : float
            Å⁻²; by the width rule if None.
        zeta : float
            14.1 for 4 sections and 69.4 for 8 if None.
        cutoff_function : str
            "cosine" or "smooth".

        Raises
        ------
        ValueError
            For numbers out of range, or without a ζ for this number of sections.
        """
        for name, number in (("n_radial", n_radial), ("n_angular", n_angular), ("n_sections", n_sections)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, not {number!r}")
        if not 0 < start < min(radial_cutoff, angular_cutoff):
            raise ValueError(
                f"start must lie within the cutoffs ({radial_cutoff}, {angular_cutoff} Å), not at {start}"
            )
        if zeta is None and n_sections not in ZETA_BY_SECTIONS:
            raise ValueError(
                f"there is no published zeta for {n_sections} sections, only for 4 and 8: give zeta"
            )
        radial_step = (radial_cutoff - start) / n_radial
        angular_step = (angular_cutoff - start) / n_angular
        section_start = np.pi / n_sections / 2
        return cls(
            symbols=(symbols,) if isinstance(symbols, str) else tuple(symbols),
            radial_cutoff=radial_cutoff,
            radial_eta=WIDTH_RULE / radial_step**2 if radial_eta is None else radial_eta,
            radial_shifts=tuple(start + radial_step * m for m in range(n_radial)),
            angular_cutoff=angular_cutoff,
            angular_eta=WIDTH_RULE / angular_step**2 if angular_eta is None else angular_eta,
            zeta=ZETA_BY_SECTIONS[n_sections] if zeta is None else zeta,
            angular_shifts=tuple(start + angular_step * m for m in range(n_angular)),
            sections=tuple(section_start + np.pi / n_sections * p for p in range(n_sections)),
            cutoff_function=cutoff_function,
        )

    @classmethod
    def metal(
        cls,
        symbols: str | Iterable[str],
        *,
        radial_cutoff: float = 7.0,
        angular_cutoff: float = 5.0,
        start: float = 1.25,
        n_radial: int = 32,
        n_angular: int = 8,
        n_sections: int = 8,
    ) -> Self:
        """The set of ANI-Al (Smith et al., Nat. Commun. 12, 1257, 2021), or one like it with other numbers.

        The published η (43.9 and 6.5 Å⁻²) are kept where start, cutoff and number of shifts are the published
        ones; otherwise the width rule sets them.

        Parameters
        ----------
        symbols, radial_cutoff, angular_cutoff, start, n_radial, n_angular, n_sections
            As in `from_steps`.
        """
        published_radial = (start, radial_cutoff, n_radial) == (1.25, 7.0, 32)
        published_angular = (start, angular_cutoff, n_angular) == (1.25, 5.0, 8)
        return cls.from_steps(
            symbols,
            start=start,
            radial_cutoff=radial_cutoff,
            angular_cutoff=angular_cutoff,
            n_radial=n_radial,
            n_angular=n_angular,
            n_sections=n_sections,
            radial_eta=43.9 if published_radial else None,
            angular_eta=6.5 if published_angular else None,
        )

    @classmethod
    def for_element(cls, symbols: str | Iterable[str], *, scale: float | None = None) -> Self:
        """The metal set with every length scaled to an element; widths follow by the width rule.

        The scale is the covalent radius (Cordero et al. 2008, as in ASE) over that of aluminium, the largest
        one where there are several elements (the start takes the smallest), and at least 0.5. Silicon gets
        cutoffs of 6.42 and 4.59 Å, tin 8.04 and 5.74 Å; lengths are rounded to 0.01 Å.

        Parameters
        ----------
        symbols : sequence of str
            One or several chemical symbols.
        scale : float
            Used instead of the ratio of covalent radii.

        Raises
        ------
        ValueError
            For an unknown element or a scale that is not positive.
        """
        symbols = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        _check_symbols(symbols)
        if scale is not None and not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be a positive number, not {scale!r}")
        radii = [float(covalent_radii[atomic_numbers[symbol]]) for symbol in symbols]
        aluminium = float(covalent_radii[atomic_numbers["Al"]])
        widest = max(radii) / aluminium if scale is None else scale
        narrowest = min(radii) / aluminium if scale is None else scale
        if scale is None:
            widest, narrowest = max(widest, _SMALLEST_SCALE), max(narrowest, _SMALLEST_SCALE)
        return cls.metal(
            symbols,
            radial_cutoff=round(7.0 * widest, 2),
            angular_cutoff=round(5.0 * widest, 2),
            start=round(1.25 * narrowest, 2),
        )

    @classmethod
    def ani1x(cls, symbols: str | Iterable[str] = ("H", "C", "N", "O")) -> Self:
        """The set of ANI-1x (Smith et al., J. Chem. Phys. 148, 241733, 2018)."""
        return cls._published(symbols, start=0.9, radial_cutoff=5.2, etas=(16.0, 8.0), zeta=32.0, n=(4, 8))

    @classmethod
    def ani2x(cls, symbols: str | Iterable[str] = ("H", "C", "N", "O", "S", "F", "Cl")) -> Self:
        """The set of ANI-2x (Devereux et al., J. Chem. Theory Comput. 16, 4192, 2020)."""
        return cls._published(symbols, start=0.8, radial_cutoff=5.1, etas=(19.7, 12.5), zeta=14.1, n=(8, 4))

    @classmethod
    def _published(
        cls,
        symbols: str | Iterable[str],
        *,
        start: float,
        radial_cutoff: float,
        etas: tuple[float, float],
        zeta: float,
        n: tuple[int, int],
    ) -> Self:
        return cls.from_steps(
            symbols,
            start=start,
            radial_cutoff=radial_cutoff,
            angular_cutoff=3.5,
            n_radial=16,
            n_angular=n[0],
            n_sections=n[1],
            radial_eta=etas[0],
            angular_eta=etas[1],
            zeta=zeta,
        )

    @property
    def length(self) -> int:
        """Number of features of an atom: all radial ones, then all angular ones."""
        n = len(self.symbols)
        per_pair = len(self.angular_shifts) * len(self.sections)
        return n * len(self.radial_shifts) + n * (n + 1) // 2 * per_pair

    def kernel(self) -> AEV:
        """The compiled kernel for these parameters; the same object for equal parameters."""
        return _kernel(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for JSON."""
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
            raise ValueError(f"AEV parameters lack {', '.join(missing)}")
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown AEV parameters: {', '.join(unknown)}")
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


def _single(value: float) -> float:
    return float(np.float32(value))


def _check_symbols(symbols: tuple[str, ...]) -> None:
    if not symbols:
        raise ValueError("an AEV needs at least one element; give symbols, for instance ('Si',)")
    for symbol in symbols:
        if atomic_numbers.get(symbol, 0) == 0:
            raise ValueError(f"{symbol!r} is not the symbol of a chemical element")
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"elements are repeated in {symbols}; name each once")


@lru_cache(maxsize=64)
def _kernel(parameters: AEVParameters) -> AEV:
    from ase_mlsample import _core

    return _core.AEV(
        len(parameters.symbols),
        radial_cutoff=parameters.radial_cutoff,
        radial_eta=parameters.radial_eta,
        radial_shifts=parameters.radial_shifts,
        angular_cutoff=parameters.angular_cutoff,
        angular_eta=parameters.angular_eta,
        zeta=parameters.zeta,
        angular_shifts=parameters.angular_shifts,
        sections=parameters.sections,
        cutoff_function=parameters.cutoff_function,
    )
