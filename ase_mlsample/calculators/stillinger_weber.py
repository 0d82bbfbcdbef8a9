"""The Stillinger–Weber potential: a reference that costs a microsecond an atom."""

from threading import Lock
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction
from ase_mlsample.calculators.structures import element_names, has_volume

__all__ = ["StillingerWeber"]

_VOIGT = np.array([0, 4, 8, 5, 2, 1])  # xx yy zz yz xz xy among the nine of a 3×3 array


class StillingerWeber(MLCalculator):
    """Stillinger–Weber potential of one element; without arguments silicon as published in 1985.

    E = Σ_{i<j} εA[B(σ/r)⁴ − 1] e^{σ/(r−aσ)}
    + Σ_i Σ_{j<k} ελ(cos θ_jik − cos θ₀)² e^{γσ/(r_ij−aσ)} e^{γσ/(r_ik−aσ)}
    for distances below aσ (exponents p = 4 and q = 0). Any periodicity, any cell, atoms outside the cell.
    Atomic energies: half of each pair's energy goes to either atom, a triplet's energy to its central atom.
    An evaluation depends on the structure alone; a neighbour list kept between calls only saves time. The
    number of threads is that of the compiled core (``OMP_NUM_THREADS`` when it is loaded).

    Parameters
    ----------
    symbol : str
        The element that the parameters are for; others are refused.
    epsilon : float, eV
        Energy scale ε.
    sigma : float, Å
        Length scale σ.
    a : float
        The potential ends at aσ.
    lambda_ : float
        Strength λ of the three-body term.
    gamma : float
        Decay γ of the three-body term.
    A, B : float
        Strength and repulsion of the pair term.
    cos_theta0 : float
        Cosine of the angle at which a triplet costs nothing.
    skin : float, Å
        How much further than aσ neighbours are remembered, so that they need not be searched at every step.
        It changes the speed and nothing else.

    Raises
    ------
    ValueError
        For parameters that are not finite, or a length that is not positive.
    KeyError
        If the symbol is not an element's.

    References
    ----------
    F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985); ε is scaled to silicon's cohesive energy.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Si", a=5.43095)
    >>> atoms.calc = StillingerWeber()
    >>> round(atoms.get_potential_energy() / 2, 4)
    -4.3366
    """

    def __init__(
        self,
        symbol: str = "Si",
        *,
        epsilon: float = 2.1683,
        sigma: float = 2.0951,
        a: float = 1.8,
        lambda_: float = 21.0,
        gamma: float = 1.2,
        A: float = 7.049556277,
        B: float = 0.6022245584,
        cos_theta0: float = -1.0 / 3.0,
        skin: float = 1.2,
    ) -> None:
        super().__init__()
        if symbol not in atomic_numbers or symbol == "X":
            raise KeyError(f"{symbol!r} is not a chemical symbol")
        values = {"epsilon": epsilon, "sigma": sigma, "a": a, "lambda_": lambda_, "gamma": gamma}
        values |= {"A": A, "B": B, "cos_theta0": cos_theta0, "skin": skin}
        self.parameters = {"symbol": symbol, **{name: float(value) for name, value in values.items()}}
        self._number = atomic_numbers[symbol]
        self._build()

    @property
    def cutoff(self) -> float:
        """Where the potential ends, aσ, in Å."""
        return float(self._kernel.cutoff)

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:  # noqa: ARG002
        """Energy, forces, atomic energies and, if the cell has a volume, stress.

        Parameters
        ----------
        atoms : Atoms
            The structure; it is not changed.
        members : bool
            Ignored: there is one potential, so there is no spread.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            For other elements than the parametrised one, positions that are not finite, atoms on top of each
            other, or a cell without volume along periodic directions.
        """
        numbers = atoms.numbers
        if not (numbers == self._number).all():
            self._refuse(atoms)
        cell = atoms.cell.array
        with self._lock:
            self._neighbors.update(atoms.positions, cell, atoms.pbc)
            energy, energies, forces, virial = self._kernel.compute(self._neighbors)
        stress = None
        if has_volume(atoms):
            stress = virial.reshape(9)[_VOIGT] / abs(np.linalg.det(cell))
        return Prediction(energy=energy, forces=forces, energies=energies, stress=stress)

    def _refuse(self, atoms: Atoms) -> None:
        symbol = self.parameters["symbol"]
        others = element_names(atoms.numbers[atoms.numbers != self._number])
        raise ValueError(
            f"these Stillinger–Weber parameters are for {symbol}, but the structure has {others}; "
            "give the parameters of that element with StillingerWeber(symbol, epsilon=..., sigma=..., ...)"
        )

    def _build(self) -> None:
        from ase_mlsample import _core

        parameters = {k: v for k, v in self.parameters.items() if k not in ("symbol", "skin")}
        self._kernel = _core.StillingerWeberKernel(**parameters)
        self._neighbors = _core.NeighborList(self._kernel.cutoff, self.parameters["skin"])
        self._lock = Lock()  # the kernels let other Python threads run

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_kernel"], state["_neighbors"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()
