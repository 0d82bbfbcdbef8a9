"""AEV parameters: the published sets and the rules between them."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_torch import import_torchani, torchani_aev_computer


def buffers(computer: object) -> dict[str, list[float]]:
    radial, angular = computer.radial, computer.angular  # type: ignore[attr-defined]
    return {
        "radial_eta": radial.eta.tolist(),
        "radial_shifts": radial.shifts.tolist(),
        "angular_eta": angular.eta.tolist(),
        "zeta": angular.zeta.tolist(),
        "angular_shifts": angular.shifts.tolist(),
        "sections": angular.sections.tolist(),
        "cutoffs": [radial.cutoff, angular.cutoff],
    }


def test_organic_sets_are_torchani_bit_for_bit() -> None:
    import_torchani()
    from torchani.aev import AEVComputer

    pairs = {
        "like_1x": (AEVParameters.ani1x(), AEVComputer.like_1x(num_species=4), 384),
        "like_2x": (AEVParameters.ani2x(), AEVComputer.like_2x(num_species=7), 1008),
    }
    for parameters, theirs, length in pairs.values():
        ours = {
            name: list(value) if isinstance(value := getattr(parameters, name), tuple) else [value]
            for name in ("radial_eta", "radial_shifts", "angular_eta", "zeta", "angular_shifts", "sections")
        }
        assert ours | {"cutoffs": [parameters.radial_cutoff, parameters.angular_cutoff]} == buffers(theirs)
        assert parameters.length == theirs.out_dim == length
        assert buffers(torchani_aev_computer(parameters)) == buffers(theirs)


def test_the_metal_set_is_published_at_published_cutoffs() -> None:
    aluminium = AEVParameters.metal("Al")
    assert (aluminium.radial_eta, aluminium.angular_eta, aluminium.zeta) == pytest.approx((43.9, 6.5, 69.4))
    assert aluminium.length == 96
    assert aluminium == AEVParameters.for_element("Al")
    assert aluminium.radial_shifts[:2] == pytest.approx((1.25, 1.4296875))
    other = AEVParameters.metal("Al", radial_cutoff=6.0, n_radial=16)
    assert other.radial_eta == pytest.approx(1.42 * (16 / 4.75) ** 2)
    assert other.angular_eta == pytest.approx(6.5)


def test_the_width_rule_reproduces_published_widths() -> None:
    for published in (AEVParameters.metal("Al"), AEVParameters.ani2x()):
        steps = [np.diff(published.radial_shifts)[0], np.diff(published.angular_shifts)[0]]
        for eta, step in zip((published.radial_eta, published.angular_eta), steps, strict=True):
            assert eta * step**2 == pytest.approx(1.42, rel=0.009)


def test_lengths_scale_with_the_element() -> None:
    silicon = AEVParameters.for_element("Si")
    assert (silicon.radial_cutoff, silicon.angular_cutoff, silicon.radial_shifts[0]) == pytest.approx(
        (6.42, 4.59, 1.15)
    )
    assert silicon.radial_eta == pytest.approx(1.42 * (32 / (6.42 - 1.15)) ** 2)
    alloy = AEVParameters.for_element(("Si", "Sn"))
    assert alloy.radial_cutoff == AEVParameters.for_element("Sn").radial_cutoff
    assert alloy.radial_shifts[0] == silicon.radial_shifts[0]
    assert AEVParameters.for_element("Si", scale=0.8).radial_cutoff == pytest.approx(5.6)


def test_constants_are_single_precision_and_survive_json() -> None:
    parameters = AEVParameters.ani1x(("H", "C"))
    assert parameters.radial_shifts[1] == float(np.float32(0.9 + 4.3 / 16))
    assert AEVParameters.from_dict(json.loads(json.dumps(parameters.to_dict()))) == parameters
    assert pickle.loads(pickle.dumps(parameters)) == parameters  # noqa: S301
    assert parameters.kernel() is AEVParameters.ani1x(("H", "C")).kernel()
    assert parameters.kernel().length == parameters.length


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": ()}, "at least one element"),
        ({"symbols": ("Si", "Si")}, "repeated"),
        ({"symbols": ("Xx",)}, "'Xx' is not the symbol"),
        ({"radial_eta": -1.0}, "radial_eta"),
        ({"zeta": float("nan")}, "zeta"),
        ({"angular_cutoff": 7.5}, "angular cutoff"),
        ({"radial_shifts": ()}, "radial_shifts"),
        ({"cutoff_function": "square"}, "'square'"),
    ],
)
def test_bad_parameters(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(AEVParameters.metal("Al"), **change)


def test_bad_rules() -> None:
    with pytest.raises(ValueError, match="no published zeta for 6 sections"):
        AEVParameters.metal("Al", n_sections=6)
    with pytest.raises(ValueError, match="start"):
        AEVParameters.metal("Al", start=5.5)
    with pytest.raises(ValueError, match="n_radial"):
        AEVParameters.metal("Al", n_radial=0)
    with pytest.raises(ValueError, match="scale"):
        AEVParameters.for_element("Si", scale=-1)
    with pytest.raises(ValueError, match="lack zeta"):
        AEVParameters.from_dict({k: v for k, v in AEVParameters.metal("Al").to_dict().items() if k != "zeta"})
    with pytest.raises(ValueError, match="unknown AEV parameters: colour"):
        AEVParameters.from_dict(AEVParameters.metal("Al").to_dict() | {"colour": 1})


def test_importing_parameters_loads_no_torch() -> None:
    code = "import sys; from ase_mlsample.calculators.aev import AEVParameters as A; A.metal('Si'); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
