"""Coefficients, bias and file format of PLUMED's VES module; skipped where it is not installed."""

import numpy as np
import pytest

from ase_mlsample.biases import (
    Chebyshev,
    CubicSplines,
    Fourier,
    Gaussians,
    Legendre,
    Uniform,
    VariationalBias,
    read_coefficients,
)
from ase_mlsample.biases.expansion import LinearExpansion
from tests.biases.plumed_peer import run_plumed

KT = 0.0083144621 * 300  # with PLUMED's k_B
PACE = 20
BOX = 2 * np.pi
LINE = "MINIMUM=-2 MAXIMUM=2"
TURN = "MINIMUM=-pi MAXIMUM=pi"
END = (-2.0, 2.0)
LOOP = (-np.pi, np.pi)
CASES = {
    "Legendre": (["x"], [f"BF_LEGENDRE ORDER=8 {LINE}"], [Legendre(8, END)], 6.0),
    "Chebyshev": (["x"], [f"BF_CHEBYSHEV ORDER=8 {LINE}"], [Chebyshev(8, END)], 6.0),
    "Gaussians": (["x"], [f"BF_GAUSSIANS ORDER=8 {LINE} WIDTH=0.4"], [Gaussians(8, END, width=0.4)], 6.0),
    "CubicSplines": (["x"], [f"BF_CUBIC_B_SPLINES ORDER=7 {LINE}"], [CubicSplines(7, END)], 6.0),
    "Fourier": (["a"], [f"BF_FOURIER ORDER=4 {TURN}"], [Fourier(4)], 6.0),
    "closed splines": (
        ["a"],
        [f"BF_CUBIC_B_SPLINES ORDER=6 {TURN} PERIODIC"],
        [CubicSplines(6, LOOP, periodic=True)],
        6.0,
    ),
    "closed Gaussians": (
        ["a"],
        [f"BF_GAUSSIANS ORDER=14 {TURN} PERIODIC"],
        [Gaussians(14, LOOP, periodic=True)],
        6.0,
    ),
    "two": (
        ["x", "a"],
        [f"BF_LEGENDRE ORDER=4 {LINE}", f"BF_FOURIER ORDER=3 {TURN}"],
        [Legendre(4, END), Fourier(3)],
        5.0,
    ),
    "uniform": (["x"], [f"BF_LEGENDRE ORDER=8 {LINE}"], [Legendre(8, END)], None),
}


def write_input(folder, arguments, functions, bias_factor, bins):
    lines = ["UNITS LENGTH=A", "p: POSITION ATOM=1", "q: POSITION ATOM=1"]
    lines += ["x: COMBINE ARG=p.x PERIODIC=NO", "a: COMBINE ARG=p.y PERIODIC=-pi,pi"]
    lines += [f"f{k}: {text}" for k, text in enumerate(functions)]
    lines += ["t: TD_UNIFORM" if bias_factor is None else f"t: TD_WELLTEMPERED BIASFACTOR={bias_factor}"]
    names = ",".join(f"f{k}" for k in range(len(functions)))
    grid = ",".join([str(bins)] * len(functions))
    stride = "" if bias_factor is None else " TARGETDIST_STRIDE=1"
    given = ",".join(arguments)
    lines += [f"VES_LINEAR_EXPANSION ARG={given} BASIS_FUNCTIONS={names} LABEL=v TEMP=300 GRID_BINS={grid} "]
    lines[-1] += "TARGET_DISTRIBUTION=t"
    lines += [f"OPT_AVERAGED_SGD BIAS=v STRIDE={PACE} STEPSIZE=1.0 EXP_DECAYING_AVER=8{stride} "]
    lines[-1] += "COEFFS_FILE=coeffs COEFFS_OUTPUT=1 COEFFS_FMT=%.16g"
    lines += [f"PRINT ARG={given},v.bias FILE=COLVAR FMT=%.16g"]
    (folder / "p.dat").write_text("\n".join(lines) + "\n")


