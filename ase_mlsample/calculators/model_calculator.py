"""Model potentials as ASE calculators: the coordinates of atoms are the variables."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.model_potentials import ModelPotential
from ase_mlsample.calculators.prediction import Prediction

__all__ = ["ModelCalculator"]


class ModelCalculator(MLCalculator):
    """An ASE calculator whose energy is a model potential of the atoms' coordinates.

    Up to three variables are x, y and z of one atom, so that each atom is a particle of its own and the
    energy is their sum; potentials of more variables take the coordinates of several atoms in turn (six
    variables: two atoms a particle). Coordinates that are left over feel nothing. The potential's energies
    are taken as eV, its variables as Å (or radian). It is an external field: the forces do not add up to
    zero, and there is no stress. Cell and periodicity of the atoms are ignored.

    Parameters
    ----------
    potential : ModelPotential

    Raises
    ------
    TypeError
        For something else than a model potential.

    Examples
    --------
    >>> from ase import Atoms
    >>> from ase_mlsample.calculators import WolfeQuapp
    >>> atoms = Atoms("H", [[-1.87996, 0.78205, 0]], calculator=WolfeQuapp().calculator())
    >>> float(abs(atoms.get_forces()).max()) < 1e-3
    True
    """

    implemented_properties: list[str] = ["energy", "free_energy", "energies", "forces"]  # noqa: RUF012

    def __init__(self, potential: ModelPotential) -> None:
        super().__init__()
        if not isinstance(potential, ModelPotential):
            raise TypeError(f"potential must be a ModelPotential, got {type(potential).__name__}")
        self.potential = potential
        self.parameters = {"potential": type(potential).__name__, **potential.settings()}

    @property
    def atoms_per_particle(self) -> int:
        """How many atoms' coordinates make one point of the potential."""
        return -(-self.potential.n_variables // 3)

    def variables(self, atoms: Atoms) -> NDArray[np.float64]:
        """Return the points (particles, n) that the atoms stand for.

        Raises
        ------
        ValueError
            When the atoms do not make up whole particles.
        """
        each = self.atoms_per_particle
        if len(atoms) == 0 or len(atoms) % each:
            raise ValueError(
                f"{type(self.potential).__name__} has {self.potential.n_variables} variables, the "
                f"coordinates of {each} atoms; {len(atoms)} atoms are no whole number of particles"
            )
        flat: NDArray[np.float64] = atoms.positions.reshape(-1, 3 * each)
        return flat[:, : self.potential.n_variables]

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:  # noqa: ARG002
        """Energy and forces, and the energy of each atom where one atom is one particle.

        Parameters
        ----------
        atoms : Atoms
            Any elements.
        members : bool
            Ignored: there is one potential, so there is no spread.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            When the atoms do not make up whole particles.
        """
        points = self.variables(atoms)
        energies = self.potential.energy(points)
        forces = np.zeros((len(points), 3 * self.atoms_per_particle))
        forces[:, : points.shape[1]] = -self.potential.gradient(points)
        return Prediction(
            energy=float(energies.sum()),
            forces=forces.reshape(-1, 3),
            energies=energies if self.atoms_per_particle == 1 else None,
        )

    def _why_missing(self, name: str) -> str:
        if name == "energies":
            return f"no atomic energies: {self.atoms_per_particle} atoms together are one particle"
        return super()._why_missing(name)
