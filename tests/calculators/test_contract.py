"""Every calculator keeps the same contract. Owners of a calculator append it to CALCULATORS."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress

from ase_mlsample import testing
from ase_mlsample.calculators import Calibration, Committee, MLCalculator, Prediction
from ase_mlsample.calculators.structures import has_volume
from tests.calculators.ani_models import silicon_ensemble
from tests.calculators.dp_silicon import deep_silicon


class Morse(MLCalculator):
    """Morse pairs, smooth at the cutoff, as a user writes them; with several stiffnesses, an ensemble."""

    def __init__(
        self, stiffness: tuple[float, ...] = (1.4,), *, r0: float = 2.6, cutoff: float = 5.0
    ) -> None:
        super().__init__()
        self.stiffness, self.r0, self.cutoff = stiffness, r0, cutoff

    @property
    def supports_spread(self) -> bool:
        return len(self.stiffness) > 1

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        pairs = neighbor_list("idD", atoms, self.cutoff)
        predicted = [self._member(atoms, stiffness, *pairs) for stiffness in self.stiffness]
        energies, forces, stress = (list(values) for values in zip(*predicted, strict=True))
        stresses = stress if has_volume(atoms) else None
        if self.supports_spread and members:
            return Prediction.from_members(
                [e.sum() for e in energies],
                forces,
                stress=stresses,
                atomic_energies=energies,
                calibration=Calibration(energy=1.5, forces=2.0, stress=0.5),
            )
        atomic = np.mean(energies, axis=0)
        return Prediction(
            energy=float(atomic.sum()),
            forces=np.mean(forces, axis=0),
            energies=atomic,
            stress=None if stresses is None else np.mean(stresses, axis=0),
        )

    def _member(
        self, atoms: Atoms, a: float, i: np.ndarray, r: np.ndarray, d: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        u = np.exp(-a * (r - self.r0))
        s = (1 - (r / self.cutoff) ** 2) ** 3
        ds = -6 * r / self.cutoff**2 * (1 - (r / self.cutoff) ** 2) ** 2
        slope = s * (2 * a * u - 2 * a * u**2) + ds * (u**2 - 2 * u)
        pull = 0.5 * slope[:, None] * d / r[:, None]
        energies, forces = np.zeros(len(atoms)), np.zeros((len(atoms), 3))
        np.add.at(energies, i, 0.5 * s * (u**2 - 2 * u))
        np.add.at(forces, i, 2 * pull)
        if not has_volume(atoms):
            return energies, forces, None
        return energies, forces, full_3x3_to_voigt_6_stress(pull.T @ d) / atoms.get_volume()


def stillinger_weber() -> Any:
    return import_module("ase_mlsample.calculators.stillinger_weber").StillingerWeber()


def committee() -> Committee:
    return Committee(
        [MorsePotential(epsilon=e, r0=2.6, rho0=4.0, rcut1=1.2, rcut2=1.8) for e in (0.4, 0.5)] + [Morse()]
    )


def committee_of_ours() -> Committee:
    cls = import_module("ase_mlsample.calculators.stillinger_weber").StillingerWeber
    return Committee([cls(), cls(lambda_=24.0), cls(epsilon=2.0)])


def emt_committee() -> Committee:
    return Committee([EMT(), EMT(), EMT()])


@dataclass(frozen=True)
class Case:
    """A calculator to check: how to make it, and structures that it knows."""

    id: str
    factory: Callable[[], Any]
    frames: dict[str, Atoms]
    tolerances: testing.Tolerances = field(default_factory=testing.Tolerances)
    requires: str | None = None
    pickles: bool = True


def without(frames: dict[str, Atoms], *names: str) -> dict[str, Atoms]:
    return {name: atoms for name, atoms in frames.items() if name not in names}


COPPER = testing.contract_frames("Cu", "fcc", 3.61)
SILICON = testing.contract_frames("Si", "diamond", 5.431)
# Random features cancel in their sum, which costs digits.
ANI_SINGLE = replace(testing.Tolerances.single(), energy=2e-5)
DEEP_SINGLE = replace(testing.Tolerances.single(), energy=5e-5)

CALCULATORS = [
    Case("morse-ensemble", lambda: Morse((1.3, 1.4, 1.6)), without(COPPER, "large")),
    Case("committee", committee, without(COPPER, "large")),
    Case(
        "committee-of-ours", committee_of_ours, SILICON, requires="ase_mlsample.calculators.stillinger_weber"
    ),
    # ASE's EMT cannot be pickled once it was used.
    Case("committee-emt", emt_committee, without(COPPER, "large"), pickles=False),
    Case("stillinger-weber", stillinger_weber, SILICON, requires="ase_mlsample.calculators.stillinger_weber"),
    # Narrow Gaussians need short steps for their difference quotients.
    Case("ani-double", silicon_ensemble, SILICON, testing.Tolerances(displacement=1e-4, strain=1e-5)),
    Case("ani-single", lambda: silicon_ensemble("float32"), SILICON, ANI_SINGLE),
    Case("deep-potential-double", deep_silicon, SILICON),
    Case("deep-potential-single", lambda: deep_silicon("float32"), SILICON, DEEP_SINGLE),
    Case("deep-potential-torch", lambda: deep_silicon(backend="torch"), without(SILICON, "large")),
]


@pytest.fixture(params=CALCULATORS, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> Case:
    if request.param.requires:
        pytest.importorskip(request.param.requires, exc_type=ImportError)
    return request.param


@pytest.fixture
def calc(case: Case) -> Any:
    return case.factory()


def each(case: Case) -> Iterator[tuple[str, Atoms]]:
    return iter(case.frames.items())


def test_forces_are_derivatives(case: Case, calc: Any) -> None:
    for name, atoms in each(case):
        testing.check_forces(calc, atoms, tolerances=case.tolerances, name=name)


def test_stress_is_a_derivative(case: Case, calc: Any) -> None:
    for name, atoms in each(case):
        testing.check_stress(calc, atoms, tolerances=case.tolerances, name=name)


def test_invariances(case: Case, calc: Any) -> None:
    for name, atoms in each(case):
        testing.check_invariances(calc, atoms, tolerances=case.tolerances, name=name)


def test_small_cell_is_its_supercell(case: Case, calc: Any) -> None:
    for name, atoms in without(case.frames, "large").items():
        testing.check_supercell(calc, atoms, tolerances=case.tolerances, name=name)


def test_batch_is_single(case: Case, calc: Any) -> None:
    testing.check_batch(calc, list(case.frames.values()), tolerances=case.tolerances)


def test_predictions(case: Case, calc: Any) -> None:
    for name, atoms in each(case):
        testing.check_prediction(calc, atoms, tolerances=case.tolerances, name=name)


def test_caching(case: Case, calc: Any) -> None:
    for name, atoms in without(case.frames, "large").items():
        testing.check_caching(calc, atoms, name=name)


def test_failure_leaves_nothing(case: Case, calc: Any) -> None:
    for name, atoms in each(case):
        testing.check_failure(calc, atoms, name=name)


def test_spread(case: Case, calc: Any) -> None:
    other = case.frames["primitive"]
    for name, atoms in without(case.frames, "primitive").items():
        testing.check_spread(calc, atoms, other, tolerances=case.tolerances, name=name)


def test_files(case: Case, calc: Any) -> None:
    for name in ("sheared", "slab", "molecule"):
        testing.check_io(calc, case.frames[name], name=name)


def test_pickling(case: Case, calc: Any) -> None:
    if not case.pickles:
        pytest.skip("a member cannot be pickled")
    for name in ("sheared", "molecule"):
        testing.check_pickling(calc, case.frames[name], name=name)


def test_one_evaluation_a_step(case: Case, calc: Any) -> None:
    atoms = case.frames["sheared"].copy()
    atoms.calc = calc
    evaluate, made = calc.evaluate, []
    calc.evaluate = lambda *args, **kwargs: made.append(1) or evaluate(*args, **kwargs)
    with VelocityVerlet(atoms, timestep=1.0 * units.fs) as dynamics:
        dynamics.attach(atoms.get_potential_energy)
        dynamics.run(5)
    assert len(made) == 6
    del calc.evaluate


def test_molecular_dynamics(case: Case, calc: Any, rng: np.random.Generator) -> None:
    for integrator in (
        lambda atoms: Langevin(
            atoms, 1 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False
        ),
        lambda atoms: NPTBerendsen(
            atoms, 1 * units.fs, temperature_K=300, pressure_au=0.0, compressibility_au=1.0
        ),
        lambda atoms: IsotropicMTKNPT(
            atoms, 1 * units.fs, temperature_K=300, pressure_au=0.0, tdamp=50 * units.fs, pdamp=500 * units.fs
        ),
    ):
        atoms = case.frames["sheared"] * (2, 2, 2)
        atoms.calc = calc
        thermalize_momenta(atoms, temperature_K=300, rng=rng)
        volume = atoms.get_volume()
        with integrator(atoms) as dynamics:
            dynamics.run(4)
        assert np.isfinite(atoms.get_total_energy())
        assert 0.8 < atoms.get_volume() / volume < 1.25


def test_relaxation_of_atoms_and_cell(case: Case, calc: Any) -> None:
    atoms = case.frames["sheared"].copy()
    atoms.calc = calc
    before = atoms.get_potential_energy()
    with BFGS(FrechetCellFilter(atoms), logfile=None) as relaxation:
        relaxation.run(fmax=0.05, steps=60)
    assert atoms.get_potential_energy() < before
    assert np.abs(atoms.get_forces()).max() < 0.05
    assert np.abs(atoms.get_stress()).max() * atoms.get_volume() < 0.05 * len(atoms)


@pytest.mark.parametrize("factory", [stillinger_weber, committee_of_ours, silicon_ensemble, deep_silicon])
def test_threads_may_share_a_calculator(factory: Callable[[], MLCalculator]) -> None:
    frames = [atoms for _ in range(6) for name, atoms in SILICON.items() if name != "large"]
    expected = [prediction.forces for prediction in factory().evaluate_many(frames)]
    calc = factory()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(calc.evaluate, frames * 4))
    for prediction, forces in zip(found, expected * 4, strict=True):
        np.testing.assert_allclose(prediction.forces, forces, rtol=0, atol=1e-9)
