"""Sums of gamma(x) exp(-sum_i (x_i - y_i)^2 / (2 v_i)) over lattices of points in one or two dimensions, and draws.

Everything is in float64 and in two dimensions; in one dimension the second axis has a single point, at zero.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from samplers.denoisers.grid import Grid

OPEN = 1e-10  # share of weight at the edge above which there may be more beyond it
REACH = 7.0  # of a lattice around a measurement, in standard deviations of the noise to begin with
TRIALS = 24
WIDEST = 64.0  # standard deviations of the noise: to where the mass of measurements far out is looked for
UNRESOLVED = 3e-4  # change without every second point above which a lattice is not believed
LEAST = -700.0  # exponents below are raised to it: no subnormal numbers, no change of any sum above e^-600
WEAK = 1e-260


class Weights(ABC):
    """Of n measurements y: the weights of the points origin + (i, j) * spacing, (n, k, l).

    total: log of their sum times the area of a cell, (n,); mean: (n, 2); edge: the share of the outermost points, (n,);
    lost: whether the sum may have lost parts to underflow, (n,).
    """

    origin: Tensor
    spacing: Tensor  # (n, 2) or (1, 2)
    shape: tuple[int, int]
    total: Tensor
    mean: Tensor
    edge: Tensor
    lost: Tensor

    @abstractmethod
    def choose(self, count: int, generator: Generator) -> Tensor:
        """Points drawn by their weight, (n, count, 2) of indices."""

    @abstractmethod
    def log_weight(self, index: Tensor) -> Tensor:
        """gamma exp(-..) at points (n, count, 2), logarithms; -inf beyond the lattice."""

    def propose(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draws from the density that interpolates the weights linearly, (n, count, 2), and their log-densities.

        A point is drawn by its weight and moved along each axis by the sum of two uniform variables on +-1/2 steps,
        which is that density exactly. The log-density is up to a constant for each row.
        """
        points = self.choose(count, generator)
        uniform = torch.rand(2, *points.shape, generator=generator, dtype=torch.float64, device=points.device)
        wide = torch.tensor([k > 1 for k in self.shape], device=points.device)
        place = points + wide * (uniform[0] + uniform[1] - 1)
        below = place.floor()
        share = place - below
        corners = []
        for corner in torch.tensor([(0, 0), (0, 1), (1, 0), (1, 1)], device=points.device):
            hat = torch.where(corner == 1, share, 1 - share).prod(-1)
            corners.append(hat.log() + self.log_weight(below.long() + corner))
        return self.origin[:, None] + place * self.spacing[:, None], torch.stack(corners).logsumexp(0)

    def _inside(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = torch.tensor(self.shape, device=index.device) - 1
        inside = ((index >= 0) & (index <= top)).all(-1)
        clamped = torch.minimum(index.clamp_min(0), top)
        return inside, clamped[..., 0], clamped[..., 1]


class Separable(Weights):
    """All points of a grid at once: the kernel is a product over the axes, so that a sum is A Gamma B' row by row."""

    def __init__(self, grid: Grid, y: Tensor, precisions: Tensor) -> None:
        self.origin, self.spacing = grid.low.expand(len(y), 2), grid.spacing[None]
        self.shape = (len(grid.axis(0)), len(grid.axis(1)))
        self._grid, self._y, self._precisions = grid, y, precisions
        away = [grid.axis(i) - y[:, i, None] for i in range(2)]
        log_a, log_b = (-0.5 * precisions[i] * away[i].square() for i in range(2))
        tops = log_a.amax(1), log_b.amax(1), grid.log_gamma.max()
        self._a = (log_a - tops[0][:, None]).clamp_min_(LEAST).exp_()
        self._b = (log_b - tops[1][:, None]).clamp_min_(LEAST).exp_()
        self._c = (grid.log_gamma - tops[2]).exp_()
        self._first = self._a * (self._b @ self._c.mT)  # (n, k): the weights summed over the second axis
        second = self._b * (self._a @ self._c)
        total = self._first.sum(1)
        self.total = total.log() + tops[0] + tops[1] + tops[2] + grid.spacing.log().sum()
        sums = [(self._first * away[0]).sum(1), (second * away[1]).sum(1)]
        self.mean = y + torch.stack(sums, -1) / total[:, None]
        self.lost = ~(total > WEAK)
        self.edge = (_ends(self._first) + _ends(second)) / total

    def choose(self, count: int, generator: Generator) -> Tensor:
        n, length = len(self._y), self.shape[1]
        uniform = torch.rand(2, n, count, generator=generator, dtype=torch.float64, device=self._y.device)
        first = _by_weight(self._first, uniform[0])
        rows = max(1, (1 << 22) // (count * length))
        second = []
        for some, which, height in zip(self._b.split(rows), first.split(rows), uniform[1].split(rows), strict=True):
            second.append(_by_weight(self._c[which] * some[:, None], height[..., None])[..., 0])
        return torch.stack([first, torch.cat(second)], -1)

    def log_weight(self, index: Tensor) -> Tensor:
        inside, i, j = self._inside(index)
        away = torch.stack([self._grid.axis(0)[i], self._grid.axis(1)[j]], -1) - self._y[:, None]
        value = self._grid.log_gamma[i, j] - 0.5 * (self._precisions * away.square()).sum(-1)
        return torch.where(inside, value, -math.inf)


class Table(Weights):
    """A lattice of its own for each row: log-weights (n, k, l). sd: of x given y along each axis, (n, 2)."""

    def __init__(self, log_weights: Tensor, origin: Tensor, spacing: Tensor) -> None:
        self.origin, self.spacing, self.shape = origin, spacing, (log_weights.shape[1], log_weights.shape[2])
        self.table = log_weights
        flat = log_weights.flatten(1)
        self._shares = flat.softmax(1)
        first, second = (self._shares.reshape(log_weights.shape).sum(axis) for axis in (2, 1))
        index = torch.stack([part @ _counting(part) for part in (first, second)], -1)
        self.total = flat.logsumexp(1) + spacing.log().sum(-1)
        self.mean = origin + index * spacing
        squares = torch.stack([part @ _counting(part).square() for part in (first, second)], -1)
        self.sd = (squares - index.square()).clamp_min(0.0).sqrt() * spacing
        self.edge = _ends(first) + _ends(second)
        self.lost = ~self.total.isfinite()

    def choose(self, count: int, generator: Generator) -> Tensor:
        uniform = torch.rand(len(self.table), count, generator=generator, dtype=torch.float64, device=self.table.device)
        which = _by_weight(self._shares, uniform)
        return torch.stack([which // self.shape[1], which % self.shape[1]], -1)

    def log_weight(self, index: Tensor) -> Tensor:
        inside, i, j = self._inside(index)
        value = self.table.flatten(1).gather(1, i * self.shape[1] + j)
        return torch.where(inside, value, -math.inf)

    def halved(self) -> Table:
        """Every second point, along axes that have more than one."""
        steps = [2 if k > 1 else 1 for k in self.shape]
        return Table(
            self.table[:, :: steps[0], :: steps[1]], self.origin, self.spacing * self.spacing.new_tensor(steps)
        )


def whole(grid: Grid, y: Tensor, variances: Tensor) -> Table:
    """Every point of the grid for every row, without underflow."""
    first, second = (0.5 * (grid.axis(i) - y[:, i, None]).square() / variances[i] for i in range(2))
    return Table(grid.log_gamma - first[:, :, None] - second[:, None], grid.low.expand(len(y), 2), grid.spacing[None])


def around(
    log_gamma: Callable[[Tensor], Tensor], dim: int, y: Tensor, variances: Tensor, points: int
) -> tuple[Table, Tensor]:
    """Lattices around measurements, moved and narrowed to where x given y is; and whether they hold and resolve it."""
    wide = torch.tensor([1.0, float(dim == 2)], dtype=torch.float64, device=y.device)
    shape = (points, points if dim == 2 else 1)
    step = 2 * REACH / (points - 1)
    index = torch.cartesian_prod(*[torch.arange(k, dtype=torch.float64, device=y.device) for k in shape])
    noise = variances.sqrt()
    centre, scale = y.clone(), noise.expand_as(y).clone()
    origin, spacing = torch.empty_like(y), torch.empty_like(y)
    log_weights, good = y.new_empty(len(y), *shape), torch.zeros(len(y), dtype=torch.bool, device=y.device)
    moving = torch.arange(len(y), device=y.device)
    for _ in range(TRIALS):
        spacing[moving] = torch.where(wide > 0, step * scale[moving], 1.0)
        origin[moving] = centre[moving] - REACH * scale[moving] * wide
        x = origin[moving, None] + index * spacing[moving, None]
        away = (x - y[moving, None]).square() / variances
        log_weights[moving] = (log_gamma(x) - 0.5 * away.sum(-1)).reshape(-1, *shape)
        table = Table(log_weights[moving], origin[moving], spacing[moving])
        half = table.halved()
        moved = ((table.mean - half.mean) / scale[moving]).abs().amax(-1)
        cut = table.edge > OPEN
        coarse = torch.maximum((table.total - half.total).abs(), moved) > UNRESOLVED
        good[moving] = ~(cut | coarse | table.lost)
        # where much is cut off, look much wider around its mean so far; where it is narrow, look closer
        wider = torch.where(table.edge > 1e-3, 2.0, 1.2)[:, None] * scale[moving]
        closer = torch.minimum(torch.maximum(1.3 * table.sd, 0.25 * scale[moving]), 0.85 * scale[moving])
        scale[moving] = torch.where(cut[:, None], torch.minimum(wider, WIDEST * noise), closer)
        centre[moving] = table.mean
        moving = moving[(cut | coarse) & ~table.lost]
        if not len(moving):
            break
    return Table(log_weights, origin, spacing), good


def _counting(like: Tensor) -> Tensor:
    return torch.arange(like.shape[1], dtype=torch.float64, device=like.device)


def _ends(shares: Tensor) -> Tensor:
    """What lies on the first and the last of several points."""
    return shares[:, 0] + shares[:, -1] if shares.shape[1] > 1 else torch.zeros_like(shares[:, 0])


def _by_weight(weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices along the last axis with probability in proportion to the weights."""
    cumulative = weights.cumsum(-1)
    found = torch.searchsorted(cumulative, (uniform * cumulative[..., -1:]).contiguous(), right=True)
    return found.clamp_max(weights.shape[-1] - 1)
