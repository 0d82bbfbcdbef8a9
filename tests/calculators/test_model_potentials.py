import math

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.langevin import Langevin

from ase_mlsample import testing
from ase_mlsample.calculators import CoupledTorsions, DoubleWell, ModelCalculator, MullerBrown, WolfeQuapp
from ase_mlsample.testing.caching import check_caching, check_failure
from ase_mlsample.testing.derivatives import check_forces
from ase_mlsample.testing.prediction import check_batch
from ase_mlsample.testing.storage import check_io, check_pickling

POTENTIALS = [
    WolfeQuapp(),
    WolfeQuapp(scale=0.3),
    DoubleWell(),
    DoubleWell(4, tilt=0.7, width=0.8, stiffness=3.0),
    MullerBrown(),
    CoupledTorsions(),
    CoupledTorsions(2, couplings=(2.0, -1.0), scale=0.025),
]
TURN = np.linspace(-math.pi, math.pi, 96, endpoint=False)


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
class TestEveryPotential:
    def points(self, potential, number=20):
        low, high = np.array(potential.limits).T
        unit = np.random.default_rng(0).uniform(size=(number, potential.n_variables))
        return 0.5 * (low + high) + 0.5 * (unit - 0.5) * (high - low)

    def test_gradient_is_the_derivative(self, potential):
        x, h = self.points(potential), 1e-5
        shifts = h * np.eye(potential.n_variables)
        quotients = [(potential.energy(x + e) - potential.energy(x - e)) / (2 * h) for e in shifts]
        gradient = potential.gradient(x)
        np.testing.assert_allclose(gradient, np.stack(quotients, axis=-1), atol=1e-7 * abs(gradient).max())

    def test_any_shape_and_layout(self, potential):
        x = self.points(potential, 6)
        energies, gradient = potential.energy(x), potential.gradient(x)
        shaped = x.reshape(2, 3, -1)
        np.testing.assert_array_equal(potential.energy(shaped), energies.reshape(2, 3))
        np.testing.assert_allclose(potential.gradient(np.asfortranarray(x)), gradient, rtol=1e-14, atol=1e-12)
        np.testing.assert_allclose(potential.gradient(x[0]), gradient[0], rtol=1e-14, atol=1e-12)

    def test_domains_are_periods(self, potential):
        x = self.points(potential)
        for index, domain in enumerate(potential.domains):
            if domain is not None:
                moved = x.copy()
                moved[:, index] += domain[1] - domain[0]
                np.testing.assert_allclose(potential.energy(moved), potential.energy(x), atol=1e-12)

    def test_starts_near_a_minimum(self, potential):
        thermal = {"MullerBrown": 10.0}.get(type(potential).__name__, 1.0) * potential.scale
        x = potential.start + np.random.default_rng(1).normal(size=(50, potential.n_variables)) * 0.3
        assert (potential.energy(x) > potential.energy(potential.start) - thermal).all()

    def test_settings_make_it_again(self, potential):
        again = type(potential)(**potential.settings())
        x = self.points(potential)
        np.testing.assert_array_equal(again.energy(x), potential.energy(x))

    def test_wrong_points_are_refused(self, potential):
        with pytest.raises(ValueError, match="variables"):
            potential.energy(np.zeros((3, potential.n_variables + 1)))

    def test_free_energy_refuses_what_does_not_fit(self, potential):
        with pytest.raises(ValueError, match="kT"):
            potential.free_energy(0, 0.0, TURN)
        with pytest.raises(ValueError, match="components"):
            potential.free_energy(potential.n_variables, 1.0, TURN)
        with pytest.raises(ValueError, match="grid"):
            potential.free_energy((0,), 1.0, TURN)


