"""What a snapshot of an integrator holds, what it refuses, and what it is compared by."""

import warnings

import numpy as np
import pytest
from ase import units
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.dynamics.integrator_state import capture, restore
from ase_mlsample.dynamics.packing import pack, unpack
from tests.dynamics.integrators import FS, NAMES, make, silicon


def unlike(one, other):
    """Differences of two states, by repr of all that they hold."""
    with np.printoptions(threshold=10**6, floatmode="unique"):
        return repr(one) != repr(other)


class Kicked(VelocityVerlet):
    """An integrator with variables of all kinds that can be kept."""

    def __init__(self, atoms, timestep, *, strength=1.0, generators=(), text="kick", **kwargs):
        super().__init__(atoms, timestep, **kwargs)
        self.strength, self.text, self.generators = strength, text, list(generators)
        self.mine = np.zeros(3)
        self.alias, self.pair, self.box = self.mine, (1, [2.0, None]), Cell(np.eye(3))
        self.table, self.count, self.flag = {1: np.float64(0.1), "name": np.arange(2)}, np.int64(3), True
        self.function, self.inner = len, VelocityVerlet(atoms, timestep)


def kicked(**settings):
    atoms = silicon()
    atoms.calc = StillingerWeber()
    return Kicked(atoms, FS, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_plain_and_packed_exactly(name):
    dynamics = make(name, silicon())
    dynamics.run(2)
    state = capture(dynamics)
    plain, arrays = pack(state)
    assert not unlike(unpack(plain, arrays), state)


def test_state_does_not_change_with_the_run():
    dynamics = make("mtk", silicon())
    state = capture(dynamics)
    kept = repr(state)
    dynamics.run(2)
    assert repr(state) == kept
    assert unlike(capture(dynamics), state)


def test_all_kinds_of_variables_return():
    one = kicked(generators=[np.random.default_rng(4), np.random.RandomState(5)])
    one.mine += 1.5
    one.pair, one.box = (7, [3.0, "x"]), Cell(2 * np.eye(3))
    one.table, one.count, one.flag = {1: np.float64(0.2), (1, 2): [None]}, np.int64(9), False
    one.inner.nsteps = 11
    two = kicked(generators=[np.random.default_rng(0), np.random.RandomState(0)])
    two.leftover = 3
    restore(two, capture(one))
    assert (two.mine == 1.5).all()
    assert two.mine is two.alias
    assert two.mine is not one.mine
    assert two.pair == one.pair
    assert two.flag is False
    assert two.inner.nsteps == 11
    assert two.table == one.table
    assert type(two.table[1]) is np.float64
    assert type(two.count) is np.int64
    assert isinstance(two.box, Cell)
    assert (two.box.array == one.box.array).all()
    assert not hasattr(two, "leftover")
    assert two.function is len
    assert two.generators[0].random() == one.generators[0].random()
    assert two.generators[1].random() == one.generators[1].random()


def test_generators_stay_shared():
    rng = np.random.default_rng(3)
    one = make("rescaling", silicon(), rng=rng)
    one.run(2)
    state = capture(one)
    outer = np.random.default_rng(8)
    two = make("rescaling", silicon(), rng=outer)
    restore(two, state)
    assert two.rng is outer
    assert two.thermostat.rng is outer
    assert outer.bit_generator.state == rng.bit_generator.state
    two.thermostat.rng = np.random.default_rng(8)
    with pytest.raises(ValueError, match=r"rng is the same object as thermostat\.rng \(here a generator\)"):
        restore(two, state)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Langevin, {"temperature_K": 300, "friction": 0.1, "fixcm": False}),
        (Andersen, {"temperature_K": 300, "andersen_prob": 0.1}),
        (Bussi, {"temperature_K": 300, "taut": 10.0}),
        (Langevin, {"temperature_K": 300, "friction": 0.1, "fixcm": False, "rng": np.random.mtrand._rand}),
    ],
)
def test_global_generator_refused(kind, settings):
    dynamics = kind(silicon(), FS, **settings)
    with pytest.raises(ValueError, match=r"rng of this .* is numpy's global generator.*rng=np\.random\.def"):
        capture(dynamics)


