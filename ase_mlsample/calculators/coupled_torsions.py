"""Coupled torsions: six periodic variables whose marginals are known exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.model_potentials import ModelPotential

__all__ = ["CoupledTorsions"]

FloatArray = NDArray[np.float64]

_NODES = 256  # the trapezoidal rule over a period converges exponentially


class CoupledTorsions(ModelPotential):
    """A chain of backbone torsions φ₁, ψ₁, φ₂, ψ₂ …, each with two states, each coupled to its neighbours.

    U = Σ_i {½B_i [1 + cos 2(θ_i − c_i)] + ½D_i [1 − cos(θ_i − m_i)]} + Σ_i J_i [1 − cos(θ_i − θ_{i+1} − χ_i)]

    φ has its better minimum near −90° and the other near +90°, ψ near 141° and −39°. Three residues stand for
    the six torsions of alanine tetrapeptide, at the price of a toy: the energy is a sum over neighbours in
    the chain, so one- and two-dimensional free energies follow from products of transfer matrices. It is
    synthetic; no molecule was fitted.

    Parameters
    ----------
    residues : int
        Pairs of torsions.
    barriers : (float, float)
        B of φ and ψ; as given, in k_BT for scale 1.
    asymmetries : (float, float)
        D of φ and ψ, about the free energy between their two states.
    couplings : (float, float)
        J within a residue (φ to ψ) and between residues (ψ to φ).
    scale : float
        Factor on the energy: ``300 * units.kB`` makes it eV at 300 K.

    Raises
    ------
    ValueError
        For fewer than one residue, or parameters that are not finite.
    """

    def __init__(
        self,
        residues: int = 3,
        *,
        barriers: tuple[float, float] = (10.0, 5.0),
        asymmetries: tuple[float, float] = (3.0, 1.0),
        couplings: tuple[float, float] = (1.5, 0.8),
        scale: float = 1.0,
    ) -> None:
        super().__init__(scale)
        if residues < 1:
            raise ValueError(f"residues must be at least 1, got {residues!r}")
        given = {"barriers": barriers, "asymmetries": asymmetries, "couplings": couplings}
        for name, pair in given.items():
            if len(pair) != 2 or not all(math.isfinite(value) for value in pair):
                raise ValueError(f"{name} must be two finite numbers, for φ and ψ, got {pair!r}")
        self.residues = int(residues)
        self.barriers, self.asymmetries, self.couplings = barriers, asymmetries, couplings
        numbers = range(1, residues + 1)
        self.names = tuple(name for k in numbers for name in (f"phi{k}", f"psi{k}"))
        self.domains = ((-math.pi, math.pi),) * len(self.names)
        self.limits = ((-math.pi, math.pi),) * len(self.names)
        self._B, self._D = np.tile(barriers, residues), np.tile(asymmetries, residues)
        self._c = np.tile([0.0, 0.9], residues)
        self._m = np.tile([-0.5 * math.pi, 0.9 + 0.5 * math.pi], residues)
        self._J = np.tile(couplings, residues)[:-1]
        self._chi = np.tile([2.0, 1.0], residues)[:-1]
        self.start = self._m.copy()

    def _energy(self, x: FloatArray) -> FloatArray:
        single = self._single(np.arange(self.n_variables), x)
        pair = self._J * (1 - np.cos(x[..., :-1] - x[..., 1:] - self._chi))
        energy: FloatArray = single.sum(axis=-1) + pair.sum(axis=-1)
        return energy

    def _gradient(self, x: FloatArray, out: FloatArray) -> None:
        out[:] = 0.5 * self._D * np.sin(x - self._m) - self._B * np.sin(2 * (x - self._c))
        pull = self._J * np.sin(x[..., :-1] - x[..., 1:] - self._chi)
        out[..., :-1] += pull
        out[..., 1:] -= pull

    def settings(self) -> dict[str, Any]:
        """Keywords that make this potential again."""
        names = ("residues", "barriers", "asymmetries", "couplings", "scale")
        return {name: getattr(self, name) for name in names}

    def _single(self, index: Any, theta: FloatArray) -> FloatArray:
        well = 0.5 * self._B[index] * (1 + np.cos(2 * (theta - self._c[index])))
        total: FloatArray = well + 0.5 * self._D[index] * (1 - np.cos(theta - self._m[index]))
        return total

    def _marginal(self, kept: tuple[int, ...], kT: float, axes: list[FloatArray]) -> FloatArray:
        if len(kept) > 2:
            raise ValueError(f"CoupledTorsions gives marginals of one or two variables, not {len(kept)}")
        order = sorted(range(len(kept)), key=lambda position: kept[position])
        chain = [kept[position] for position in order]
        points = [axes[position] for position in order]
        beta = self.scale / kT
        values = self._site(chain[0], points[0], beta) + self._from_left(chain[0], points[0], beta)
        if len(kept) == 1:
            line: FloatArray = -kT * (values + self._from_right(chain[0], points[0], beta))
            return line
        log_between = self._between(chain, points, beta)
        last = self._site(chain[1], points[1], beta) + self._from_right(chain[1], points[1], beta)
        surface: FloatArray = -kT * (values[:, None] + log_between + last[None])
        return surface if order == [0, 1] else surface.T

    def _site(self, index: int, points: FloatArray, beta: float) -> FloatArray:
        exponent: FloatArray = -beta * self._single(index, points)
        return exponent

    def _link(self, index: int, first: FloatArray, second: FloatArray, beta: float) -> FloatArray:
        """−βw of torsions ``index`` and ``index + 1``."""
        angle = first[:, None] - second[None] - self._chi[index]
        exponent: FloatArray = -beta * self._J[index] * (1 - np.cos(angle))
        return exponent

    def _from_left(self, index: int, points: FloatArray, beta: float) -> FloatArray:
        """Log of the sum over all torsions before one, at points of that one."""
        if index == 0:
            return np.zeros(len(points))
        nodes = _nodes()
        message = self._site(index - 1, nodes, beta) + self._from_left(index - 1, nodes, beta)
        return _log_sum(message[:, None] + self._link(index - 1, nodes, points, beta), axis=0)

    def _from_right(self, index: int, points: FloatArray, beta: float) -> FloatArray:
        """Log of the sum over all torsions after one, at points of that one."""
        if index == self.n_variables - 1:
            return np.zeros(len(points))
        nodes = _nodes()
        message = self._site(index + 1, nodes, beta) + self._from_right(index + 1, nodes, beta)
        return _log_sum(message[None] + self._link(index, points, nodes, beta), axis=1)

    def _between(self, chain: list[int], points: list[FloatArray], beta: float) -> FloatArray:
        """Log of the sum over all torsions between two, at points of the two."""
        first, last = chain
        nodes, log_sum = _nodes(), None
        for index in range(first, last):
            left = points[0] if index == first else nodes
            right = points[1] if index + 1 == last else nodes
            link = self._link(index, left, right, beta)
            if log_sum is None:
                log_sum = link
                continue
            onward = link + self._site(index, left, beta)[:, None]
            top, top_onward = log_sum.max(axis=1, keepdims=True), onward.max(axis=0, keepdims=True)
            log_sum = np.log(np.exp(log_sum - top) @ np.exp(onward - top_onward)) + top + top_onward
        if log_sum is None:
            raise ValueError(f"torsions {first} and {last} are not two different ones")
        return log_sum


def _nodes() -> FloatArray:
    return np.linspace(-math.pi, math.pi, _NODES, endpoint=False)


def _log_sum(values: FloatArray, *, axis: int) -> FloatArray:
    top = values.max(axis=axis)
    summed: FloatArray = np.log(np.exp(values - np.expand_dims(top, axis)).sum(axis=axis)) + top
    return summed
