"""Chebyshev polynomials of the inverse distance, by which training stands in for the embedding networks.

Embedding networks are functions of one number, s(r). On the distances of a data set they equal, to the
rounding of their own precision, polynomials through a few dozen nodes: the networks are evaluated (and
differentiated) at the nodes instead of at every pair, and sums of polynomials over the neighbours of an atom
are computed once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Expansion"]

_FEWEST, _MOST = 24, 1024


class Expansion:
    """Polynomials T_k(x), k < `terms`, of x = 2 s/s_max − 1.

    Parameters
    ----------
    largest
        s_max, the largest s(r) of the data (Å⁻¹).
    terms
        Number of polynomials and of nodes.

    Attributes
    ----------
    nodes
        (K,) s at the zeros of T_K (Å⁻¹).
    between
        (K + 1,) s at the extrema of T_K, where what lies between the nodes is checked.
    transform
        (K, K) from values at the nodes to the coefficients of the polynomials.

    References
    ----------
    L. N. Trefethen, Approximation Theory and Approximation Practice, SIAM (2013), chapters 3 and 8.
    """

    nodes: Tensor
    between: Tensor
    transform: Tensor

    def __init__(self, largest: float, terms: int = _FEWEST) -> None:
        self.largest = largest
        self.set_terms(terms)

    @property
    def terms(self) -> int:
        """Number of polynomials K."""
        return len(self.nodes)

    def set_terms(self, terms: int) -> None:
        """Change the number of polynomials."""
        angles = np.pi * (np.arange(terms) + 0.5) / terms
        transform = 2.0 / terms * np.cos(np.arange(terms)[:, None] * angles)
        transform[0] /= 2.0
        self.nodes = torch.from_numpy(0.5 * self.largest * (1.0 + np.cos(angles)))
        self.transform = torch.from_numpy(transform)
        self.between = 0.5 * self.largest * (1.0 + torch.cos(torch.linspace(0.0, np.pi, terms + 1).double()))

    def refine(self) -> None:
        """Take half as many polynomials again.

        Raises
        ------
        ValueError
            If there are very many already.
        """
        if self.terms >= _MOST:
            raise ValueError(
                f"an embedding network varies too fast for {self.terms} polynomials; lower learning_rate, "
                "set gradient_clip or add weight_decay"
            )
        self.set_terms(min(_MOST, self.terms * 3 // 2))

    def polynomials(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """T_k and their derivatives by s, each (…, K), for s (…) in double precision.

        The derivatives are k U_{k−1} dx/ds, with the polynomials of the second kind.
        """
        slope = 2.0 / self.largest
        twice = 2.0 * (s * slope - 1.0)
        # both kinds follow the same recurrence
        both = [torch.ones(2, *s.shape, dtype=s.dtype), torch.stack((0.5 * twice, twice))]
        for _ in range(2, self.terms):
            both.append((twice * both[-1]).sub_(both[-2]))
        values = torch.stack([first for first, _ in both], dim=-1)
        orders = slope * torch.arange(1, self.terms, dtype=s.dtype)
        slopes = torch.stack([second for _, second in both[:-1]], dim=-1) * orders
        return values, torch.nn.functional.pad(slopes, (1, 0))

    def deviation(self, at_nodes: Tensor, between: Tensor) -> float:
        """Largest error of the polynomials between the nodes, relative to the largest value (at least 1).

        Parameters
        ----------
        at_nodes, between
            (…, K, n) and (…, K + 1, n) values of n functions, in double precision.
        """
        values, _ = self.polynomials(self.between)
        error = (values @ (self.transform @ at_nodes) - between).abs().max()
        return float(error / at_nodes.abs().max().clamp_min(1.0))
