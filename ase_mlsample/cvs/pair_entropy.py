"""Entropy of the pair distribution, of the structure as a whole and of every atom's surroundings."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.cvs.half_pairs import HalfPairs
from ase_mlsample.cvs.pooling import PerAtomVariable, Pullback

__all__ = ["LocalPairEntropy", "PairEntropy"]

_Array = NDArray[np.float64]

_REACH = 6.0  # widths at which a Gaussian ends
_FINENESS = 5.0  # grid points a width
_END = (95 / 288, 317 / 240, 23 / 30, 793 / 720, 157 / 160)  # Gregory's shares of an integral's last points
_PERIOD = 4096  # of the sums in which the coefficients are found


class PairEntropy(CollectiveVariable):
    """Entropy of the structure's pair distribution in units of k_B per atom.

    s = −2πρ ∫₀^{r_m} [g ln g − g + 1] r² dr with g(r) = Σ_{i≠j} G(r − r_ij)/(4πρNr²) and a normalised
    Gaussian G. Zero for an ideal gas, about −2 … −4 in liquids, lower in crystals. The density ρ is that of
    the cell, and its change with strain is in the virial, unless it is given.

    Parameters
    ----------
    cutoff : float, Å
        r_m, where the integral ends. Neighbours enter at a little more than 6 widths beyond, smoothly.
    width : float, Å
        Standard deviation of the Gaussian.
    density : float, atoms/Å³, optional
        ρ to use instead of that of the cell; needed for structures that are not periodic in all directions.
    skin : float, Å
        How much further neighbours are remembered in larger structures; it changes nothing but the speed.

    Raises
    ------
    ValueError
        For lengths or a density that are not positive, or a width above a quarter of the cutoff.

    References
    ----------
    P. M. Piaggi, O. Valsson, M. Parrinello, Phys. Rev. Lett. 119, 015701 (2017).

    Notes
    -----
    The integral is a sum over at least 5 points a width, of sixth order at r_m. The Gaussian is the one that
    splines of the fifth degree make on that grid, 3e-8 of its height off; its derivatives are those of the
    splines, so that forces are exact and nothing jumps.
    """

    def __init__(
        self,
        cutoff: float = 7.0,
        *,
        width: float = 0.125,
        density: float | None = None,
        skin: float = 0.8,
    ) -> None:
        super().__init__(["pair_entropy"])
        self._entropy = _Entropy(cutoff, width, density, skin)
        self.parameters = self._entropy.parameters

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Pair entropy with gradient and virial.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            Without atoms, for positions that are no numbers, atoms on top of each other, a periodic cell
            without volume, or a structure that needs a `density` and has none.
        """
        found, explicit = self._entropy.evaluate(atoms, local=False)
        gradient, virial = found.pull(np.ones(1))
        if explicit:
            virial -= np.eye(3) * found.by_density[0]
        return CVValue(found.values, gradient[None], virial[None])


class LocalPairEntropy(PerAtomVariable):
    """Pair entropy of every atom's own surroundings in units of k_B.

    s_i = −2πρ ∫₀^{r_m} [g_i ln g_i − g_i + 1] r² dr with g_i(r) = Σ_{j≠i} G(r − r_ij)/(4πρr²) and ρ the
    density of the whole structure. Low (−6 and below) in a crystal; ``count`` takes a negative threshold.

    Parameters
    ----------
    cutoff : float, Å
        r_m, where the integral ends.
    width : float, Å
        Standard deviation of the Gaussian.
    density : float, atoms/Å³, optional
        ρ to use instead of that of the cell.
    skin : float, Å
        As in :class:`PairEntropy`.

    Raises
    ------
    ValueError
        As :class:`PairEntropy`.

    References
    ----------
    P. M. Piaggi, M. Parrinello, J. Chem. Phys. 147, 114112 (2017).
    """

    def __init__(
        self,
        cutoff: float = 7.0,
        *,
        width: float = 0.125,
        density: float | None = None,
        skin: float = 0.8,
    ) -> None:
        self.name = "local_pair_entropy"
        self._entropy = _Entropy(cutoff, width, density, skin)
        self.parameters = self._entropy.parameters

    def forward(self, atoms: Atoms) -> tuple[_Array, Pullback]:
        """Entropies of all atoms, and the function for their derivatives.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            As :meth:`PairEntropy.evaluate`.
        """
        found, explicit = self._entropy.evaluate(atoms, local=True)

        def pullback(weights: _Array) -> tuple[_Array, _Array]:
            gradient, virial = found.pull(weights)
            if explicit:
                virial -= np.eye(3) * (weights @ found.by_density)
            return gradient, virial

        return found.values, pullback


class _Entropy:
    """Settings and pairs of an entropy."""

    def __init__(self, cutoff: float, width: float, density: float | None, skin: float) -> None:
        for name, value in {"cutoff": cutoff, "width": width, "density": density}.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value!r} must be positive")
        if width > cutoff / 4:
            raise ValueError(f"a Gaussian of width {width} Å is no narrow one in an integral to {cutoff} Å")
        self.parameters: dict[str, Any] = {
            "cutoff": float(cutoff),
            "width": float(width),
            "density": None if density is None else float(density),
            "skin": float(skin),
        }
        self._cutoff, self._density = float(cutoff), self.parameters["density"]
        points = int(np.ceil(_FINENESS * cutoff / width))
        step = self._cutoff / points
        self._gauss = _spline_coefficients(width / step) / step
        self._shares = np.ones(points + 1)
        self._shares[: -len(_END) - 1 : -1] = _END
        self._pairs = HalfPairs(step * (points + len(self._gauss) + 2), skin)

    def evaluate(self, atoms: Atoms, *, local: bool) -> tuple[Any, bool]:
        """Compiled entropy of a structure, and whether its density changes with strain."""
        from ase_mlsample import _core

        pairs = self._pairs.blocks(atoms)
        density = self._density
        if density is None:
            if pairs.volume == 0.0:
                raise ValueError(
                    "the pair entropy takes its density from a cell that is periodic in all directions; "
                    f"this structure has pbc = {atoms.pbc.tolist()}: give density=..."
                )
            density = len(atoms) / pairs.volume
        entropy = _core.PairEntropy(
            pairs,
            cutoff=self._cutoff,
            gauss=self._gauss,
            shares=self._shares,
            density=density,
            local=local,
        )
        return entropy, self._density is None


def _spline_coefficients(width: float) -> _Array:
    """Coefficients c of Σ_m c_|m| B₅(x − m) that equals the normalised Gaussian at whole x.

    Parameters
    ----------
    width : float
        Standard deviation in grid steps.

    Returns
    -------
    (M + 1,) array
        Of the splines at the distances 0 … M; beyond 6 widths they are left out.
    """
    distance = np.minimum(np.arange(_PERIOD), _PERIOD - np.arange(_PERIOD))
    gauss = np.exp(-0.5 * (distance / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    spline = np.zeros(_PERIOD)
    spline[[0, 1, 2, -1, -2]] = np.array([66, 26, 1, 26, 1]) / 120
    coefficients = np.fft.ifft(np.fft.fft(gauss) / np.fft.fft(spline)).real
    return np.ascontiguousarray(coefficients[: int(np.ceil(_REACH * width)) + 1])
