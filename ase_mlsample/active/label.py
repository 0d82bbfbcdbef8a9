"""One label: energy, forces and stress of the reference for one structure, checked before they count."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.factories import build, resolve
from ase_mlsample.active.guardian import end_programs, guarded
from ase_mlsample.references.failures import NotConverged, SetupFailure

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = [
    "LAUNCH",
    "Reference",
    "bare",
    "command_of",
    "compute_label",
    "reference_name",
    "reported_version",
    "structure_hash",
]

# environment variable of workers: what parallel programs are launched by, such as ``srun -n 128``
LAUNCH = "MLSAMPLE_LAUNCH"
_REFERENCES = "ase_mlsample.references"


@dataclass(frozen=True)
class Reference:
    """The calculator that labels are computed with, by name, so that it can be sent to workers.

    Attributes
    ----------
    factory : ``"module:factory"`` that returns an ASE calculator.
    kwargs : its keyword arguments.
    version : whatever else tells two references apart (version of the code, pseudopotentials …).
    max_force : eV/Å; a structure with a larger force on an atom is recorded but not learned from.
    reported : what the factory says of its code's version and pseudopotentials, see `reported_version`.
    gentler : keyword arguments that take the place of the given ones for the 1st, 2nd … retry of a label that
        did not converge; None for those that the factory offers as its attribute ``gentler``.
    stress : whether labels have a stress where the calculator knows one.
    """

    factory: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    max_force: float = float("inf")
    reported: str = ""
    gentler: Sequence[Mapping[str, Any]] | None = None
    stress: bool = True

    @property
    def fingerprint(self) -> str:
        """``"r"`` and 16 hexadecimal digits: the same for two references that give the same labels."""
        told: list[Any] = [self.factory, dict(self.kwargs), self.version]
        if self.reported:
            told.append(self.reported)
        if not self.stress:
            told.append("without stress")
        text = json.dumps(told, sort_keys=True, default=str)
        return "r" + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def recipes(self) -> tuple[dict[str, Any], ...]:
        """Keyword arguments of each recipe: as given first, then the gentler ones."""
        gentler = self.gentler
        if gentler is None:
            gentler = getattr(resolve(self.factory), "gentler", ())
        return (dict(self.kwargs), *({**self.kwargs, **changes} for changes in gentler))

    def calculator(self, recipe: int = 0) -> Calculator:
        """Make the calculator; a worker makes it once."""
        arguments = self.recipes[recipe] if recipe else dict(self.kwargs)
        return _calculator(self.factory, json.dumps(_launched(self.factory, arguments), sort_keys=True))


@lru_cache(maxsize=2)
def _calculator(factory: str, kwargs: str) -> Calculator:
    return build(factory, json.loads(kwargs))


def command_of(factory: str, kwargs: Mapping[str, Any]) -> str | None:
    """Command of the program that a reference starts; None if it starts none, or only it knows which."""
    known = signature(resolve(factory)).parameters
    if "command" not in known:
        return None
    command = kwargs.get("command", known["command"].default)
    return command if isinstance(command, str) else None


def _launched(factory: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by which the program is started as its worker's place says; that makes no other reference."""
    launch, command = os.environ.get(LAUNCH), command_of(factory, kwargs)
    return dict(kwargs) if not launch or command is None else {**kwargs, "command": f"{launch} {command}"}


