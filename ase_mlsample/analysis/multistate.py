"""Equilibrium ensembles sampled together: their free energies by MBAR, overlaps, influence of samples."""

from __future__ import annotations

import importlib
import itertools
import logging
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.special import logsumexp

__all__ = [
    "States",
    "disjoint_groups",
    "inefficiency",
    "overlap_matrix",
    "solve_free_energies",
    "weakest_link",
]

FloatArray = NDArray[np.float64]

_TOLERANCE = 1e-6  # of the sum of a state's weights, which is one


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """K thermodynamic states, and N samples drawn from them.

    Attributes
    ----------
    reduced : ndarray (K, N)
        u_k(x_n), the energy of each sample in each state over that state's kT.
    counts : ndarray (K,)
        Samples drawn from each state; samples are sorted by state.
    """

    reduced: FloatArray
    counts: NDArray[np.int64]

    @property
    def n_samples(self) -> int:
        """Number of samples N."""
        return int(self.reduced.shape[1])

    def mixture(self, f: FloatArray) -> FloatArray:
        """Logarithm (N,) of Σ_k N_k e^{f_k − u_k}, the density that all samples were drawn from."""
        density: FloatArray = logsumexp((f + np.log(self.counts))[:, None] - self.reduced, axis=0)
        return density

    def shares(self, f: FloatArray) -> FloatArray:
        """Weights W (K, N) of the samples in each state; each row sums to one at the solution."""
        weights: FloatArray = np.exp(f[:, None] - self.reduced - self.mixture(f))
        return weights

    def weights(
        self, f: FloatArray, u: FloatArray, block: NDArray[np.int64], n_blocks: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights of the samples in another state, and how noise in blocks of samples changes them.

        Parameters
        ----------
        f : ndarray (K,)
            The solution.
        u : ndarray (N,)
            Reduced energy of each sample in the other state.
        block : ndarray (N,)
            Which block each sample is in; blocks run across states.
        n_blocks : int

        Returns
        -------
        weights : ndarray (N,)
            Their sum is one.
        influence : ndarray (B, N)
            Sums over any set of samples are the first-order change of that set's weight by the deviation of
            each block from the mean over its state.
        shifts : ndarray (B, K)
            The same for f, relative to the first.
        """
        log_weights = -u - self.mixture(f)
        weights = np.exp(log_weights - logsumexp(log_weights))
        W, counts = self.shares(f), self.counts.astype(float)
        member = np.zeros((n_blocks, self.n_samples))
        member[block, np.arange(self.n_samples)] = 1.0
        start = np.concatenate([[0], np.cumsum(self.counts)])
        for first, last in itertools.pairwise(start):
            member[:, first:last] -= member[:, first:last].mean(axis=1, keepdims=True)
        # Σ_n W_ni = 1 defines f: its linear change under the noise, with f_0 fixed
        jacobian = np.eye(len(f)) - (W @ W.T) * counts
        shifts = np.zeros((n_blocks, len(f)))
        noise = member @ W.T
        shifts[:, 1:] = -np.linalg.lstsq(jacobian[:, 1:], noise.T, rcond=None)[0].T
        change = member - (shifts * counts) @ W
        change -= (change @ weights)[:, None]
        return weights, change * weights, shifts


def solve_free_energies(states: States) -> FloatArray:
    """Return the reduced free energies f (K,) of the states by MBAR, that of the first being zero.

    Raises
    ------
    ImportError
        Without pymbar.
    RuntimeError
        If the equations are not solved.
    """
    if len(states.counts) == 1:
        return np.zeros(1)
    MBAR = _pymbar().MBAR
    generator = np.random.get_state()  # noqa: NPY002 (pymbar seeds numpy's global generator anew)
    try:
        solver = ({"method": "adaptive", "options": {"min_sc_iter": 5}},)
        f: FloatArray = MBAR(states.reduced, states.counts, solver_protocol=solver, initialize="BAR").f_k
    finally:
        np.random.set_state(generator)  # noqa: NPY002
    f = f - f[0]
    worst = float(np.abs(states.shares(f).sum(axis=1) - 1).max())
    if not worst < _TOLERANCE:
        raise RuntimeError(
            f"the free energies of the {len(f)} windows were not found (normalisation wrong by {worst:.2g}); "
            "they hardly overlap, or samples are far from their restraints"
        )
    return f


def overlap_matrix(states: States, f: FloatArray) -> FloatArray:
    """Overlap O_ij = N_j Σ_n W_in W_jn (K, K): the part of state i's samples that could be of state j."""
    W = states.shares(f)
    matrix: FloatArray = (W @ W.T) * states.counts
    return matrix


def weakest_link(overlap: FloatArray) -> tuple[int, int, float]:
    """Return the two states that overlap least among neighbours, and their overlap.

    Neighbours are those of the spanning tree with the largest overlaps; (0, 0, 1) for a single state.
    """
    if len(overlap) == 1:
        return 0, 0, 1.0
    symmetric = np.minimum(overlap, overlap.T)
    # scipy takes zeros for missing links, and lengths rather than strengths
    tree = minimum_spanning_tree(2.0 - symmetric).tocoo()
    worst = int(np.argmax(tree.data))
    pair = sorted((int(tree.row[worst]), int(tree.col[worst])))
    return pair[0], pair[1], float(symmetric[pair[0], pair[1]])


def disjoint_groups(states: States) -> NDArray[np.int64]:
    """Return the group (K,) of each state; states of different groups have nothing in common.

    Two states have something in common when the differences u_i − u_j of their samples reach across each
    other: otherwise a threshold of that difference tells their samples apart without exception, and nothing
    in them says how probable one state is against the other.
    """
    ends = np.cumsum(states.counts)
    first, K = ends - states.counts, len(states.counts)
    linked = np.zeros((K, K), dtype=bool)
    for i in range(K):
        difference = states.reduced - states.reduced[i]
        # of the samples of i, the one that suits j best; of those of j, the one that suits i best
        best_of_i = difference[:, first[i] : ends[i]].min(axis=1)
        for j in range(K):
            linked[i, j] = best_of_i[j] < difference[j, first[j] : ends[j]].max()
    _, groups = connected_components(linked & linked.T, directed=False)
    return np.asarray(groups, dtype=np.int64)


def inefficiency(values: FloatArray) -> float:
    """Return how many samples are worth one independent one, for the slowest variable of (T, d).

    1 + 2τ with the correlation time τ in samples; 1 for a variable that stands still.
    """
    find = _pymbar().timeseries.statistical_inefficiency
    return max([1.0, *(float(find(column)) for column in values.T if np.ptp(column) > 0)])


def _pymbar() -> ModuleType:
    log = logging.getLogger("pymbar")
    level = log.level
    log.setLevel(logging.ERROR)  # advice on jax and on long correlation times, at every import
    try:
        return importlib.import_module("pymbar")  # it has no types
    except ImportError as error:
        raise ImportError("umbrella windows are combined by pymbar: pip install 'pymbar>=4.0.3'") from error
    finally:
        log.setLevel(level)
