"""Variationally enhanced sampling: a linear combination of functions that makes the run sample a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import positive, variable_names, whole
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.biases.bases import basis_list
from ase_mlsample.biases.basis import Basis
from ase_mlsample.biases.coefficients_file import CoefficientFile
from ase_mlsample.biases.convergence import ConvergenceRecord
from ase_mlsample.biases.expansion import LinearExpansion, Quadrature
from ase_mlsample.biases.grid import node_values
from ase_mlsample.biases.static import StaticBias
from ase_mlsample.biases.targets import GridTarget, Target, chosen_target

__all__ = ["VariationalBias"]

FloatArray = NDArray[np.float64]
_BUFFER = 4096
_KL_WINDOW = 200  # iterations in which the histogram of KL forgets
_FEWEST_CELLS = 8


class VariationalBias(Bias):
    """VES with a linear basis: V(s) = Σ ā_k f_k(s), optimised by averaged stochastic gradient descent.

    Each iteration takes ``pace`` steps of all walkers, then moves the coefficients a towards those at which
    the run samples the target p: with g = ⟨f⟩_p − ⟨f⟩_V and the diagonal Hessian H = var_V(f)/k_BT

        a ← a − μ [g + H (a − ā)],   ā ← ā + (a − ā)/min(n, window),

    n counting iterations from 1; the window may grow, as a share of n [Shamir, Zhang 2013]. Beyond the
    interval of a basis V goes on with its value at the end, without force, and the run is not averaged there;
    an iteration that was never within changes nothing. The free energy is −V − k_BT ln p. Between iterations
    V is on a grid, its values and derivatives at the nodes exact; ⟨f⟩_p is a sum over the nodes.

    Parameters
    ----------
    kT : float
        k_B times temperature, in the unit of energies.
    bases : Basis, or sequence of Basis
        One for each of one to three variables; f are the products of their functions.
    bias_factor : float, optional
        γ of the well-tempered target p ∝ e^{−F/γk_BT}, which follows F; or
    target : Target, optional
        another one: ``Uniform()``, or your own, ``GivenTarget(density)``.
    pace : int
        Steps of an iteration: a time in which the run sees something of the variable.
    step_size : float, optional
        μ, an energy: 0.4 k_BT unless given, which is 1 kJ/mol at 300 K. More is faster and rougher.
    average_window : int or float, optional
        Iterations in which ā forgets; all count alike unless given. A number below 1 is a share of the
        iterations done: ā forgets how it began, and becomes ever smoother.
    target_pace : int
        Iterations after which a target that follows F does so again.
    grid_cells : int or sequence of int, optional
        Steps of the grid along each variable: 1,000, 200 or 60 for one, two or three of them unless given,
        and at least eight for each function.
    quadrature : {"gregory", "trapezoid"}
        Rule for ⟨f⟩_p: of fourth order; or PLUMED's.
    coefficients : path, optional
        File to which coefficients are written in PLUMED's format; :func:`read_coefficients` reads it. It must
        not exist, unless a state is loaded.
    coefficients_interval : int
        Iterations from one block of the file to the next.
    names : sequence of str, optional
        Of the variables, for the file: ``s1``, ``s2`` … unless given.
    timestep : float
        Factor from steps to the times in the file.

    Attributes
    ----------
    iterations : int
        Iterations done.
    divergence : float
        KL of what was sampled in the last 200 iterations or so from the target, by a histogram; 0 before.
    gradient : float
        The largest |g| of the last iteration; 0 before.
    inside : float
        Share of its samples that was within the intervals; 1 before.
    mean_coefficients, instantaneous_coefficients : ndarray (m₁, …)
        ā and a.
    record : ConvergenceRecord
        Columns "iteration", "step", "divergence", "gradient" and "inside".

    Raises
    ------
    ValueError, TypeError
        For settings out of range, or shapes that do not fit.
    FileExistsError
        At the first update, when the file of coefficients is of another run.
    FloatingPointError
        In an update, when the step size was too large for the coefficients to stay finite.

    References
    ----------
    O. Valsson, M. Parrinello, Phys. Rev. Lett. 113, 090601 (2014); J. Chem. Theory Comput. 11, 1996 (2015).
    F. Bach, E. Moulines, NIPS 26, 773 (2013). O. Shamir, T. Zhang, ICML 30, 71 (2013).

    Examples
    --------
    >>> from ase_mlsample.biases import Legendre, VariationalBias
    >>> bias = VariationalBias(kT=1.0, bases=Legendre(10, (-2.0, 2.0)), bias_factor=10, pace=500)
    >>> bias.update([0.3], 499), bias.update([0.3], 500), bias.iterations
    (False, True, 1)
    """

    domains: tuple[Domain, ...]

    def __init__(
        self,
        *,
        kT: float,
        bases: Basis | Mapping[str, Any] | Sequence[Basis | Mapping[str, Any]],
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        step_size: float | None = None,
        average_window: float | None = None,
        target_pace: int = 1,
        grid_cells: int | Sequence[int] | None = None,
        quadrature: Quadrature = "gregory",
        coefficients: str | Path | None = None,
        coefficients_interval: int = 10,
        names: Sequence[str] | None = None,
        timestep: float = 1.0,
    ) -> None:
        self.kT = positive(kT, "kT")
        self.bases = basis_list(bases)
        self.n_cvs = len(self.bases)
        self.domains = tuple(basis.domain for basis in self.bases)
        self.pace, self.target_pace = whole(pace, "pace"), whole(target_pace, "target_pace")
        self.step_size = 0.4 * self.kT if step_size is None else positive(step_size, "step_size")
        self.average_window = None if average_window is None else _window(average_window)
        self.coefficients_interval = whole(coefficients_interval, "coefficients_interval")
        self.timestep = positive(timestep, "timestep")
        self.names = variable_names(names, self.n_cvs)
        if quadrature not in get_args(Quadrature):
            raise ValueError(f"quadrature must be one of {get_args(Quadrature)}, got {quadrature!r}")
        self.quadrature = quadrature
        cells = _cells(grid_cells, self.bases)
        self._expansion = LinearExpansion(self.bases, cells, quadrature)
        points, volumes = self._expansion.points, self._expansion.volumes
        self.target = chosen_target(target, bias_factor).on(points)
        self._at_nodes = GridTarget(self.target, points, volumes, self.kT)
        shape = self._expansion.shape
        self._a, self._mean = np.zeros(shape), np.zeros(shape)
        self.iterations = 0
        self.record = ConvergenceRecord(("iteration", "step", "divergence", "gradient", "inside"))
        self.divergence, self.gradient, self.inside = 0.0, 0.0, 1.0
        self._buffer, self._waiting = np.empty((_BUFFER, self.n_cvs)), 0
        self._shares = np.zeros(self._expansion.bins)
        self._forget()
        self._show()
        self._file = None if coefficients is None else CoefficientFile(coefficients, self.names, shape)

    @property
    def mean_coefficients(self) -> FloatArray:
        """ā, which make the bias, (m₁, …); a copy."""
        return self._mean.copy()

    @property
    def instantaneous_coefficients(self) -> FloatArray:
        """a, which the optimiser moves, (m₁, …); a copy."""
        return self._a.copy()

    @property
    def coefficients(self) -> Path | None:
        """The file of coefficients that is written."""
        return None if self._file is None else self._file.path

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient by interpolation; see :meth:`Bias.potential`."""
        try:
            return self._expansion.grid.evaluate(np.ascontiguousarray(s, dtype=np.float64))
        except ValueError:
            self._points(s)  # this says more
            raise

    def update(self, s: ArrayLike, step: int) -> bool:
        """Keep the sample, and move the coefficients when it is time; true when V changed."""
        if step < 1:
            return False
        if self._file is not None and self._file.size is None:
            self._file.begin()
        points = self._points(s).reshape(-1, self.n_cvs)
        if self._waiting + len(points) > _BUFFER:
            self._absorb()
        if len(points) > _BUFFER:
            self._gather(points)
        else:
            self._buffer[self._waiting : self._waiting + len(points)] = points
            self._waiting += len(points)
        return step % self.pace == 0 and self._iterate(step)

    def diagnostics(self) -> dict[str, float]:
        """Return divergence, gradient, and share of the samples inside."""
        return {"kl": self.divergence, "gradient": self.gradient, "inside": self.inside}

    def free_energy(self) -> tuple[list[FloatArray], FloatArray]:
        """Return the nodes along each axis, and −V − k_BT ln p there (n₁, …), zero at its lowest."""
        at = self._at_nodes
        log_density = at.log_probabilities - np.log(self._expansion.volumes)
        F = -node_values(self._expansion.grid)[..., 0] - self.kT * log_density.reshape(self._expansion.nodes)
        return [axis.copy() for axis in self._expansion.axes], F - F.min()

    def target_density(self) -> tuple[list[FloatArray], FloatArray]:
        """Return the nodes along each axis, and p there (n₁, …); its average over the volume is 1."""
        p = self._at_nodes.probabilities / self._expansion.volumes
        return [axis.copy() for axis in self._expansion.axes], p.reshape(self._expansion.nodes)

    def freeze(self) -> StaticBias:
        """Return the bias as it is now, as one that does not change any more."""
        terms = node_values(self._expansion.grid)
        axes = self._expansion.axes
        return StaticBias(axes, terms[..., 0], derivatives=terms[..., 1:], domains=self.domains)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments, files excepted."""
        return {
            "kT": self.kT,
            "bases": [basis.todict() for basis in self.bases],
            "target": self.target.todict(),
            "pace": self.pace,
            "step_size": self.step_size,
            "average_window": self.average_window,
            "target_pace": self.target_pace,
            "grid_cells": list(self._expansion.cells),
            "quadrature": self.quadrature,
            "coefficients_interval": self.coefficients_interval,
            "names": list(self.names),
            "timestep": self.timestep,
        }

    def flush(self) -> None:
        """Wait until the disk has all coefficients that were written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file of coefficients; the next block opens it again."""
        if self._file is not None:
            self._file.close()

    def _iterate(self, step: int) -> bool:
        self._absorb()
        self.iterations += 1
        n, inside = self.iterations, int(self._counts.sum())
        self.inside = inside / self._seen
        if inside:
            means = self._sums / inside
            hessian = (self._squares / inside - means * means) / self.kT
            difference = self._target_means - means
            self._a -= self.step_size * (difference + hessian * (self._a - self._mean))
            self._mean += (self._a - self._mean) / self._averaged(n)
            if not np.isfinite(self._mean).all():
                raise FloatingPointError(
                    f"the coefficients are not finite in iteration {n}: step_size={self.step_size:.6g} is "
                    "too large"
                )
            self.gradient = float(np.abs(difference).max())
            self._shares += (self._counts / inside - self._shares) / min(n, _KL_WINDOW)
            self.divergence = self._kl()
        self.record.add(n, step, self.divergence, self.gradient, self.inside)
        self._show(follow=n % self.target_pace == 0)
        if self._file is not None and n % self.coefficients_interval == 0:
            self._file.append(n, step * self.timestep, self._mean, self._a)
        self._forget()
        return inside > 0

    def _show(self, *, follow: bool = False) -> None:
        """Put V on the grid, and let the target follow."""
        values = self._expansion.set_coefficients(self._mean)
        if follow:
            self._at_nodes.update(values)
        self._target_means = self._expansion.means(self._at_nodes.probabilities)
        self._coarse_target = self._expansion.coarse(self._at_nodes.probabilities)

    def _averaged(self, n: int) -> float:
        """Iterations over which ā goes in the n-th."""
        window = n if self.average_window is None else self.average_window
        return min(n, window) if window >= 1 else max(1.0, window * n)

    def _kl(self) -> float:
        """KL of what was sampled from the target, both in bins."""
        seen = self._shares > 0
        p = self._shares[seen] / self._shares.sum()
        return float(np.sum(p * np.log(p / np.maximum(self._coarse_target[seen], np.finfo(float).tiny))))

    def _absorb(self) -> None:
        if self._waiting:
            self._gather(self._buffer[: self._waiting])
            self._waiting = 0

    def _gather(self, points: FloatArray) -> None:
        sums, squares, counts = self._expansion.gather(points)
        self._sums += sums
        self._squares += squares
        self._counts += counts
        self._seen += len(points)

    def _forget(self) -> None:
        """Begin the averages of an iteration."""
        self._sums, self._squares = np.zeros(self._expansion.shape), np.zeros(self._expansion.shape)
        self._counts, self._seen = np.zeros(self._expansion.bins), 0

    def _state(self) -> dict[str, Any]:
        return {
            "iterations": self.iterations,
            "divergence": self.divergence,
            "gradient": self.gradient,
            "inside": self.inside,
            "instantaneous": self._a.copy(),
            "mean": self._mean.copy(),
            "target": self._at_nodes.state(),
            "record": self.record.state(),
            "shares": self._shares.copy(),
            "waiting": self._buffer[: self._waiting].copy(),
            "sums": self._sums.copy(),
            "squares": self._squares.copy(),
            "counts": self._counts.copy(),
            "seen": self._seen,
            "file_bytes": None if self._file is None else self._file.size,
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        file_bytes, iterations = state["file_bytes"], int(state["iterations"])
        if self._file is not None:
            if file_bytes is None and iterations:
                raise ValueError(
                    f"the state is of a run that wrote no coefficients, so {self._file.path} would lack the "
                    f"first {iterations} iterations; continue without a file, or start a new run"
                )
            self._file.resume(None if file_bytes is None else int(file_bytes))
        self.iterations, self._seen = iterations, int(state["seen"])
        for name in ("divergence", "gradient", "inside"):
            setattr(self, name, float(state[name]))
        for name, key in {"_a": "instantaneous", "_mean": "mean", "_shares": "shares"}.items():
            setattr(self, name, np.array(state[key], dtype=np.float64))
        for name in ("sums", "squares", "counts"):
            setattr(self, f"_{name}", np.array(state[name], dtype=np.float64))
        waiting = np.asarray(state["waiting"], dtype=np.float64).reshape(-1, self.n_cvs)
        self._waiting = len(waiting)
        self._buffer[: self._waiting] = waiting
        self.record.load_state(state["record"])
        self._at_nodes.load_state(state["target"])
        self._show()


def _cells(cells: int | Sequence[int] | None, bases: Sequence[Basis]) -> tuple[int, ...] | None:
    if cells is None:
        return None
    given: Any = [cells] * len(bases) if np.ndim(cells) == 0 else cells
    checked = tuple(whole(n, "grid_cells") for n in given)
    if len(checked) != len(bases) or min(checked) < _FEWEST_CELLS:
        raise ValueError(
            f"grid_cells must be {len(bases)} number(s), one for each variable, at least {_FEWEST_CELLS}, "
            f"got {cells!r}"
        )
    for n, basis in zip(checked, bases, strict=True):
        if n < 2 * basis.n_functions:
            raise ValueError(
                f"{n} grid_cells are too few for {basis.n_functions} functions of {type(basis).__name__}: "
                f"give at least {2 * basis.n_functions}"
            )
    return checked


def _window(value: float) -> float:
    if isinstance(value, float) and 0 < value < 1:
        return value
    number = int(value) if isinstance(value, float) and value.is_integer() else value  # as files have it
    return whole(number, "average_window (unless between 0 and 1, a share)")
