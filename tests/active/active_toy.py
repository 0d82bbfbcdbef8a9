"""References and committees for tests of the loop; importable by worker processes."""

import multiprocessing
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from ase_mlsample.active.label import structure_hash
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.references.failures import (
    GeometryFailure,
    NotConverged,
    OutOfResources,
    ReferenceFailure,
    SetupFailure,
)
from ase_mlsample.samplers import RandomDisorder


def block(path: Path) -> None:
    """Say that this point was reached, and wait to be killed; the next process to come here goes on."""
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    while True:
        time.sleep(0.01)


class Witness(Calculator):
    """Stillinger–Weber that writes down whom it labelled, fails for some, and can wait to be killed.

    Once the file `mended` exists it fails no more. It waits at the call number `block_at`, where the file
    `blocked` appears, or at each of a list of numbers, where `blocked-<number>` does.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, calls=None, fail_below=0, block_at=None, blocked=None, always_die=False, mended=None):
        super().__init__()
        self.mended = mended
        self.calls, self.fail_below = calls, fail_below
        self.block_at, self.blocked, self.always_die = block_at, blocked, always_die
        self.inner = StillingerWeber()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        name = structure_hash(atoms)
        with Path(self.calls).open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
        if self.block_at is not None:
            made = len(Path(self.calls).read_text().splitlines())
            if made == self.block_at:
                block(Path(self.blocked))
            elif isinstance(self.block_at, list) and made in self.block_at:
                block(Path(f"{self.blocked}-{made}"))
        unlucky = int(name[1:3], 16) < self.fail_below and not (self.mended and Path(self.mended).exists())
        if unlucky and self.always_die:
            os._exit(9)
        if unlucky:
            raise RuntimeError("SCF did not converge")
        found = self.inner.evaluate(atoms)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "stress": found.stress,
        }


class WithoutNumbers(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": float("nan"), "forces": 0.0 * atoms.positions}


class Stressless(WithoutNumbers):
    """Claims a stress."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = 1.0
        if "stress" in properties:
            raise PropertyNotImplementedError("no stress in this mode")


class Undecided(WithoutNumbers):
    """Says, as VASP's calculator does, that its electrons did not converge."""

    converged = False


class UndecidedInside(WithoutNumbers):
    """The same, as GPAW's calculator does."""

    class scf:  # noqa: N801 - GPAW's name
        converged = False


def hanging():
    """A reference that never answers."""
    return _Hanging()


class _Hanging(WithoutNumbers):
    def calculate(self, *args, **kwargs):
        while True:
            time.sleep(0.01)


class Troubled(Witness):
    """A reference in trouble, of a kind that depends on the structure or on the recipe.

    Parameters
    ----------
    trouble : kind of every failure.
    needs_recipe : labels converge only with this `gentle`.
    gentle : number of the recipe in use.
    once : folder; each structure fails once, and leaves a file there.
    """

    def __init__(self, calls=None, trouble=None, needs_recipe=0, gentle=0, once=None, **more):
        super().__init__(calls=calls, **more)
        self.trouble, self.needs_recipe, self.gentle, self.once = trouble, needs_recipe, gentle, once

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.gentle < self.needs_recipe:
            raise NotConverged("the density still changes")
        if self.once is not None:
            try:
                Path(self.once, structure_hash(atoms)).touch(exist_ok=False)
            except FileExistsError:
                return
        if self.trouble is not None and not (self.mended and Path(self.mended).exists()):
            raise FAILURES[self.trouble](f"trouble of kind {self.trouble}")


FAILURES = {
    "geometry": GeometryFailure,
    "convergence": NotConverged,
    "resource": OutOfResources,
    "setup": SetupFailure,
    "unknown": ReferenceFailure,
}


def troubled(**arguments):
    """A factory with recipes and a version, as those of ase_mlsample.references have."""
    return Troubled(**arguments)


troubled.gentler = ({"gentle": 1}, {"gentle": 2})
troubled.version = lambda **arguments: Path(arguments["calls"]).with_name("version").read_text()


def fill(ballast):
    """Leave no space in the file system of a file."""
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


class Filling(Witness):
    """Fills the file system of a file at its fourth call, once, as other people's jobs do."""

    def __init__(self, ballast, **more):
        super().__init__(**more)
        self.ballast = Path(ballast)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        filled = Path(self.calls).with_name("filled")
        if len(Path(self.calls).read_text().splitlines()) >= 4 and not filled.exists():
            filled.touch()
            fill(self.ballast)


class Unlucky(Witness):
    """Fails in three of ten calls, whatever it is asked for."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if secrets.randbelow(10) < 3:
            self.results = {}
            kind = secrets.choice([ReferenceFailure, OutOfResources, RuntimeError])
            raise kind("bad luck")


class Launching(WithoutNumbers):
    """Starts a program that never ends, as a density-functional code in trouble does."""

    def __init__(self, started):
        super().__init__()
        self.started = started

    def calculate(self, *args, **kwargs):
        # a session of its own, as the ranks of some MPI launchers have
        command = f"echo $$ > {self.started}.new; mv {self.started}.new {self.started}; exec sleep 1000"
        subprocess.run(["/bin/sh", "-c", command], start_new_session=True, check=True)


def die_once(path):
    """SIGKILL to the worker process that comes here first."""
    if multiprocessing.parent_process() is None:
        return
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def disorder(*, died, **arguments):
    """A sampler, for which a worker dies once."""
    die_once(died)
    return RandomDisorder(**arguments)


def hanging_disorder(*, asked, **arguments):
    """A sampler that hangs when it is made for the second time: the first one checks the configuration."""
    with Path(asked).open("a+") as file:
        file.write("x")
        file.seek(0)
        made = len(file.read())
    while made == 2:
        time.sleep(0.01)
    return RandomDisorder(**arguments)


def stillinger_weber(*, died, **arguments):
    """A member of a committee, for which a worker dies once."""
    die_once(died)
    return StillingerWeber(**arguments)


def programmed(*, command="code.x"):
    """A reference that starts a program."""
    calculator = WithoutNumbers()
    calculator.command = command
    return calculator


def deaf(*, path):
    """A task that reacts to nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    Path(path).touch()
    while True:
        time.sleep(0.01)


not_callable = 3
