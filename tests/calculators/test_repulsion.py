import dataclasses
import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.units import Bohr, _e, _eps0

from ase_mlsample import _core
from ase_mlsample.calculators.repulsion import Repulsion


def pair_energy(zi, zj, r, repulsion):
    """The published formula in units of ours, times the switch."""
    coulomb = _e / (4 * np.pi * _eps0) * 1e10
    x = r / (0.8854 * Bohr / (zi**0.23 + zj**0.23))
    weights, decays = [0.18175, 0.50986, 0.28022, 0.02817], [3.1998, 0.94229, 0.4029, 0.20162]
    phi = sum(w * np.exp(-d * x) for w, d in zip(weights, decays, strict=True))
    length = covalent_radii[zi] + covalent_radii[zj]
    t = np.clip((r - repulsion.inner * length) / ((repulsion.outer - repulsion.inner) * length), 0, 1)
    return coulomb * zi * zj / r * phi * (1 - 10 * t**3 + 15 * t**4 - 6 * t**5)


def evaluate(repulsion, *frames):
    """Concatenate the frames' neighbour lists as a batch and evaluate them in one call."""
    numbers, first, second, vectors, frame_first = [], [np.zeros(1, np.int64)], [], [], [0]
    for atoms in frames:
        neighbors = _core.NeighborList(repulsion.cutoff(set(atoms.symbols)) + 0.5)
        neighbors.update(atoms.positions, atoms.cell.array, atoms.pbc)
        numbers.append(atoms.numbers)
        first.append(neighbors.first[1:] + first[-1][-1])
        second.append(neighbors.second + np.int32(frame_first[-1]))
        vectors.append(neighbors.vectors)
        frame_first.append(frame_first[-1] + len(atoms))
    arrays = [np.concatenate(x) for x in (numbers, first, second, vectors)]
    return repulsion.evaluate(*arrays, frame_first)


def dense(seed=0):
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        "SiOCHAlSi", cell=[[3.2, 0.2, 0], [-0.4, 3.0, 0.3], [0.5, 0.1, 3.4]], pbc=(True, True, False)
    )
    grid = [[0, 0, 0], [0.5, 0.1, 0], [0, 0.5, 0.1], [0.1, 0, 0.5], [0.5, 0.5, 0.5], [0.5, 0.1, 0.45]]
    atoms.set_scaled_positions(np.array(grid) + rng.normal(0, 0.03, (6, 3)))
    return atoms


def test_dimer_equals_the_published_formula():
    repulsion = Repulsion()
    for zi, zj in itertools.combinations_with_replacement([1, 8, 14, 50], 2):
        length = covalent_radii[zi] + covalent_radii[zj]
        for fraction in (0.2, 0.5, 0.51, 0.65, 0.79, 0.8, 1.0):
            r = fraction * length
            energies, gradient, virial = evaluate(repulsion, Atoms([zi, zj], [[0, 0, 0], [0, 0, r]]))
            expected = pair_energy(zi, zj, r, repulsion)
            np.testing.assert_allclose(energies, [expected / 2] * 2, rtol=1e-7, atol=1e-9)
            h = 1e-5
            slope = (pair_energy(zi, zj, r + h, repulsion) - pair_energy(zi, zj, r - h, repulsion)) / (2 * h)
            np.testing.assert_allclose(gradient, [[0, 0, -slope], [0, 0, slope]], rtol=1e-6, atol=1e-5)
            np.testing.assert_allclose(virial[0], np.diag([0, 0, slope * r]), rtol=1e-6, atol=1e-5)


def test_bare_coulomb_limit():
    """Nuclei in contact feel each other unscreened: V r -> Z1 Z2 e²/(4 pi eps0)."""
    r = 2e-3
    energies, _, _ = evaluate(Repulsion(), Atoms("H2", [[0, 0, 0], [0, 0, r]]))
    assert energies.sum() * r == pytest.approx(14.3996, rel=0.02)


