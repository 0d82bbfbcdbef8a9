import json
import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample import testing
from ase_mlsample.cvs import Coordination, Dihedral, Distance, TorchCV, Volume, load_cv, stack

ATOMS = bulk("Si", a=5.431, cubic=True)
ATOMS.rattle(0.2, seed=1)


def distances(positions):
    """Two distances."""
    return torch.stack([(positions[1] - positions[0]).norm(), (positions[2] - positions[0]).norm()])


def density(cell, masses):
    """Mass by volume, in amu/Å³."""
    return masses.sum() / torch.linalg.det(cell).abs()


def heights(positions, numbers):
    """Sum of squared heights, and the height of every atom."""
    z = positions[:, 2] * (numbers == 14)
    return (z**2).sum(), z


def save(module, path, example=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, its files remain
        (torch.jit.script(module) if example is None else torch.jit.trace(module, example)).save(str(path))
    return path


class TestFunctions:
    def test_contract(self):
        cv = TorchCV(distances, names=["a", "b"])
        testing.check_cv(cv, ATOMS, permutation=False, images=False)
        testing.check_cv(TorchCV(density), ATOMS)
        testing.check_cv(TorchCV(heights, lab_fixed=True), ATOMS, translation=False, images=False)

    def test_same_as_the_compiled(self):
        expected = stack(Distance(0, 1, mic=False), Distance(0, 2, mic=False).named("b")).evaluate(ATOMS)
        found = TorchCV(distances, names=["a", "b"]).evaluate(ATOMS)
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-14)
        np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-14)
        np.testing.assert_allclose(found.virial, expected.virial, atol=1e-13)

    def test_quantity_of_every_atom(self):
        np.testing.assert_array_equal(TorchCV(heights).evaluate(ATOMS).per_atom, ATOMS.positions[:, 2])

    def test_domains_and_plain_values(self):
        cv = TorchCV(density, names=["rho"], domains=[(0.0, 2.0)])
        assert cv.domains == ((0.0, 2.0),)
        assert json.loads(json.dumps(cv.todict()))["function"].endswith(":density")

    def test_composes(self):
        cv = TorchCV(density) * Volume() / 28.085
        assert cv(ATOMS)[0] == pytest.approx(8.0)

    def test_single_precision(self):
        found = TorchCV(distances, names=["a", "b"], dtype="float32")(ATOMS)
        np.testing.assert_allclose(found, TorchCV(distances, names=["a", "b"])(ATOMS), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda positions: positions.sum().item(), TypeError, "returned float"),
        (lambda positions: positions.detach().sum(), TypeError, "differentiable"),
        (lambda positions: positions[0], ValueError, r"shape \(3,\) for 1 name"),
        (lambda positions: positions.sum() * float("nan"), ValueError, "NaN"),
        (lambda positions: (positions.sum(), positions[0, 0]), ValueError, r"each of the 8 atoms.*not \(\)"),
        (lambda positions: (positions.sum(), 1.0), ValueError, "several values are one tensor"),
    ],
)
def test_what_functions_return(function, error, message):
    with pytest.raises(error, match=message):
        TorchCV(function).evaluate(ATOMS)


def test_what_functions_take():
    with pytest.raises(TypeError, match=r"takes x; a function of positions"):
        TorchCV(lambda x: x)
    with pytest.raises(TypeError, match="a function of tensors is meant"):
        TorchCV(1.0)
    with pytest.raises(ValueError, match="float64"):
        TorchCV(density, dtype="half")


def test_nothing_is_left_on_the_tape():
    with torch.no_grad():
        assert TorchCV(density).evaluate(ATOMS).virial[0, 0, 0] != 0


class TestFiles:
    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
    def test_model_of_descriptors(self, tmp_path):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
        path = save(network, tmp_path / "m.pt", torch.zeros(1, 2, dtype=torch.float64))
        inputs = stack(Distance(0, 1), Coordination("Si", r0=2.5, d_max=5.0))
        cv = load_cv(path, inputs=inputs, names=["s1", "s2"])
        with torch.no_grad():
            expected = network(torch.tensor(inputs(ATOMS)[None]))[0].numpy()
        np.testing.assert_allclose(cv(ATOMS), expected, rtol=1e-12)
        testing.check_cv(cv, ATOMS, permutation=False)
        assert json.loads(json.dumps(cv.todict()))["inputs"]["names"] == ["distance", "coordination"]

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
    def test_single_precision_model(self, tmp_path):
        network = torch.nn.Linear(1, 1)
        path = save(network, tmp_path / "m.pt", torch.zeros(1, 1))
        cv = load_cv(path, inputs=Distance(0, 1))
        assert cv.parameters["dtype"] == "float32"
        testing.check_cv(cv, ATOMS, permutation=False, tolerance=2e-2, displacement=0.05, strain=0.02)

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
    def test_function_of_positions(self, tmp_path):
        class Gyration(torch.nn.Module):
            def forward(self, positions: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
                chosen = positions[numbers == 14]
                return ((chosen - chosen.mean(dim=0)) ** 2).sum()

        cv = load_cv(save(Gyration(), tmp_path / "g.pt"), names=["g"])
        testing.check_cv(cv, ATOMS, images=False)

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
    def test_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no model file"):
            load_cv(tmp_path / "absent.pt")
        (tmp_path / "text.pt").write_text("nothing")
        with pytest.raises(ValueError, match="no TorchScript file"):
            load_cv(tmp_path / "text.pt")
        path = save(torch.nn.Linear(1, 1), tmp_path / "m.pt", torch.zeros(1, 1))
        with pytest.raises(TypeError, match="inputs="):
            load_cv(path)
        with pytest.raises(ValueError, match="dihedral is periodic"):
            load_cv(path, inputs=Dihedral(0, 1, 2, 3))
        two = load_cv(path, inputs=Distance(0, 1), names=["a", "b"])
        with pytest.raises(ValueError, match="for 2 name"):
            two.evaluate(Atoms("H2", [[0, 0, 0], [1, 0, 0]]))
