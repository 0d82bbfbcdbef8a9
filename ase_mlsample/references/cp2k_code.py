"""CP2K (Quickstep: Gaussians and plane waves) as a reference."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import Rydberg

from ase_mlsample.references.calculator import Common, PlaneWaveCalculator, common_settings
from ase_mlsample.references.cp2k_files import cp2k_input, cp2k_results
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure
from ase_mlsample.references.files import content_hash
from ase_mlsample.references.program import output_of, program_of, run_program, tail
from ase_mlsample.references.settings import Accuracy, chosen_accuracy
from ase_mlsample.references.structures import check_elements, described
from ase_mlsample.references.words import Rule, failure_from

__all__ = ["READY", "CP2KCalculator", "cp2k"]

INSTALL = "apt-get install -y --no-install-recommends cp2k cp2k-data"
READY = {
    "Si": Accuracy(cutoff=400 * Rydberg, k_spacing=0.15, smearing_width=0.1),
    "Al": Accuracy(cutoff=400 * Rydberg, k_spacing=0.15, smearing_width=0.1),
    "Sn": Accuracy(cutoff=400 * Rydberg, k_spacing=0.15, smearing_width=0.1),
}
GENTLER: tuple[dict[str, Any], ...] = (
    {"mixing": 0.1, "max_iterations": 300},
    {"mixing": 0.03, "max_iterations": 800},
)
_RULES = (
    Rule(
        r"SCF run NOT converged|SCF convergence.*not (been )?reached|cholesky.{0,40}(fail|not positive)",
        NotConverged,
        "A gentler recipe has smaller mixing and more iterations.",
    ),
    Rule(r"atoms? .*too close|overlapping atoms|GEOMETRY wrong", GeometryFailure, "Atoms are too close."),
    Rule(
        r"basis set .*not found|potential .*not found|the requested (atomic|basis|potential)"
        r"|unknown (keyword|subsection|section)|invalid value for|could not be found|can ?not (be )?open"
        r"|file not found",
        SetupFailure,
        "Look at data_dir, basis, pseudopotential and extra_input.",
    ),
)


def _version(
    *,
    data_dir: str | None = None,
    basis_file: str = "BASIS_MOLOPT",
    potential_file: str = "GTH_POTENTIALS",
    command: str = "cp2k",
    **_: Any,
) -> str:
    words = program_of(command, code="CP2K", install=INSTALL)
    found = re.search(r"CP2K version (\S+)", output_of((*words, "--version")))
    folder = _data_folder(data_dir, (basis_file, potential_file))
    number = found.group(1) if found else "of unknown version"
    return f"cp2k {number}, data {content_hash(folder / name for name in (basis_file, potential_file))}"


def _data_folder(data_dir: str | None, names: Sequence[str]) -> Path:
    folder = Path(data_dir or os.environ.get("CP2K_DATA_DIR", "/usr/share/cp2k")).expanduser().resolve()
    for name in names:
        if not (folder / name).is_file():
            raise SetupFailure(
                f"CP2K: the file {name!r} is not in {folder}; give data_dir (or set CP2K_DATA_DIR), the "
                f"folder of basis sets and pseudopotentials. Debian has it with: {INSTALL}"
            )
    return folder


@reference_factory(version=_version, install=INSTALL, gentler=GENTLER, ready=READY)
def cp2k(
    *,
    elements: Sequence[str] | None = None,
    cutoff: float | None = None,
    k_spacing: float | None = None,
    smearing_width: float | None = None,
    smearing: Literal["fermi-dirac"] = "fermi-dirac",
    xc: str = "PBE",
    spin: Mapping[str, float] | None = None,
    basis: str | Mapping[str, str] = "DZVP-MOLOPT-SR-GTH",
    pseudopotential: str | Mapping[str, str] = "GTH-PBE",
    data_dir: str | None = None,
    basis_file: str = "BASIS_MOLOPT",
    potential_file: str = "GTH_POTENTIALS",
    relative_cutoff: float | None = None,
    bands_per_atom: int = 4,
    mixing: float = 0.3,
    max_iterations: int = 120,
    scf_tolerance: float = 1e-7,
    extra_input: str = "",
    command: str = "cp2k",
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """Gaussians and plane waves with CP2K, diagonalisation with smearing and k-points.

    Ready settings are in `READY`, for GTH-PBE pseudopotentials and the DZVP-MOLOPT-SR basis, whose own error
    the cutoff does not tell. Gentler recipes for what did not converge: mixing 0.1 and 300 iterations; then
    mixing 0.03 and 800 iterations.

    Parameters
    ----------
    elements : that structures may have; those with ready settings need no further numbers.
    cutoff : eV, of the finest grid of the density (CP2K's CUTOFF, there in Ry).
    k_spacing : Å⁻¹ (2π included), for a Γ-centred grid of each cell.
    smearing_width : eV.
    smearing : Fermi-Dirac, the only one here.
    xc : functional, as CP2K's XC_FUNCTIONAL section names it.
    spin : initial magnetic moments in μB by element; not polarised where None.
    basis, pseudopotential : name in the files, one for all or by element.
    data_dir : folder of the two files; $CP2K_DATA_DIR, then /usr/share/cp2k where None.
    basis_file, potential_file : in it.
    relative_cutoff : eV, REL_CUTOFF; an eighth of ``cutoff``, at least 60 Ry, where None.
    bands_per_atom : empty bands for the smearing.
    mixing : of the density (Broyden's ALPHA).
    max_iterations : of the self-consistency.
    scf_tolerance : EPS_SCF.
    extra_input : lines for the section FORCE_EVAL/DFT.
    command : such as ``mpirun -np 4 cp2k.psmp``.
    scratch, keep_failed : parent of the folder of each calculation, and where that of a failed one goes.
    smallest_distance : Å; structures with closer atoms are refused (0.4 times the sum of covalent radii).

    Returns
    -------
    Calculator
        Raises `ReferenceFailure` of the kind that tells what can be done.

    Raises
    ------
    SetupFailure
        No ready settings, or the data files are not where they should be.
    """
    common = common_settings(
        elements=elements,
        command=command,
        scratch=scratch,
        keep_failed=keep_failed,
        smallest_distance=smallest_distance,
        spin=spin,
    )
    if smearing != "fermi-dirac":
        raise ValueError(f"smearing = {smearing!r}: here CP2K has fermi-dirac only")
    numbers = {"cutoff": cutoff, "k_spacing": k_spacing, "smearing_width": smearing_width}
    accuracy = chosen_accuracy("CP2K", READY, common.elements, **numbers)
    folder = _data_folder(data_dir, (basis_file, potential_file))
    relative = max(60 * Rydberg, accuracy.cutoff / 8) if relative_cutoff is None else relative_cutoff
    keywords = {
        "basis_file": folder / basis_file,
        "potential_file": folder / potential_file,
        "basis": basis,
        "potential": pseudopotential,
        "xc": xc,
        "relative_cutoff": relative,
        "bands_per_atom": bands_per_atom,
        "mixing": mixing,
        "max_iterations": max_iterations,
        "scf_tolerance": scf_tolerance,
        "extra": extra_input,
    }
    return CP2KCalculator(common, accuracy, keywords)


class CP2KCalculator(PlaneWaveCalculator):
    """Runs of CP2K, one for each structure; made by `cp2k`.

    Parameters
    ----------
    common : what all codes are told.
    accuracy : cutoff, k-points and smearing.
    keywords : of `cp2k_input`.
    """

    code = "CP2K"

    def __init__(self, common: Common, accuracy: Accuracy, keywords: Mapping[str, Any]) -> None:
        super().__init__(common, accuracy)
        self.keywords = dict(keywords)

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One run of CP2K."""
        for name in ("basis", "potential"):
            if isinstance(self.keywords[name], Mapping):
                check_elements(atoms, self.keywords[name], code=self.code, what=name)
        words = program_of(self.common.command or "cp2k", code=self.code, install=INSTALL)
        text = cp2k_input(
            atoms, accuracy=self.accuracy, grid=self.grid(atoms), spin=self.common.spin, **self.keywords
        )
        (folder / "cp2k.inp").write_text(text)
        status = run_program([*words, "-i", "cp2k.inp"], folder, output="cp2k.out")
        output = (folder / "cp2k.out").read_text(errors="replace")
        converged = "SCF run converged in" in output and "SCF run NOT converged" not in output
        if status != 0 or not converged or "PROGRAM ENDED AT" not in output:
            about = f"{self.code}, {described(atoms)}"
            complaints = _complaints(output)
            said = f"{complaints}\n\n{output}"
            ending = complaints or tail(folder / "cp2k.out")
            raise failure_from(said, _RULES, about=about, status=status, ending=ending)
        # the total energy of CP2K with smearing contains -TS already
        return cp2k_results(output, len(atoms))

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """What `cp2k_results` cannot read."""
        return ReferenceFailure(
            f"{self.code}, {about}: {type(error).__name__}: {error}. Last words:\n{tail(folder / 'cp2k.out')}"
        )


def _complaints(output: str) -> str:
    """What CP2K writes into its boxes of errors, beside the figure that raises its hand."""
    boxes = re.findall(r"^ \*{79}\n((?: \*.*\*\n)+?) \*{79}$", output, re.MULTILINE)
    found = [
        " ".join(line[10:].rstrip("* ") for line in box.splitlines()) for box in boxes if "[ABORT]" in box
    ]
    return "\n".join(" ".join(text.split()) for text in found)
