"""Wyckoff positions derived from the operations are those of the International Tables."""

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers.affine import UNIT, Subspace, intersection, parametrise, solve
from ase_mlsample.samplers.group_names import space_group_number
from ase_mlsample.samplers.wyckoff import space_group, symmetry_deviation


def test_there_are_1731_positions_and_letters_are_in_order():
    letters = "abcdefghijklmnopqrstuvwxyzA"
    groups = [space_group(number) for number in range(1, 231)]
    assert sum(len(group.wyckoff) for group in groups) == 1731
    for group in groups:
        assert "".join(one.letter for one in group.wyckoff) == letters[: len(group.wyckoff)]
        multiplicities = [one.multiplicity for one in group.wyckoff]
        assert all(first <= second for first, second in pairwise(multiplicities))
        for one in group.wyckoff:
            assert one.size * one.site_order == group.order
        assert (group.wyckoff[-1].size, group.wyckoff[-1].n_free) == (group.order, 3)


# International Tables A: multiplicity, letter, free parameters
TABLES = {
    "P1": "1a3",
    "P-1": "1a0 1b0 1c0 1d0 1e0 1f0 1g0 1h0 2i3",
    "P2_1/c": "2a0 2b0 2c0 2d0 4e3",
    "Cm": "2a2 4b3",
    "Pnma": "4a0 4b0 4c2 8d3",
    "I4/mmm": "2a0 2b0 4c0 4d0 4e1 8f0 8g1 8h1 8i1 8j1 16k1 16l2 16m2 16n2 32o3",
    "P4_1": "4a3",
    "R-3m": "3a0 3b0 6c1 9d0 9e0 18f1 18g1 18h2 36i3",
    "P6_3/mmc": "2a0 2b0 2c0 2d0 4e1 4f1 6g0 6h1 12i1 12j2 12k2 24l3",
    "P2_13": "4a1 12b3",
    "Pm-3m": "1a0 1b0 3c0 3d0 6e1 6f1 8g1 12h1 12i1 12j1 24k2 24l2 24m2 48n3",
    "Fm-3m": "4a0 4b0 8c0 24d0 24e1 32f1 48g1 48h1 48i1 96j2 96k2 192l3",
    "Fd-3m": "8a0 8b0 16c0 16d0 32e1 48f1 96g2 96h1 192i3",
    "Ia-3d": "16a0 16b0 24c0 24d0 32e1 48f1 48g1 96h3",
}


@pytest.mark.parametrize("symbol", TABLES)
def test_known_tables(symbol):
    found = [f"{one.label}{one.n_free}" for one in space_group(symbol).wyckoff]
    assert " ".join(found) == TABLES[symbol]


@pytest.mark.parametrize(
    ("symbol", "letter", "point"),
    [
        ("Fd-3m", "a", (0, 0, 0)),
        ("Fd-3m", "b", (1 / 2, 1 / 2, 1 / 2)),
        ("Fd-3m", "c", (1 / 8, 1 / 8, 1 / 8)),
        ("Fd-3m", "d", (5 / 8, 5 / 8, 5 / 8)),
        ("Fm-3m", "c", (1 / 4, 1 / 4, 1 / 4)),
        ("Pm-3m", "c", (0, 1 / 2, 1 / 2)),
        ("P6_3/mmc", "a", (0, 0, 0)),
        ("P6_3/mmc", "b", (0, 0, 1 / 4)),
        ("P6_3/mmc", "c", (1 / 3, 2 / 3, 1 / 4)),
        ("P6_3/mmc", "d", (1 / 3, 2 / 3, 3 / 4)),
        ("P-1", "f", (1 / 2, 0, 1 / 2)),
        ("R-3m", "b", (0, 0, 1 / 2)),
        ("Pnma", "c", (0.123, 1 / 4, 0.456)),
        ("Pnma", "b", (0, 0, 1 / 2)),
    ],
)
def test_letters_belong_to_their_places(symbol, letter, point):
    group = space_group(symbol)
    positions = list(group.wyckoff)
    where = group.locate(np.linalg.inv(group.primitive.T) @ np.array(point), positions)
    assert positions[where].letter == letter


def distances(points, one):
    apart = points - one
    return np.abs(apart - np.rint(apart)).max(axis=-1)


@settings(max_examples=60, deadline=None)
@given(number=st.integers(1, 230), seed=st.integers(0, 2**32 - 1))
def test_orbits_are_closed_and_of_their_size(number, seed):
    rng = np.random.default_rng(seed)
    group = space_group(number)
    rotations, translations = group.operations()
    for one in group.wyckoff:
        points = one.coordinates(rng.random(one.n_free))
        images = rotations @ points[0] + translations
        hits = np.array([distances(points, image) < 1e-9 for image in images])
        # every point is reached by as many operations as its site symmetry has
        assert (hits.sum(axis=0) == one.site_order).all()
        assert (hits.sum(axis=1) == 1).all()
        assert group.locate(points[-1], list(group.wyckoff)) == group.wyckoff.index(one)


