import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample import testing
from ase_mlsample.calculators import Calibration, Committee, StillingerWeber, UncertaintyBias
from ase_mlsample.dynamics import UncertaintyGate
from ase_mlsample.testing.counting import counted
from tests.calculators.ani_models import silicon_ensemble

FRAMES = testing.contract_frames("Si", "diamond", 5.431)
CALIBRATION = Calibration(energy=1.7, forces=2.0, stress=0.5)
# a difference quotient of ANI's narrow Gaussians needs short steps
STEPS = testing.Tolerances(displacement=1e-4, strain=1e-5, force_derivative=3e-6, stress_derivative=1e-6)


def ensemble() -> Committee:
    """Three silicons that disagree about angles and strength."""
    members = [StillingerWeber(), StillingerWeber(lambda_=24.0), StillingerWeber(epsilon=2.15)]
    return Committee(members, calibration=CALIBRATION)


def spread_per_root_atom(calc: Committee, atoms: Atoms) -> float:
    return calc.get_spread(atoms).calibrated.energy_std / np.sqrt(len(atoms))


def biased(calc: Committee | None = None, *, atoms: Atoms, height: float = 3.0) -> UncertaintyBias:
    """With the width at which the bias pulls most."""
    calc = calc or ensemble()
    return UncertaintyBias(calc, height_eV=height, width=spread_per_root_atom(calc, atoms))


@pytest.fixture
def silicon(rng: np.random.Generator) -> Atoms:
    atoms = bulk("Si", a=5.5, cubic=True)
    atoms.positions += rng.normal(0.0, 0.1, (8, 3))
    return atoms


@pytest.mark.parametrize("name", FRAMES)
def test_the_calculator_contract(name: str) -> None:
    others = {name: FRAMES[name], "other": FRAMES["sheared" if name != "sheared" else "wire"]}
    # Not a sum over atoms: a supercell is no multiple of its cell.
    testing.check_calculator(
        biased(atoms=FRAMES["sheared"]), others, tolerances=STEPS, supercell_limit=0, pickling=name == "slab"
    )


def test_derivatives_with_networks() -> None:
    calc = silicon_ensemble()
    for name in ("sheared", "slab", "molecule"):
        atoms = FRAMES[name]
        pulled = biased(calc, atoms=atoms)
        strength = np.abs(pulled.get_forces(atoms) - calc.get_forces(atoms)).max()
        assert strength > 0.1, name
        testing.check_forces(pulled, atoms, tolerances=STEPS, name=name)
        testing.check_stress(pulled, atoms, tolerances=STEPS, name=name)


def test_energy_is_the_published_one(silicon: Atoms) -> None:
    calc, height, width = ensemble(), 0.8, 0.03
    found = calc.evaluate(silicon, members=True)
    members = found.member_energies
    m, n = len(members), len(silicon)
    variance = 0.5 * np.sum((members - members.mean()) ** 2)
    expected = height * (np.exp(-variance / (m * n * width**2)) - 1)
    ours = UncertaintyBias(calc, height_eV=height, width=width * np.sqrt(m / (m - 1)), calibrated=False)
    assert -0.9 * height < expected < -0.05 * height
    assert ours.evaluate(silicon).bias_energy == pytest.approx(expected, rel=1e-10)
    # a calibrated bias sees the spread times the factor: the same bias at as many times the width
    wider = CALIBRATION.energy * ours.width
    same = UncertaintyBias(calc, height_eV=height, width=wider)
    np.testing.assert_allclose(same.get_forces(silicon), ours.get_forces(silicon), rtol=0, atol=1e-12)


def test_limits(silicon: Atoms) -> None:
    calc = ensemble()
    plain = calc.evaluate(silicon, members=True)
    off = UncertaintyBias(calc, height_eV=0.0, width=0.01).evaluate(silicon, members=True)
    for name in ("energy", "forces", "stress", "member_energies", "member_forces", "member_stress"):
        np.testing.assert_array_equal(getattr(off, name), getattr(plain, name), err_msg=name)
    np.testing.assert_array_equal(off.spread.forces_std, plain.spread.forces_std)
    narrow = UncertaintyBias(calc, height_eV=2.0, width=1e-4).evaluate(silicon)
    assert narrow.bias_energy == pytest.approx(-2.0)
    np.testing.assert_allclose(narrow.forces, plain.forces, atol=1e-12)
    wide = UncertaintyBias(calc, height_eV=2.0, width=1e4).evaluate(silicon)
    assert -1e-6 < wide.bias_energy < 0
    agreed = Committee([StillingerWeber(), StillingerWeber()])
    same = UncertaintyBias(agreed, height_eV=2.0, width=0.01).evaluate(silicon)
    assert same.bias_energy == 0.0
    np.testing.assert_array_equal(same.forces, agreed.evaluate(silicon).forces)


