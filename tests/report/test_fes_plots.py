import numpy as np
import pytest

from ase_mlsample.analysis.free_energy import FreeEnergy, from_samples
from ase_mlsample.analysis.minima import find_minima
from ase_mlsample.report.fes_plots import convergence, free_energy_curves, free_energy_map, variable_traces
from ase_mlsample.report.style import as_png

S = np.linspace(-1.5, 1.5, 31)
WELLS = FreeEnergy((S,), 8 * (S**2 - 1) ** 2, 1.0, (None,), errors=np.full(31, 0.5))
CIRCLE = -np.pi + 2 * np.pi * (np.arange(24) + 0.5) / 24
AROUND = (-np.pi, np.pi)


def is_png(figure):
    return as_png(figure).startswith(b"\x89PNG")


def test_a_curve_with_its_band_and_minima():
    figure = free_energy_curves({"s": WELLS}, name="s", unit="kJ/mol", minima=find_minima(WELLS))
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("s", "free energy (kJ/mol)")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), WELLS.values)
    band = ax.collections[0].get_paths()[0].vertices
    at_zero = band[np.abs(band[:, 0]) < 1e-9, 1]
    np.testing.assert_allclose(sorted(at_zero), [7.0, 9.0])
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["± 2 standard errors"]
    assert is_png(figure)


def test_several_curves_without_errors():
    plain = FreeEnergy((S,), WELLS.values, 1.0, (None,))
    figure = free_energy_curves({"bias": plain, "reweighted": plain}, name="s", unit="eV", ceiling=5.0)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bias", "reweighted"]
    assert figure.axes[0].get_ylim()[1] < 6
    first, second = (line.get_color() for line in figure.axes[0].lines)
    assert first != second


def test_a_periodic_curve_closes_and_gaps_stay_open():
    values = 1 + np.cos(CIRCLE)
    values[5] = np.inf
    figure = free_energy_curves({"phi": FreeEnergy((CIRCLE,), values, 1.0, (AROUND,))}, name="phi", unit="kT")
    x, y = figure.axes[0].lines[0].get_data()
    assert x[0] < -np.pi < np.pi < x[-1]
    assert y[0] == values[-1]
    assert np.isnan(y[6])
    assert figure.axes[0].get_xlim() == pytest.approx(AROUND)
    assert is_png(figure)


def test_a_map():
    y = np.linspace(-1, 1, 20)
    values = 1 + np.cos(CIRCLE)[:, None] + 3 * y**2
    values[3:5, :4] = np.inf
    F = FreeEnergy((CIRCLE, y), values, 1.0, (AROUND, None))
    figure = free_energy_map(F, names=["phi", "_y"], unit="eV", minima=find_minima(F, depth=0.1), ceiling=4.0)
    ax, bar = figure.axes
    assert ax.get_xlim() == pytest.approx(AROUND)
    assert bar.get_ylabel() == "free energy (eV)"
    assert len(ax.texts) == 1
    assert is_png(figure)
    with pytest.raises(ValueError, match="a map is of two variables"):
        free_energy_map(WELLS, names=["s"], unit="eV")


def test_convergence():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(4000)
    series = [from_samples(samples[:n], S, kT=1.0) for n in (1000, 2000, 4000)]
    differences = {"B − A": ([1.0, 1.2, 1.1], [np.nan, 0.2, 0.1]), "C − A": ([np.nan, 2.0, 2.1], None)}
    figure = convergence([1, 2, 4], series, name="s", unit="kT", differences=differences)
    above, below, bar = figure.axes
    assert len(above.lines) == 3
    np.testing.assert_allclose(below.lines[0].get_ydata(), [1.0, 1.2, 1.1])
    assert below.get_xlabel() == bar.get_ylabel() == "time (ps)"
    assert [text.get_text() for text in below.get_legend().get_texts()] == ["B − A", "C − A"]
    assert is_png(figure)
    assert len(convergence([1, 2, 4], series, name="s", unit="kT").axes) == 2


def test_traces_keep_variables_apart():
    times = np.arange(50.0)
    values = np.stack([np.sin(times), times], axis=1)
    figure = variable_traces(times, values, names=["phi", "n"], domains=[AROUND, None])
    assert [ax.get_ylabel() for ax in figure.axes] == ["phi", "n"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), np.sin(times))
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), times)
    assert figure.axes[0].get_ylim() == pytest.approx(AROUND)
    assert is_png(figure)
    np.testing.assert_array_equal(
        variable_traces(times, times, names=["n"]).axes[0].lines[0].get_ydata(), times
    )
