import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, diamond100
from ase.units import GPa

from ase_mlsample import _core
from ase_mlsample.calculators import StillingerWeber

A0 = 5.43095


def diamond(repeat=1, *, rattle=0.0, seed=0, cubic=True):
    atoms = bulk("Si", a=A0, cubic=cubic) * repeat
    if rattle:
        atoms.positions += np.random.default_rng(seed).normal(0, rattle, (len(atoms), 3))
    return atoms


def as_published(atoms, *, epsilon, sigma, a, lambda_, gamma, A, B, cos_theta0):
    """Atomic energies by plain loops over images and triplets."""
    cutoff = a * sigma
    reach = [range(-3, 4) if periodic else [0] for periodic in atoms.pbc]
    energies = np.zeros(len(atoms))
    for i, origin in enumerate(atoms.positions):
        near = []
        for j, shift in itertools.product(range(len(atoms)), itertools.product(*reach)):
            d = atoms.positions[j] + np.array(shift) @ atoms.cell.array - origin
            if 0 < np.linalg.norm(d) < cutoff:
                near.append(d)
        for d in near:
            r = np.linalg.norm(d)
            energies[i] += 0.5 * epsilon * A * (B * (sigma / r) ** 4 - 1) * np.exp(sigma / (r - cutoff))
        for d, e in itertools.combinations(near, 2):
            r, s = np.linalg.norm(d), np.linalg.norm(e)
            decay = np.exp(gamma * sigma / (r - cutoff)) * np.exp(gamma * sigma / (s - cutoff))
            energies[i] += epsilon * lambda_ * (d @ e / (r * s) - cos_theta0) ** 2 * decay
    return energies


def numerical(calc, atoms, h=1e-4):
    """Forces and stress by central differences of fourth order."""

    def derivative(energy_at):
        return (8 * (energy_at(h) - energy_at(-h)) - (energy_at(2 * h) - energy_at(-2 * h))) / (12 * h)

    def moved(i, k, x):
        other = atoms.copy()
        other.positions[i, k] += x
        return calc.evaluate(other).energy

    def strained(i, k, x):
        strain = np.eye(3)
        strain[i, k] += x / 2
        strain[k, i] += x / 2
        other = atoms.copy()
        other.set_cell(atoms.cell.array @ strain, scale_atoms=False)
        other.positions = atoms.positions @ strain
        return calc.evaluate(other).energy

    forces = [[-derivative(lambda x, i=i, k=k: moved(i, k, x)) for k in range(3)] for i in range(len(atoms))]
    voigt = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    stress = [derivative(lambda x, i=i, k=k: strained(i, k, x)) / atoms.cell.volume for i, k in voigt]
    return np.array(forces), np.array(stress)


def test_silicon_crystal():
    calc = StillingerWeber()
    lengths = A0 * np.linspace(0.99, 1.01, 41)
    energies = [calc.evaluate(bulk("Si", a=a)).energy / 2 for a in lengths]
    fit = np.polynomial.Polynomial.fit(lengths, energies, 6)
    a0 = min(fit.deriv().roots().real, key=lambda a: abs(a - A0))
    assert a0 == pytest.approx(5.43095, abs=2e-5)
    assert fit(a0) == pytest.approx(-4.33660, abs=5e-6)
    bulk_modulus = fit.deriv(2)(a0) * 8 / (9 * a0)  # B = V d²E/dV², V = a³/8 an atom
    assert bulk_modulus / GPa == pytest.approx(101.4, abs=0.1)


def test_single_atom_and_far_atoms():
    calc = StillingerWeber()
    alone = calc.evaluate(Atoms("Si"))
    assert alone.energy == 0.0
    assert alone.stress is None
    np.testing.assert_array_equal(alone.forces, np.zeros((1, 3)))
    assert calc.evaluate(Atoms("Si2", [[0, 0, 0], [3.78, 0, 0]])).energy == 0.0


@pytest.mark.parametrize("r", [1.2, 2.35, 3.0, 3.7, 3.77, 3.771])
def test_dimer(r):
    e, s, A, B, end = 2.1683, 2.0951, 7.049556277, 0.6022245584, 1.8 * 2.0951
    ours = StillingerWeber().evaluate(Atoms("Si2", [[1, 2, 3], [1, 2, 3 + r]]))
    decay = np.exp(s / (r - end))
    energy = e * A * (B * (s / r) ** 4 - 1) * decay
    slope = -4 * e * A * B * s**4 / r**5 * decay - energy * s / (r - end) ** 2
    assert ours.energy == pytest.approx(energy, rel=1e-12, abs=1e-300)
    np.testing.assert_allclose(ours.energies, [energy / 2] * 2, rtol=1e-12)
    np.testing.assert_allclose(ours.forces, [[0, 0, slope], [0, 0, -slope]], rtol=1e-11)


