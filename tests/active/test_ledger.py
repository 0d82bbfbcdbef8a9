import json
import sqlite3

import ase.db
import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.active import Ledger
from ase_mlsample.active.label import structure_hash

REFERENCE = "r0123"


@pytest.fixture
def ledger(tmp_path):
    return Ledger.create(tmp_path / "ledger.db", reference=REFERENCE, config={"name": "x"})


@pytest.fixture
def frames(rng):
    frames = []
    for number in range(5):
        atoms = bulk("Si", cubic=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        atoms.info = {
            "config_type": "1e5",
            "source": "test",
            "number": number,
            "T": 1 / 3,
            "array": np.ones(3),
        }
        atoms.info["numpy"] = np.float64(0.1)
        frames.append(atoms)
    return frames


def label(number):
    return {
        "status": "labelled",
        "energy": -number / 7,
        "forces": np.full((8, 3), number / 3),
        "stress": np.arange(6) / 7,
        "max_force": 1.0,
        "attempts": 1,
        "seconds": 0.5,
    }


FAILED = {
    "status": "failed",
    "error": {"type": "E", "message": "no", "tail": ""},
    "attempts": 2,
    "seconds": 1.0,
}


def test_structures_survive_exactly(ledger, frames):
    assert ledger.propose(0, frames, stage="select", summary={"a": 1}) == 5
    proposals = ledger.proposals()
    assert [p.structure for p in proposals] == [structure_hash(atoms) for atoms in frames]
    for found, atoms in zip(ledger.atoms(proposals), frames, strict=True):
        assert structure_hash(found) == structure_hash(atoms)
        expected = {k: v for k, v in atoms.info.items() if k != "array"} | {"generation": 0}
        assert found.info == expected
    assert ledger.stages() == {0: {"select": {"a": 1, "proposed": 5}}}


def test_known_structures_are_not_proposed_again(ledger, frames):
    ledger.propose(0, frames[:3], stage="select", summary={})
    assert ledger.propose(1, [*frames, frames[4]], stage="select", summary={}) == 2
    assert [p.generation for p in ledger.proposals()] == [0, 0, 0, 1, 1]
    assert len(ledger.proposals(1)) == 2


def test_labels_survive_exactly_and_once(ledger, frames):
    ledger.propose(0, frames, stage="select", summary={})
    first, second, third, *_ = ledger.proposals()
    ledger.add_labels(REFERENCE, [(second, label(2)), (first, label(1)), (third, FAILED)])
    ledger.add_labels(REFERENCE, [(first, label(9))])
    found = ledger.training_set(REFERENCE)
    assert [atoms.info["number"] for atoms in found] == [0, 1]
    assert found[0].info["REF_energy"] == -1 / 7
    assert np.array_equal(found[1].arrays["REF_forces"], np.full((8, 3), 2 / 3))
    assert np.array_equal(found[0].info["REF_stress"], np.arange(6) / 7)
    assert structure_hash(found[0]) == structure_hash(frames[0])
    labels = ledger.labels(REFERENCE)
    assert labels[third.structure].error == "E: no"
    assert labels[third.structure].attempts == 2
    assert ledger.labels("another") == {}
    assert ledger.training_set("another") == []


def test_failures_can_be_forgotten(ledger, frames):
    ledger.propose(0, frames, stage="select", summary={})
    first, second, *_ = ledger.proposals()
    ledger.add_labels(REFERENCE, [(first, FAILED), (second, label(1))])
    assert ledger.forget_failures(REFERENCE) == [first.structure]
    assert set(ledger.labels(REFERENCE)) == {second.structure}


def test_is_an_ase_database(ledger, frames):
    ledger.propose(2, frames, stage="select", summary={})
    ledger.add_labels(REFERENCE, [(ledger.proposals()[0], label(1))])
    with ase.db.connect(ledger.path) as database:
        assert len(database) == 5
        (row,) = database.select(status="labelled")
        assert row.energy == -1 / 7
        assert row.generation == 2
        assert row.structure == structure_hash(frames[0])


def test_tasks_are_counted(ledger):
    ledger.add_tasks("explore", 1, [("a", {"status": "done"}), ("b", FAILED)])
    ledger.add_tasks("explore", 1, [("b", {"status": "done"})])
    assert ledger.task_counts(1) == {"explore": {"done": 2}}


def test_opens_again(ledger):
    assert Ledger.open(ledger.path).meta("config") == {"name": "x"}
    with pytest.raises(FileExistsError):
        Ledger.create(ledger.path, reference=REFERENCE, config={})


def test_another_version_is_refused(ledger):
    ledger.set_meta("format", 99)
    with pytest.raises(ValueError, match=r"ledger format 99.*reads format 2 and those before"):
        Ledger.open(ledger.path)


@pytest.mark.parametrize("content", [b"not a database", b""])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a ledger"):
        Ledger.open(path)


def test_a_plain_ase_database_is_refused(tmp_path, frames):
    with ase.db.connect(tmp_path / "plain.db") as database:
        database.write(frames[0])
    with pytest.raises(ValueError, match="not a ledger"):
        Ledger.open(tmp_path / "plain.db")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="mlsample run"):
        Ledger.open(tmp_path / "ledger.db")


