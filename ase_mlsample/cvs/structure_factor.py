"""Structure factors by Debye's formula with a window: of every atom, and of the structure at several q."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.cvs.half_pairs import Blocks, HalfPairs
from ase_mlsample.cvs.pooling import PerAtomVariable, Pullback

__all__ = ["StructureFactor", "StructureFactorPeak", "StructureFactors"]

_Array = NDArray[np.float64]

_MOST_TERMS = 256  # of the compiled core's series
_LARGEST = 3e3  # sum of the coefficients of a series of powers


class StructureFactor(PerAtomVariable):
    """Structure factor of every atom at one wave number, S_i(q) = 1 + Σ_{j≠i} w(r_ij) sin(q r_ij)/(q r_ij).

    Its mean over the atoms is the spherically averaged structure factor of the structure as far as the
    window sees it; at the main peak of a crystal it tells the crystal from the liquid. For silicon
    q = 1.96 Å⁻¹ and 8 Å: at 1,700 K about 0.64 in the liquid and 1.43 in the crystal (Stillinger–Weber).

    Parameters
    ----------
    q : float, 1/Å
        Wave number.
    cutoff : float, Å
        Where the window ends, R_c; see `window`.
    window : {"nodal", "lorch", "hann"}
        "nodal": w = sin(πr/R_c)/(πr/R_c), as Bonati and Parrinello have it, but ending at the zero of
        sin(qr) next to `cutoff`, R_c = nπ/q (8.0143 Å for 8 Å and q = 1.96 Å⁻¹), so that terms vanish there
        with their slopes and no force jumps where neighbours enter. "lorch": the same, ending at `cutoff`
        exactly, as published; the derivative of each pair's term jumps there by sin(qR_c)/(qR_c²).
        "hann": w = [1 + cos(πr/R_c)]/2, smooth for any q and cutoff.
    skin : float, Å
        How much further neighbours are remembered in larger structures; it changes nothing but the speed.

    Attributes
    ----------
    cutoff : float, Å
        Where the window ends in fact.

    Raises
    ------
    ValueError
        For lengths or wave numbers that are not positive, an unknown window, or q times cutoff beyond 400.

    References
    ----------
    L. Bonati, M. Parrinello, Phys. Rev. Lett. 121, 265701 (2018); P. Debye, Ann. Phys. 351, 809 (1915);
    E. Lorch, J. Phys. C 2, 229 (1969).

    Examples
    --------
    >>> from ase.build import bulk
    >>> order = StructureFactor(1.96).mean()
    >>> atoms = bulk("Si", a=5.431, cubic=True) * (3, 3, 3)
    >>> float(order(atoms)[0].round(3))
    1.531
    """

    def __init__(self, q: float, cutoff: float = 8.0, *, window: str = "nodal", skin: float = 0.8) -> None:
        _check(q, cutoff)
        if window not in ("nodal", *_WINDOWS):
            raise ValueError(f"window = {window!r}: 'nodal', 'lorch' or 'hann' are known")
        self.q, self.window = float(q), window
        self.cutoff = max(1, round(cutoff * self.q / np.pi)) * np.pi / self.q if window == "nodal" else cutoff
        self.name = f"sq_{self.q:g}"
        self.parameters = {"q": self.q, "cutoff": float(cutoff), "window": window, "skin": float(skin)}
        self._series = _series([self.q], self.cutoff, "lorch" if window == "nodal" else window)
        self._pairs = HalfPairs(self.cutoff, skin)

    def forward(self, atoms: Atoms) -> tuple[_Array, Pullback]:
        """S_i of all atoms, and the function for their derivatives.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            Without atoms, for positions that are no numbers, atoms on top of each other, or a periodic cell
            without volume.
        """
        pairs = self._pairs.blocks(atoms)
        values, slopes = _sums(pairs, self._series)
        values += 1.0

        def pullback(weights: _Array) -> tuple[_Array, _Array]:
            return _pull(pairs, slopes[0], weights)

        return values[0], pullback


class StructureFactors(CollectiveVariable):
    """Structure factors of the whole structure at several wave numbers: the means of all S_i(q).

    Parameters
    ----------
    q : sequence of d float, 1/Å
        Wave numbers.
    cutoff : float, Å
        Where the window ends.
    window : {"hann", "lorch"}
        As in :class:`StructureFactor`; only "hann" is smooth for every q.
    skin : float, Å
        As in :class:`StructureFactor`.

    Raises
    ------
    ValueError
        As :class:`StructureFactor`, or if there is no wave number.
    """

    def __init__(
        self, q: Sequence[float], cutoff: float = 8.0, *, window: str = "hann", skin: float = 0.8
    ) -> None:
        self.q = tuple(float(value) for value in q)
        if not self.q:
            raise ValueError("structure factors need one wave number at least")
        for value in self.q:
            _check(value, cutoff)
        if window not in _WINDOWS:
            raise ValueError(f"window = {window!r}: 'hann' or 'lorch' are known for several wave numbers")
        super().__init__([f"sq_{value:g}" for value in self.q])
        self.parameters = {"q": list(self.q), "cutoff": float(cutoff), "window": window, "skin": float(skin)}
        self._series = _series(self.q, cutoff, window)
        self._pairs = HalfPairs(cutoff, skin)

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial, and S_i at the first wave number of every atom.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            As :meth:`StructureFactor.forward`.
        """
        pairs = self._pairs.blocks(atoms)
        sums, slopes = _sums(pairs, self._series)
        scale = 2.0 / len(atoms)
        pulled = [_pull(pairs, slope, None) for slope in slopes]
        gradient = np.array([g for g, _ in pulled]) * scale
        virial = np.array([v for _, v in pulled]) * scale
        return CVValue(1.0 + sums.mean(axis=1), gradient, virial, 1.0 + sums[0])