class TestWolfeQuapp:
    def test_published_figures_of_the_free_energy(self):
        x = np.linspace(-3, 3, 1201)
        F = WolfeQuapp().free_energy(0, 1.0, x)
        assert F.min() == 0
        assert x[F.argmin()] == pytest.approx(-1.865, abs=0.003)
        middle, right = (x > -1) & (x < 1), x > 0.5
        top = np.flatnonzero(middle)[F[middle].argmax()]
        assert F[top] == pytest.approx(11.133, abs=5e-4)
        assert x[top] == pytest.approx(-0.36, abs=0.005)
        assert F[right].min() == pytest.approx(3.285, abs=6e-4)
        assert x[right][F[right].argmin()] == pytest.approx(1.770, abs=0.003)
        p = np.exp(-F)
        assert math.log(p[:top].sum() / p[top:].sum()) == pytest.approx(3.177, abs=1e-3)

    def test_scale_is_a_factor_on_energy_and_temperature(self):
        x = np.linspace(-2.5, 2.5, 50)
        scaled = WolfeQuapp(scale=0.3).free_energy(0, 0.3, x)
        np.testing.assert_allclose(scaled, 0.3 * WolfeQuapp().free_energy(0, 1.0, x), rtol=1e-12)

    def test_both_variables_are_the_potential_itself(self):
        x, y = np.linspace(-2, 2, 9), np.linspace(-1, 2, 7)
        F = WolfeQuapp().free_energy((1, 0), 1.0, (y, x))
        U = WolfeQuapp().energy(np.stack(np.meshgrid(x, y), axis=-1))
        np.testing.assert_allclose(F, U - U.min(), rtol=1e-12)

    def test_temperature_too_high_for_the_limits(self):
        with pytest.raises(ValueError, match="limits"):
            WolfeQuapp().free_energy(0, 100.0, np.linspace(-2, 2, 5))


class TestMullerBrown:
    @pytest.mark.parametrize(
        ("place", "energy"),
        [
            ((-0.558224, 1.441726), -146.6995),
            ((0.623499, 0.028038), -108.1667),
            ((-0.050011, 0.466694), -80.7678),
            ((-0.822002, 0.624313), -40.6648),
            ((0.212487, 0.292988), -72.2489),
        ],
    )
    def test_published_stationary_points(self, place, energy):
        potential = MullerBrown()
        assert float(potential.energy(place)) == pytest.approx(energy, abs=1e-4)
        assert abs(potential.gradient(place)).max() < 0.01


