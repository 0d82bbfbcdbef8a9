"""Draws docs/_static/wolfe_quapp.svg: F(x) of the Wolfe-Quapp potential from four biases, against quadrature.

    python docs/figures/wolfe_quapp.py

Each method makes as many steps as the others, 2e7 of all walkers together, and F is what its bias says at the
end, not reweighted. Settings are those of the benchmarks, a fifth of their steps; of Deep-VES memory and
decay are shortened alike.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.biases import DeepVESBias, Legendre, MetadynamicsBias, OPESBias, VariationalBias
from ase_mlsample.calculators import WolfeQuapp
from ase_mlsample.dynamics import WalkerDynamics

STEPS, KT, GAMMA = 20_000_000, 1.0, 10.0
WALKERS = {"metadynamics": 100, "OPES": 20, "VES": 100, "Deep-VES": 20}
AXIS = bin_centres(-2.6, 2.4, 100)
BIASES = {
    "metadynamics": MetadynamicsBias(kT=KT, sigma=0.1, height=0.1, bias_factor=GAMMA, pace=500),
    "OPES": OPESBias(kT=KT, barrier=14.0, pace=500, sigma=0.1),
    "VES": VariationalBias(
        kT=KT,
        bases=Legendre(20, (-2.7, 2.7)),
        bias_factor=GAMMA,
        pace=100,
        step_size=0.4,
        average_window=0.25,
    ),
    "Deep-VES": DeepVESBias(
        kT=KT,
        bounds=[(-3.0, 3.0)],
        bias_factor=GAMMA,
        pace=25,
        tau=10_000,
        decay=1000,
        bins=100,
        energy_unit=1.0,
    ),
}


def of_bias(bias) -> np.ndarray:
    """F on the axis, as the bias has it."""
    if isinstance(bias, MetadynamicsBias):
        return -GAMMA / (GAMMA - 1) * bias.potential(AXIS[:, None])[0]
    if isinstance(bias, OPESBias):
        return bias.free_energy(AXIS[:, None])
    (nodes,), F = bias.free_energy()
    return np.interp(AXIS, nodes, F)


def run(name: str, seed: int) -> np.ndarray:
    """F on the axis after a run of one method."""
    dynamics = WalkerDynamics(
        WolfeQuapp(),
        kT=KT,
        timestep=0.005,
        friction=10.0,
        n_walkers=WALKERS[name],
        rng=np.random.default_rng(seed),
        bias=BIASES[name],
        variables=[0],
    )
    dynamics.run(STEPS // WALKERS[name])
    return of_bias(BIASES[name])


def draw(curves: dict[str, np.ndarray]) -> None:
    """All curves with quadrature, shifted to its mean where F < 8 k_BT."""
    exact = WolfeQuapp().free_energy(0, KT, AXIS)
    exact -= exact.min()
    seen = exact < 13
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    axes.plot(AXIS[seen], exact[seen], color="0.1", linewidth=1.4, label="quadrature")
    for name, F in curves.items():
        error = FreeEnergy((AXIS,), F - F.min(), KT, (None,)).rmse(exact, ceiling=8.0)
        shifted = F + np.mean(exact[exact < 8] - F[exact < 8])
        axes.plot(AXIS[seen], shifted[seen], linewidth=1, label=f"{name}\noff by {error:.2f} k$_B$T")
        print(f"{name}: {error:.3f}")
    axes.set(xlabel="x", ylabel="F(x), k$_B$T", ylim=(-0.5, 13))
    figure.legend(fontsize=9, frameon=False, loc="outside right center")
    figure.savefig(Path(__file__).parents[1] / "_static" / "wolfe_quapp.svg")


def main() -> None:
    """Run the four and draw them."""
    draw({name: run(name, seed) for seed, name in enumerate(BIASES)})


if __name__ == "__main__":
    main()
