"""Labelled structures into a run from files, and out of it again."""

import json
from pathlib import Path

import numpy as np
import pytest
from active_helpers import calls, data_set
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from ase_mlsample.active import Ledger
from ase_mlsample.active.frames import frame_text, write_exact
from ase_mlsample.active.label import structure_hash
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cli import main
from ase_mlsample.training import Dataset


@pytest.fixture
def frames(rng):
    """Labelled structures of another origin, one of them twice."""
    frames = []
    for _ in range(5):
        atoms = bulk("Si", cubic=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        found = StillingerWeber().evaluate(atoms)
        atoms.info = {"REF_energy": found.energy, "REF_stress": found.stress, "config_type": "old", "n": 3}
        atoms.arrays["REF_forces"] = found.forces
        frames.append(atoms)
    return [*frames, frames[0]]


@pytest.fixture
def old(tmp_path, frames):
    write_exact(tmp_path / "old.extxyz", frames)
    return tmp_path / "old.extxyz"


@pytest.fixture
def config(tmp_path, values):
    def written(**changes):
        path = tmp_path / "run.yaml"
        path.write_text(json.dumps(values | changes))
        return str(path)

    return written


def ledger(values):
    return Ledger.open(Path(values["directory"]) / "ledger.db")


class TestExactFrames:
    def test_come_back_to_the_last_bit(self, frames, tmp_path, rng):
        frames[1].arrays["flag"] = rng.random(len(frames[1])) > 0.5
        frames[1].arrays["tag"] = np.arange(len(frames[1]))
        frames[1].info |= {"x": 1 / 3, "vector": rng.normal(size=4), "ok": True, "text": 'two "words"'}
        frames[2].pbc = (True, False, True)
        special = [Atoms("OH", [(0, 0, 0), (1e-12, 1 / 3, -1e7)]), Atoms("Al", cell=[1, 1 / 3, 30], pbc=True)]
        path = tmp_path / "new" / "exact.extxyz"
        assert write_exact(path, [*frames, *special]) == len(frames) + 2
        found = read(path, ":")
        assert [structure_hash(a) for a in found] == [structure_hash(a) for a in [*frames, *special]]
        for name in ("REF_forces", "flag", "tag"):
            assert np.array_equal(found[1].arrays[name], frames[1].arrays[name])
        for name in ("REF_energy", "REF_stress", "x", "vector", "ok", "text", "n"):
            assert np.array_equal(found[1].info[name], frames[1].info[name])

    def test_nothing_is_left_of_a_file_that_could_not_be_written(self, frames, tmp_path):
        def broken():
            yield frames[0]
            raise OSError("the disk")

        with pytest.raises(OSError, match="the disk"):
            write_exact(tmp_path / "x.extxyz", broken())
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_frame(self):
        assert frame_text(Atoms()).startswith("0\nProperties=species:S:1:pos:R:3")


class TestImport:
    def test_seeds_a_new_run(self, old, config, values, run_here, capsys):
        assert main(["import", config(), str(old), "--same-reference"]) == 0
        assert "5 new structures, 0 that waited for their label, 1 known" in capsys.readouterr().out
        assert calls(values) == []
        summary = run_here(values)
        reference = ledger(values).meta("reference")
        rows = ledger(values).labels(reference, 0).values()
        assert sorted(row.source for row in rows) == ["computed"] * 8 + ["imported"] * 5
        first = summary["generations"][0]
        assert first["structures"] == {"labelled": 13}
        assert first["train"]["n_frames"] == 13
        assert len(data_set(values)) == summary["labels"]["labelled"]
        imported = [a for a in ledger(values).training_set(reference) if a.info.get("config_type") == "old"]
        assert {a.info["source"] for a in imported} == {"imported"}
        assert {a.info["imported_from"] for a in imported} == {"old.extxyz"}
        assert {a.info["n"] for a in imported} == {3}

    def test_twice_is_once(self, old, config, values):
        for _ in range(2):
            assert main(["import", config(), str(old), "--same-reference"]) == 0
        assert len(ledger(values).proposals()) == 5

    def test_what_one_run_exports_another_takes_in(self, values, run_here, tmp_path, capsys):
        run_here(values)
        exported, other = tmp_path / "out.extxyz", values | {"directory": str(tmp_path / "other")}
        assert main(["export", values["directory"], str(exported)]) == 0
        assert main(["export", values["directory"], str(exported)]) == 2
        path = tmp_path / "other.yaml"
        path.write_text(json.dumps(other))
        for file in (exported, Path(values["directory"]) / "dataset.extxyz"):  # the same structures
            assert main(["import", str(path), str(file)]) == 0
        exact = [row[:5] for row in data_set(values)]
        known = ledger(other).accepted(ledger(other).meta("reference"))
        assert [p.structure for p in known] == [
            p.structure for p in ledger(values).accepted(ledger(values).meta("reference"))
        ]
        made = len(calls(values))
        run_here(other)
        assert [row[:5] for row in data_set(other)][: len(exact)] == exact
        assert not {name for name, _ in calls(other)[made:]} & {name for name, _ in calls(other)[:made]}

    def test_deepmd_kits_systems_come_in_and_go_out(self, frames, config, values, tmp_path, capsys):
        systems = Dataset(frames[:5]).to_deepmd(tmp_path / "theirs")[0].parent
        assert main(["import", config(), str(systems), "--same-reference"]) == 0
        assert "5 new structures" in capsys.readouterr().out
        out = tmp_path / "ours"
        assert main(["export", values["directory"], str(out), "--deepmd"]) == 0
        again = Dataset.from_deepmd(out)
        assert sorted(again.energies) == sorted(atoms.info["REF_energy"] for atoms in frames[:5])
        assert all(labels.stress is not None for labels in again.labels)
        assert main(["export", values["directory"], str(out), "--deepmd"]) == 2
        assert "name a new folder" in capsys.readouterr().err

    def test_structures_that_wait_get_their_label(self, values, run_here, tmp_path, config, capsys):
        values["reference"]["kwargs"]["fail_below"] = 256
        with pytest.raises(RuntimeError, match="no label"):
            run_here(values)
        database = ledger(values)
        reference = database.meta("reference")
        database.forget_failures(reference)
        waiting = database.atoms(database.waiting(reference))
        for atoms in waiting:
            found = StillingerWeber().evaluate(atoms)
            atoms.info["REF_energy"], atoms.arrays["REF_forces"] = found.energy, found.forces
        write_exact(tmp_path / "had.extxyz", waiting)
        assert main(["import", values["directory"], str(tmp_path / "had.extxyz"), "--same-reference"]) == 0
        assert "0 new structures, 8 that waited" in capsys.readouterr().out
        assert database.states(reference) == {0: {"labelled": 8}}

    def test_labels_of_another_reference_are_refused(self, old, frames, config, values, tmp_path, capsys):
        assert main(["import", config(), str(old)]) == 2
        assert "does not say in REF_reference" in capsys.readouterr().err
        frames[0].info["REF_reference"] = "r0000"
        write_exact(old, frames[:1])
        assert main(["import", config(), str(old)]) == 2
        assert "says 'r0000'" in capsys.readouterr().err
        assert ledger(values).proposals() == []

    @pytest.mark.parametrize(
        ("spoil", "complaint"),
        [
            (lambda a: a.info.pop("REF_energy"), "frame 2 (Si8) has no energy"),
            (lambda a: a.arrays.pop("REF_forces"), "frame 2 of .* has no forces"),
            (lambda a: a.info.update(REF_energy=float("nan")), "frame 2 .*not finite"),
            (lambda a: a.arrays["REF_forces"].fill(np.inf), "frame 2 .*not finite"),
            (lambda a: a.numbers.fill(6), "frame 2 of .* has C"),
        ],
    )
    def test_what_is_no_label_is_refused_and_nothing_imported(
        self, spoil, complaint, frames, old, config, values, capsys
    ):
        spoil(frames[2])
        write(old, frames)
        assert main(["import", config(), str(old), "--same-reference"]) == 2
        import re

        assert re.search(complaint.replace("(", r"\(").replace(")", r"\)"), capsys.readouterr().err)
        folder = Path(values["directory"])
        assert not (folder / "ledger.db").exists() or ledger(values).proposals() == []

    def test_large_forces_are_rejected_as_elsewhere(self, old, config, values):
        values["reference"]["max_force"] = 1e-6
        assert main(["import", config(), str(old), "--same-reference"]) == 0
        database = ledger(values)
        assert database.states(database.meta("reference")) == {0: {"rejected": 5}}

    def test_missing_things(self, tmp_path, config, values, capsys):
        assert main(["import", config(), str(tmp_path / "absent.extxyz")]) == 2
        assert main(["import", str(tmp_path), str(tmp_path / "absent.extxyz")]) == 2
        assert "no config.yaml" in capsys.readouterr().err