class TestDoubleWell:
    def test_free_energies_are_the_terms(self):
        potential, x = DoubleWell(3, barrier=4.0, tilt=0.5, stiffness=2.0), np.linspace(-1.5, 1.5, 31)
        well = 4 * (x**2 - 1) ** 2 + 0.5 * x
        np.testing.assert_allclose(potential.free_energy(0, 0.7, x), well - well.min(), atol=1e-12)
        harmonic = potential.free_energy([0, 2], 0.7, [x, x])[3]
        np.testing.assert_allclose(harmonic - harmonic.min(), x**2, atol=1e-12)

    @pytest.mark.parametrize("bad", [{"n_variables": 0}, {"barrier": -1}, {"tilt": np.nan}, {"scale": 0}])
    def test_bad_settings(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            DoubleWell(**bad)


class TestCoupledTorsions:
    def by_brute_force(self, potential, kept, kT, points=24):
        nodes = np.linspace(-math.pi, math.pi, points, endpoint=False)
        mesh = np.stack(np.meshgrid(*[nodes] * potential.n_variables, indexing="ij"), axis=-1)
        others = tuple(k for k in range(potential.n_variables) if k not in kept)
        F = -kT * np.log(np.exp(-potential.energy(mesh) / kT).sum(axis=others))
        return nodes, F - F.min()

    @pytest.mark.parametrize("kept", [(0,), (1,), (3,), (0, 1), (0, 2), (1, 3), (0, 3)])
    def test_marginals_equal_sums_over_a_grid(self, kept):
        potential = CoupledTorsions(2, barriers=(3.0, 2.0), couplings=(1.5, -0.8))
        nodes, expected = self.by_brute_force(potential, kept, 1.3, points=26)
        F = potential.free_energy(kept, 1.3, [nodes] * len(kept))
        np.testing.assert_allclose(F, expected, atol=1e-6)

    def test_order_of_components(self):
        potential = CoupledTorsions()
        F = potential.free_energy((4, 1), 1.0, (TURN, TURN[::2]))
        np.testing.assert_array_equal(F, potential.free_energy((1, 4), 1.0, (TURN[::2], TURN)).T)

    def test_one_variable_is_the_sum_over_the_other(self):
        potential = CoupledTorsions()
        p = np.exp(-potential.free_energy((1, 4), 1.0, (TURN, TURN))).sum(axis=0)
        F = -np.log(p / p.max())
        np.testing.assert_allclose(F, potential.free_energy(4, 1.0, TURN), atol=1e-10)

    def test_without_couplings_a_torsion_stands_alone(self):
        potential = CoupledTorsions(couplings=(0.0, 0.0))
        x = np.tile(potential.start, (len(TURN), 1))
        x[:, 2] = TURN
        U = potential.energy(x)
        np.testing.assert_allclose(potential.free_energy(2, 0.5, TURN), U - U.min(), atol=1e-10)

    def test_cold_does_not_overflow(self):
        F = CoupledTorsions().free_energy((0, 5), 0.01, (TURN, TURN))
        assert np.isfinite(F).all()

    def test_three_components_are_refused(self):
        with pytest.raises(ValueError, match="one or two"):
            CoupledTorsions().free_energy((0, 1, 2), 1.0, (TURN, TURN, TURN))

    def test_bad_settings(self):
        with pytest.raises(ValueError, match="residues"):
            CoupledTorsions(0)
        with pytest.raises(ValueError, match="couplings"):
            CoupledTorsions(couplings=(1.0, np.inf))


def frames(potential, particles=3):
    rng = np.random.default_rng(2)
    each = -(-potential.n_variables // 3)
    found = []
    for _ in range(2):
        atoms = Atoms(f"H{particles * each}", rng.normal(size=(particles * each, 3)))
        found.append(atoms)
    return found


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
class TestCalculator:
    def test_contract_of_an_external_field(self, potential):
        calc = potential.calculator()
        both = frames(potential)
        # what stretches as far as energies of Müller–Brown do cannot be differentiated more exactly
        tolerances = testing.Tolerances(forces=1e-6 * max(1.0, abs(calc.evaluate(both[0]).forces).max()))
        for atoms in both:
            check_forces(calc, atoms, tolerances=tolerances)
            if calc.atoms_per_particle == 1:  # these two take atoms away
                check_caching(calc, atoms)
                check_failure(calc, atoms)
            check_io(calc, atoms)
            check_pickling(calc, atoms)
        check_batch(calc, both)

    def test_coordinates_are_the_variables(self, potential):
        atoms, calc = frames(potential)[0], potential.calculator()
        assert isinstance(calc, ModelCalculator)
        points = atoms.positions.reshape(3, -1)[:, : potential.n_variables]
        prediction = calc.evaluate(atoms)
        assert prediction.energy == pytest.approx(potential.energy(points).sum())
        forces = prediction.forces.reshape(3, -1)
        np.testing.assert_allclose(forces[:, : potential.n_variables], -potential.gradient(points))
        assert not forces[:, potential.n_variables :].any()
        atoms.calc = calc
        if calc.atoms_per_particle == 1:
            np.testing.assert_allclose(atoms.get_potential_energies(), potential.energy(points))
        else:
            with pytest.raises(PropertyNotImplementedError, match="particle"):
                atoms.get_potential_energies()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()


class TestCalculatorUse:
    def test_no_whole_particles(self):
        with pytest.raises(ValueError, match="whole number of particles"):
            CoupledTorsions().calculator().evaluate(Atoms("H3", np.zeros((3, 3))))
        with pytest.raises(TypeError, match="ModelPotential"):
            ModelCalculator("WolfeQuapp")

    def test_ordinary_dynamics_stay_in_the_well(self):
        potential = DoubleWell(3, barrier=2.0, scale=1.0)
        atoms = Atoms("H20", np.tile(potential.start, (20, 1)), calculator=potential.calculator())
        Langevin(
            atoms, 0.5 * units.fs, temperature_K=500, friction=0.1, fixcm=False, rng=np.random.default_rng(0)
        ).run(200)
        assert atoms.get_potential_energy() > 0
        assert (abs(atoms.positions[:, 0] + 1) < 0.5).all()
