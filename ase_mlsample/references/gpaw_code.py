"""GPAW as a reference: plane waves and PAW data, in this process or under MPI."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import write
from threadpoolctl import threadpool_limits

from ase_mlsample.references import gpaw_run
from ase_mlsample.references.calculator import Common, PlaneWaveCalculator, common_settings
from ase_mlsample.references.factory import reference_factory
from ase_mlsample.references.failures import (
    GeometryFailure,
    NotConverged,
    OutOfResources,
    ReferenceFailure,
    SetupFailure,
)
from ase_mlsample.references.program import output_of, program_of, run_program, tail
from ase_mlsample.references.settings import Accuracy, chosen_accuracy
from ase_mlsample.references.structures import described
from ase_mlsample.references.words import failure_from

__all__ = ["READY", "GPAWCalculator", "gpaw"]

#: Builds whatever else is installed: the compiler is named, and no MPI, libxc or BLAS headers are looked for.
INSTALL = (
    r"""printf '%s\n' 'mpi = False' "compiler = 'g++'" 'noblas = True' 'nolibxc = True' 'libraries = []' """
    "> siteconfig.py && env -u GPAW_BUILD_JOBS GPAW_CONFIG=$PWD/siteconfig.py pip install --no-cache-dir gpaw"
)
READY = {
    "Si": Accuracy(cutoff=300.0, k_spacing=0.15, smearing_width=0.1),
    "Al": Accuracy(cutoff=300.0, k_spacing=0.15, smearing_width=0.1),
    "Sn": Accuracy(cutoff=600.0, k_spacing=0.15, smearing_width=0.1),
}
GENTLER: tuple[dict[str, Any], ...] = (
    {"mixing": 0.02, "max_iterations": 500},
    {"mixing": 0.01, "max_iterations": 1000, "bands": "160%"},
)
_SMEARING: dict[str, dict[str, Any]] = {
    "fermi-dirac": {"name": "fermi-dirac"},
    "gaussian": {"name": "methfessel-paxton", "order": 0},
}
_FAILURES: dict[str, tuple[type[ReferenceFailure], str]] = {
    "KohnShamConvergenceError": (NotConverged, "A gentler recipe has smaller mixing and more iterations."),
    "ConvergenceError": (NotConverged, "A gentler recipe has smaller mixing and more iterations."),
    "PoissonConvergenceError": (NotConverged, "A gentler recipe has smaller mixing and more iterations."),
    "AtomsTooClose": (GeometryFailure, "Atoms lie on top of each other."),
    "LinAlgError": (NotConverged, "A gentler recipe has smaller mixing and more iterations."),
    "MemoryError": (OutOfResources, "Give the job more memory, or fewer workers a node."),
}


_WRONG_INPUT = re.compile(
    r"unexpected keyword argument|too few bands|unable to use .* not compiled with libxc", re.I
)


def _version(*, xc: str = "PBE", command: str | None = None, **_: Any) -> str:
    if command is None:
        _module()
        return gpaw_run.version(xc)
    # the program's GPAW and data may be others than those of this process, which need not have any
    words = program_of(command, code="GPAW", install=INSTALL)
    said = output_of((*words, "-m", gpaw_run.__name__, gpaw_run.VERSION, xc))
    found = re.search(r"gpaw \S+, \S+ data [0-9a-f]{12}", said)
    if found is None:
        lines = "\n".join(said.strip().splitlines()[-6:])
        raise SetupFailure(
            f"GPAW: command {command!r} does not run GPAW with this package. Last words:\n{lines}"
        )
    return found.group()


def _module() -> Any:
    try:
        module = import_module("gpaw")
        _ = module.setup_paths  # loads the compiled part
    except ImportError as error:
        raise SetupFailure(f"GPAW is not installed ({error}); install it with: {INSTALL}") from error
    return module


@reference_factory(version=_version, install=INSTALL, gentler=GENTLER, ready=READY)
def gpaw(
    *,
    elements: Sequence[str] | None = None,
    cutoff: float | None = None,
    k_spacing: float | None = None,
    smearing_width: float | None = None,
    smearing: Literal["fermi-dirac", "gaussian"] = "fermi-dirac",
    xc: str = "PBE",
    spin: Mapping[str, float] | None = None,
    setups: Mapping[str, str] | None = None,
    mixing: float | None = None,
    bands: str | int | None = None,
    max_iterations: int = 300,
    density_tolerance: float = 1e-5,
    parameters: Mapping[str, Any] | None = None,
    command: str | None = None,
    scratch: str | None = None,
    keep_failed: str | None = None,
    smallest_distance: float | None = None,
) -> Calculator:
    """Plane waves and PAW data with GPAW.

    Ready settings (PBE, Fermi-Dirac) are in `READY`; ``docs/references.md`` has what they were measured to
    give. Gentler recipes for what did not converge: mixing 0.02 and 500 iterations; then mixing 0.01, 1000
    iterations and 60 % more bands than are occupied.

    Parameters
    ----------
    elements : that structures may have; those with ready settings need no further numbers.
    cutoff : eV, of the plane waves.
    k_spacing : Å⁻¹ (2π included), for a Γ-centred grid of each cell.
    smearing_width : eV.
    smearing : of the occupations.
    xc : functional, which the PAW data must exist for.
    spin : initial magnetic moments in μB by element; not polarised where None.
    setups : other PAW data by element, as GPAW names them (``{Sn: "9"}``).
    mixing : of the density; GPAW's own where None.
    bands : number, or text such as "130%" of the occupied ones.
    max_iterations : of the self-consistency.
    density_tolerance : electrons per valence electron; bands are converged to its square times 10.
    parameters : further keywords of GPAW, which go before all others.
    command : such as ``mpirun -np 4 gpaw python``, which then runs each calculation as a program of its own;
        in this process where None.
    scratch, keep_failed : parent of the folder of each calculation, and where that of a failed one goes.
    smallest_distance : Å; structures with closer atoms are refused (0.4 times the sum of covalent radii).

    Returns
    -------
    Calculator
        Raises `ReferenceFailure` of the kind that tells what can be done.

    Raises
    ------
    SetupFailure
        No ready settings, or GPAW is not installed.
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
    accuracy = chosen_accuracy("GPAW", READY, common.elements, **numbers)
    if command is None:
        _module()
    if smearing not in _SMEARING:
        raise ValueError(f"smearing = {smearing!r} must be one of {', '.join(_SMEARING)}")
    keywords = {
        "mode": {"name": "pw", "ecut": accuracy.cutoff},
        "xc": xc,
        "occupations": {**_SMEARING[smearing], "width": accuracy.smearing_width},
        "convergence": {"density": density_tolerance, "eigenstates": 10 * density_tolerance**2},
        "maxiter": max_iterations,
        **({} if mixing is None else {"mixer": _mixer(mixing, spin)}),
        **({} if bands is None else {"nbands": bands}),
        **({} if setups is None else {"setups": dict(setups)}),
        **({} if spin is None else {"spinpol": True}),
        **(parameters or {}),
    }
    return GPAWCalculator(common, accuracy, keywords)


