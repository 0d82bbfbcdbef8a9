"""deepmd-kit's npy data systems, both ways."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.training import Dataset, DataSettings

Frames = Callable[..., list[Atoms]]


def assert_same(one: Dataset, other: Dataset, *, exact: bool = True) -> None:
    compare = np.array_equal if exact else lambda a, b: np.allclose(a, b, rtol=1e-6, atol=1e-5)
    assert len(one) == len(other)
    for a, b, mine, yours in zip(one, other, one.labels, other.labels, strict=True):
        assert np.array_equal(a.numbers, b.numbers)
        assert np.array_equal(a.pbc, b.pbc)
        assert compare(a.positions, b.positions)
        assert compare(a.cell.array, b.cell.array)
        assert mine.energy == yours.energy
        for left, right in ((mine.forces, yours.forces), (mine.stress, yours.stress)):
            assert (left is None) == (right is None)
            # the stress goes through the virial: two roundings
            assert left is None or np.allclose(
                left, right, rtol=1e-14 if exact else 1e-6, atol=1e-5 * (not exact)
            )


def test_round_trip_keeps_every_label_and_number(silicon: Frames, tmp_path: Path) -> None:
    frames = silicon(5, seed=3)
    frames.sort(key=len)  # systems are read back by formula
    dataset = Dataset(frames)
    (four, eight) = dataset.to_deepmd(tmp_path / "systems")
    assert (four.name, eight.name) == ("Si4", "Si8")
    assert np.load(four / "set.000" / "virial.npy").shape == (3, 9)
    assert_same(Dataset.from_deepmd(tmp_path / "systems"), dataset)
    assert_same(Dataset.from_deepmd([four, eight]), dataset)
    assert Dataset.from_deepmd([four, eight]).config_types == ("Si4",) * 3 + ("Si8",) * 2
    assert Dataset.from_deepmd(eight).config_types == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["systems"]


def test_left_handed_cells_are_written_as_the_same_lattice(silicon: Frames, tmp_path: Path) -> None:
    frames = silicon(2, seed=3)
    frames[0].set_cell(frames[0].cell.array[[1, 0, 2]])
    assert np.linalg.det(frames[0].cell.array) < 0
    Dataset(frames[:1]).to_deepmd(tmp_path / "left")
    (read,) = Dataset.from_deepmd(tmp_path / "left")
    assert np.linalg.det(read.cell.array) > 0
    found = StillingerWeber().evaluate(read)
    assert found.energy == pytest.approx(frames[0].info["REF_energy"], abs=1e-10)
    np.testing.assert_allclose(found.forces, frames[0].arrays["REF_forces"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.stress, frames[0].info["REF_stress"], rtol=0, atol=1e-12)


def test_missing_labels_periodicity_and_order_of_elements_make_systems_of_their_own(
    silicon: Frames, tmp_path: Path
) -> None:
    full, without_forces, without_stress = (silicon(2, seed=seed)[1] for seed in range(3))
    del without_forces.arrays["REF_forces"]
    del without_stress.info["REF_stress"]
    water, turned = molecule("H2O"), molecule("H2O")[[1, 0, 2]]
    for atoms in (water, turned):
        atoms.info["REF_energy"] = -14.0
    frames = [full, without_forces, without_stress, water, turned]
    written = Dataset(frames).to_deepmd(tmp_path / "set")
    assert [path.name for path in written] == ["Si8", "Si8_2", "Si8_3", "H2O", "H2O_2"]
    assert (written[3] / "nopbc").exists()
    assert (written[3] / "type_map.raw").read_text().split() == ["H", "O", "Si"]
    assert_same(Dataset.from_deepmd(written), Dataset(frames))


def test_virial_is_minus_the_energys_derivative_by_strain(silicon: Frames, tmp_path: Path) -> None:
    (_, atoms) = silicon(2, seed=5)
    (system,) = Dataset([atoms]).to_deepmd(tmp_path / "set")
    virial = np.load(system / "set.000" / "virial.npy").reshape(3, 3)
    reference, step = StillingerWeber(), 1e-5
    for i, j in ((0, 0), (0, 1), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(reference.evaluate(strained).energy)
        # central differences of 1e-5: truncation 1e-8, rounding 1e-9 of some 10 eV
        assert virial[i, j] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)


def test_single_precision_keeps_energies_whole(silicon: Frames, tmp_path: Path) -> None:
    dataset = Dataset(silicon(2, seed=1)[1:])
    (system,) = dataset.to_deepmd(tmp_path / "set", dtype="float32")
    assert np.load(system / "set.000" / "coord.npy").dtype == np.float32
    assert_same(Dataset.from_deepmd(system), dataset, exact=False)
    with pytest.raises(ValueError, match="dtype must be 'float64' or 'float32', not 'int32'"):
        dataset.to_deepmd(tmp_path / "other", dtype="int32")


def system_of_mixed_types(folder: Path) -> Path:
    """Two frames by hand: SiGe and one silicon atom filled up with nothing."""
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("0\n0\n")
    (folder / "type_map.raw").write_text("Si Ge\n")
    arrays = {
        "coord": [[0, 0, 0, 1.4, 1.4, 1.4], [1, 1, 1, 0, 0, 0]],
        "box": [[5, 0, 0, 0, 5, 0, 0, 0, 5]] * 2,
        "energy": [-9.5, -4.5],
        "force": [[1, 0, 0, -1, 0, 0], [0, 0, 0, 0, 0, 0]],
        "real_atom_types": [[0, 1], [0, -1]],
    }
    for name, values in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(values, dtype=float))
    return folder


def test_mixed_types_are_read_without_the_atoms_that_fill_up(tmp_path: Path) -> None:
    first, second = Dataset.from_deepmd(system_of_mixed_types(tmp_path / "mixed"))
    assert first.get_chemical_symbols() == ["Si", "Ge"]
    assert second.get_chemical_symbols() == ["Si"]
    assert second.positions.tolist() == [[1, 1, 1]]
    assert second.arrays["REF_forces"].shape == (1, 3)


def test_older_writers_shapes_are_taken(tmp_path: Path) -> None:
    system = system_of_mixed_types(tmp_path / "old")
    (system / "set.000" / "real_atom_types.npy").unlink()
    (system / "set.000").rename(system / "set.007")
    (system / "type_map.raw").unlink()
    np.save(system / "set.007" / "energy.npy", np.array([[-9.5], [-4.5]], dtype=np.float32))
    dataset = Dataset.from_deepmd(system, type_map=["Ge"])
    assert dataset.symbols == ("Ge",)
    assert dataset.energies.tolist() == [-9.5, -4.5]
    one_frame = {"coord": np.zeros(6), "box": np.eye(3).reshape(-1) * 5, "energy": np.array([1.0])}
    for name, values in {**one_frame, "force": np.zeros(6)}.items():
        np.save(system / "set.007" / f"{name}.npy", values)
    assert len(Dataset.from_deepmd(system, type_map=["Ge"])) == 1


def _break(system: Path, what: str) -> None:
    folder = system / "set.000"
    changes = {
        "forces": lambda: np.save(folder / "force.npy", np.zeros((2, 9))),
        "boxes": lambda: np.save(folder / "box.npy", np.zeros((1, 9))),
        "pickle": lambda: np.save(folder / "coord.npy", np.array([{}], dtype=object), allow_pickle=True),
        "cut short": lambda: (folder / "coord.npy").write_bytes((folder / "coord.npy").read_bytes()[:-8]),
        "nan": lambda: np.save(folder / "energy.npy", np.array([np.nan, 0])),
        "no box": (folder / "box.npy").unlink,
        "no energy": (folder / "energy.npy").unlink,
        "no sets": lambda: folder.rename(system / "sets"),
        "no map": (system / "type_map.raw").unlink,
        "map": lambda: (system / "type_map.raw").write_text("Si1\nGe\n"),
        "short map": lambda: (system / "type_map.raw").write_text("Si\n"),
        "types": lambda: (system / "type.raw").write_text("zero\n"),
        "negative types": lambda: (
            (folder / "real_atom_types.npy").unlink(),
            (system / "type.raw").write_text("0\n-1\n"),
        ),
        "no types": lambda: (system / "type.raw").write_text(""),
        "fparam": lambda: np.save(folder / "fparam.npy", np.zeros((2, 1))),
        "virial": lambda: (
            (np.save(folder / "virial.npy", np.zeros((2, 9))), (system / "nopbc").touch())
            and (folder / "box.npy").unlink()
        ),
    }
    changes[what]()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("forces", r"force\.npy has shape \(2, 9\); 2 frames of this system need \(2, 6\)"),
        ("boxes", r"box\.npy has shape \(1, 9\)"),
        ("pickle", r"coord\.npy is no npy array"),
        ("cut short", r"coord\.npy is no npy array, or is cut short"),
        ("nan", "energy is not finite"),
        ("no box", r"has no box\.npy"),
        ("no energy", r"has no energy\.npy"),
        ("no sets", r"no set\.\* folder"),
        ("no map", r"no type_map\.raw.*give type_map=\[\.\.\.\]"),
        ("map", r"types \['Si1'\] of .* are no chemical elements"),
        ("short map", r"atoms of type 1; the type map ends with 0 \(0 Si\)"),
        ("types", r"type\.raw does not hold one whole number an atom"),
        ("negative types", r"atoms of type -1; types begin with 0, and only systems of mixed types"),
        ("no types", "at least one atom"),
        ("fparam", r"fparam\.npy: its energies depend on more than the atoms"),
        ("virial", "a virial but no box with a volume"),
    ],
)
def test_broken_systems_say_what_is_wrong(what: str, message: str, tmp_path: Path) -> None:
    system = system_of_mixed_types(tmp_path / "system")
    _break(system, what)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Dataset.from_deepmd(system)


def test_no_system_is_read_twice(tmp_path: Path) -> None:
    system = system_of_mixed_types(tmp_path / "all" / "system")
    with pytest.raises(ValueError, match="system would be read more than once: the given folders overlap"):
        Dataset.from_deepmd([tmp_path / "all", system])


def test_folders_without_systems(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; a folder of deepmd-kit data systems"):
        Dataset.from_deepmd(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"there is no type\.raw in or below it"):
        Dataset.from_deepmd(tmp_path)
    with pytest.raises(ValueError, match="no folders are given"):
        Dataset.from_deepmd([])


def test_what_the_format_cannot_say_is_refused(silicon: Frames, tmp_path: Path) -> None:
    (atoms,) = silicon(1, seed=0)
    slab = atoms.copy()
    slab.pbc = (True, True, False)
    with pytest.raises(ValueError, match=r"periodic in some directions only.*add vacuum"):
        Dataset([slab]).to_deepmd(tmp_path / "a")
    weighted = atoms.copy()
    weighted.info["config_weight"] = 0.5
    with pytest.raises(ValueError, match=r"config_weight 0\.5"):
        Dataset([weighted]).to_deepmd(tmp_path / "a")
    with pytest.raises(ValueError, match=r"has Si, which the type map \['Ge'\] lacks"):
        Dataset([atoms]).to_deepmd(tmp_path / "a", type_map=["Ge"])
    assert not list(tmp_path.iterdir())
    Dataset([atoms]).to_deepmd(tmp_path / "a")
    with pytest.raises(FileExistsError, match="holds something already"):
        Dataset([atoms]).to_deepmd(tmp_path / "a")


def test_type_map_keeps_the_models_order(tmp_path: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.symbols[1] = "Ge"
    atoms.info["REF_energy"] = -30.0
    (system,) = Dataset([atoms]).to_deepmd(tmp_path / "set", type_map=["Ge", "C", "Si"])
    assert (system / "type.raw").read_text().split() == ["2", "0", *["2"] * 6]
    assert Dataset.from_deepmd(system)[0].get_chemical_symbols() == atoms.get_chemical_symbols()


def test_folders_are_read_like_files(silicon: Frames, tmp_path: Path) -> None:
    dataset = Dataset(silicon(4, seed=2)[1::2])
    dataset.to_deepmd(tmp_path / "set")
    assert_same(Dataset.read(tmp_path / "set"), dataset)
    assert len(Dataset.read(tmp_path / "set", index="1:")) == 1
    assert len(Dataset.read_all([DataSettings(path=tmp_path / "set", weight=2.0)])) == 2
    with pytest.raises(ValueError, match="whose labels have no other keys"):
        Dataset.read(tmp_path / "set", energy_key="energy")