@pytest.mark.parametrize("name", ["run#1", "50%25", "a?b", "ü ö"])
def test_folders_of_any_name(tmp_path, name):
    (tmp_path / name).mkdir()
    Ledger.create(tmp_path / name / "ledger.db", reference=REFERENCE, config={"name": "x"})
    assert Ledger.open(tmp_path / name / "ledger.db").meta("config") == {"name": "x"}


def test_a_ledger_that_is_being_written_to_is_not_called_another_file(ledger, monkeypatch):
    monkeypatch.setattr("ase_mlsample.active.ledger_file._PATIENCE_S", 0)
    connection = sqlite3.connect(ledger.path)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RuntimeError, match="ask again later"):
        Ledger.open(ledger.path)
    connection.close()
    assert Ledger.open(ledger.path).meta("format") == 2


def test_a_failed_transaction_leaves_nothing(ledger, frames):
    broken = [*frames[:1], object()]
    with pytest.raises(AttributeError):
        ledger.propose(0, broken, stage="select", summary={})
    assert ledger.proposals() == []
    connection = sqlite3.connect(ledger.path)
    assert connection.execute("SELECT COUNT(*) FROM systems").fetchone() == (0,)
    connection.close()


def test_a_place_in_the_training_set_is_for_good(ledger, frames):
    def had(order):
        found = [atoms.info["number"] for atoms in ledger.training_set(REFERENCE)]
        return found == order

    ledger.propose(0, frames[:4], stage="select", summary={})
    ledger.propose(1, frames[4:], stage="select", summary={})
    first, second, third, fourth, last = ledger.proposals()
    assert not ledger.has_order
    ledger.add_labels(REFERENCE, [(second, label(2)), (fourth, label(4)), (first, FAILED)])
    assert had([1, 3])
    ledger.keep_order(REFERENCE)
    assert ledger.has_order
    assert [proposal.structure for proposal in ledger.waiting(REFERENCE)] == [third.structure, last.structure]
    ledger.forget_failures(REFERENCE)
    ledger.add_labels(REFERENCE, [(last, label(5)), (third, label(3)), (first, label(1))])
    assert had([1, 3, 0, 2, 4])
    ledger.keep_order(REFERENCE, generations=[1])
    assert had([1, 3, 4, 0, 2])
    ledger.keep_order(REFERENCE)
    ledger.keep_order(REFERENCE)
    assert had([1, 3, 4, 0, 2])


# the tables of format 1, as versions before 0.2 made them
FORMAT_1 = """
CREATE TABLE labels_1 (structure TEXT NOT NULL, reference TEXT NOT NULL, status TEXT NOT NULL, row INTEGER,
                     max_force REAL, error TEXT, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
                     PRIMARY KEY (structure, reference));
INSERT INTO labels_1
    SELECT structure, reference, status, row, max_force, error, attempts, seconds FROM labels;
DROP TABLE labels;
ALTER TABLE labels_1 RENAME TO labels;
DROP TABLE places;
DROP TABLE descriptors;
DROP INDEX keys_row;
DROP INDEX text_row;
DROP INDEX number_row;
DROP INDEX species_row;
DROP INDEX tasks_seconds;
CREATE INDEX tasks_kind ON tasks (kind, generation, status);
UPDATE meta SET value = '1' WHERE key = 'format';
"""