@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_user_parameters_equal_the_published_formula(pbc):
    parameters = {"epsilon": 1.3, "sigma": 2.2, "a": 1.7, "lambda_": 17.0, "gamma": 1.05, "A": 6.5, "B": 0.55}
    parameters["cos_theta0"] = -0.2
    calc = StillingerWeber("Ge", **parameters)
    rng = np.random.default_rng(8)
    atoms = Atoms("Ge5", cell=[[3.9, 0.3, 0.1], [-0.5, 4.2, 0.2], [0.4, 0.8, 4.4]], pbc=pbc)
    atoms.set_scaled_positions(
        [[0, 0, 0], [0.5, 0.5, 0.1], [0.1, 0.6, 0.5], [0.6, 0.1, 0.6], [1.0, 1.0, -0.55]]
    )
    atoms.positions += rng.normal(0, 0.1, (5, 3))
    ours = calc.evaluate(atoms)
    np.testing.assert_allclose(ours.energies, as_published(atoms, **parameters), rtol=1e-11, atol=1e-12)
    assert ours.energies.sum() == pytest.approx(ours.energy, rel=1e-12)
    forces, stress = numerical(calc, atoms)
    np.testing.assert_allclose(ours.forces, forces, atol=2e-6)
    np.testing.assert_allclose(ours.stress, stress, atol=1e-7)


def test_one_evaluation_does_not_touch_the_next():
    calc = StillingerWeber()
    one, other = diamond(2, rattle=0.1), diamond100("Si", (2, 2, 6), a=A0, vacuum=6.0)
    before = calc.evaluate(one)
    calc.evaluate(other)
    moved = one.copy()
    moved.positions += 0.05
    calc.evaluate(moved)
    with pytest.raises(ValueError, match="on top of each other"):
        calc.evaluate(Atoms("Si2", [[0, 0, 0], [0, 0, 1e-5]]))
    after = calc.evaluate(one)
    fresh = StillingerWeber(skin=0.0).evaluate(one)
    for result in (after, fresh):
        assert result.energy == before.energy
        np.testing.assert_array_equal(result.forces, before.forces)
        np.testing.assert_array_equal(result.stress, before.stress)


def test_one_calculator_in_several_python_threads():
    calc = StillingerWeber()
    frames = [diamond(n, rattle=0.1, seed=seed) for seed in range(6) for n in (1, 2, 3)]
    expected = [calc.evaluate(atoms).energy for atoms in frames]
    with ThreadPoolExecutor(4) as pool:
        assert [p.energy for p in pool.map(calc.evaluate, frames)] == expected


def test_threads_agree():
    atoms = diamond(5, rattle=0.2)
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(StillingerWeber().evaluate(atoms))
    finally:
        _core.set_num_threads(before)
    for result in results[1:]:
        assert result.energy == pytest.approx(results[0].energy, rel=1e-13)
        np.testing.assert_allclose(result.forces, results[0].forces, atol=1e-12)
        np.testing.assert_allclose(result.stress, results[0].stress, atol=1e-14)


def test_pickles_and_describes_itself():
    calc = StillingerWeber(lambda_=25.0, skin=0.5)
    atoms = diamond(rattle=0.1)
    expected = calc.evaluate(atoms)
    copy = pickle.loads(pickle.dumps(calc))  # noqa: S301
    assert copy.evaluate(atoms).energy == expected.energy
    assert copy.todict() == calc.todict()
    assert StillingerWeber(**calc.todict()).evaluate(atoms).energy == expected.energy
    assert calc.cutoff == pytest.approx(3.77118, abs=1e-5)


def test_bad_input_raises():
    calc = StillingerWeber()
    with pytest.raises(ValueError, match="parameters are for Si, but the structure has Ge, O"):
        calc.evaluate(Atoms("SiGeO", np.eye(3) * 3))
    with pytest.raises(ValueError, match="not finite"):
        calc.evaluate(Atoms("Si", [[np.nan, 0, 0]]))
    with pytest.raises(KeyError, match="Xy"):
        StillingerWeber("Xy")
    with pytest.raises(ValueError, match=r"sigma, a and gamma .* must be positive"):
        StillingerWeber(sigma=-1.0)
    with pytest.raises(ValueError, match="finite"):
        StillingerWeber(B=np.nan)
    with pytest.raises(ValueError, match="skin"):
        StillingerWeber(skin=-0.1)


def test_kernel_refuses_a_short_list():
    parameters = {k: v for k, v in StillingerWeber().todict().items() if k not in ("symbol", "skin")}
    kernel = _core.StillingerWeberKernel(**parameters)
    neighbors = _core.NeighborList(3.0)
    with pytest.raises(RuntimeError, match="empty"):
        kernel.compute(neighbors)
    neighbors.update(np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool))
    with pytest.raises(ValueError, match="before the potential's cutoff"):
        kernel.compute(neighbors)
