"""VASP as a reference."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write

from ase_mlsample.references.calculator import Common, PlaneWaveCalculator, common_settings
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure
from ase_mlsample.references.files import content_hash, pseudopotential_files
from ase_mlsample.references.program import program_of, run_program, tail
from ase_mlsample.references.settings import Accuracy, chosen_accuracy
from ase_mlsample.references.structures import check_elements, described
from ase_mlsample.references.words import Rule, failure_from

__all__ = ["READY", "VaspCalculator", "vasp"]

INSTALL = "a licence and the sources from https://www.vasp.at (no package exists)"
READY = {
    "Si": Accuracy(cutoff=320.0, k_spacing=0.15, smearing_width=0.1),
    "Al": Accuracy(cutoff=315.0, k_spacing=0.15, smearing_width=0.1),
    "Sn": Accuracy(cutoff=315.0, k_spacing=0.15, smearing_width=0.1),
}
GENTLER: tuple[dict[str, Any], ...] = (
    {"algorithm": "Normal", "mixing": 0.2, "max_iterations": 200},
    {"algorithm": "All", "mixing": 0.1, "max_iterations": 400},
)
_ISMEAR = {"fermi-dirac": -1, "gaussian": 0}
_RULES = (
    Rule(
        r"EDIFF was not reached|EDDDAV|EDDRMM|ZHEGV failed|ZPOTRF|BRMIX|not hermitian",
        NotConverged,
        "A gentler recipe has another algorithm and smaller mixing.",
    ),
    Rule(r"distance between some ions is very small", GeometryFailure, "Atoms are too close."),
    Rule(
        r"(error|not|cannot|different).*POTCAR|POTCAR.*(error|not|cannot|different)|number of potentials"
        r"|error reading (item|incar)|unknown tag|licen[cs]e.*(not|invalid|expired)",
        SetupFailure,
        "Look at pseudopotentials and parameters.",
    ),
)


def _version(
    *,
    elements: Sequence[str] | None = None,
    pseudo_dir: str | None = None,
    pseudopotentials: Mapping[str, str] | None = None,
    release: str = "",
    **_: Any,
) -> str:
    files = _potcars(elements, pseudo_dir, pseudopotentials)
    return f"vasp {release or 'of unstated release'}, POTCAR {content_hash(files.values())}"


def _potcars(
    elements: Sequence[str] | None, pseudo_dir: str | None, names: Mapping[str, str] | None
) -> dict[str, Path]:
    folder = pseudo_dir
    if folder is None and os.environ.get("VASP_PP_PATH"):
        folder = str(Path(os.environ["VASP_PP_PATH"]) / "potpaw_PBE")
    named = names or {symbol: symbol for symbol in elements or ()}
    files = {symbol: f"{name}/POTCAR" for symbol, name in named.items()}
    return pseudopotential_files("VASP", folder=folder, names=files, elements=elements)


@reference_factory(version=_version, install=INSTALL, gentler=GENTLER, ready=READY)
def vasp(
    *,
    elements: Sequence[str] | None = None,
    cutoff: float | None = None,
    k_spacing: float | None = None,
    smearing_width: float | None = None,
    smearing: Literal["fermi-dirac", "gaussian"] = "fermi-dirac",
    spin: Mapping[str, float] | None = None,
    pseudo_dir: str | None = None,
    pseudopotentials: Mapping[str, str] | None = None,
    algorithm: str = "Fast",
    mixing: float | None = None,
    max_iterations: int = 100,
    energy_tolerance: float = 1e-7,
    parameters: Mapping[str, Any] | None = None,
    release: str = "",  # noqa: ARG001 - part of the version only
    command: str = "vasp_std",
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """Plane waves and PAW data with VASP.

    Ready settings are in `READY`: cutoffs 1.3 times ENMAX of the PBE data sets Si, Al and Sn_d, as stresses
    need, and k-points and smearing of the other codes. They were not measured with VASP itself. The
    functional is that of the POTCAR. Gentler recipes for what did not converge: ALGO Normal, AMIX 0.2 and 200
    iterations; then ALGO All, AMIX 0.1 and 400 iterations.

    Parameters
    ----------
    elements : that structures may have; those with ready settings need no further numbers.
    cutoff : eV, ENCUT.
    k_spacing : Å⁻¹ (2π included), for a Γ-centred grid of each cell.
    smearing_width : eV, SIGMA.
    smearing : of the occupations.
    spin : initial magnetic moments in μB by element; not polarised where None.
    pseudo_dir : folder of the folders with POTCAR files; ``potpaw_PBE`` in $VASP_PP_PATH where None.
    pseudopotentials : folder of each element in it, such as ``{Sn: Sn_d}``; the symbol where None.
    algorithm : ALGO.
    mixing : AMIX; VASP's own where None.
    max_iterations : NELM.
    energy_tolerance : eV/atom, EDIFF.
    parameters : further tags of the INCAR; they go first.
    release : of the program, which becomes part of the reference's version: VASP tells it only when it runs.
    command : such as ``srun vasp_std``.
    scratch, keep_failed : parent of the folder of each calculation, and where that of a failed one goes.
    smallest_distance : Å; structures with closer atoms are refused (0.4 times the sum of covalent radii).

    Returns
    -------
    Calculator
        Raises `ReferenceFailure` of the kind that tells what can be done.

    Raises
    ------
    SetupFailure
        No ready settings, or a POTCAR is not where it should be.
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
    accuracy = chosen_accuracy("VASP", READY, common.elements, **numbers)
    files = _potcars(common.elements, pseudo_dir, pseudopotentials)
    if smearing not in _ISMEAR:
        raise ValueError(f"smearing = {smearing!r} must be one of {', '.join(_ISMEAR)}")
    tags: dict[str, Any] = {
        "PREC": "Accurate",
        "ENCUT": accuracy.cutoff,
        "ISMEAR": _ISMEAR[smearing],
        "SIGMA": accuracy.smearing_width,
        "ALGO": algorithm,
        "NELM": max_iterations,
        "IBRION": -1,
        "NSW": 0,
        "ISIF": 2,
        "LREAL": False,
        "LWAVE": False,
        "LCHARG": False,
        "ISPIN": 1 if spin is None else 2,
        **({} if mixing is None else {"AMIX": mixing, "BMIX": 0.001 if mixing < 0.15 else 1.0}),
    }
    tags.update({name.upper(): value for name, value in (parameters or {}).items()})
    return VaspCalculator(common, accuracy, tags, files, energy_tolerance)


