"""Input and output of CP2K for one energy with forces and stress."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr, GPa, Hartree, Rydberg, kB
from numpy.typing import NDArray

from ase_mlsample.references.settings import Accuracy

__all__ = ["cp2k_input", "cp2k_results"]

_NUMBER = r"(-?\d+\.\d+(?:[ED][+-]?\d+)?)"


def cp2k_input(
    atoms: Atoms,
    *,
    accuracy: Accuracy,
    grid: Sequence[int],
    basis_file: Path,
    potential_file: Path,
    basis: str | Mapping[str, str],
    potential: str | Mapping[str, str],
    xc: str,
    relative_cutoff: float,
    bands_per_atom: int,
    mixing: float,
    max_iterations: int,
    scf_tolerance: float,
    spin: Mapping[str, float] | None = None,
    extra: str = "",
) -> str:
    """Text of the input file; see the factory `cp2k` for the arguments."""
    dft = [
        f"BASIS_SET_FILE_NAME {basis_file}",
        f"POTENTIAL_FILE_NAME {potential_file}",
        *(["UKS"] if spin is not None else []),
        f"&MGRID\n CUTOFF {accuracy.cutoff / Rydberg:.6f}\n REL_CUTOFF {relative_cutoff / Rydberg:.6f}\n&END",
        "&QS\n EPS_DEFAULT 1e-12\n&END",
        f"&XC\n &XC_FUNCTIONAL {xc}\n &END\n&END",
        _k_points(grid),
        _self_consistency(accuracy, len(atoms) * bands_per_atom, mixing, max_iterations, scf_tolerance),
        extra,
    ]
    subsystem = [_cell(atoms), _coordinates(atoms), *_kinds(atoms, basis, potential, spin)]
    return "\n".join([
        "&GLOBAL\n PROJECT label\n RUN_TYPE ENERGY_FORCE\n PRINT_LEVEL LOW\n&END",
        "&FORCE_EVAL\n METHOD Quickstep\n STRESS_TENSOR ANALYTICAL",
        "&PRINT\n &FORCES ON\n NDIGITS 12\n &END\n &STRESS_TENSOR ON\n &END\n&END",
        *("&DFT", *(part for part in dft if part), "&END DFT"),
        *("&SUBSYS", *subsystem, "&END SUBSYS"),
        "&END FORCE_EVAL\n",
    ])  # fmt: skip


def _k_points(grid: Sequence[int]) -> str:
    if tuple(grid) == (1, 1, 1):
        return ""
    # points are (2i - n - 1)/2n + shift: half a step puts even grids on Γ
    shifts = " ".join(f"{0.5 / n if n % 2 == 0 else 0.0:.12f}" for n in grid)
    return f"&KPOINTS\n SCHEME MACDONALD {' '.join(map(str, grid))} {shifts}\n&END"


def _self_consistency(
    accuracy: Accuracy, bands: int, mixing: float, max_iterations: int, tolerance: float
) -> str:
    kelvin = accuracy.smearing_width / kB
    smear = f"&SMEAR ON\n METHOD FERMI_DIRAC\n ELECTRONIC_TEMPERATURE [K] {kelvin:.6f}\n&END"
    return "\n".join([
        f"&SCF\n MAX_SCF {max_iterations}\n EPS_SCF {tolerance:g}\n SCF_GUESS ATOMIC",
        *([f"ADDED_MOS {bands}", smear] if kelvin > 0 else []),
        "&DIAGONALIZATION ON\n ALGORITHM STANDARD\n&END",
        f"&MIXING\n METHOD BROYDEN_MIXING\n ALPHA {mixing:g}\n NBROYDEN 8\n&END",
        "&PRINT\n &RESTART OFF\n &END\n&END",
        "&END SCF",
    ])  # fmt: skip


def _cell(atoms: Atoms) -> str:
    rows = (
        f"{name} " + " ".join(f"{x:.14f}" for x in vector)
        for name, vector in zip("ABC", atoms.cell.array, strict=True)
    )
    return "&CELL\n" + "\n".join(rows) + "\n PERIODIC XYZ\n&END"


def _coordinates(atoms: Atoms) -> str:
    lines = (
        f"{symbol} " + " ".join(f"{x:.14f}" for x in position)
        for symbol, position in zip(atoms.symbols, atoms.positions, strict=True)
    )
    return "&COORD\n" + "\n".join(lines) + "\n&END"


def _kinds(
    atoms: Atoms,
    basis: str | Mapping[str, str],
    potential: str | Mapping[str, str],
    spin: Mapping[str, float] | None,
) -> list[str]:
    kinds = []
    for symbol in sorted(set(atoms.symbols)):
        named = [item[symbol] if isinstance(item, Mapping) else item for item in (basis, potential)]
        moment = f"\n MAGNETIZATION {spin.get(symbol, 0.0):g}" if spin is not None else ""
        kinds.append(f"&KIND {symbol}\n BASIS_SET {named[0]}\n POTENTIAL {named[1]}{moment}\n&END")
    return kinds


def cp2k_results(output: str, n_atoms: int) -> dict[str, Any]:
    """Energy (eV), forces (N, 3) in eV/Å and stress (6,) in eV/Å³ of an output.

    Raises
    ------
    ValueError
        A part is not there.
    """
    energies = re.findall(r"ENERGY\| Total FORCE_EVAL .*?:?\s+" + _NUMBER + r"\s*$", output, re.MULTILINE)
    if not energies:
        raise ValueError("the output has no total energy")
    return {
        "energy": float(energies[-1]) * Hartree,
        "forces": _forces(output, n_atoms),
        "stress": _stress(output),
    }


def _forces(output: str, n_atoms: int) -> NDArray[np.float64]:
    _, header, rest = output.rpartition("ATOMIC FORCES in [a.u.]")
    pattern = r"^\s*\d+\s+\d+\s+[A-Z][a-z]?\s+" + r"\s+".join([_NUMBER] * 3)
    if not header:  # since 2024
        _, header, rest = output.rpartition("FORCES| Atomic forces")
        pattern = r"^\s*FORCES\|\s+\d+\s+" + r"\s+".join([_NUMBER] * 3)
    rows = re.findall(pattern, rest, re.MULTILINE)[:n_atoms]
    if len(rows) != n_atoms:
        raise ValueError(f"the output has forces on {len(rows)} of {n_atoms} atoms")
    return np.asarray(np.array(rows, dtype=float) * (Hartree / Bohr))


def _stress(output: str) -> NDArray[np.float64]:
    _, header, rest = output.rpartition("STRESS| Analytical stress tensor [")
    unit, _, rest = rest.partition("]")
    rows = re.findall(r"^\s*STRESS\|\s+[xyz]\s+" + r"\s+".join([_NUMBER] * 3), rest, re.MULTILINE)[:3]
    if not header or len(rows) != 3 or unit not in ("GPa", "bar"):
        raise ValueError("the output has no stress tensor in GPa or bar")
    tensor = np.array(rows, dtype=float) * (GPa if unit == "GPa" else 1e-4 * GPa)
    return np.asarray(-((tensor + tensor.T) / 2).ravel()[[0, 4, 8, 5, 2, 1]])  # CP2K's is a pressure
