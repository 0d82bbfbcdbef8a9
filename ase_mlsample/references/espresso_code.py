"""Quantum ESPRESSO's pw.x as a reference."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write
from ase.units import Rydberg

from ase_mlsample.references.calculator import Common, PlaneWaveCalculator, common_settings
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure
from ase_mlsample.references.files import content_hash, pseudopotential_files
from ase_mlsample.references.program import output_of, program_of, run_program, tail
from ase_mlsample.references.settings import Accuracy, chosen_accuracy
from ase_mlsample.references.structures import check_elements, described
from ase_mlsample.references.words import Rule, failure_from

__all__ = ["READY", "EspressoCalculator", "espresso"]

INSTALL = "apt-get install -y --no-install-recommends quantum-espresso quantum-espresso-data"
SHIPPED = Path(__file__).with_name("pseudo")
READY = {
    "Si": Accuracy(cutoff=500.0, k_spacing=0.15, smearing_width=0.1),
    "Al": Accuracy(cutoff=450.0, k_spacing=0.15, smearing_width=0.1),
    "Sn": Accuracy(cutoff=500.0, k_spacing=0.15, smearing_width=0.1),
}
GENTLER: tuple[dict[str, Any], ...] = (
    {"mixing": 0.3, "max_iterations": 300},
    {"mixing": 0.1, "max_iterations": 600, "diagonalization": "cg"},
)
_GENTLE = "A gentler recipe has smaller mixing and more iterations."
_RULES = (
    Rule(r"convergence NOT achieved", NotConverged, _GENTLE),
    Rule(r"smearing is needed", SetupFailure, "Give a smearing_width above zero."),
    Rule(
        r"eigenvectors failed to converge|too many bands are not converged|S matrix not positive definite"
        r"|problems computing cholesky|charge is wrong|(error in routine|from)\s+[rc]diaghg",
        NotConverged,
        "A gentler recipe has smaller mixing and another diagonalisation.",
    ),
    Rule(r"atoms #.*(overlap|differ by lattice vector)", GeometryFailure, "Atoms lie on top of each other."),
    Rule(
        r"(error in routine|from)\s+(readpp|read_\w*upf\w*|read_ps\w*|upf_\w+)",
        SetupFailure,
        "Look at pseudo_dir and pseudopotentials.",
    ),
    Rule(
        r"(error in routine|from)\s+(read_namelists|read_cards|card_\w+|iosys|input\w*|system_checkin\w*"
        r"|electrons_checkin\w*|set_dft\w*)",
        SetupFailure,
        "Look at parameters.",
    ),
)


def _version(
    *,
    elements: Sequence[str] | None = None,
    pseudo_dir: str | None = None,
    pseudopotentials: Mapping[str, str] | None = None,
    command: str = "pw.x",
    **_: Any,
) -> str:
    words = program_of(command, code="Quantum ESPRESSO", install=INSTALL)
    found = re.search(r"Program PWSCF\s+v\.(\S+)", output_of(tuple(words)))
    files = _pseudopotentials(elements, pseudo_dir, pseudopotentials)
    number = found.group(1) if found else "of unknown version"
    return f"pw.x {number}, pseudopotentials {content_hash(files.values())}"


def _pseudopotentials(
    elements: Sequence[str] | None, pseudo_dir: str | None, names: Mapping[str, str] | None
) -> dict[str, Path]:
    if pseudo_dir is None and names is None:
        shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.gth"))}
        without = [symbol for symbol in elements or () if symbol not in shipped]
        if without:
            raise SetupFailure(
                f"Quantum ESPRESSO: no pseudopotential comes with the package for {', '.join(without)} (only "
                f"for {', '.join(shipped)}); give pseudo_dir and pseudopotentials"
            )
        return {symbol: shipped[symbol] for symbol in elements or shipped}
    return pseudopotential_files("Quantum ESPRESSO", folder=pseudo_dir, names=names, elements=elements)


@reference_factory(version=_version, install=INSTALL, gentler=GENTLER, ready=READY)
def espresso(
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
    max_iterations: int = 200,
    diagonalization: str | None = None,
    energy_tolerance: float = 1e-8,
    stress: bool | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    command: str = "pw.x",
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """Plane waves and pseudopotentials with pw.x of Quantum ESPRESSO.

    Ready settings are in `READY`, for the GTH-PBE pseudopotentials of Si, Al and Sn that come with the
    package and are used where neither ``pseudo_dir`` nor ``pseudopotentials`` is given. The functional is
    that of the pseudopotentials. Gentler recipes for what did not converge: mixing 0.3 and 300 iterations;
    then mixing 0.1, 600 iterations and diagonalisation by conjugate gradients.

    Parameters
    ----------
    elements : that structures may have; those with ready settings need no further numbers.
    cutoff : eV, of the plane waves.
    k_spacing : Å⁻¹ (2π included), for a Γ-centred grid of each cell.
    smearing_width : eV.
    smearing : of the occupations.
    spin : initial magnetic moments in μB by element; not polarised where None.
    pseudo_dir : folder of the pseudopotentials; it must exist (pw.x takes files from elsewhere otherwise).
    pseudopotentials : file in it for each element.
    density_cutoff : eV; four times ``cutoff`` where None, which is too little for ultrasoft and PAW files.
    mixing : of the density; pw.x's own (0.7) where None.
    max_iterations : of the self-consistency.
    diagonalization : as pw.x names it.
    energy_tolerance : eV/atom, of the estimated error of self-consistency.
    stress : whether labels have a stress; where None, unless a pseudopotential is a ``.gth`` file: pw.x 6.7
        has their energies and forces right but not their stress (0.02 eV/Å³ off in silicon).
    parameters : further variables of pw.x by namelist, as ``{system: {input_dft: PBEsol}}``; they go first.
    command : such as ``mpirun -np 4 pw.x -nk 2``.
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
    ready = READY if pseudo_dir is None and pseudopotentials is None else {}
    numbers = {"cutoff": cutoff, "k_spacing": k_spacing, "smearing_width": smearing_width}
    accuracy = chosen_accuracy("Quantum ESPRESSO", ready, common.elements, **numbers)
    files = _pseudopotentials(common.elements, pseudo_dir, pseudopotentials)
    system: dict[str, Any] = {"ecutwfc": accuracy.cutoff / Rydberg, **_occupations(accuracy, smearing)}
    if density_cutoff is not None:
        system["ecutrho"] = density_cutoff / Rydberg
    electrons: dict[str, Any] = {"electron_maxstep": max_iterations}
    if mixing is not None:
        electrons["mixing_beta"] = mixing
    if diagonalization is not None:
        electrons["diagonalization"] = diagonalization
    namelists = {"control": {}, "system": system, "electrons": electrons}
    for name, values in (parameters or {}).items():
        namelists[name.lower()] = {**namelists.get(name.lower(), {}), **values}
    if stress is None:
        stress = all(path.suffix.lower() != ".gth" for path in files.values())
    return EspressoCalculator(common, accuracy, namelists, files, energy_tolerance, stress=stress)