class VaspCalculator(PlaneWaveCalculator):
    """Runs of VASP, one for each structure; made by `vasp`.

    Parameters
    ----------
    common : what all codes are told.
    accuracy : cutoff, k-points and smearing.
    tags : of the INCAR.
    files : POTCAR of each element.
    energy_tolerance : eV/atom.
    """

    code = "VASP"

    def __init__(
        self,
        common: Common,
        accuracy: Accuracy,
        tags: Mapping[str, Any],
        files: Mapping[str, Path],
        energy_tolerance: float,
    ) -> None:
        super().__init__(common, accuracy)
        self.tags = dict(tags)
        self.files = dict(files)
        self.energy_tolerance = energy_tolerance

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One run of VASP."""
        check_elements(atoms, self.files, code=self.code, what="pseudopotentials")
        words = program_of(self.common.command or "vasp_std", code=self.code, install=INSTALL)
        # VASP wants atoms of a kind together; a stable sort keeps their order otherwise
        order = np.argsort(np.array(atoms.symbols, dtype=str), kind="stable")
        self._write_input(atoms[order], folder)
        status = run_program(words, folder, output="vasp.out")
        outcar = folder / "OUTCAR"
        text = outcar.read_text(errors="replace") if outcar.is_file() else ""
        said = (folder / "vasp.out").read_text(errors="replace")
        # asked for by its presence: VASP writes numbers, and ends well, when NELM did not suffice
        converged = "aborting loop because EDIFF is reached" in text
        if status != 0 or not converged or "General timing" not in text:
            if status == 0 and "General timing" in text:
                said += "\nEDIFF was not reached"
            about = f"{self.code}, {described(atoms)}"
            ending = tail(folder / "vasp.out")
            raise failure_from(said, _RULES, about=about, status=status, ending=ending)
        found = read(folder / "vasprun.xml", format="vasp-xml").calc
        forces = np.empty((len(atoms), 3))
        forces[order] = found.results["forces"]
        energy = found.results["free_energy"]  # "energy" is extrapolated to zero width
        return {"energy": energy, "forces": forces, "stress": found.results.get("stress")}

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """What ASE's parser cannot read."""
        return ReferenceFailure(
            f"{self.code}, {about}: the output cannot be read ({type(error).__name__}: {error}). "
            f"Last words:\n{tail(folder / 'vasp.out')}"
        )

    def _write_input(self, atoms: Atoms, folder: Path) -> None:
        write(folder / "POSCAR", atoms, format="vasp")
        symbols = sorted(set(atoms.symbols))
        potcar = "".join(self.files[symbol].read_text() for symbol in symbols)
        (folder / "POTCAR").write_text(potcar)
        grid = " ".join(map(str, self.grid(atoms)))
        (folder / "KPOINTS").write_text(f"by spacing\n0\nGamma\n{grid}\n0 0 0\n")
        tags = {"EDIFF": self.energy_tolerance * len(atoms), **self.tags}
        if tags["ISPIN"] == 2:
            moments = atoms.get_initial_magnetic_moments()
            tags.setdefault("MAGMOM", " ".join(f"{moment:g}" for moment in moments))
        (folder / "INCAR").write_text("".join(f"{name} = {_tag(value)}\n" for name, value in tags.items()))


def _tag(value: Any) -> str:
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
