"""A run that is interrupted, and goes on from its checkpoint with new objects, equals one that was not."""

import pytest

from ase_mlsample.dynamics.checkpoint import read_checkpoint, write_checkpoint
from tests.dynamics.integrators import LEFT_OUT, NAMES, TABLE, end, known, make, silicon


def test_every_integrator_is_here():
    assert known() - LEFT_OUT <= {kind for _, kind, *_ in TABLE}


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("name", NAMES)
def test_continued_exactly(name, steps, tmp_path):
    whole = make(name, silicon())
    whole.run(steps)
    whole.run(6)
    first = make(name, silicon())
    first.run(steps)
    write_checkpoint(tmp_path / "run", integrator=first)
    # other positions, momenta and random stream: all must come from the file
    second = make(name, silicon(seed=5), seed=99)
    read_checkpoint(tmp_path / "run").restore(second)
    assert second.nsteps == steps
    second.run(6)
    assert end(second.atoms) == end(whole.atoms)
    assert second.get_time() == whole.get_time()


@pytest.mark.parametrize("name", NAMES)
def test_restored_into_one_that_ran(name, tmp_path):
    whole = make(name, silicon())
    whole.run(3)
    write_checkpoint(tmp_path / "run", integrator=whole)
    whole.run(4)
    after = end(whole.atoms)
    whole.run(2)
    read_checkpoint(tmp_path / "run").restore(whole)
    whole.run(4)
    assert end(whole.atoms) == after


@pytest.mark.parametrize("name", NAMES)
def test_taking_a_checkpoint_changes_nothing(name, tmp_path):
    plain, watched = make(name, silicon()), make(name, silicon())
    plain.run(6)
    for _ in watched.irun(6):
        write_checkpoint(tmp_path / "run", integrator=watched)
    assert end(watched.atoms) == end(plain.atoms)
