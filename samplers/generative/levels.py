"""Ordinal columns of few values, spread so that each by itself is standard normal from the start.

    u ~ N(0, 1) given F(x - 1) <= Phi(u) < F(x),   F(x) = p_low + .. + p_x      q(u | x) = N(u; 0, 1) / p_x
    c = log p_x - log N(u; 0, 1)

Where p is the law of the column, u is N(0, 1), with no edge at the cells: a Gaussian model of all columns is then the
Gaussian copula of the data, right in every column. Counts, grades and grey values that heap on a few values are far
from Gaussian in the logit of `Ordinal`, and near to it here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Generator, Tensor

from samplers.generative.columns import shares_of
from samplers.generative.ordinal import Integers, within_cells

MOST = 1 << 16  # levels: their probabilities are a table


@dataclass(frozen=True)
class Levels(Integers):
    """Integers from low to high, whose order means something: u ~ N(0, 1) given that it lies in the cell of x.

    Cells are as wide, in probability, as values are frequent. log p(u) + c has a mean over the noise that is a lower
    bound of log P(x), tight where the density of u is a multiple of the normal on each cell: for independent columns of
    these probabilities exactly. Theis, van den Oord and Bethge 2016, https://arxiv.org/abs/1511.01844; the noise is
    that of a Gaussian copula of discrete data, Smith and Khaled 2012, https://doi.org/10.1080/01621459.2011.644501.

    low, high: the least and the greatest. probabilities: positive, one for each, of sum 1; None: equal ones, for which
    `learned`, as `ScoreDiffusion.fit` calls it, puts the shares of the training rows and of one row more that is spread
    over all levels. With many more levels than rows `Ordinal` is the better choice. ValueError unless low and high are
    integers, low < high, of 65,536 levels at most, and for other probabilities.

        >>> from samplers.generative import Levels
        >>> kind = Levels(0, 2, probabilities=(0.5, 0.25, 0.25))
        >>> u, c = kind.encode(torch.tensor([0.0, 2.0]).double(), torch.Generator().manual_seed(0))
        >>> kind.decode(u), bool(u[0] < 0), bool(u[1] > 0.674)
        (tensor([0., 2.], dtype=torch.float64), True, True)
    """

    probabilities: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count > MOST:
            raise ValueError(f"low, high: got {self.count} levels, expected {MOST} at most; take Ordinal for more")
        if self.probabilities is None:
            return
        given = tuple(float(p) for p in self.probabilities)
        if len(given) != self.count or not all(p > 0 for p in given) or abs(math.fsum(given) - 1) > 1e-6:
            raise ValueError(
                f"probabilities: got {len(given)} of sum {math.fsum(given):.6g}, expected {self.count} positive "
                "numbers of sum 1"
            )
        object.__setattr__(self, "probabilities", given)

    def learned(self, x: Tensor, shares: Tensor | None) -> Self:
        """With the frequencies of the rows, unless probabilities were given."""
        if self.probabilities is not None:
            return self
        each = shares_of(x, shares)
        frequencies = torch.bincount(x.long() - self.low, each, self.count)
        rows = float(1 / each.square().sum())  # the effective number
        return replace(self, probabilities=tuple(((rows * frequencies + 1 / self.count) / (rows + 1)).tolist()))

    def _cells(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each level its probability, and those of all below and of all above."""
        given = (1 / self.count,) * self.count if self.probabilities is None else self.probabilities
        p = torch.tensor(given, dtype=torch.float64, device=like.device)
        below, above = p.cumsum(0) - p, p.flip(0).cumsum(0).flip(0) - p
        return p, below, above

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """The normal quantile of a uniform number in the cell, from the nearer end so that none is infinite."""
        p, below, above = (table[x.long() - self.low] for table in self._cells(x))
        share = within_cells(x, generator)
        u = _quantile(below + p * share, above + p * (1 - share))
        return u[:, None], p.log() + 0.5 * (u.square() + math.log(2 * math.pi))

    def edges(self, like: Tensor) -> Tensor:
        """The normal quantiles of the sums of probabilities."""
        p, below, above = self._cells(like)
        return _quantile(below[1:], above[1:] + p[1:])

    def middle(self, x: Tensor) -> Tensor:
        """The median of the normal law on the cell."""
        p, below, above = (table[x.long() - self.low] for table in self._cells(x))
        return _quantile(below + 0.5 * p, above + 0.5 * p)

    def decode(self, u: Tensor) -> Tensor:
        """The level of the cell."""
        return (self.low + torch.searchsorted(self.edges(u), u[:, 0].double().contiguous(), right=True)).to(u.dtype)


def _quantile(below: Tensor, above: Tensor) -> Tensor:
    """Where N(0, 1) has this much below and that much above."""
    return torch.where(below < above, torch.special.ndtri(below), -torch.special.ndtri(above))