def test_forces_point_to_disagreement(silicon: Atoms) -> None:
    calc = biased(atoms=silicon)
    pull = calc.get_forces(silicon) - calc.calc.get_forces(silicon)
    before = calc.get_spread(silicon).energy_std
    moved = silicon.copy()
    moved.positions += 1e-3 * pull / np.linalg.norm(pull)
    assert calc.get_spread(moved).energy_std > before


def test_spread_and_unbiased_come_from_the_same_evaluation(silicon: Atoms) -> None:
    calc = biased(atoms=silicon)
    inner = calc.calc
    with counted(inner) as evaluations:
        silicon.calc = calc
        silicon.get_forces()
        spread = calc.get_spread(silicon)
        unbiased = calc.get_unbiased(silicon)
        silicon.get_stress()
    assert len(evaluations) == 1
    expected = inner.evaluate(silicon, members=True)
    np.testing.assert_array_equal(spread.forces_std, expected.spread.forces_std)
    assert spread.calibration == CALIBRATION
    assert unbiased.energy == expected.energy
    np.testing.assert_array_equal(unbiased.forces, expected.forces)
    np.testing.assert_array_equal(unbiased.energies, expected.energies)
    calc.reset()
    with pytest.raises(ValueError, match="pass the atoms"):
        calc.get_unbiased()


def test_there_are_no_atomic_energies(silicon: Atoms) -> None:
    silicon.calc = biased(atoms=silicon)
    with pytest.raises(PropertyNotImplementedError, match="'energies'"):
        silicon.get_potential_energies()
    silicon.calc.annotate(silicon)
    assert {"force_sigma", "energy_sigma"} <= set(silicon.arrays)


def test_the_gate_judges_the_model_not_the_bias(silicon: Atoms) -> None:
    calc = biased(atoms=silicon)
    gate = UncertaintyGate(0.1, relative=0.5)
    assert gate.check(calc, silicon).value == gate.check(calc.calc, silicon).value


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: UncertaintyBias(EMT(), height_eV=1, width=1), TypeError, "got EMT"),
        (lambda: UncertaintyBias(Committee, height_eV=1, width=1), TypeError, "got Committee"),
        (lambda: UncertaintyBias(StillingerWeber(), height_eV=1, width=1), ValueError, "no members"),
        (lambda: UncertaintyBias(ensemble(), height_eV=-1, width=1), ValueError, "height_eV.*-1"),
        (lambda: UncertaintyBias(ensemble(), height_eV=np.inf, width=1), ValueError, "height_eV"),
        (lambda: UncertaintyBias(ensemble(), height_eV=1, width=0), ValueError, "width.*√atom"),
        (
            lambda: UncertaintyBias(UncertaintyBias(ensemble(), height_eV=1, width=1), height_eV=1, width=1),
            TypeError,
            "already",
        ),
    ],
)
def test_refusals(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def mean_spread(calc, seed: int) -> float:
    """Mean spread of the energy over the second half of a short run, in eV."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.431, cubic=True)
    atoms.calc = calc
    thermalize_momenta(atoms, 300, rng=rng)
    found = []
    with Langevin(
        atoms, 2 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False
    ) as dynamics:
        for step, _ in enumerate(dynamics.irun(300)):
            if step >= 150:
                found.append(calc.get_spread(atoms).energy_std)
    return float(np.mean(found))


def test_dynamics_with_the_bias_sees_more_disagreement() -> None:
    # They agree on the perfect crystal and differ in how they hold the angles.
    calc = Committee([StillingerWeber(lambda_=value) for value in (19.0, 21.0, 24.0)])
    for seed in (1, 2):
        plain = mean_spread(calc, seed)
        assert mean_spread(UncertaintyBias(calc, height_eV=4.0, width=0.03), seed) > 5 * plain
        assert mean_spread(UncertaintyBias(calc, height_eV=0.0, width=0.03), seed) == plain


def test_parameters_are_plain() -> None:
    calc = UncertaintyBias(ensemble(), height_eV=1, width=0.1, calibrated=False)
    assert calc.todict()["ensemble"]["name"] == "Committee"
    assert (calc.todict()["height_eV"], calc.todict()["calibrated"]) == (1.0, False)
