"""Each defect of a collective variable is caught by the check made for it."""

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample import testing
from ase_mlsample.cvs import CollectiveVariable, CVValue, PerAtomVariable

ATOMS = Atoms("Ar4", [[0, 0, 0], [1.1, 0, 0.2], [0.1, 1.2, 0], [0.3, 0.2, 0.9]], cell=[9, 9, 9], pbc=False)


class Spread(CollectiveVariable):
    """Mean squared distance of all pairs, with one named defect."""

    def __init__(self, defect=""):
        super().__init__(["spread"], [(0.0, 1e-3)] if defect == "outside its domain" else None)
        self.defect = defect
        self.calls, self.largest, self.begin = 0, 0.0, None
        if defect == "todict":
            self.parameters = {"rng": np.random.default_rng(0)}

    def __getstate__(self):
        return {**self.__dict__, "begin": None}

    def evaluate(self, atoms):
        self.calls += 1
        self.largest = max(self.largest, float(np.nan_to_num(abs(atoms.positions)).max()))
        self.begin = atoms.positions[0, 0] if self.begin is None else self.begin
        positions = atoms.positions.copy()
        if self.defect == "NaN":
            positions = np.nan_to_num(positions)
        centred = positions - positions.mean(axis=0)
        if self.defect == "translation":
            centred = positions
        if self.defect == "rotation":
            centred = centred * [1.0, 1.0, 0.5]
        weights = np.arange(1, len(atoms) + 1) if self.defect == "permutation" else np.ones(len(atoms))
        if self.defect == "changes the atoms":
            atoms.positions += 1e-3
        value = float(weights @ (centred**2).sum(axis=1))
        gradient = 2 * weights[:, None] * centred
        if self.defect != "translation":
            gradient = gradient - gradient.mean(axis=0)
        if self.defect == "rotation":
            gradient = gradient * [1.0, 1.0, 0.5]
        virial = gradient.T @ positions
        virial = 0.5 * (virial + virial.T)
        memories = {"memory": self.calls, "structure before": self.largest, "first structure": self.begin}
        value += 1e-9 * memories.get(self.defect, 0.0)
        if self.defect == "gradient":
            gradient[0, 1] *= 1.001
        if self.defect == "virial":
            virial[0, 1] = virial[1, 0] = 1.001 * virial[0, 1] + 1e-3
        if self.defect == "asymmetric virial":
            virial[0, 1] += 1e-3
        if self.defect == "virial alone":
            virial = virial + 1e-3 * np.eye(3)
        per_atom = np.arange(float(len(atoms))) if self.defect == "order of per_atom" else None
        if self.defect == "per_atom":
            per_atom = np.ones(2)
        return CVValue(np.array([value]), gradient[None], virial[None], per_atom)


def test_a_good_one_passes():
    testing.check_cv(Spread(), ATOMS)
    testing.check_cv(Spread, [ATOMS, ATOMS[:3]])
    testing.check_cv(Spread, {"named": ATOMS})


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        ("outside its domain", "lies outside its domain"),
        ("todict", r"todict\(\) holds more than plain values"),
        ("NaN", "instead of a ValueError"),
        ("translation", "structure, translated"),
        ("rotation", "structure, rotated"),
        ("permutation", "structure, permuted"),
        ("order of per_atom", "structure, permuted: per_atom"),
        ("changes the atoms", r"evaluate\(\) changed the atoms"),
        ("memory", "a second evaluation differs"),
        ("structure before", "depend on the structure evaluated before"),
        ("first structure", "depend on the age of a neighbour list"),
        ("gradient", "d spread/dr"),
        ("virial", "virial xy of spread against"),
        ("virial alone", "virial xx of spread against"),
        ("asymmetric virial", "not symmetric"),
        ("per_atom", r"per_atom of shape \(2,\)"),
    ],
)
def test_defects_are_caught(defect, message):
    with pytest.raises(testing.ContractError, match=message):
        testing.check_cv(Spread(defect), ATOMS)


def test_variables_that_forget_periodic_images_are_caught():
    atoms = ATOMS.copy()
    atoms.pbc = True
    testing.check_cv(Spread(), atoms, images=False)
    with pytest.raises(testing.ContractError, match="atoms in other cells"):
        testing.check_cv(Spread(), atoms)


class Heights(PerAtomVariable):
    """z² of every atom; its pullback can be wrong for all weights but equal ones."""

    lab_fixed = True

    def __init__(self, *, sees_weights):
        self.sees_weights = sees_weights

    def forward(self, atoms):
        z = atoms.positions[:, 2].copy()
        if not np.isfinite(atoms.positions).all():
            raise ValueError("positions that are no numbers")

        def pullback(weights):
            weights = weights if self.sees_weights else np.full_like(weights, weights.mean())
            gradient = np.zeros((len(z), 3))
            gradient[:, 2] = 2 * weights * z
            moments = gradient.T @ atoms.positions
            return gradient, 0.5 * (moments + moments.T)

        return z**2, pullback


def test_pullbacks_are_checked_with_weights_that_differ():
    testing.check_cv(Heights(sees_weights=True), ATOMS, translation=False)
    with pytest.raises(testing.ContractError, match="k_weighted"):
        testing.check_cv(Heights(sees_weights=False), ATOMS, translation=False)


def test_what_need_not_hold_can_be_left_out():
    testing.check_cv(Spread("translation"), ATOMS, translation=False)
    testing.check_cv(Spread("permutation"), ATOMS, permutation=False)
    testing.check_cv(Spread("rotation"), ATOMS, rotation=False)


class Step(CollectiveVariable):
    """Height of the last atom, with a jump or a kink at x = 0.3."""

    def __init__(self, jump=0.0, kink=0.0):
        super().__init__(["step"])
        self.jump, self.kink = jump, kink

    def evaluate(self, atoms):
        x = atoms.positions[-1, 0] - 0.3
        gradient = np.zeros((1, len(atoms), 3))
        gradient[0, -1, 0] = np.cos(x) + (self.kink if x > 0 else 0.0)
        value = np.sin(x) + (self.jump + self.kink * x if x > 0 else 0.0)
        return CVValue(np.array([value]), gradient, np.zeros((1, 3, 3)))


def path(n=30):
    return [Atoms("H2", [[0, 0, 0], [x, 0, 0]]) for x in np.linspace(-1, 1, n)]


def test_jumps_are_caught():
    testing.check_continuity(Step(), path(), gradient_tolerance=1e-6)
    testing.check_continuity(Step(kink=1e-3), path())
    testing.check_continuity(Step(jump=5e-7), path())
    with pytest.raises(testing.ContractError, match=r"step: the value jumps by 2e-06.*structures 18 and 19"):
        testing.check_continuity(Step(jump=2e-6), path())
    with pytest.raises(testing.ContractError, match=r"the gradient jumps by 0\.001.*structures 18 and 19"):
        testing.check_continuity(Step(kink=1e-3), path(), gradient_tolerance=1e-6)


def test_paths_are_in_one_cell():
    frames = path(3)
    frames[1].set_cell([4, 4, 4])
    for wrong in (frames, path(1)):
        with pytest.raises(ValueError, match="in one cell"):
            testing.check_continuity(Step(), wrong)


def test_arrays_in_info_are_compared():
    """ASE's slabs carry a dictionary with an array in their info."""
    atoms = ATOMS.copy()
    atoms.info["adsorbate_info"] = {"cell": np.eye(2), "top layer atom index": 3}
    testing.check_cv(Spread(), atoms)