def test_operations_make_a_group():
    for number in range(1, 231):
        for cell in ("primitive", "conventional"):
            rotations, _ = space_group(number).operations(cell)
            products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 9)
            assert len(np.unique(products, axis=0)) == len(rotations)
            assert (np.abs(np.rint(np.linalg.det(rotations))) == 1).all()


def test_subspaces_meet_where_they_should():
    plane = Subspace(((1, 0, 0),), (0,))
    tilted = Subspace(((1, 2, 0),), (UNIT // 2,))
    # x = 0 and x + 2y = 1/2: the lines y = 1/4 and y = 3/4
    lines = intersection(plane, tilted)
    assert sorted(line.constants for line in lines) == [(0, UNIT // 4), (0, 3 * UNIT // 4)]
    assert {line.rows for line in lines} == {((1, 0, 0), (0, 1, 0))}
    point, basis = parametrise(lines[0])
    assert point[0] == 0
    np.testing.assert_array_equal(np.abs(basis), [[0], [0], [1]])
    assert intersection(plane, Subspace(((1, 0, 0),), (5,))) == []
    assert solve((), ()) == [Subspace((), ())]
    with pytest.raises(ArithmeticError, match="raise UNIT"):
        solve(((7, 0, 0),), (1,))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=4),
    point=st.tuples(*[st.integers(0, 23)] * 3),
)
def test_solutions_solve_and_none_is_missing(rows, point):
    matrix, x = np.array(rows), np.array(point) * UNIT // 24
    constants = tuple(int(value) for value in matrix @ x % UNIT)
    try:
        found = solve(tuple(rows), constants)
    except ArithmeticError:
        return  # fifths: not in a crystal
    assert len(set(found)) == len(found)
    holding = 0
    for subspace in found:
        start, basis = parametrise(subspace)
        assert (((matrix @ start) - constants) % UNIT == 0).all()
        assert (matrix @ basis == 0).all()
        if subspace.rows:
            off = np.array(subspace.rows) @ x - subspace.constants
            holding += bool((off % UNIT == 0).all())
        else:
            holding += 1
    assert holding == 1


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Fd-3m", 227),
        ("P6_3/mmc", 194),
        ("P63/mmc", 194),
        ("P 6_3/m m c", 194),
        ("P2_1/n", 14),
        ("P 1 2_1/n 1", 14),
        ("I2/a", 15),
        ("Pbnm", 62),
        ("Abm2", 39),
        ("Cmca", 64),
        ("Cmce", 64),
        ("Fd3m", 227),
        ("Pa3", 205),
        ("P-43m", 215),
        ("R32", 155),
        ("P312", 149),
        ("P3_121", 152),
        ("R-3m", 166),
        ("P1", 1),
        (np.int64(5), 5),
        (230, 230),
    ],
)
def test_numbers_and_symbols(name, number):
    assert space_group_number(name) == number


def test_every_short_symbol_leads_back():
    assert [space_group_number(space_group(number).symbol) for number in range(1, 231)] == list(range(1, 231))


@pytest.mark.parametrize("name", ["Fd3q", "", "227", 0, 231, -1])
def test_unknown_groups(name):
    with pytest.raises(ValueError, match=r"space group"):
        space_group(name)


@pytest.mark.parametrize("name", [1.0, None, True])
def test_groups_of_the_wrong_kind(name):
    with pytest.raises(TypeError, match=r"number or a Hermann–Mauguin symbol"):
        space_group(name)


def test_deviation_of_known_crystals():
    silicon = bulk("Si", a=5.431)  # the usual primitive vectors, atoms on 8a of origin choice 1
    assert symmetry_deviation(silicon, "Fd-3m") < 1e-12
    assert symmetry_deviation(silicon, "F-43m") < 1e-12
    assert symmetry_deviation(bulk("Si", a=5.431, cubic=True), 227, cell="conventional") < 1e-12
    assert symmetry_deviation(bulk("Cu", cubic=True), "Pm-3m") < 1e-12
    moved = silicon.copy()
    moved.positions[1, 0] += 0.1
    assert 0.05 < symmetry_deviation(moved, "Fd-3m") < 0.3
    strained = silicon.copy()
    strained.set_cell(silicon.cell.array @ np.diag([1, 1, 1.1]), scale_atoms=True)
    assert symmetry_deviation(strained, "Fd-3m") > 0.1
    zincblende = Atoms("GaAs", cell=silicon.cell, positions=silicon.positions, pbc=True)
    assert symmetry_deviation(zincblende, "F-43m") < 1e-12
    assert symmetry_deviation(zincblende, "Fd-3m") > 1
    with pytest.raises(ValueError, match="primitive"):
        symmetry_deviation(silicon, 227, cell="unit")
