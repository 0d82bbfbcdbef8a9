"""How much the surroundings of each atom look like those in a crystal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.cvs.pooling import PerAtomVariable, Pullback
from ase_mlsample.cvs.templates import Template, find_templates

__all__ = ["EnvironmentSimilarity"]

_Array = NDArray[np.float64]
_Cutoff = Literal["smooth", "plumed"] | float


class EnvironmentSimilarity(PerAtomVariable):
    """Crystallinity of every atom: similarity of its environment to that in a crystal.

    For a template l with neighbours at r0_j, j = 1 … n,
    k_l = (1/n) Σ_i w(r_i) Σ_j exp(−|r_i − r0_j|²/4σ²)
    over the neighbours i of the atom; a neighbour counts at the places of its own element only, and an atom
    is compared with the templates of its own element (elements without a template have the value 0). With
    several templates k = (1/λ) ln Σ_l exp(λ k_l), a smooth maximum. One in the perfect crystal (a little
    above, by what Gaussians of other neighbours reach over), about 0.2 in a liquid. There is no 1/L inside
    the logarithm, so that the perfect crystal has one; the value without any neighbours is ln L/λ (0.007
    for L = 2). The orientation is that of the templates: the crystal must be turned as they are, and the
    cell must keep its orientation.

    Parameters
    ----------
    templates : sequence of Template
        Environments in the crystal, such as :func:`~ase_mlsample.cvs.templates.find_templates` gives.
    sigma : float, Å
        Width σ; an eighth to a fifth of the distance to the neighbours separates crystal and liquid well.
    cutoff : "smooth", "plumed" or float
        How far neighbours count, r_max being the distance of the templates' farthest one. "smooth": w falls
        from one at r_max + 2.5σ to zero at r_max + 3.5σ with continuous second derivatives (means of silicon
        differ from PLUMED's by 0.0001 in crystal and liquid). A number is the radius (Å) where it reaches
        zero, after a fall over σ that begins at r_max or later. "plumed": cut at r_max + 3σ, where k jumps
        by up to e^(−9/4)/n: for comparison with PLUMED, not for dynamics.
    lam : float
        λ.
    skin : float, Å
        How much further neighbours are remembered; it changes the speed and nothing else.

    Raises
    ------
    ValueError
        For no templates, a width, λ or skin out of range, or a cutoff nearer than r_max + σ.

    References
    ----------
    P. M. Piaggi, M. Parrinello, J. Chem. Phys. 150, 244119 (2019).

    Examples
    --------
    >>> from ase.build import bulk
    >>> silicon = bulk("Si", a=5.431, cubic=True)
    >>> crystallinity = EnvironmentSimilarity.from_crystal(silicon, sigma=0.4)
    >>> n = crystallinity.count(threshold=0.5, nn=12, mm=24)
    >>> round(float(n(silicon * 2)[0]), 2)
    63.98
    """

    name = "crystallinity"
    lab_fixed = True

    def __init__(
        self,
        templates: Sequence[Template],
        sigma: float,
        *,
        cutoff: _Cutoff = "smooth",
        lam: float = 100.0,
        skin: float = 1.2,
    ) -> None:
        self.templates = tuple(templates)
        if not self.templates or not all(isinstance(one, Template) for one in self.templates):
            raise ValueError(f"at least one Template is needed, not {templates!r:.200}")
        self.sigma, self.lam, self.skin = float(sigma), float(lam), float(skin)
        for name, value in (("sigma", self.sigma), ("lam", self.lam)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value!r} must be positive and finite")
        reach = max(one.radius for one in self.templates)
        self.radii = _radii(cutoff, reach, self.sigma)
        self.parameters = {
            "templates": [one.todict() for one in self.templates],
            "sigma": self.sigma,
            "cutoff": cutoff if isinstance(cutoff, str) else float(cutoff),
            "lam": self.lam,
            "skin": self.skin,
        }
        self._build()

    @classmethod
    def from_crystal(
        cls,
        crystal: Atoms | str,
        *,
        sigma: float,
        cutoff: _Cutoff = "smooth",
        lam: float = 100.0,
        n_neighbors: int | None = None,
        shell_radius: float | None = None,
        skin: float = 1.2,
    ) -> EnvironmentSimilarity:
        """Similarity to the environments that are found in a crystal.

        Parameters
        ----------
        crystal : Atoms or str
            Any cell of it, with the lattice constant and orientation meant, or text for one as
            ``"Si:diamond:5.431"``; the file that it names where there is one.
        sigma : float, Å
            Width σ of the Gaussians.
        cutoff : "smooth", "plumed" or float
            As for the class.
        lam : float
            λ.
        n_neighbors : int, optional
            How many nearest neighbours make an environment; by default those before the largest gap.
        shell_radius : float, Å, optional
            Neighbours closer than this make an environment.
        skin : float, Å
            As for the class.

        Returns
        -------
        EnvironmentSimilarity

        Raises
        ------
        ValueError
            If no environments can be found, for text that is no crystal, or for parameters out of range.
        """
        if isinstance(crystal, str):
            from ase_mlsample.cvs.expressions import crystal as crystal_of

            crystal = crystal_of(crystal)
        if not isinstance(crystal, Atoms):
            raise TypeError(f"a crystal must be Atoms, or text such as 'Si:diamond:5.431', not {crystal!r}")
        found = find_templates(crystal, n_neighbors=n_neighbors, shell_radius=shell_radius)
        return cls(found, sigma, cutoff=cutoff, lam=lam, skin=skin)

    @property
    def cutoff(self) -> float:
        """Distance in Å from which neighbours do not count."""
        return self.radii[1]

    def forward(self, atoms: Atoms) -> tuple[_Array, Pullback]:
        """Crystallinity of all atoms, and a function for its derivatives.

        Parameters
        ----------
        atoms : Atoms
            N atoms in any cell, small or not periodic too.

        Returns
        -------
        values : (N,) array
        pullback : callable
            Weights (N,) → gradient (N, 3) and virial (3, 3) of their sum over the atoms' values.

        Raises
        ------
        ValueError
            For no atoms, none of an element with a template, atoms on top of each other, positions that are
            no numbers, or a cell without volume along periodic directions.
        """
        from ase_mlsample import _core

        species = self._species[atoms.numbers]
        with self._lock:
            self._pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
            values, edge_gradient = self._kernel.compute(self._pairs, species)
            first, second, vectors = self._pairs.first, self._pairs.second, self._pairs.vectors
        if not values.any():
            self._require_centers(atoms)

        def pullback(weights: _Array) -> tuple[_Array, _Array]:
            return _core.pull_edges(first, second, vectors, edge_gradient, weights)

        return values, pullback

    def _require_centers(self, atoms: Atoms) -> None:
        if len(atoms) == 0:
            raise ValueError("there are no atoms to compare with the templates")
        centers = sorted({one.center for one in self.templates})
        if not set(centers) & set(atoms.symbols):
            raise ValueError(
                f"the templates are environments of {', '.join(centers)}, of which {atoms.symbols} has none"
            )

    def _build(self) -> None:
        from ase_mlsample import _core

        table = np.full(len(atomic_numbers), -1, dtype=np.int32)
        for one in self.templates:
            for symbol in (one.center, *one.symbols):
                table[atomic_numbers[symbol]] = atomic_numbers[symbol]
        self._species = table
        sizes = [len(one) for one in self.templates]
        centers = [atomic_numbers[one.center] for one in self.templates]
        symbols = [atomic_numbers[symbol] for one in self.templates for symbol in one.symbols]
        self._kernel = _core.EnvironmentKernel(
            center=np.array(centers, dtype=np.int32),
            site_first=np.cumsum([0, *sizes], dtype=np.int64),
            sites=np.concatenate([one.positions for one in self.templates]),
            site_species=np.array(symbols, dtype=np.int32),
            sigma=self.sigma,
            lam=self.lam,
            inner=self.radii[0],
            outer=self.radii[1],
        )
        self._pairs = _core.NeighborList(self._kernel.cutoff, self.skin)
        self._lock = Lock()  # the kernels let other Python threads run

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_kernel"], state["_pairs"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()

    def __repr__(self) -> str:
        templates = ", ".join(repr(one) for one in self.templates[:4])
        more = f", … {len(self.templates)} in all" if len(self.templates) > 4 else ""
        return f"EnvironmentSimilarity([{templates}{more}], sigma={self.sigma}, cutoff={self.cutoff:.3f} Å)"


def _radii(cutoff: _Cutoff, reach: float, sigma: float) -> tuple[float, float]:
    """Distances up to which neighbours count fully, and from which they do not count."""
    if cutoff == "smooth":
        return reach + 2.5 * sigma, reach + 3.5 * sigma
    if cutoff == "plumed":
        return reach + 3 * sigma, reach + 3 * sigma
    if not isinstance(cutoff, float | int) or not (math.isfinite(cutoff) and cutoff >= reach + sigma):
        raise ValueError(
            f"cutoff = {cutoff!r}: 'smooth', 'plumed' or a distance is meant that lies σ or more beyond the "
            f"templates' farthest neighbour, at {reach + sigma:.3f} Å or farther"
        )
    return cutoff - sigma, float(cutoff)