class StructureFactorPeak(CollectiveVariable):
    """Height of the structure factor's peak wherever it lies: a smooth maximum over wave numbers.

    (1/λ) ln[(1/d) Σ_k exp(λ S(q_k))], between the mean and the largest of the S(q_k). A peak that moves with
    the density stays in sight, which it does not at a single wave number.

    Parameters
    ----------
    q : sequence of d float, 1/Å
        Wave numbers around the peak.
    cutoff : float, Å
        Where the window ends.
    sharpness : float
        λ.
    window : {"hann", "lorch"}
        As in :class:`StructureFactors`.
    skin : float, Å
        As in :class:`StructureFactor`.

    Raises
    ------
    ValueError
        As :class:`StructureFactors`, or for a sharpness that is not positive.
    """

    def __init__(
        self,
        q: Sequence[float],
        cutoff: float = 8.0,
        *,
        sharpness: float = 20.0,
        window: str = "hann",
        skin: float = 0.8,
    ) -> None:
        if not (np.isfinite(sharpness) and sharpness > 0):
            raise ValueError(f"sharpness = {sharpness!r} must be positive")
        super().__init__(["sq_peak"])
        self._spectrum = StructureFactors(q, cutoff, window=window, skin=skin)
        self._sharpness = float(sharpness)
        self.parameters = {**self._spectrum.parameters, "sharpness": self._sharpness}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Peak height with gradient and virial.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            As :meth:`StructureFactor.forward`.
        """
        found = self._spectrum.evaluate(atoms)
        exponents = self._sharpness * (found.value - found.value.max())
        shares = np.exp(exponents)
        value = found.value.max() + np.log(shares.mean()) / self._sharpness
        shares /= shares.sum()
        gradient = np.einsum("k,kia->ia", shares, found.gradient)
        virial = np.einsum("k,kab->ab", shares, found.virial)
        return CVValue(np.array([value]), gradient[None], virial[None])


def _lorch(x: _Array) -> _Array:
    return np.asarray(np.sinc(x))


def _hann(x: _Array) -> _Array:
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * x))


_WINDOWS = {"lorch": _lorch, "hann": _hann}


def _check(q: float, cutoff: float) -> None:
    if not (np.isfinite(q) and q > 0):
        raise ValueError(f"the wave number q = {q!r} must be positive, in 1/Å")
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"cutoff = {cutoff!r} must be a positive length in Å")
    if q * cutoff > 400:
        raise ValueError(
            f"q = {q} 1/Å at a cutoff of {cutoff} Å oscillates {q * cutoff / np.pi:.0f} times; shorten either"
        )


class _Series(NamedTuple):
    """Series in x = 2r²/R_c² − 1, (d, K) each, of pair functions F and of their F'(r)/r."""

    values: _Array
    slopes: _Array
    chebyshev: bool  # of Chebyshev polynomials, otherwise of powers


def _series(q: Sequence[float], cutoff: float, window: str) -> _Series:
    """Series of F = w sin(qr)/(qr), one for each q.

    F is an entire function of r², so that few terms give all digits, and the derivative of the series is
    exactly that of the values: there is neither a table nor a sine in the loop over pairs.
    """
    degree = min(_MOST_TERMS - 1, int(0.6 * max(q) * cutoff) + 40)
    x = chebyshev.chebpts1(degree + 1)
    r = cutoff * np.sqrt(0.5 * (x + 1.0))
    samples = _WINDOWS[window](r / cutoff) * np.sinc(np.multiply.outer(q, r) / np.pi)
    values = samples @ chebyshev.chebvander(x, degree) * (2.0 / (degree + 1))
    values[:, 0] *= 0.5
    terms = int(np.flatnonzero(np.abs(values).max(axis=0) > 1e-14).max()) + 1
    values = np.ascontiguousarray(values[:, : max(4, terms + terms % 2)])
    slopes, powers, power_slopes = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
    slopes[:, :-1] = chebyshev.chebder(values, axis=1)
    for k, coefficients in enumerate(values):
        converted = chebyshev.cheb2poly(coefficients)
        powers[k, : len(converted)] = converted
    power_slopes[:, :-1] = powers[:, 1:] * np.arange(1, powers.shape[1])
    scale = 4.0 / cutoff**2
    # Powers are faster, and lose digits where their coefficients are large.
    if np.abs(powers).sum(axis=1).max() < _LARGEST:
        return _Series(powers, power_slopes * scale, chebyshev=False)
    return _Series(values, slopes * scale, chebyshev=True)


def _sums(pairs: Blocks, series: _Series) -> tuple[_Array, _Array]:
    from ase_mlsample import _core

    return _core.pair_sums(pairs, series.values, series.slopes, chebyshev=series.chebyshev)


def _pull(pairs: Blocks, slopes: _Array, weights: _Array | None) -> tuple[_Array, _Array]:
    from ase_mlsample import _core

    return _core.pull_pairs(pairs, slopes, weights)
