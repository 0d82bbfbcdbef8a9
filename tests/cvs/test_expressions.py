import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from ase_mlsample.cvs import Distance, EnvironmentSimilarity, Volume, make_cv, stack
from ase_mlsample.cvs.expressions import crystal, crystallinity, shell_midpoint

ATOMS = bulk("Si", a=5.431, cubic=True)
ATOMS.rattle(0.1, seed=1)


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Volume", Volume()),
        ("Distance(0, 1)", Distance(0, 1)),
        ("2 * Distance(0, 1) - Distance(first=1, second=2) / 3", 2 * Distance(0, 1) - Distance(1, 2) / 3),
        ("-Distance(0, 1, mic=False) + 1", -Distance(0, 1, mic=False) + 1),
        ("stack(Distance(0, 1), Volume())", stack(Distance(0, 1), Volume())),
        ("ase_mlsample.cvs.cell:Volume", Volume()),
        ({"variable": "Distance", "first": 0, "second": 1}, Distance(0, 1)),
        ({"variable": "ase_mlsample.cvs.geometry:Distance", "first": 0, "second": 1}, Distance(0, 1)),
        ({"variable": "Distance(0, 1)"}, Distance(0, 1)),
        (["Distance(0, 1)", {"variable": "Volume"}], stack(Distance(0, 1), Volume())),
        (Volume(), Volume()),
    ],
)
def test_descriptions(description, expected):
    cv = make_cv(description)
    assert cv.todict() == expected.todict()
    np.testing.assert_array_equal(cv(ATOMS), expected(ATOMS))


def test_crystallinity():
    cv = make_cv('crystallinity("Si:diamond:5.431").count(threshold=0.5)')
    similarity = EnvironmentSimilarity.from_crystal(bulk("Si", a=5.431, cubic=True), sigma=0.4)
    np.testing.assert_allclose(cv(ATOMS * 3), similarity.count(0.5)(ATOMS * 3), rtol=1e-12)
    assert crystallinity("Si:diamond:5.431", sigma=0.5).parameters["sigma"] == 0.5
    assert make_cv('crystallinity("Si:diamond:5.431")').name == "crystallinity"


def test_crystals(tmp_path):
    assert crystal("Si:diamond:5.431") == bulk("Si", a=5.431, cubic=True)
    assert crystal("Mg:hcp:3.2:c=5.2") == bulk("Mg", "hcp", a=3.2, c=5.2)
    assert len(crystal("Al:fcc")) == 4
    path = tmp_path / "c.xyz"
    write(path, ATOMS, format="extxyz")
    np.testing.assert_allclose(crystal(str(path)).positions, ATOMS.positions, atol=1e-7)
    write(path, Atoms("Si", cell=[5, 5, 5]), format="extxyz")
    with pytest.raises(ValueError, match=r"c\.xyz holds no crystal: Si is not periodic"):
        crystallinity(str(path))
    a = 5.431
    assert shell_midpoint(crystal("Si:diamond:5.431")) == pytest.approx(a * (3**0.5 / 4 + 2**0.5 / 2) / 2)
    assert shell_midpoint(bulk("Fe", "bcc", a=2.87)) == pytest.approx(2.87 * (3**0.5 / 2 + 1) / 2)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("Distanc(0, 1)", "did you mean 'Distance'"),
        ("Distance(0)", "missing 1 required"),
        ("Distance(0, 1", "no expression"),
        ("Distance(0, 0)", "not repeated"),
        ("Distance(0, 1).__class__", "has no '__class__'"),
        ("Distance(0, 1).nothing()", "has no 'nothing'"),
        ("__import__('os')", "no collective variable"),
        ("[v for v in (1, 2)]", "not part of an expression"),
        ("Distance(*[0, 1])", "not part of an expression"),
        ("3 + 4", "makes a int"),
        ("no_such_module:thing", "cannot be imported"),
        ("ase_mlsample.cvs.cell:nothing", "cannot be imported"),
        ({"variable": "Distance", "first": 0}, "missing 1 required"),
        ({"variable": "Distance(0, 1)", "mic": False}, "takes no mic"),
        ({"first": 0}, "names no variable"),
        ([], "needs one variable"),
        (["Volume", "StructureFactor(q=1.96)"], r"of every atom; pool it, with \.mean\(\)"),
        ('crystallinity("Si:dimond")', "no crystal"),
        ('crystallinity("Si:diamond:five")', "no crystal"),
    ],
)
def test_refused(description, message):
    with pytest.raises(ValueError, match=message):
        make_cv(description)
