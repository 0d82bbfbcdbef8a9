"""The elastic tensor of a crystal at zero pressure, its stability and its polycrystalline averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray

from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
from ase_mlsample.validation.relaxation import SYMPREC, relaxed, relaxed_crystal

__all__ = ["Averages", "averages", "elastic_constants", "elastic_tensor"]

FloatArray = NDArray[np.float64]

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: Constants that a crystal system leaves independent, by the first space group of the system.
_INDEPENDENT = {
    195: ("11", "12", "44"),
    168: ("11", "12", "13", "33", "44"),
    143: ("11", "12", "13", "14", "33", "44"),
    75: ("11", "12", "13", "33", "44", "66"),
    16: ("11", "12", "13", "22", "23", "33", "44", "55", "66"),
}


@dataclass(frozen=True, slots=True)
class Averages:
    """Moduli of a polycrystal without texture, GPa.

    Attributes
    ----------
    bulk_voigt, bulk_reuss, shear_voigt, shear_reuss
        Upper and lower bounds.
    """

    bulk_voigt: float
    bulk_reuss: float
    shear_voigt: float
    shear_reuss: float

    @property
    def bulk(self) -> float:
        """Hill's mean of the bounds of the bulk modulus."""
        return (self.bulk_voigt + self.bulk_reuss) / 2

    @property
    def shear(self) -> float:
        """Hill's mean of the bounds of the shear modulus."""
        return (self.shear_voigt + self.shear_reuss) / 2

    @property
    def young(self) -> float:
        """Young's modulus of the means, 9 B G / (3 B + G)."""
        return 9 * self.bulk * self.shear / (3 * self.bulk + self.shear)

    @property
    def poisson(self) -> float:
        """Poisson's ratio of the means."""
        return (3 * self.bulk - 2 * self.shear) / (6 * self.bulk + 2 * self.shear)


def averages(tensor: FloatArray) -> Averages:
    """Voigt's and Reuss's averages of an elastic tensor.

    Parameters
    ----------
    tensor : (6, 6) array, GPa
        Voigt order xx yy zz yz xz xy; invertible.

    References
    ----------
    R. Hill, Proc. Phys. Soc. A 65, 349 (1952).
    """
    c, s = np.asarray(tensor, float), np.linalg.inv(tensor)
    diagonal, off = np.trace(c[:3, :3]), c[0, 1] + c[0, 2] + c[1, 2]
    soft, mixed = np.trace(s[:3, :3]), s[0, 1] + s[0, 2] + s[1, 2]
    return Averages(
        bulk_voigt=float(diagonal + 2 * off) / 9,
        bulk_reuss=float(1 / (soft + 2 * mixed)),
        shear_voigt=float(diagonal - off + 3 * np.trace(c[3:, 3:])) / 15,
        shear_reuss=float(15 / (4 * soft - 4 * mixed + 3 * np.trace(s[3:, 3:]))),
    )


def elastic_tensor(
    calc: Any, crystal: Atoms, *, strain: float = 0.01, relax_ions: bool = True, fmax: float = 1e-4
) -> FloatArray:
    """Elastic constants from the stress of strained cells, made symmetric by the crystal's point group.

    Each of the six strains is applied with both signs; C = (σ(+δ) − σ(−δ)) / 2δ has an error of order δ².

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        At zero stress; left alone.
    strain : float
        δ, engineering strain for the shears.
    relax_ions : bool
        Relax the positions in each strained cell; without it the constants are those of clamped ions.
    fmax : float
        eV/Å, of this relaxation.

    Returns
    -------
    (6, 6) array, GPa
        Voigt order xx yy zz yz xz xy, in the frame of the crystal's cell.
    """
    tensor = np.empty((6, 6))
    for column, (i, j) in enumerate(_VOIGT):
        stresses = []
        for sign in (1.0, -1.0):
            deformation = np.eye(3)
            deformation[i, j] += sign * strain / 2
            deformation[j, i] += sign * strain / 2
            strained = crystal.copy()
            strained.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
            strained.calc = calc
            if relax_ions:
                strained = relaxed(calc, strained, fmax=fmax)
            stresses.append(np.array(strained.get_stress()))
        tensor[:, column] = (stresses[0] - stresses[1]) / (2 * strain * GPa)
    return _symmetrised((tensor + tensor.T) / 2, crystal)


