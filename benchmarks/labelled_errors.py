"""Errors of a model on labelled structures, for the benchmarks beside this file."""

from collections.abc import Sequence

from ase import Atoms

from ase_mlsample.analysis import error_summary
from ase_mlsample.calculators import MLCalculator


def errors(calculator: MLCalculator, frames: Sequence[Atoms]) -> dict[str, float]:
    """RMSE of energies (meV/atom) and force components (eV/Å), the latter also over the RMS force."""
    predictions = calculator.evaluate_many(frames)
    found = error_summary(
        energies=[p.energy for p in predictions],
        reference_energies=[atoms.info["REF_energy"] for atoms in frames],
        forces=[p.forces for p in predictions],
        reference_forces=[atoms.arrays["REF_forces"] for atoms in frames],
    )
    return {"energy": 1000 * found.energy_rmse, "force": found.force_rmse, "relative": found.force_error}