class TestFormat1:
    @pytest.fixture
    def old(self, ledger, frames):
        """A ledger of format 1 with an order of its own, and what it holds."""
        ledger.propose(0, frames[:3], stage="select", summary={"lo": 1})
        ledger.propose(1, frames[3:], stage="select", summary={})
        first, second, third, fourth, _ = ledger.proposals()
        ledger.add_labels(REFERENCE, [(second, label(2)), (fourth, label(4)), (third, FAILED)])
        ledger.keep_order(REFERENCE)
        ledger.add_labels(REFERENCE, [(first, label(1))])
        ledger.add_tasks("label", 0, [("a", label(1)), ("b", FAILED)])
        held = self.held(ledger)
        connection = sqlite3.connect(ledger.path)
        connection.executescript(FORMAT_1)
        order = json.dumps([second.structure, fourth.structure])
        connection.execute("UPDATE meta SET value = ? WHERE key = 'order'", (order,))
        connection.commit()
        connection.close()
        return ledger.path, held

    @staticmethod
    def held(ledger):
        return {
            "order": [atoms.info["number"] for atoms in ledger.training_set(REFERENCE)],
            "states": ledger.states(REFERENCE),
            "waiting": ledger.waiting(REFERENCE),
            "labels": {name: (row.status, row.error) for name, row in ledger.labels(REFERENCE).items()},
            "generation": set(ledger.labels(REFERENCE, 1)),
            "failures": [(row.error, row.count) for row in ledger.failures(REFERENCE)],
            "stages": ledger.stages(),
            "tasks": (ledger.task_counts(0), ledger.task_seconds()),
            "costs": ledger.label_costs(REFERENCE),
        }

    def test_is_read_as_it_is(self, old):
        path, held = old
        before = path.read_bytes()
        ledger = Ledger.open(path)
        assert ledger.meta("format") == 1
        assert self.held(ledger) == held
        assert held["order"] == [1, 3, 0]
        assert path.read_bytes() == before

    def test_the_first_change_brings_it_to_the_new_format(self, old, frames):
        path, held = old
        reader, writer = Ledger.open(path), Ledger.open(path)
        writer.set_meta("x", 1)
        assert Ledger.open(path).meta("format") == 2
        for ledger in (reader, writer, Ledger.open(path)):  # the reader opened it before
            assert self.held(ledger) == held
        writer.keep_order(REFERENCE)
        assert writer.propose(2, frames, stage="select", summary={}) == 0
        assert self.held(Ledger.open(path))["order"] == [1, 3, 0]

    def test_a_change_that_fails_leaves_the_old_format(self, old):
        path, held = old
        with pytest.raises(AttributeError):
            Ledger.open(path).propose(3, [object()], stage="select", summary={})
        assert Ledger.open(path).meta("format") == 1
        assert self.held(Ledger.open(path)) == held


def test_more_rows_than_ase_db_commits_at_once_are_one_transaction(ledger, monkeypatch):
    """ase.db commits by itself after so many changes."""
    frames = [bulk("Si", a=5 + 1e-3 * n) for n in range(30)]

    def many():
        for n, atoms in enumerate(frames):
            if n == 25:
                raise KeyboardInterrupt
            yield atoms, label(1) | {"forces": np.zeros((2, 3))}

    original = type(ledger._db).managed_connection
    monkeypatch.setattr(type(ledger._db), "managed_connection", lambda self: original(self, 10))
    with pytest.raises(KeyboardInterrupt):
        ledger.add_labelled(REFERENCE, 0, many())
    assert ledger.proposals() == []
    ledger.add_labelled(REFERENCE, 0, ((atoms, label(1) | {"forces": np.zeros((2, 3))}) for atoms in frames))
    assert len(ledger.accepted(REFERENCE)) == 30


def test_labels_of_elsewhere(ledger, frames):
    ledger.propose(0, frames[:1], stage="select", summary={})
    pairs = [(atoms, label(n) | {"source": "imported"}) for n, atoms in enumerate([*frames, frames[2]])]
    assert ledger.add_labelled(REFERENCE, 3, pairs) == {"new": 4, "waiting": 1, "known": 1}
    assert [p.generation for p in ledger.proposals()] == [0, 3, 3, 3, 3]
    assert {row.source for row in ledger.labels(REFERENCE).values()} == {"imported"}
    assert [atoms.info["REF_energy"] for atoms in ledger.training_set(REFERENCE)] == [
        -n / 7 for n in range(5)
    ]
    assert ledger.add_labelled(REFERENCE, 3, pairs)["known"] == 6


def test_labels_of_elsewhere_take_the_place_of_failures(ledger, frames):
    ledger.propose(0, frames[:1], stage="select", summary={})
    ledger.add_labels(REFERENCE, [(ledger.proposals()[0], FAILED)])
    pairs = [(frames[0], label(1) | {"source": "imported"})]
    assert ledger.add_labelled(REFERENCE, 3, pairs) == {"new": 0, "waiting": 1, "known": 0}
    assert ledger.states(REFERENCE) == {0: {"labelled": 1}}
    assert ledger.failures(REFERENCE) == []


def test_numbers_by_kind_and_generation(ledger, frames):
    ledger.propose(0, frames[:3], stage="select", summary={})
    ledger.propose(1, frames[3:], stage="select", summary={})
    bad = {"status": "failed", "error": {"type": "G", "message": "close", "tail": "", "kind": "geometry"}}
    first, second, third, fourth, _ = ledger.proposals()
    results = [label(1), FAILED, bad, label(4) | {"recipe": 2, "seconds": 2.0}]
    ledger.add_labels(REFERENCE, list(zip((first, second, third, fourth), results, strict=True)))
    assert ledger.states(REFERENCE) == {0: {"labelled": 1, "failed": 2}, 1: {"labelled": 1, "waiting": 1}}
    assert {(row.kind, row.error, row.count) for row in ledger.failures(REFERENCE)} == {
        ("unknown", "E: no", 1),
        ("geometry", "G: close", 1),
    }
    assert ledger.label_costs(REFERENCE)[1] == {"labelled": (1, 2.0)}
    assert ledger.recipes(REFERENCE) == {2: 1}
    assert ledger.forget_failures(REFERENCE, kind="geometry") == [third.structure]
    assert ledger.forget_failures(REFERENCE, kind="setup") == []
