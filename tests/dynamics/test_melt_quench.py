"""Melt and quench: the temperatures as asked for, the stages named, and an amorphous end."""

import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.dynamics import Explorer, MeltQuench, UncertaintyGate


def silicon(n=1):
    atoms = bulk("Si", a=5.43, cubic=True).repeat(n)
    atoms.info = {"config_type": "diamond", "source": "PerturbedCrystal"}
    return atoms


def rng(seed=0):
    return np.random.default_rng(seed)


FAST = {"heat_ps": 0.1, "melt_ps": 0.1, "end_ps": 0.05, "rate_K_per_ps": 20_000, "check_every": 10}


def test_programme():
    plan = MeltQuench(
        melt_K=(2000, 3000), rate_K_per_ps=(100, 1000), start_K=(200, 400), end_K=(100, 500), keep_every=1
    )
    assert isinstance(plan, Explorer)
    rates = []
    for seed in range(200):
        programme = plan.draw(rng(seed))
        info = programme.info
        assert 2000 <= info["quench_melt_K"] <= 3000
        assert 100 <= info["quench_rate_K_per_ps"] <= 1000
        rates.append(info["quench_rate_K_per_ps"])
        (heated, _), (molten, _), (cooled, _), (ended, _) = programme.stages
        assert (heated, molten) == (1000, 3000)
        fall = info["quench_melt_K"] - info["quench_end_K"]
        assert cooled - molten == pytest.approx(1000 * fall / info["quench_rate_K_per_ps"])
        assert ended == pytest.approx(1000 * info["quench_duration_ps"])
        assert ended == cooled + 1000
        assert programme.n_steps == round(ended)
        temperature = programme.temperature
        assert temperature(0) == info["quench_start_K"]
        assert temperature(heated) == temperature(molten) == info["quench_melt_K"]
        assert temperature((molten + cooled) / 2) == pytest.approx(info["quench_end_K"] + fall / 2)
        assert temperature(cooled) == temperature(ended) == info["quench_end_K"]
    # even in the logarithm: half lie below the geometric mean; four standard errors of 1/2 / √200
    assert np.mean(np.array(rates) < 100 * np.sqrt(10)) == pytest.approx(0.5, abs=0.14)


def test_frames_say_where_they_come_from():
    plan = MeltQuench(melt_K=2300, **FAST, keep_every=1)
    frames, summary = plan.run(StillingerWeber(), silicon(), rng())
    assert summary.stop_reason == "finished"
    assert summary.steps == 350
    assert [frame.info["time_fs"] for frame in frames] == list(range(10, 360, 10))
    stages = [frame.info["stage"] for frame in frames]
    assert stages == ["heating"] * 10 + ["melt"] * 10 + ["quench"] * 10 + ["end"] * 5
    info = frames[24].info
    assert info["source"] == "MeltQuench"
    assert info["start_source"] == "PerturbedCrystal"
    assert info["temperature_K"] == pytest.approx(1300)
    assert info["density_scale"] == 1.0
    assert "pressure_GPa" not in info


def test_gate_stops_in_the_melt():
    committee = Committee([StillingerWeber(), StillingerWeber(epsilon=2.3), StillingerWeber(lambda_=19.5)])
    plan = MeltQuench(melt_K=4000, **FAST, gate=UncertaintyGate(0.2))
    (kept,), summary = plan.run(committee, silicon(), rng(1))
    assert summary.stop_reason == kept.info["stop_reason"] == "uncertain"
    assert kept.info["force_sigma_max"] >= 0.2
    assert kept.info["stage"] in ("heating", "melt")


def test_quenched_silicon_is_not_the_crystal_again():
    plan = MeltQuench(
        melt_K=3500,
        melt_ps=1.0,
        heat_ps=0.2,
        end_ps=0.3,
        rate_K_per_ps=1500,
        pressure_GPa=0,
        barostat_fs=300,
        timestep_fs=2,
        check_every=100,
        keep_every=1,
    )
    frames, summary = plan.run(StillingerWeber(), silicon(2), rng(2))
    assert summary.stop_reason == "finished"
    last = frames[-1]
    assert last.info["pressure_GPa"] == 0
    assert type(last.info["time_fs"]) is float
    assert last.info["temperature_K"] == 300
    last.calc = StillingerWeber()
    energy = last.get_potential_energy() / len(last)
    # the crystal at 300 K has −4.30; silicon quenched this fast lies some tenths above it
    assert -4.2 < energy < -3.9
    distances = last.get_all_distances(mic=True)
    bonds = np.count_nonzero(distances < 2.9) / len(last) - 1
    assert 3.8 < bonds < 5.2


def test_seed_decides_everything():
    plan = MeltQuench(melt_K=(2000, 3000), **FAST, keep_every=5, pressure_GPa=(0, 3))
    first, second = (plan.run(StillingerWeber(), silicon(), rng(5))[0] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a == b
        assert a.info == b.info


def test_stages_may_be_left_out():
    plan = MeltQuench(melt_K=2300, heat_ps=0, melt_ps=0, end_ps=0, rate_K_per_ps=40_000, keep_every=1)
    (last,), summary = plan.run(StillingerWeber(), silicon(), rng())
    assert summary.steps == 50
    assert last.info["temperature_K"] == pytest.approx(300)
    assert last.info["stage"] == "quench"
    assert plan.draw(rng()).temperature(0.0) == 2300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_K": (300, 2500)}, "must not reach above melt_K"),
        ({"rate_K_per_ps": 0}, "rate_K_per_ps"),
        ({"heat_ps": -1}, "heat_ps"),
        ({"melt_K": (3000, 2500)}, "melt_K"),
        ({"pressure_GPa": (2, 1)}, "pressure_GPa"),
        ({"keep_every": None}, "nothing would ever be yielded"),
        ({"thermostat_fs": 0}, "thermostat_fs"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        MeltQuench(**({"keep_every": 1} | change))