def test_gradient_and_virial_are_derivatives():
    repulsion, atoms, h = Repulsion(inner=0.3, outer=0.95), dense(), 1e-5
    _, gradient, virial = evaluate(repulsion, atoms)

    def energy(positions, cell):
        frame = Atoms(atoms.numbers, positions, cell=cell, pbc=atoms.pbc)
        return evaluate(repulsion, frame)[0].sum()

    numerical = np.zeros_like(gradient)
    for index in np.ndindex(gradient.shape):
        step = np.zeros_like(gradient)
        step[index] = h
        up, down = energy(atoms.positions + step, atoms.cell), energy(atoms.positions - step, atoms.cell)
        numerical[index] = (up - down) / (2 * h)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-7, atol=1e-5)
    assert np.abs(gradient).max() > 1.0

    strains = np.zeros((3, 3))
    for index in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[index] = h
        up, down = np.eye(3) + step, np.eye(3) - step
        strains[index] = energy(atoms.positions @ up.T, atoms.cell.array @ up.T)
        strains[index] -= energy(atoms.positions @ down.T, atoms.cell.array @ down.T)
    np.testing.assert_allclose(virial[0], strains / (2 * h), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(virial[0], virial[0].T, atol=1e-10)


def test_smooth_to_the_second_derivative():
    repulsion = Repulsion()
    outer, inner = repulsion.cutoff(["Si"]), repulsion.inner * 2 * covalent_radii[14]

    def gradient(r):
        return evaluate(repulsion, Atoms("Si2", [[0, 0, 0], [0, 0, r]]))[1][1, 2]

    h = 1e-5
    for edge in (inner, outer):
        before = (gradient(edge - h) - gradient(edge - 2 * h)) / h
        after = (gradient(edge + 2 * h) - gradient(edge + h)) / h
        assert before == pytest.approx(after, abs=0.05 * max(1.0, abs(after)))
    assert gradient(outer + 1e-9) == 0.0


def test_crystals_are_untouched():
    for atoms in (bulk("Si"), bulk("Al"), bulk("Sn"), bulk("NaCl", "rocksalt", a=5.64), bulk("C")):
        energies, gradient, virial = evaluate(Repulsion(), atoms)
        assert not energies.any()
        assert not gradient.any()
        assert not virial.any()


def test_batch_equals_single_frames():
    frames = [dense(1), bulk("Si"), dense(2), Atoms("Si"), dense(3)]
    before = _core.num_threads()
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            energies, gradient, virial = evaluate(Repulsion(), *frames)
            single = [evaluate(Repulsion(), atoms) for atoms in frames]
            np.testing.assert_array_equal(energies, np.concatenate([s[0] for s in single]))
            np.testing.assert_array_equal(gradient, np.concatenate([s[1] for s in single]))
            np.testing.assert_array_equal(virial, np.concatenate([s[2] for s in single]))
    finally:
        _core.set_num_threads(before)


def test_parameters():
    repulsion = Repulsion(inner=0.4, outer=0.7)
    assert Repulsion.from_dict(repulsion.to_dict()) == repulsion
    assert Repulsion().cutoff(["Si"]) == pytest.approx(0.8 * 2.22)
    assert Repulsion().cutoff(["H", "Si", "O"]) == Repulsion().cutoff(["Si"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        repulsion.inner = 0.1


def test_bad_input_raises():
    for inner, outer in [(0.8, 0.8), (-0.1, 0.5), (0.5, np.inf), (np.nan, 0.8)]:
        with pytest.raises(ValueError, match="0 <= inner < outer"):
            Repulsion(inner=inner, outer=outer)
    with pytest.raises(KeyError, match="Qq"):
        Repulsion().cutoff(["Si", "Qq"])
    with pytest.raises(ValueError, match="at least one element"):
        Repulsion().cutoff([])
    with pytest.raises(KeyError, match="'inner' and 'outer'"):
        Repulsion.from_dict({"inner": 0.5})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("numbers", [14, 0], "atom 1 has atomic number 0"),
        ("numbers", [14, 500], "atomic number 500"),
        ("first", np.array([0, 1, 3]), "`first` must rise"),
        ("first", np.array([0, 2]), "one entry more"),
        ("second", np.array([1, 7], np.int32), "names atom 7 of 2"),
        ("frame_first", [0, 1], "`frame_first` must rise"),
        ("frame_first", [], "empty"),
    ],
)
def test_arrays_that_do_not_fit_raise(name, value, message):
    arrays = {
        "numbers": [14, 14],
        "first": np.array([0, 1, 2]),
        "second": np.array([1, 0], np.int32),
        "vectors": np.array([[0, 0, 1.0], [0, 0, -1.0]]),
        "frame_first": [0, 2],
    }
    with pytest.raises(ValueError, match=message):
        Repulsion().evaluate(**(arrays | {name: value}))
