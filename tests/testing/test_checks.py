"""The checks see what they are there to see: each defect is caught by the check made for it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_mlsample import testing
from ase_mlsample.calculators import Committee, MLCalculator, Prediction, Spread, StillingerWeber

FRAMES = testing.contract_frames("Ar", "fcc", 5.3)
CUBE = Atoms("Ar4", [[0, 0, 0], [1.1, 0, 0.2], [0.1, 1.2, 0], [0.3, 0.2, 0.9]], cell=[9, 9, 9], pbc=True)
OPEN = CUBE.copy()
OPEN.pbc = False


class Bonds(MLCalculator):
    """Springs between all pairs, images not counted; with one named defect."""

    supports_spread = True

    def __init__(self, defect: str = "") -> None:
        super().__init__()
        self.defect = defect

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        d = atoms.positions[None] - atoms.positions[:, None]
        stress = (
            np.einsum("ija,ijb->ab", d, d)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2 / atoms.get_volume()
        )
        factors = [1.0, 1.5, 2.5]
        if self.defect == "stress":
            stress[3:] *= 2
        forces = d.sum(axis=1) * (1.01 if self.defect == "forces" else 1.0)
        if self.defect == "translation":
            forces += 1e-4 * atoms.positions[:1]
        if self.defect == "permutation":
            forces = forces[np.argsort(atoms.positions[:, 0])[::-1]]
        if self.defect == "moves the atoms":
            atoms.positions += 1.0
        prediction = Prediction.from_members(
            [f * (d**2).sum() / 4 for f in factors],
            [f * forces for f in factors],
            stress=[f * stress for f in factors],
        )
        if self.defect == "ddof":
            spread = replace(prediction.spread, forces_std=prediction.spread.forces_std * np.sqrt(2 / 3))
            return replace(prediction, spread=spread)
        return prediction

    def evaluate_many(self, frames: Any, members: bool = False) -> list[Prediction]:
        if self.defect == "batch":
            return [self.evaluate(frames[0], members=members) for _ in frames]
        return super().evaluate_many(frames, members=members)

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        if self.defect == "wasteful" and allow_calculation:
            self.reset()
        value = super().get_property(name, atoms, allow_calculation)
        if self.defect == "extra results":
            self.results["force_sigma"] = np.zeros(3)
        return self.results.get(name) if self.defect == "no copy" else value

    def _forget(self) -> None:
        if self.defect != "keeps results":
            super()._forget()

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        if self.defect == "never current":
            return ["positions"]
        changes = super().check_state(atoms)
        return [] if self.defect == "blind to the cell" and changes == ["cell"] else changes

    def get_spread(self, atoms: Atoms | None = None) -> Spread:
        if self.defect == "stale spread" and self._spread is not None:
            return self._spread
        return super().get_spread(atoms)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "defect": "forces"} if self.defect == "pickling" else vars(self)


class WrongLennardJones(LennardJones):
    """An ordinary ASE calculator with one wrong property."""

    def __init__(self, wrong: str) -> None:
        super().__init__(sigma=3.4, epsilon=0.01, rc=6.0, ro=5.0, smooth=True)
        self.wrong = wrong

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.results[self.wrong] = self.results[self.wrong] * 1.05


CHECKS = {
    "forces": lambda calc: testing.check_forces(calc, CUBE),
    "stress": lambda calc: testing.check_stress(calc, CUBE),
    "translation": lambda calc: testing.check_invariances(calc, OPEN),
    "permutation": lambda calc: testing.check_invariances(calc, OPEN),
    "moves the atoms": lambda calc: testing.check_prediction(calc, CUBE.copy()),
    "ddof": lambda calc: testing.check_spread(calc, CUBE, CUBE[:2]),
    "batch": lambda calc: testing.check_batch(calc, [CUBE, CUBE[:3]]),
    "wasteful": lambda calc: testing.check_caching(calc, CUBE),
    "extra results": lambda calc: testing.check_caching(calc, CUBE),
    "no copy": lambda calc: testing.check_caching(calc, CUBE),
    "blind to the cell": lambda calc: testing.check_caching(calc, CUBE),
    "stale spread": lambda calc: testing.check_spread(calc, CUBE, CUBE[:2]),
    "keeps results": lambda calc: testing.check_failure(calc, CUBE),
    "never current": lambda calc: testing.check_io(calc, CUBE),
    "pickling": lambda calc: testing.check_pickling(calc, CUBE),
}


@pytest.mark.parametrize("defect", CHECKS)
def test_defects_are_caught(defect: str) -> None:
    CHECKS[defect](Bonds())
    with pytest.raises(testing.ContractError):
        CHECKS[defect](Bonds(defect))


def test_lattice_images_that_are_not_counted_are_caught() -> None:
    with pytest.raises(testing.ContractError, match="atoms outside the cell: energy"):
        testing.check_invariances(Bonds(), CUBE, seed=1)
    with pytest.raises(testing.ContractError, match="as a supercell"):
        testing.check_supercell(Bonds(), CUBE)


def test_any_ase_calculator_can_be_checked() -> None:
    calc = LennardJones(sigma=3.4, epsilon=0.01, rc=6.0, ro=5.0, smooth=True)
    testing.check_calculator(calc, [FRAMES["primitive"], FRAMES["molecule"]])
    for wrong in ("forces", "stress"):
        with pytest.raises(testing.ContractError, match=f"structure: {wrong[:5]}"):
            testing.check_calculator(WrongLennardJones(wrong), FRAMES["sheared"])


def test_ours_are_checked_in_one_call() -> None:
    silicon = testing.contract_frames("Si", "diamond", 5.431)
    testing.check_calculator(lambda: Committee([StillingerWeber(), StillingerWeber(epsilon=2.0)]), silicon)
    copper = testing.contract_frames("Cu", "fcc", 3.61)["molecule"]
    testing.check_calculator(Committee([EMT(), EMT()]), copper, pickling=False)


def test_messages_carry_numbers() -> None:
    with pytest.raises(
        testing.ContractError, match=r"length \(Å\): 2.5, expected 2 at \(1,\); off by 0.5, more than 0.1"
    ):
        testing.assert_close([1.0, 2.5], [1.0, 2.0], tolerance=0.1, what="length (Å)")
    with pytest.raises(testing.ContractError, match="nan"):
        testing.assert_close([1.0, np.nan], [1.0, 2.0], tolerance=0.1, what="length (Å)")
    with pytest.raises(testing.ContractError, match=r"shape \(2,\), expected \(3,\)"):
        testing.assert_close(np.zeros(2), np.zeros(3), tolerance=0.1, what="length (Å)")


def test_contract_frames_cover_every_cell() -> None:
    assert len(FRAMES["primitive"]) == 1
    assert len(FRAMES["large"]) >= 256
    assert FRAMES["slab"].pbc.tolist() == [True, True, False]
    assert FRAMES["wire"].pbc.tolist() == [False, False, True]
    assert not FRAMES["molecule"].cell.any()
    assert len(FRAMES["atom"]) == 1
    again = testing.contract_frames("Ar", "fcc", 5.3)
    assert all(again[name] == atoms for name, atoms in FRAMES.items())


class Draws:
    """A sampler with one named defect."""

    def __init__(self, defect: str = "") -> None:
        self.defect, self.rng = defect, np.random.default_rng(5)

    def sample(self, n: int, rng: np.random.Generator):
        rng = self.rng if self.defect == "own generator" else rng
        for _ in range(n - 1 if self.defect == "too few" else n):
            atoms = CUBE.copy()
            atoms.positions *= 2.0 if self.defect != "overlap" else 0.4
            atoms.positions += 0.0 if self.defect == "constant" else rng.normal(0, 0.05, (4, 3))
            if self.defect == "not a number":
                atoms.positions[1] = np.nan
            atoms.info.update(config_type="draw", source="test")
            if self.defect == "no source":
                del atoms.info["source"]
            yield atoms


def test_samplers_are_checked() -> None:
    testing.check_sampler(Draws())


@pytest.mark.parametrize(
    "defect", ["own generator", "too few", "overlap", "constant", "not a number", "no source"]
)
def test_defects_of_samplers_are_caught(defect: str) -> None:
    with pytest.raises(testing.ContractError):
        testing.check_sampler(Draws(defect))
