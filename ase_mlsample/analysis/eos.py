"""Equilibrium volume and bulk modulus from energies of strained cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase.eos import EquationOfState as AseEquationOfState
from ase.units import GPa
from numpy.typing import ArrayLike

__all__ = ["FORMS", "EquationOfState", "fit_equation_of_state"]

FORMS = ("birchmurnaghan", "murnaghan", "vinet")


@dataclass(frozen=True, slots=True)
class EquationOfState:
    """The minimum of E(V).

    Attributes
    ----------
    volume
        Equilibrium volume, Å³.
    energy
        Energy there, eV.
    bulk_modulus
        V d²E/dV² there, eV/Å³.
    rms_residual
        Root mean square of the fit's residuals, eV.
    derivative
        dB/dP there.
    """

    volume: float
    energy: float
    bulk_modulus: float
    rms_residual: float
    derivative: float

    @property
    def bulk_modulus_GPa(self) -> float:
        """Bulk modulus in GPa."""
        return self.bulk_modulus / float(GPa)

    def lattice_constant(self, volumes_per_cube: float = 1.0) -> float:
        """Edge of the cubic cell, Å.

        Parameters
        ----------
        volumes_per_cube
            How many of the fitted cells make one cubic cell: 1 for a cubic cell, 4 for the primitive
            cell of fcc or diamond, 2 for that of bcc.
        """
        return float((self.volume * volumes_per_cube) ** (1 / 3))


def fit_equation_of_state(
    volumes: ArrayLike, energies: ArrayLike, *, form: str = "birchmurnaghan"
) -> EquationOfState:
    """Fit an equation of state.

    Parameters
    ----------
    volumes : (K,) array, Å³
        At least five different volumes on both sides of the minimum.
    energies : (K,) array, eV
    form
        "birchmurnaghan", "murnaghan" or "vinet".

    Returns
    -------
    EquationOfState

    Raises
    ------
    ValueError
        For too few, non-finite or non-positive input, an unknown form, or a minimum that the volumes do
        not bracket.

    References
    ----------
    Birch, Phys. Rev. 71, 809 (1947); ASE's `ase.eos` does the fit.
    """
    v, e = np.asarray(volumes, float), np.asarray(energies, float)
    if v.shape != e.shape or v.ndim != 1:
        raise ValueError(f"volumes {v.shape} and energies {e.shape} must be two lists of one length")
    if len(np.unique(v)) < 5:
        raise ValueError(f"{len(np.unique(v))} different volumes; an equation of state needs at least 5")
    if not (np.isfinite(v).all() and np.isfinite(e).all() and (v > 0).all()):
        raise ValueError("volumes must be positive, volumes and energies finite")
    if form not in FORMS:
        raise ValueError(f"unknown equation of state {form!r}; known: {', '.join(FORMS)}")
    fit = AseEquationOfState(v, e, eos=form)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of a minimum outside, which is refused below
            v0, e0, b = fit.fit(warn=False)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"no equation of state fits these energies ({error})") from error
    if not v.min() < v0 < v.max():
        raise ValueError(
            f"the minimum, {v0:.4g} Å³, is not inside the volumes {v.min():.4g} to {v.max():.4g} Å³: "
            "strain the cell around its equilibrium"
        )
    residuals = e - fit.func(v, *fit.eos_parameters)
    _, _, derivative, _ = fit.eos_parameters  # E0, B, dB/dP, V0 in all three forms
    rms = float(np.sqrt(np.mean(residuals**2)))
    return EquationOfState(float(v0), float(e0), float(b), rms, float(derivative))
