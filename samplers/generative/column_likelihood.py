"""Columns of any kind given a Gaussian of each: the likelihood of a decoder.

    y = (u - shift) / scale,   u the column in the coordinates of its kind, shift and scale its mean and deviation
    real column       log p(x | mu, sigma) = log N(y; mu, sigma^2) - log scale
    integer column    log P(x | mu, sigma) = log [Phi((b - mu) / sigma) - Phi((a - mu) / sigma)],   [a, b) the cell of x

The probability of an integer is that of its whole cell, so that nothing is lost to the noise by which `Ordinal` and
`Levels` spread it elsewhere: it is the ordered probit of each column. McCullagh 1980.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from samplers.generative.columns import Column, Real
from samplers.generative.ordinal import Integers
from targets.arguments import shown

FAR = 1e3  # in place of an infinite edge: no column is as far, and derivatives there are zero and not NaN
LEAST_DEVIATION = 1e-6  # of a column, where it is constant


class ColumnLikelihood(nn.Module):
    """See the module; for columns of these kinds, `Real` ones and integers. TypeError for others.

    y, mu and log_sigma are (n, dim), or (dim,) for the latter; shift and scale, the moments of the training rows x, are
    part of its state, the tables of the kinds are not.
    """

    shift: Tensor
    scale: Tensor
    integer: Tensor
    low: Tensor
    middles: Tensor
    edges: Tensor

    def __init__(self, kinds: Sequence[Column], like: Tensor) -> None:
        super().__init__()
        check_columns(kinds)
        dim, most = len(kinds), max([2, *(kind.count for kind in kinds if isinstance(kind, Integers))])
        wide: dict[str, Any] = {"dtype": torch.float64, "device": like.device}
        middles, edges = torch.zeros(dim, most, **wide), torch.full((dim, most - 1), math.inf, **wide)
        low = torch.zeros(dim, **wide)
        for number, kind in enumerate(kinds):
            if isinstance(kind, Integers):
                levels = torch.arange(kind.low, kind.high + 1, **wide)
                low[number], middles[number, : kind.count] = kind.low, kind.middle(levels)
                edges[number, : kind.count - 1] = kind.edges(like)
        integer = torch.tensor([isinstance(kind, Integers) for kind in kinds], device=like.device)
        for name, table in {"integer": integer, "low": low, "middles": middles, "edges": edges}.items():
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("shift", torch.zeros(dim, **wide))
        self.register_buffer("scale", torch.ones(dim, **wide))

    def standardise(self, x: Tensor, shares: Tensor) -> None:
        """Take shift and scale from the training rows x (n, dim) of these weights (n,)."""
        u = self._middle(x.double())
        self.shift = shares @ u
        deviation = (shares @ (u - self.shift).square()).sqrt()
        self.scale = torch.where(deviation > LEAST_DEVIATION, deviation, 1.0)

    def seen(self, x: Tensor) -> Tensor:
        """y of the middles of the cells: what an encoder sees, (n, dim)."""
        return ((self._middle(x.double()) - self.shift) / self.scale).to(x)

    def log_prob(self, x: Tensor, mu: Tensor, log_sigma: Tensor) -> Tensor:
        """The sum over the columns, (n,) in float64."""
        sigma = log_sigma.exp()
        away = (self.seen(x) - mu) / sigma
        found = -0.5 * (away.square() + math.log(2 * math.pi)) - log_sigma - self.scale.log().to(mu)
        if bool(self.integer.any()):
            lower, upper = (((edge - mu) / sigma)[:, self.integer] for edge in self._cell(x, mu))
            found = found.index_copy(1, self.integer.nonzero()[:, 0], log_mass(lower, upper))
        return found.double().sum(-1)

    def draw(self, mu: Tensor, log_sigma: Tensor, generator: Generator) -> Tensor:
        """x given these, (n, dim)."""
        noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
        return self.at(mu + log_sigma.exp() * noise)

    def at(self, y: Tensor) -> Tensor:
        """x of y, (n, dim): of an integer column the level of the cell in which it is."""
        u = y.double() * self.scale + self.shift
        levels = [
            torch.searchsorted(edges, column.contiguous(), right=True)
            for edges, column in zip(self.edges, u.mT, strict=True)
        ]
        return torch.where(self.integer, self.low + torch.stack(levels, -1), u).to(y)

    def _index(self, x: Tensor) -> Tensor:
        return torch.where(self.integer, x - self.low, 0).long()

    def _middle(self, x: Tensor) -> Tensor:
        return torch.where(self.integer, self.middles.gather(1, self._index(x).mT).mT, x)

    def _cell(self, x: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The ends of the cells in y, (n, dim) each."""
        ends = nn.functional.pad(self.edges, (1, 0), value=-math.inf)
        ends = nn.functional.pad(ends, (0, 1), value=math.inf)
        y = ((ends - self.shift[:, None]) / self.scale[:, None]).clamp(-FAR, FAR).to(like)
        index = self._index(x.double()).mT
        return y.gather(1, index).mT, y.gather(1, index + 1).mT


def check_columns(kinds: Sequence[Column]) -> None:
    """TypeError for columns of other kinds."""
    for number, kind in enumerate(kinds):
        if not isinstance(kind, (Real, Integers)):
            raise TypeError(f"columns: got {shown(kind)} for column {number}, expected Real, Ordinal or Levels")


def log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log [Phi(upper) - Phi(lower)], lower < upper, from the tail in which the cell is."""
    mirrored = lower + upper > 0
    a, b = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    top, bottom = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
    return top + torch.log(-torch.expm1(bottom - top))
