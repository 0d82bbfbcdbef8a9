"""deepmd-kit's own models as a calculator: with a stand-in for deepmd-kit, and with itself where it is."""

import importlib.util
import json
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_mlsample.calculators import Committee, DeepmdEnsemble, DeepPotentialEnsemble, StillingerWeber
from ase_mlsample.calculators.deepmd_export import model_to_deepmd
from ase_mlsample.calculators.deepmd_import import model_from_deepmd
from ase_mlsample.testing import check_calculator, contract_frames
from tests.calculators.deepmd.record import structures
from tests.calculators.dp_models import random_model

INSTALLED = importlib.util.find_spec("deepmd") is not None


class StandIn:
    """What is used of deepmd-kit's evaluator, on Stillinger–Weber silicon; full periodicity or none."""

    calls: list[tuple[int, int]] = []  # noqa: RUF012

    def __init__(self, file: str) -> None:
        self.facts = json.loads(Path(file).read_text())
        self.deep_eval = SimpleNamespace(dm=self.facts.get("modifier"))
        self._potential = StillingerWeber(lambda_=self.facts.get("strength", 21.0))

    def get_type_map(self) -> list[str]:
        return self.facts.get("type_map", ["Ge", "Si"])

    def get_rcut(self) -> float:
        return self._potential.cutoff

    def get_dim_fparam(self) -> int:
        return self.facts.get("fparam", 0)

    def get_dim_aparam(self) -> int:
        return 0

    def get_ntypes_spin(self) -> int:
        return self.facts.get("spin", 0)

    def eval(self, coords: Any, cells: Any, types: list[int]) -> tuple[Any, ...]:
        assert [self.get_type_map()[index] for index in types] == ["Si"] * len(types)
        self.calls.append((len(coords), len(types)))
        energies, forces, virials = [], [], []
        for k, positions in enumerate(coords):
            box = None if cells is None else cells[k].reshape(3, 3)
            if box is not None and np.linalg.det(box) <= 0:
                raise ValueError("a left-handed cell")
            atoms = Atoms(f"Si{len(types)}", positions.reshape(-1, 3), cell=box, pbc=box is not None)
            found = self._potential.evaluate(atoms)
            energies.append([found.energy])
            forces.append(found.forces)
            stress = np.zeros(6) if found.stress is None else found.stress * atoms.get_volume()
            # deepmd-kit's virial is only symmetric up to rounding
            virials.append(-stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]] + 1e-9 * np.eye(9)[1])
        return np.array(energies), np.array(forces), np.array(virials)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    infer = ModuleType("deepmd.infer")
    infer.DeepPot = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepmd", ModuleType("deepmd"))
    monkeypatch.setitem(sys.modules, "deepmd.infer", infer)
    StandIn.calls.clear()
    return StandIn


def model_file(folder: Path, name: str = "model.pb", **facts: Any) -> Path:
    (folder / name).write_text(json.dumps(facts))
    return folder / name


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        model_file(tmp_path, "a.pb", strength=20.0),
        model_file(tmp_path, "b.pth", strength=22.0, type_map=["Si", "Ge"]),
    ]


@pytest.mark.usefixtures("stand_in")
def test_keeps_the_contract_in_every_periodicity(files: list[Path]) -> None:
    check_calculator(DeepmdEnsemble(files), contract_frames("Si", "diamond", 5.43))


@pytest.mark.usefixtures("stand_in")
def test_partly_periodic_structures_see_no_images(files: list[Path]) -> None:
    calc = DeepmdEnsemble(files)
    reference = Committee([StillingerWeber(lambda_=20.0), StillingerWeber(lambda_=22.0)])
    frames = list(contract_frames("Si", "diamond", 5.43, seed=3).values())
    skew = bulk("Si", a=5.43) * (1, 1, 3)  # the vector without periodicity is not at right angles
    for pbc in ((1, 1, 0), (0, 1, 1), (1, 0, 0), (0, 0, 1)):
        skew.pbc = pbc
        frames.append(skew.copy())
    left_handed = bulk("Si", cubic=True)
    left_handed.set_cell(left_handed.cell.array[[1, 0, 2]])
    frames.append(left_handed)
    for atoms in frames:
        ours, theirs = (c.evaluate(atoms, members=True) for c in (calc, reference))
        assert ours.member_energies == pytest.approx(theirs.member_energies, abs=1e-10)
        assert ours.member_forces == pytest.approx(theirs.member_forces, abs=1e-10)
        assert (ours.stress is None) == (theirs.stress is None)
        if ours.stress is not None:
            assert ours.member_stress == pytest.approx(theirs.member_stress, abs=1e-10)
        assert ours.spread is not None
        assert theirs.spread is not None
        assert ours.spread.forces_std == pytest.approx(theirs.spread.forces_std, abs=1e-10)