def _symmetrised(tensor: FloatArray, crystal: Atoms) -> FloatArray:
    """Average over the rotations of the point group."""
    import spglib

    found = spglib.get_symmetry_dataset(
        (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers), SYMPREC
    )
    if found is None:
        return tensor
    index = np.zeros((3, 3), dtype=int)
    for number, (i, j) in enumerate(_VOIGT):
        index[i, j] = index[j, i] = number
    full = tensor[index[:, :, None, None], index[None, None, :, :]]
    basis = crystal.cell.array.T
    total = np.zeros_like(full)
    for rotation in found.rotations:
        turn = basis @ rotation @ np.linalg.inv(basis)
        total += np.einsum("ia,jb,kc,ld,abcd->ijkl", turn, turn, turn, turn, full, optimize=True)
    total /= len(found.rotations)
    rows, columns = np.array(_VOIGT).T
    return np.asarray(total[rows[:, None], columns[:, None], rows[None], columns[None]])


@each_member
def elastic_constants(
    calc: Any, crystal: Atoms, *, strain: float = 0.01, clamped: bool = True
) -> PropertyResult:
    """Elastic constants of a crystal after zero-pressure relaxation.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        A cell whose axes are the conventional ones, such as the primitive cells of prototypes.
    strain : float
        Size of the strains. A learned surface has ripples: what a smaller strain sees is their curvature.
    clamped : bool
        Give C44 of clamped ions too, for crystals in which the ions have freedom.

    Returns
    -------
    PropertyResult
        The independent constants ("C11", GPa); Hill's "bulk" and "shear" moduli with "young" and "poisson";
        "stability", the smallest eigenvalue of the tensor in GPa: the crystal is stable against strain (Born)
        when it is positive; "anisotropy" 2 C44 / (C11 − C12) of cubic crystals. ``facts["tensor_GPa"]`` has
        the whole tensor and ``facts["averages_GPa"]`` the bounds.

    References
    ----------
    M. Born, K. Huang, Dynamical Theory of Crystal Lattices (1954); F. Mouhat, F.-X. Coudert, Phys. Rev. B 90,
    224104 (2014).
    """
    import spglib

    ground = relaxed_crystal(calc, crystal, fmax=2e-5)
    tensor = elastic_tensor(calc, ground, strain=strain)
    found = spglib.get_symmetry_dataset(
        (ground.cell.array, ground.get_scaled_positions(), ground.numbers), SYMPREC
    )
    group = 1 if found is None else int(found.number)
    wanted = next((names for first, names in _INDEPENDENT.items() if group >= first), ())
    quantities = [
        Quantity(f"C{name}", float(tensor[int(name[0]) - 1, int(name[1]) - 1]), "GPa", f"C{name}")
        for name in wanted
    ]
    if clamped and len(ground) > 1 and wanted:
        rigid = elastic_tensor(calc, ground, strain=strain, relax_ions=False)
        quantities.append(Quantity("C44.clamped", float(rigid[3, 3]), "GPa", "C44, ions clamped"))
    lowest = float(np.linalg.eigvalsh(tensor).min())
    mean = averages(tensor)
    quantities += [
        Quantity("bulk", mean.bulk, "GPa", "bulk modulus (Hill)"),
        Quantity("shear", mean.shear, "GPa", "shear modulus (Hill)"),
        Quantity("young", mean.young, "GPa", "Young's modulus (Hill)"),
        Quantity("poisson", mean.poisson, "", "Poisson's ratio (Hill)"),
        Quantity("stability", lowest, "GPa", "smallest eigenvalue of C"),
    ]
    if group >= 195:
        ratio = 2 * tensor[3, 3] / (tensor[0, 0] - tensor[0, 1])
        quantities.append(Quantity("anisotropy", float(ratio), "", "2 C44 / (C11 − C12)"))
    word = "stable" if lowest > 0 else "unstable"
    facts = {
        "strain": strain,
        "space_group": group,
        "tensor_GPa": tensor.round(6).tolist(),
        "averages_GPa": {
            "bulk": [mean.bulk_reuss, mean.bulk_voigt],
            "shear": [mean.shear_reuss, mean.shear_voigt],
        },
    }
    return PropertyResult("elastic", tuple(quantities), facts=facts, notes=(f"{word} against strain (Born)",))
