import numpy as np
import pytest

from ase_mlsample.analysis.diffusion import diffusion_coefficient, mean_squared_displacement


def test_displacement_against_the_definition():
    r = np.random.default_rng(0).normal(size=(12, 5, 3)).cumsum(axis=0)
    found = mean_squared_displacement(r)
    r = r - r.mean(axis=1, keepdims=True)
    for lag in range(12):
        pairs = [((r[k + lag] - r[k]) ** 2).sum(axis=1).mean() for k in range(12 - lag)]
        assert found[lag] == pytest.approx(np.mean(pairs), abs=1e-9)


@pytest.mark.parametrize("n_atoms", [2, 20])
def test_ideal_langevin_particles(n_atoms):
    # free particles with friction γ: D = k_BT/(m γ), reached after a few 1/γ
    rng = np.random.default_rng(1)
    kT, mass, friction, dt, steps = 0.1, 2.0, 0.5, 0.5, 20_000
    c = np.exp(-friction * dt)
    velocities = np.empty((steps, n_atoms, 3))
    v = np.sqrt(kT / mass) * rng.standard_normal((n_atoms, 3))
    for step in range(steps):
        v = c * v + np.sqrt((1 - c**2) * kT / mass) * rng.standard_normal(v.shape)
        velocities[step] = v
    # of velocities at discrete times the sum of correlations is exact: dt (1 + c) / (1 − c) / 2 for 1/γ
    exact = kT / mass * dt * (1 + c) / (1 - c) / 2
    found = diffusion_coefficient(velocities.cumsum(axis=0) * dt, dt, parts=10, window=(0.02, 0.1))
    assert found.coefficient == pytest.approx(exact, abs=4 * found.error)
    assert found.error < 0.5 * exact


def test_a_drift_of_all_does_not_diffuse():
    rng = np.random.default_rng(2)
    r = rng.normal(size=(500, 20, 3)).cumsum(axis=0)
    drifting = r + np.arange(500)[:, None, None] * np.array([3.0, -2.0, 1.0])
    assert diffusion_coefficient(drifting, 1.0).coefficient == pytest.approx(
        diffusion_coefficient(r, 1.0).coefficient, rel=1e-6
    )


@pytest.mark.parametrize(
    ("shape", "settings"), [((10, 4, 3), {}), ((500, 4, 3), {"parts": 1}), ((500, 1, 3), {})]
)
def test_too_little(shape, settings):
    with pytest.raises(ValueError, match=r"parts|two atoms"):
        diffusion_coefficient(np.zeros(shape), 1.0, **settings)