def _occupations(accuracy: Accuracy, smearing: str) -> dict[str, Any]:
    if smearing not in ("fermi-dirac", "gaussian"):
        raise ValueError(f"smearing = {smearing!r} must be fermi-dirac or gaussian")
    if accuracy.smearing_width == 0:
        return {"occupations": "fixed"}
    width = accuracy.smearing_width / Rydberg
    return {"occupations": "smearing", "smearing": smearing, "degauss": width}


class EspressoCalculator(PlaneWaveCalculator):
    """Runs of pw.x, one for each structure; made by `espresso`.

    Parameters
    ----------
    common : what all codes are told.
    accuracy : cutoff, k-points and smearing.
    namelists : variables of pw.x.
    files : pseudopotential of each element.
    energy_tolerance : eV/atom.
    stress : whether to compute it.
    """

    code = "Quantum ESPRESSO"

    def __init__(
        self,
        common: Common,
        accuracy: Accuracy,
        namelists: Mapping[str, Mapping[str, Any]],
        files: Mapping[str, Path],
        energy_tolerance: float,
        *,
        stress: bool = True,
    ) -> None:
        super().__init__(common, accuracy)
        if not stress:
            self.implemented_properties = ("energy", "free_energy", "forces")
        self.namelists = {name: dict(values) for name, values in namelists.items()}
        self.files = dict(files)
        self.energy_tolerance = energy_tolerance

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One run of pw.x."""
        check_elements(atoms, self.files, code=self.code, what="pseudopotentials")
        words = program_of(self.common.command or "pw.x", code=self.code, install=INSTALL)
        self._write_input(atoms, folder)
        status = run_program([*words, "-in", "pw.in"], folder, output="pw.out")
        output = (folder / "pw.out").read_text(errors="replace")
        crash = folder / "CRASH"
        said = output + (crash.read_text(errors="replace") if crash.is_file() else "")
        if status != 0 or "JOB DONE" not in output or "convergence NOT achieved" in output:
            about = f"{self.code}, {described(atoms)}"
            ending = tail(crash) or tail(folder / "pw.out")
            raise failure_from(said, _RULES, about=about, status=status, ending=ending)
        found = read(folder / "pw.out", format="espresso-out").calc.results
        # total energy of pw.x with smearing is F = E - TS already
        stress = found.get("stress") if "stress" in self.implemented_properties else None
        return {"energy": found["energy"], "forces": found["forces"], "stress": stress}

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """What ASE's parser cannot read."""
        return ReferenceFailure(
            f"{self.code}, {about}: the output cannot be read ({type(error).__name__}: {error}). "
            f"Last words:\n{tail(folder / 'pw.out')}"
        )

    def _write_input(self, atoms: Atoms, folder: Path) -> None:
        symbols = sorted(set(atoms.symbols))
        for symbol in symbols:
            shutil.copy(self.files[symbol], folder)  # nothing else is there to be taken by mistake
        grid = self.grid(atoms)
        control = {
            "calculation": "scf",
            "tprnfor": True,
            "tstress": "stress" in self.implemented_properties,
            "disk_io": "none",
            "outdir": "./out",
            "pseudo_dir": "./",
        }
        electrons = {"conv_thr": self.energy_tolerance * len(atoms) / Rydberg, **self.namelists["electrons"]}
        namelists = {**self.namelists, "control": {**control, **self.namelists["control"]}}
        write(
            folder / "pw.in",
            atoms,
            format="espresso-in",
            input_data={**namelists, "electrons": electrons},
            pseudopotentials={symbol: self.files[symbol].name for symbol in symbols},
            kpts=None if grid == (1, 1, 1) else grid,  # Γ alone has real wave functions: half the cost
            koffset=(0, 0, 0),
        )