def test_structures_of_the_same_elements_go_together(stand_in: type[StandIn], files: list[Path]) -> None:
    calc = DeepmdEnsemble(files)
    cube, pair = bulk("Si", cubic=True), bulk("Si")
    slab = cube.copy()
    slab.pbc = (True, True, False)
    free = cube.copy()
    free.pbc = False
    frames = [cube, pair, slab, free, cube]
    predictions = calc.evaluate_many(frames)
    assert sorted(stand_in.calls) == sorted([(3, 8), (3, 8), (1, 2), (1, 2), (1, 8), (1, 8)])
    for atoms, prediction in zip(frames, predictions, strict=True):
        alone = calc.evaluate(atoms)
        assert alone.energy == prediction.energy
        assert np.array_equal(alone.forces, prediction.forces)


@pytest.mark.usefixtures("stand_in")
def test_one_model_has_no_spread(files: list[Path]) -> None:
    calc = DeepmdEnsemble(files[0])
    assert not calc.supports_spread
    with pytest.raises(ValueError, match=r"at least two members.*give more files"):
        calc.evaluate(bulk("Si"), members=True)
    both = DeepmdEnsemble(files)
    assert both.symbols == ("Ge", "Si")
    assert both.n_members == 2


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"type_map": []}, "has no type_map.*train with a type_map of elements"),
        ({"type_map": ["Si1"]}, r"types \['Si1'\] of .* are no elements"),
        ({"fparam": 1}, "needs frame parameters besides the atoms"),
        ({"spin": 1}, "needs spins besides the atoms"),
        ({"type_map": ["Si", "C"]}, "is for C, Si, .* for Ge, Si: members must be for the same elements"),
    ],
)
def test_models_that_cannot_be_members(
    files: list[Path], facts: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        DeepmdEnsemble([files[0], model_file(tmp_path, "other.pb", **facts)])


@pytest.mark.usefixtures("stand_in")
def test_bad_files_and_structures(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no model file .*absent\.pb"):
        DeepmdEnsemble(tmp_path / "absent.pb")
    with pytest.raises(ValueError, match="no model files are given"):
        DeepmdEnsemble([])
    with pytest.raises(ValueError, match=r"without forces: make a \.pth or .pb"):
        DeepmdEnsemble(model_file(tmp_path, "model.dp"))
    (tmp_path / "text.pb").write_text("no model")
    with pytest.raises(ValueError, match=r"deepmd-kit cannot load .*text\.pb as an energy model"):
        DeepmdEnsemble(tmp_path / "text.pb")
    calc = DeepmdEnsemble(files)
    with pytest.raises(ValueError, match="the models are for Ge, Si, but the structure has H, O"):
        calc.evaluate(molecule("H2O"))
    flat = Atoms("Si", cell=[[2, 0, 0], [4, 0, 0], [0, 0, 5]], pbc=True)
    with pytest.raises(ValueError, match="periodic along dependent or missing vectors"):
        calc.evaluate(flat)
    long_range = DeepmdEnsemble(model_file(tmp_path, "long.pb", modifier="dipole_charge"))
    slab = bulk("Si", cubic=True)
    long_range.evaluate(slab)
    slab.pbc = (True, True, False)
    with pytest.raises(ValueError, match="long-range electrostatics is periodic in all directions or none"):
        long_range.evaluate(slab)


@pytest.mark.skipif(INSTALLED, reason="deepmd-kit is installed")
def test_without_deepmd_kit_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r'pip install "ase-mlsample\[deepmd\]"'):
        DeepmdEnsemble(model_file(tmp_path))
    with pytest.raises(ImportError, match=r"reading the model .*model\.pb needs deepmd-kit"):
        model_from_deepmd(model_file(tmp_path))
    with pytest.raises(ImportError, match=r"writing the model .*new\.pth needs deepmd-kit"):
        model_to_deepmd(random_model("Si", n_members=1), tmp_path / "new.pth")


needs_deepmd = [
    pytest.mark.skipif(not INSTALLED, reason="needs deepmd-kit"),
    pytest.mark.filterwarnings("ignore"),  # of its own and its libraries
]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Ensembles of two random members, written through deepmd-kit's backends."""
    folder, found = tmp_path_factory.mktemp("deepmd"), {}
    for kind in ("pair", "one-side"):
        model = random_model("Si", "O", n_members=2, type_embedding=kind, sel=60)
        found[kind] = [folder / f"{kind}.pth", folder / f"{kind}.pb"]
        model_to_deepmd(model, found[kind])
    return found


def peers_frames() -> dict[str, Atoms]:
    """Two species: bulk, a slab, a cell smaller than the cutoff, a molecule."""
    rng = np.random.default_rng(5)
    cube = bulk("Si", cubic=True)
    cube.symbols[[0, 3, 5]] = "O"
    slab, wire = cube.copy(), cube.copy()
    slab.pbc, wire.pbc = (True, True, False), (False, True, False)
    small = bulk("Si")
    small.symbols[1] = "O"
    frames = {"bulk": cube * (2, 1, 1), "slab": slab, "wire": wire, "small": small, "silicon": bulk("Si")}
    frames["molecule"] = Atoms("SiO2", [[0, 0, 0], [1.7, 0, 0], [-0.4, 1.6, 0.3]])
    for atoms in frames.values():
        atoms.positions += rng.normal(0.0, 0.08, atoms.positions.shape)
    return frames


class TestWithDeepmdKit:
    pytestmark = needs_deepmd

    @pytest.mark.parametrize("kind", ["pair", "one-side"])
    def test_native_evaluation_of_the_same_weights_agrees(
        self, frozen: dict[str, list[Path]], kind: str
    ) -> None:
        theirs = DeepPotentialEnsemble.from_deepmd(frozen[kind])
        ours = DeepPotentialEnsemble.convert_deepmd(frozen[kind], dtype="float64")
        frames = peers_frames()
        pairs = zip(
            ours.evaluate_many(frames.values(), members=True),
            theirs.evaluate_many(frames.values(), members=True),
            strict=True,
        )
        for name, (mine, yours) in zip(frames, pairs, strict=True):
            assert mine.member_energies == pytest.approx(yours.member_energies, abs=1e-10), name
            # forces and virials of some 0.01 eV/Å and eV: the models' sel leaves most slots empty
            assert mine.member_forces == pytest.approx(yours.member_forces, abs=1e-13), name
            if mine.member_stress is not None:
                virials = [p.member_stress * frames[name].get_volume() for p in (mine, yours)]
                assert virials[0] == pytest.approx(virials[1], abs=1e-13), name

    def test_both_backends_files_are_read_bit_for_bit(self, frozen: dict[str, list[Path]]) -> None:
        wanted = random_model("Si", "O", n_members=2, type_embedding="pair", sel=60).tensors()
        found = model_from_deepmd(frozen["pair"]).tensors()
        assert all(np.array_equal(found[name], array) for name, array in wanted.items())

    def test_keeps_the_contract(self, frozen: dict[str, list[Path]]) -> None:
        calc = DeepmdEnsemble(frozen["one-side"])
        frames = contract_frames("Si", "diamond", 5.43)
        chosen = {name: frames[name] for name in ("primitive", "slab", "molecule")}
        # the first calls after loading differ by rounding, where pickled copies are held to the last bit
        check_calculator(calc, chosen, supercell_limit=2, pickling=False)
        twin = pickle.loads(pickle.dumps(calc))  # noqa: S301
        slab = chosen["slab"]
        assert twin.evaluate(slab).forces == pytest.approx(calc.evaluate(slab).forces, abs=1e-12)

    def test_records_are_what_it_says_today(self, tmp_path: Path) -> None:
        folder = Path(__file__).parent / "deepmd"
        model_to_deepmd(model_from_deepmd(folder / "pair.yaml"), tmp_path / "pair.pth")
        recorded = json.loads((folder / "pair.json").read_text())
        calc = DeepmdEnsemble(tmp_path / "pair.pth")
        for name, atoms in structures().items():
            found = calc.evaluate(atoms)
            assert found.energy == pytest.approx(recorded[name]["energy"], abs=1e-10)
            assert found.forces == pytest.approx(np.array(recorded[name]["forces"]), abs=1e-10)

    def test_members_of_a_committee(self, frozen: dict[str, list[Path]]) -> None:
        committee = Committee([DeepmdEnsemble(file) for file in frozen["pair"]])
        atoms = peers_frames()["slab"]
        together = DeepmdEnsemble(frozen["pair"]).get_spread(atoms)
        assert committee.get_spread(atoms).force_sigma == pytest.approx(together.force_sigma, abs=1e-12)

    def test_files_that_are_no_models_of_energies(self, tmp_path: Path) -> None:
        (tmp_path / "text.pth").write_text("no model")
        with pytest.raises(ValueError, match="deepmd-kit cannot load"):
            DeepmdEnsemble(tmp_path / "text.pth")
        with pytest.raises(ValueError, match="deepmd-kit cannot serialise"):
            model_from_deepmd(tmp_path / "text.pth")
        (tmp_path / "model.txt").touch()
        with pytest.raises(ValueError, match="is no kind of file that deepmd-kit knows"):
            model_from_deepmd(tmp_path / "model.txt")
