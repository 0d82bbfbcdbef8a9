from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_mlsample.training import Dataset

Frames = Callable[..., list[Atoms]]


def test_round_trip_through_extxyz_keeps_labels_weights_and_types(silicon: Frames, tmp_path: Path) -> None:
    frames = silicon(4, seed=0)
    frames[1].info["config_weight"] = 0.25
    del frames[2].arrays["REF_forces"]
    del frames[3].info["REF_stress"]
    dataset = Dataset(frames)
    dataset.write(tmp_path / "set.extxyz")
    again = Dataset.read(tmp_path / "set.extxyz")
    assert not list(tmp_path.glob(".*"))
    assert again.config_types == ("fcc", "diamond", "fcc", "diamond")
    assert again.weights.tolist() == [1.0, 0.25, 1.0, 1.0]
    assert again.labels[2].forces is None
    assert again.labels[3].stress is None
    assert again.energies == pytest.approx(dataset.energies, rel=1e-12)
    assert again.labels[0].forces == pytest.approx(frames[0].arrays["REF_forces"], abs=1e-7)
    assert again.labels[0].stress == pytest.approx(frames[0].info["REF_stress"], abs=1e-8)
    assert "32" not in repr(again)
    assert "forces on 3" in repr(again)


def test_other_peoples_keys(silicon: Frames, tmp_path: Path) -> None:
    (atoms,) = silicon(1, seed=1)
    atoms.info["dft_energy"] = atoms.info.pop("REF_energy")
    atoms.arrays["dft_force"] = atoms.arrays.pop("REF_forces")
    stress = atoms.info.pop("REF_stress")
    atoms.info["virial_stress"] = stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    ase.io.write(tmp_path / "theirs.xyz", atoms, format="extxyz")
    dataset = Dataset.read(
        tmp_path / "theirs.xyz", energy_key="dft_energy", forces_key="dft_force", stress_key="virial_stress"
    )
    assert dataset[0].info["REF_energy"] == pytest.approx(atoms.info["dft_energy"])
    assert dataset.labels[0].stress == pytest.approx(stress, abs=1e-8)
    assert "dft_energy" not in dataset[0].info
    assert "dft_force" not in dataset[0].arrays


def test_calculator_results_count_only_when_asked_for(silicon: Frames) -> None:
    (atoms,) = silicon(1, seed=2)
    energy, forces = atoms.info.pop("REF_energy"), atoms.arrays.pop("REF_forces")
    atoms.calc = SinglePointCalculator(atoms, energy=energy + 1.0, free_energy=energy, forces=forces)
    with pytest.raises(KeyError, match=r"no energy under 'REF_energy'.*calculator_labels=True"):
        Dataset([atoms])
    assert Dataset([atoms], energy_key="energy").energies[0] == energy + 1.0
    dataset = Dataset([atoms], calculator_labels=True)
    assert dataset.energies[0] == energy  # the free energy is preferred
    assert dataset.labels[0].forces == pytest.approx(forces)
    assert dataset[0].calc is None
    assert atoms.calc is not None


def test_reading_an_ase_database(silicon: Frames, tmp_path: Path) -> None:
    atoms, other = silicon(2, seed=4)
    with ase.db.connect(tmp_path / "set.db") as database:
        for frame in (atoms, other):
            database.write(
                frame,
                key_value_pairs={"REF_energy": frame.info["REF_energy"], "config_type": "x"},
                data={"REF_forces": frame.arrays["REF_forces"], "REF_stress": frame.info["REF_stress"]},
            )
    dataset = Dataset.read(tmp_path / "set.db")
    assert len(dataset) == 2
    assert dataset.config_types == ("x", "x")
    assert dataset.labels[1].forces == pytest.approx(other.arrays["REF_forces"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.info.pop("REF_energy"), KeyError, "no energy"),
        (lambda a: a.info.update(REF_energy=np.nan), ValueError, "energy is not finite"),
        (lambda a: a.info.update(REF_energy="low"), ValueError, "not numeric"),
        (
            lambda a: a.arrays["REF_forces"].__setitem__((0, 0), np.inf),
            ValueError,
            "forces array is not finite",
        ),
        (lambda a: a.arrays.update(REF_forces=np.zeros((8, 2))), ValueError, r"shape \(8, 2\), not \(8, 3\)"),
        (lambda a: a.info.update(REF_stress=np.zeros(5)), ValueError, r"shape \(5,\), not \(6,\)"),
        (lambda a: a.info.update(config_weight=-1.0), ValueError, "must not be negative"),
        (lambda a: a.positions.__setitem__((0, 0), np.nan), ValueError, "not finite"),
        (lambda a: a.set_cell(None), ValueError, "no cell with three vectors"),
    ],
)
def test_bad_labels_are_named(
    silicon: Frames, change: Callable[[Atoms], object], error: type[Exception], message: str
) -> None:
    atoms = silicon(2, seed=5)[1]
    change(atoms)
    with pytest.raises(error, match=message):
        Dataset([atoms])


def test_empty_sets_files_and_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data set is empty"):
        Dataset([])
    with pytest.raises(ValueError, match="no atoms"):
        Dataset([Atoms()])
    with pytest.raises(TypeError, match=r"holds ase\.Atoms"):
        Dataset(["Si"])  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Dataset.read(tmp_path / "none.extxyz")
    (tmp_path / "bad.extxyz").write_text("not a number\n")
    with pytest.raises(ValueError, match="cannot be read"):
        Dataset.read(tmp_path / "bad.extxyz")


def test_composition_and_slices(silicon: Frames) -> None:
    dataset = Dataset(silicon(4, seed=6))
    assert dataset.composition(("C", "Si")).tolist() == [[0, 4], [0, 8], [0, 4], [0, 8]]
    assert dataset[1:3].energies.tolist() == dataset.energies[1:3].tolist()
    assert len(dataset + dataset[:1]) == 5
    with pytest.raises(ValueError, match=r"holds Si, for which the model has no parameters; it covers C"):
        dataset.composition(("C",))
    with pytest.raises(ValueError, match=r"written as \.extxyz"):
        dataset.write("set.cif")