def test_unknown_attribute_refused():
    dynamics = make("verlet", silicon())
    dynamics.odd = {1, 2}
    with pytest.raises(TypeError, match=r"odd of this VelocityVerlet is a builtins\.set"):
        capture(dynamics)
    dynamics.odd = np.array([None])
    with pytest.raises(TypeError, match="odd of this VelocityVerlet"):
        capture(dynamics)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("langevin", {"temperature_K": 300}, "temp is"),
        ("langevin", {"friction": 0.1}, "fr is"),
        ("langevin", {"timestep": 2 * FS}, r"dt is 0\.098\d* \(here 0\.196"),
        ("bussi", {"taut": 10.0}, "taut is"),
        ("andersen", {"andersen_prob": 0.5}, "andersen_prob is 0.1"),
        ("nose_hoover", {"tdamp": 10.0}, "_thermostat: _tdamp is"),
        ("nose_hoover", {"temperature_K": 300}, "_thermostat: _kT is"),
        ("nose_hoover", {"tchain": 4}, r"_thermostat: _tchain is 3 \(here 4\)"),
        ("mtk", {"pressure_au": 0.0}, "_pressure_au is"),
        ("mtk_masked", {"mask": (True, True, True)}, "_mask is"),
        ("melchionna", {"ttime": None}, r"ttime is 2\.4\d* \(here None\)"),
        ("melchionna", {"pfactor": 1.0}, "pfactor_given is"),
        ("berendsen_npt", {"compressibility_au": 1.0}, "compressibility is"),
        ("berendsen_xyz", {"mask": (1, 1, 0)}, r"mask is \(1, 1, 1\)"),
        ("baoab_volume", {"hydrostatic": False}, "hydrostatic is True"),
        ("baoab_cell", {"externalstress": 0.0}, "externalstress is"),
        ("rescaling", {"pressure_au": 0.0}, "_pressure is"),
        ("rescaling", {"temperature_K": 300}, "thermostat: _temperature_K is"),
        ("rescaling", {"rng": np.random.Generator(np.random.MT19937(0))}, "generator of type PCG64"),
    ],
)
def test_other_settings_named(name, changes, told):
    state = capture(make(name, silicon()))
    dynamics = make(name, silicon(seed=2), **changes)
    before = repr(capture(dynamics))
    with pytest.raises(ValueError, match=told):
        restore(dynamics, state)
    assert repr(capture(dynamics)) == before


def test_rounding_of_units_is_no_difference():
    state = capture(make("verlet", silicon(), timestep=3 * (units.fs / 3)))
    dynamics = make("verlet", silicon(), timestep=units.fs * (1 + 2e-16))
    restore(dynamics, state)
    assert dynamics.dt == state["values"]["dt"]


def test_all_differences_in_one_message():
    state = capture(make("langevin", silicon()))
    with pytest.raises(ValueError, match=r"dt is .*; fr is .*; temp is .* Make the integrator"):
        restore(make("langevin", silicon(), timestep=2.0, friction=1.0, temperature_K=10), state)


def test_other_classes_and_other_things():
    with pytest.raises(ValueError, match=r"class is ase\.md\.langevin\.Langevin \(here ase\.md\.verlet"):
        restore(make("verlet", silicon()), capture(make("langevin", silicon())))
    with pytest.raises(ValueError, match="no state of an integrator"):
        restore(make("verlet", silicon()), {"step": 3})
    one, two = kicked(generators=[np.random.default_rng(0)]), kicked()
    with pytest.raises(ValueError, match=r"generators\[0\] is a generator \(here None\)"):
        restore(two, capture(one))
    with pytest.raises(ValueError, match=r"text is 'kick' \(here 'other'\)"):
        restore(kicked(text="other"), capture(two))


def test_atoms_observers_and_files_are_left_out(tmp_path):
    atoms = silicon()
    atoms.set_constraint(FixAtoms([0]))
    with make("verlet", atoms, logfile=str(tmp_path / "log"), trajectory=str(tmp_path / "traj")) as dynamics:
        dynamics.attach(lambda: None, 2)
        dynamics.run(2)
        state = capture(dynamics)
        restore(dynamics, state)
        assert len(dynamics.observers) == 3
    assert state["values"].keys() == {"dt", "nsteps", "masses"}


def test_no_warning_from_switches():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(make("rescaling", silicon()))


def test_packing_refuses_what_it_cannot_keep():
    with pytest.raises(TypeError, match=r"the bias\['a'\]\[1\] is a set"):
        pack({"a": [1, {2}]}, name="the bias")
    with pytest.raises(TypeError, match="array of Python objects"):
        pack(np.array([None]))
    with pytest.raises(ValueError, match="no 'odd' among packed"):
        unpack({"~": "odd", "of": 1}, {})


def test_packing_keeps_kinds():
    value = {"~": (1, 2.5, [None, True]), 3: np.float32(0.1), "x": np.array([np.nan, np.inf]), "y": {}}
    plain, arrays = pack(value)
    back = unpack(plain, arrays)
    assert back.keys() == value.keys()
    assert back["~"] == value["~"]
    assert back["y"] == {}
    assert type(back[3]) is np.float32
    assert back[3] == value[3]
    assert np.array_equal(back["x"], value["x"], equal_nan=True)