def _mixer(mixing: float, spin: Mapping[str, float] | None) -> dict[str, Any]:
    method = "separate" if spin is None else "difference"
    return {"method": method, "backend": "pulay", "beta": mixing, "nmaxold": 8, "weight": 100.0}


class GPAWCalculator(PlaneWaveCalculator):
    """Fresh GPAW calculators, one for each structure; made by `gpaw`.

    Parameters
    ----------
    common : what all codes are told.
    accuracy : cutoff, k-points and smearing.
    keywords : of GPAW; k-points are added for each cell.
    """

    code = "GPAW"

    def __init__(self, common: Common, accuracy: Accuracy, keywords: Mapping[str, Any]) -> None:
        super().__init__(common, accuracy)
        self.keywords = dict(keywords)

    def compute(self, atoms: Atoms, folder: Path) -> dict[str, Any]:
        """One calculation in this process, or in its own."""
        keywords = {"kpts": {"size": self.grid(atoms), "gamma": True}, **self.keywords}
        if self.common.command is not None:
            return self._in_program(self.common.command, atoms, keywords, folder)
        # threads of small matrices get in each other's way, above all on a busy machine
        with nullcontext() if "OMP_NUM_THREADS" in os.environ else threadpool_limits(1):
            return gpaw_run.single_point(atoms, keywords, folder / gpaw_run.TEXT)

    def _in_program(
        self, command: str, atoms: Atoms, keywords: Mapping[str, Any], folder: Path
    ) -> dict[str, Any]:
        words = program_of(command, code=self.code, install=INSTALL)
        write(folder / gpaw_run.STRUCTURE, atoms)
        (folder / gpaw_run.INPUT).write_text(json.dumps(keywords))
        status = run_program([*words, "-m", gpaw_run.__name__, str(folder)], folder, output="program.txt")
        results, error = folder / gpaw_run.RESULTS, folder / gpaw_run.ERROR
        if status == 0 and results.is_file():
            found = json.loads(results.read_text())
            return {name: np.array(value) for name, value in found.items()}
        if error.is_file():
            said = json.loads(error.read_text())
            raise self._failure(said["type"], said["message"], folder, described(atoms))
        text = tail(folder / "program.txt")
        raise failure_from(text, (), about=f"GPAW, {described(atoms)}", status=status, ending=text)

    def explain(self, error: Exception, folder: Path, about: str) -> ReferenceFailure:
        """GPAW's exceptions as ours."""
        return self._failure(type(error).__name__, str(error), folder, about)

    def _failure(self, name: str, message: str, folder: Path, about: str) -> ReferenceFailure:
        said = " ".join(message.split()).rstrip(".")
        begin = f"GPAW, {about}: {name}" + (f": {said}" if said else "")
        if name in _FAILURES:
            kind, remedy = _FAILURES[name]
            steps = tail(folder / gpaw_run.TEXT, 4, having="iter:") if kind is NotConverged else ""
            return kind(f"{begin}. {remedy}" + (f" Last steps:\n{steps}" if steps else ""))
        if name == "FileNotFoundError" or "PAW dataset" in message or "setup" in message.lower():
            return SetupFailure(
                f"{begin}. Install the PAW data (`pip install gpaw-data`), or name others with setups"
            )
        if name in ("ImportError", "ModuleNotFoundError"):
            return SetupFailure(f"{begin}. Install it with: {INSTALL}")
        if _WRONG_INPUT.search(message):
            own = " (a GPAW without libxc has LDA, PBE, revPBE, RPBE and PW91)" if "LibXC" in message else ""
            return SetupFailure(f"{begin}{own}. Look at xc, bands and parameters")
        words = tail(folder / gpaw_run.TEXT, 6)
        return ReferenceFailure(begin + (f". Last words:\n{words}" if words else ""))
