"""ABINIT as a reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io.abinit import read_abinit_out, write_abinit_in

from ase_mlsample.references.calculator import Common, PlaneWaveCalculator, common_settings
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure
from ase_mlsample.references.files import content_hash, pseudopotential_files
from ase_mlsample.references.program import output_of, program_of, run_program, tail
from ase_mlsample.references.settings import Accuracy, chosen_accuracy
from ase_mlsample.references.structures import check_elements, described
from ase_mlsample.references.words import Rule, failure_from

__all__ = ["READY", "AbinitCalculator", "abinit"]

INSTALL = "apt-get install -y --no-install-recommends abinit abinit-data"
READY = {
    "Si": Accuracy(cutoff=410.0, k_spacing=0.15, smearing_width=0.1),
    "Al": Accuracy(cutoff=410.0, k_spacing=0.15, smearing_width=0.1),
    "Sn": Accuracy(cutoff=475.0, k_spacing=0.15, smearing_width=0.1),
}
GENTLER: tuple[dict[str, Any], ...] = (
    {"mixing": 0.3, "max_iterations": 150},
    {"mixing": 0.1, "max_iterations": 400},
)
_OCCUPATIONS = {"fermi-dirac": 3, "gaussian": 7}
_RULES = (
    Rule(
        r"was not enough scf cycles to converge",
        NotConverged,
        "A gentler recipe has smaller mixing and more iterations.",
    ),
    Rule(
        r"atoms .* too close|PAW SPHERES ARE OVERLAPPING|distance between atoms|located at the same point",
        GeometryFailure,
        "Atoms are too close.",
    ),
    Rule(
        r"pseudopotential file|cannot open file|file .*(not found|does not exist)|unknown variable"
        r"|is not one of the registered input variable|chkvars|ixc.*pseudo|file m_psp\w*\.F90"
        r"|not enough bands to get charge balance",
        SetupFailure,
        "Look at pseudopotentials and parameters.",
    ),
    Rule(r"the value of the input variable", SetupFailure, "Look at parameters."),
    Rule(
        r"chk\w+: ERROR|checking consistency of input data",
        SetupFailure,
        "Look at parameters.",
    ),
)


def _version(
    *,
    elements: Sequence[str] | None = None,
    pseudo_dir: str | None = None,
    pseudopotentials: Mapping[str, str] | None = None,
    command: str = "abinit",
    **_: Any,
) -> str:
    words = program_of(command, code="ABINIT", install=INSTALL)
    files = pseudopotential_files("ABINIT", folder=pseudo_dir, names=pseudopotentials, elements=elements)
    found = re.search(r"^\s*(\d+\.\d+\.\d+)", output_of((*words, "--version")), re.MULTILINE)
    number = found.group(1) if found else "of unknown version"
    return f"abinit {number}, pseudopotentials {content_hash(files.values())}"


@reference_factory(version=_version, install=INSTALL, gentler=GENTLER, ready=READY)
def abinit(
    *,
    elements: Sequence[str] | None = None,
    cutoff: float | None = None,
    k_spacing: float | None = None,
    smearing_width: float | None = None,
    smearing: Literal["fermi-dirac", "gaussian"] = "fermi-dirac",
    spin: Mapping[str, float] | None = None,
    pseudo_dir: str | None = None,
    pseudopotentials: Mapping[str, str] | None = None,
    density_cutoff: float | None = None,
    mixing: float | None = None,
    max_iterations: int = 80,
    energy_tolerance: float = 1e-8,
    parameters: Mapping[str, Any] | None = None,
    command: str = "abinit",
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """Plane waves and pseudopotentials or PAW data with ABINIT 9 or newer.

    Ready settings are in `READY`: the highest cutoff that PseudoDojo's PAW table (PBE, JTH) hints at for the
    element (15 Ha for Si, as for Al), and k-points and smearing of the other codes. The functional is that of
    the pseudopotentials. Gentler recipes for what did not converge: mixing (``diemix``) 0.3 and 150
    iterations; then mixing 0.1 and 400 iterations.

    Parameters
    ----------
    elements : that structures may have; those with ready settings need no further numbers.
    cutoff : eV, of the plane waves.
    k_spacing : Å⁻¹ (2π included), for a Γ-centred grid of each cell.
    smearing_width : eV; the bands are filled one after the other where zero, for what has a gap.
    smearing : of the occupations.
    spin : initial magnetic moments in μB by element; not polarised where None.
    pseudo_dir : folder of the pseudopotentials, such as
        ``/usr/share/abinit/psp/Pseudodojo_paw_pbe_standard`` of Debian's abinit-data.
    pseudopotentials : file in it for each element: XML for PAW, psp8 and others without.
    density_cutoff : eV, of the fine grid with PAW; twice ``cutoff`` where None.
    mixing : of the density; ABINIT's own where None.
    max_iterations : of the self-consistency.
    energy_tolerance : eV/atom, between two iterations, twice in a row.
    parameters : further variables of ABINIT; they go first.
    command : such as ``mpirun -np 4 abinit``.
    scratch, keep_failed : parent of the folder of each calculation, and where that of a failed one goes.
    smallest_distance : Å; structures with closer atoms are refused (0.4 times the sum of covalent radii).

    Returns
    -------
    Calculator
        Raises `ReferenceFailure` of the kind that tells what can be done.

    Raises
    ------
    SetupFailure
        No ready settings, or a pseudopotential is not where it should be.
    """
    common = common_settings(
        elements=elements,
        command=command,
        scratch=scratch,
        keep_failed=keep_failed,
        smallest_distance=smallest_distance,
        spin=spin,
    )
    numbers = {"cutoff": cutoff, "k_spacing": k_spacing, "smearing_width": smearing_width}
    accuracy = chosen_accuracy("ABINIT", READY, common.elements, **numbers)
    files = pseudopotential_files(
        "ABINIT", folder=pseudo_dir, names=pseudopotentials, elements=common.elements
    )
    if smearing not in _OCCUPATIONS:
        raise ValueError(f"smearing = {smearing!r} must be one of {', '.join(_OCCUPATIONS)}")
    width = accuracy.smearing_width
    occupations = {"occopt": _OCCUPATIONS[smearing], "tsmear": width} if width > 0 else {"occopt": 1}
    variables: dict[str, Any] = {
        "ecut": accuracy.cutoff,
        **occupations,
        "nstep": max_iterations,
        "chksymbreak": 0,
        "chksymtnons": 0,
        "optstress": 1,
        "optforces": 1,
        "prtwf": 0,
        "prtden": 0,
        "prteig": 0,
    }
    if any(path.suffix == ".xml" for path in files.values()):
        variables["pawecutdg"] = 2 * accuracy.cutoff if density_cutoff is None else density_cutoff
    if mixing is not None:
        variables["diemix"] = mixing
    return AbinitCalculator(common, accuracy, {**variables, **(parameters or {})}, files, energy_tolerance)


class AbinitCalculator(PlaneWaveCalculator):
    """Runs of ABINIT, one for each structure; made by `abinit`.

    Parameters
    ----------
    common : what all codes are told.
    accuracy : cutoff, k-points and smearing.
    variables : of ABINIT, in eV.
    files : pseudopotential of each element.
    energy_tolerance : eV/atom.
    """

    code = "ABINIT"

    def __init__(
        self,
        common: Common,
        accuracy: Accuracy,
        variables: Mapping[str, Any],
        files: Mapping[str, Path],
        energy_tolerance: float,
    ) -> None:
        super().__init__(common, accuracy)
        self.variables = dict(variables)
        self.files = dict(files)
        self.energy_tolerance = energy_tolerance

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One run of ABINIT."""
        check_elements(atoms, self.files, code=self.code, what="pseudopotentials")
        words = program_of(self.common.command or "abinit", code=self.code, install=INSTALL)
        self._write_input(atoms, folder)
        status = run_program([*words, "abinit.in"], folder, output="abinit.log")
        report = folder / "abinit.abo"
        text = report.read_text(errors="replace") if report.is_file() else ""
        log = (folder / "abinit.log").read_text(errors="replace")
        # asked for by its presence: ABINIT ends well, and ASE reads the numbers, when nstep did not suffice
        converged = re.search(r"At SCF step\s+\d+.*converged", text) is not None
        if status != 0 or not converged or "Calculation completed" not in text:
            about = f"{self.code}, {described(atoms)}"
            short = re.findall(r"nstep=.*not enough SCF cycles.*", text)
            complaints = _complaints(log)
            said = "\n".join((*short, complaints))
            ending = complaints or tail(folder / "abinit.log")
            raise failure_from(said, _RULES, about=about, status=status, ending=ending)
        with report.open() as lines:
            found = read_abinit_out(lines)
        # etotal of ABINIT with smearing is the free energy already
        return {"energy": found["energy"], "forces": found["forces"], "stress": found.get("stress")}

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """What ASE's parser cannot read."""
        return ReferenceFailure(
            f"{self.code}, {about}: the output cannot be read ({type(error).__name__}: {error}). "
            f"Last words:\n{tail(folder / 'abinit.log')}"
        )

    def _write_input(self, atoms: Atoms, folder: Path) -> None:
        species = sorted(set(atoms.numbers))
        symbols = [str(Atoms([number]).symbols[0]) for number in species]
        grid = self.grid(atoms)
        variables = {
            "kptopt": 1,
            "ngkpt": list(grid),
            "nshiftk": 1,
            "shiftk": [0.0, 0.0, 0.0],  # ASE shifts even grids; Γ-centred like the other codes
            "toldfe": self.energy_tolerance * len(atoms),
            **self.variables,
        }
        pseudos = [str(self.files[symbol]) for symbol in symbols]
        with (folder / "abinit.in").open("w") as file:
            write_abinit_in(
                file, atoms, param={**variables, "pps": "pawxml"}, species=species, pseudos=pseudos
            )


def _complaints(log: str) -> str:
    """Messages of the blocks that ABINIT marks as errors."""
    blocks = re.findall(r"--- !(ERROR|BUG|WARNING)\n(.*?)\n\.\.\.", log, re.DOTALL)
    # what is wrong with the input comes as a warning, the error refers to it
    found = [text for kind, text in blocks if kind != "WARNING" or re.search(r"chk\w+: ERROR", text)]
    # reading a file of another format ends in the Fortran library
    found += re.findall(r"^At line .*\nFortran runtime error: .*", log, re.MULTILINE)
    lines = [line.strip() for block in found for line in block.splitlines()]
    skipped = ("src_file", "src_line", "mpi_rank", "message: |")
    return "\n".join(line for line in lines if line and not line.startswith(skipped))