def reference_name(factory: str) -> str:
    """``"module:factory"`` of a factory; a name without a colon is one of ``ase_mlsample.references``.

    Raises
    ------
    ValueError
        There is no such reference.
    """
    if ":" in factory:
        return factory
    import difflib

    from ase_mlsample import references

    known = [name for name in references.__all__ if name.islower() and name != "classify"]
    if factory in known:
        return f"{_REFERENCES}:{factory}"
    near = difflib.get_close_matches(factory, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    raise ValueError(
        f"no reference {factory!r}; {hint} Others are given as 'module:factory', such as "
        "'ase.calculators.emt:EMT'"
    )


def reported_version(factory: str, kwargs: Mapping[str, Any]) -> str:
    """What a factory's ``version(**kwargs)`` says of its code and pseudopotentials; "" if it has none.

    Raises
    ------
    ReferenceFailure
        The code is not installed, or a pseudopotential is missing.
    ValueError
        The factory does not know an argument.
    """
    version = getattr(resolve(factory), "version", None)
    if not callable(version):
        return ""
    try:
        return str(version(**kwargs))
    except TypeError as error:
        raise ValueError(f"{factory}: {error}") from error


def bare(atoms: Atoms) -> Atoms:
    """The structure alone: numbers, positions, cell and periodicity."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def structure_hash(atoms: Atoms) -> str:
    """``"s"`` and the SHA-256 of numbers, positions, cell and periodicity: the name of a structure."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(atoms.numbers, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(atoms.positions + 0.0, dtype="<f8").tobytes())  # -0.0 is 0.0
    digest.update(np.ascontiguousarray(atoms.cell.array + 0.0, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.pbc, dtype="u1").tobytes())
    return "s" + digest.hexdigest()


def compute_label(*, atoms: Atoms, reference: Reference, recipe: int = 0) -> dict[str, Any]:
    """Label one structure.

    Parameters
    ----------
    atoms : the structure; it is not changed.
    reference : the calculator to use.
    recipe : 0 for its settings as given, n for the n-th gentler ones.

    Returns
    -------
    dict
        ``status`` ("labelled", or "rejected" when a force exceeds ``reference.max_force``), ``energy`` (eV,
        the force-consistent one where the calculator knows it), ``forces`` (N, 3) eV/Å, ``stress`` (6,) eV/Å³
        or None, ``max_force`` eV/Å.

    Raises
    ------
    ValueError
        The answer is not finite, has the wrong shape, or the calculator changed the structure.
    NotConverged
        The calculator says that its electrons did not converge.
    SetupFailure
        It says that it knows the stress, and gives none for a periodic structure.
    """
    work = bare(atoms)
    try:
        with guarded():
            work.calc = calculator = reference.calculator(recipe)
            forces = np.array(work.get_forces(apply_constraint=False), dtype=float)
            energy = _energy(work, calculator)
            stress = _stress(work, calculator) if reference.stress else None
    except BaseException:
        _calculator.cache_clear()  # a calculator that failed may be in any state
        end_programs()
        raise
    _check(atoms, work, {"energy": energy, "forces": forces, "stress": stress})
    largest = float(np.linalg.norm(forces, axis=1).max()) if len(forces) else 0.0
    return {
        "status": "labelled" if largest <= reference.max_force else "rejected",
        "energy": energy,
        "forces": forces,
        "stress": stress,
        "max_force": largest,
    }


def _check(atoms: Atoms, work: Atoms, label: Mapping[str, Any]) -> None:
    """What must hold before a label counts."""
    if structure_hash(work) != structure_hash(atoms):
        raise ValueError("the reference changed the positions or the cell of the structure it was given")
    if _says_not_converged(work.calc):
        raise NotConverged(
            f"{type(work.calc).__name__} says that the electrons of {atoms.get_chemical_formula()} did not "
            "converge; allow more iterations, or give reference.gentler settings"
        )
    forces = label["forces"]
    if forces.shape != (len(atoms), 3):
        raise ValueError(f"the reference returned forces of shape {forces.shape} for {len(atoms)} atoms")
    for name, value in label.items():
        if value is not None and not np.all(np.isfinite(value)):
            raise ValueError(f"the reference returned a {name} that is not finite")


def _says_not_converged(calculator: Any) -> bool:
    """Whether a calculator knows, as VASP's and GPAW's do, and says no."""
    said = getattr(calculator, "converged", None)
    if said is None:
        said = getattr(getattr(calculator, "scf", None), "converged", None)
    return isinstance(said, bool | np.bool_) and not said


def _energy(atoms: Atoms, calculator: Calculator) -> float:
    if "free_energy" in calculator.implemented_properties:
        return float(atoms.get_potential_energy(force_consistent=True))
    return float(atoms.get_potential_energy())


def _stress(atoms: Atoms, calculator: Calculator) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if atoms.cell.rank < 3:
        return None
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return np.array(atoms.get_stress(apply_constraint=False), dtype=float)
    except (PropertyNotImplementedError, NotImplementedError) as error:
        if "stress" in calculator.implemented_properties and atoms.pbc.all():
            raise SetupFailure(
                f"{type(calculator).__name__} knows the stress but gave none for "
                f"{atoms.get_chemical_formula()} ({error}); change its settings, or give "
                "`reference.stress: false` to have labels without stress"
            ) from error
        return None