def drive(folder, frames=400):
    """Let PLUMED lead its bias through a series of points, some beyond the interval."""
    rng = np.random.default_rng(4)
    x, a = 2.2 * np.sin(np.cumsum(rng.normal(0, 0.3, (2, frames)), axis=1))
    lines = [f"1\n100 100 100\nAr {u:.10f} {v:.10f} 0\n" for u, v in zip(x, a, strict=True)]
    (folder / "t.xyz").write_text("".join(lines))
    run_plumed(
        *["driver", "--plumed", "p.dat", "--ixyz", "t.xyz", "--length-units", "A"],
        *["--initial-step", "1", "--timestep", "1"],
        folder=folder,
    )
    return np.loadtxt(folder / "COLVAR")[:, 1:]


@pytest.mark.parametrize("name", CASES)
def test_coefficients_and_bias(name, tmp_path):
    arguments, functions, bases, bias_factor = CASES[name]
    d = len(bases)
    bins = {1: 200, 2: 40}[d]
    write_input(tmp_path, arguments, functions, bias_factor, bins)
    colvar = drive(tmp_path)
    expected = read_coefficients(tmp_path / "coeffs")
    bias = VariationalBias(
        kT=KT,
        bases=bases,
        bias_factor=bias_factor,
        target=Uniform() if bias_factor is None else None,
        pace=PACE,
        step_size=1.0,
        average_window=8,
        grid_cells=bins,
        quadrature="trapezoid",
    )
    expansion = LinearExpansion(bases, None, "gregory")
    mean, instantaneous = [bias.mean_coefficients], [bias.instantaneous_coefficients]
    for step, row in enumerate(colvar, 1):
        V, _ = expansion.evaluate(mean[-1], row[None, :d])
        assert V[0] == pytest.approx(row[d], abs=1e-9)
        before = bias.iterations
        bias.update(row[:d], step if step > PACE else 1)  # PLUMED's first iteration takes twice the time
        if bias.iterations > before:
            mean.append(bias.mean_coefficients)
            instantaneous.append(bias.instantaneous_coefficients)
    assert expected.names == tuple(arguments)
    assert len(mean) == len(expected.mean) == 20
    assert np.abs(expected.mean[-1]).max() > 1
    np.testing.assert_allclose(mean, expected.mean, atol=1e-9)
    np.testing.assert_allclose(instantaneous, expected.instantaneous, atol=1e-9)


def test_plumed_reads_our_file(tmp_path):
    """With our coefficients as its initial ones it has our bias."""
    bases = [Legendre(4, END), Fourier(3)]
    bias = VariationalBias(
        kT=KT,
        bases=bases,
        bias_factor=5,
        pace=1,
        coefficients=tmp_path / "OURS",
        coefficients_interval=1,
        names=["x", "a"],
    )
    rng = np.random.default_rng(0)
    bias.update(rng.normal(0, 0.8, (50, 2)), 1)
    bias.close()
    # initial coefficients are those of a single set, with the label of PLUMED's bias
    block = (tmp_path / "OURS").read_text().split("#!-------------------")[1].strip()
    (tmp_path / "initial").write_text(block.replace("ves.", "v.") + "\n")
    write_input(tmp_path, ["x", "a"], CASES["two"][1], 5.0, 40)
    text = (tmp_path / "p.dat").read_text().replace("LABEL=v ", "LABEL=v COEFFS=initial ")
    (tmp_path / "p.dat").write_text("\n".join(x for x in text.splitlines() if "OPT_" not in x) + "\n")
    colvar = drive(tmp_path, frames=20)
    V, _ = LinearExpansion(bases, None, "gregory").evaluate(bias.mean_coefficients, colvar[:, :2])
    assert np.ptp(V) > 0.5
    np.testing.assert_allclose(colvar[:, 2], V, atol=1e-9)
