"""Peaks of a density of one variable or two, by looking at many points of the line or the plane.

A path uphill finds a narrow mode only from a start within its basin, which few random starts hit. Looking costs
log-densities alone, all in one batch. The points are the denser the nearer they are to where they spread from: on the
line a mode is seen whose basin is some thousandth of its distance wide. On rings around a point of the plane it is
seen where the basin is some tenth of its distance wide, and on a lattice over the box that holds the ends of paths
where it is wider than a hundredth of the box. In more dimensions so many points meet few modes.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from targets import Target

POINTS = 16_384
NEAREST, FARTHEST = 0.1, 1e4  # of a local standard deviation
MOST_PEAKS = 64
SIDE = 128  # points along each side of the lattice, and of the rings
AROUND = 1.0  # how far the box reaches beyond the ends of paths on each side, in its own widths
ROUNDING = 16  # of the dtype's precision, by which a peak must stand out


def peaks(target: Target, x: float, deviation: float, generator: Generator) -> Tensor:
    """The highest points (k, 1) of the log-density of one variable, to both sides of x in units of a deviation."""
    like = torch.empty(POINTS // 2, dtype=torch.float64, device=target.device)
    u = (torch.arange(len(like), device=like.device) + like.uniform_(generator=generator)) / len(like)
    away = deviation * NEAREST * (FARTHEST / NEAREST) ** u
    line = x + torch.cat([-away.flip(0), away.new_zeros(1), away])
    value = _looked_at(target, line[:, None])
    inner, beside = value[1:-1], torch.maximum(value[:-2], value[2:])
    return _highest(target, line[1:-1, None], inner, beside)


def peaks_of_plane(target: Target, ends: Tensor, deviations: Tensor, generator: Generator) -> Tensor:
    """The highest points (k, 2) of the log-density of two variables, on rings and on a lattice.

    ends (n, 2): where paths have ended, the best first; deviations (n, 2): of the local Gaussians there.
    """
    both = (_rings(ends[0], deviations[0], generator), _lattice(ends, deviations, generator))
    found = []
    for grid, wraps in zip(both, (True, False), strict=True):
        value = _looked_at(target, grid.flatten(0, 1)).reshape(SIDE, SIDE)
        found.append(_highest(target, grid.flatten(0, 1), value.flatten(), _beside(value, wraps=wraps).flatten()))
    return torch.cat(found)


def _rings(x: Tensor, deviation: Tensor, generator: Generator) -> Tensor:
    """Around x (2,), by log length and angle in units of its deviations, (SIDE, SIDE, 2)."""
    shift = torch.rand(2, generator=generator, dtype=torch.float64, device=x.device)
    radius, turn = ((torch.arange(SIDE, dtype=x.dtype, device=x.device) + one) / SIDE for one in shift)
    length = NEAREST * (FARTHEST / NEAREST) ** radius
    angle = 2 * math.pi * turn
    return x + deviation * length[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)


def _lattice(ends: Tensor, deviations: Tensor, generator: Generator) -> Tensor:
    """Over the box that holds the ends and the Gaussians there, (SIDE, SIDE, 2)."""
    low, high = (ends - deviations).amin(0), (ends + deviations).amax(0)
    low, width = low - AROUND * (high - low), (1 + 2 * AROUND) * (high - low)
    shift = torch.rand(2, generator=generator, dtype=torch.float64, device=ends.device)
    steps = torch.arange(SIDE, dtype=ends.dtype, device=ends.device)
    sides = (low[i] + width[i] * (steps + shift[i]) / SIDE for i in range(2))
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)


def _looked_at(target: Target, x: Tensor) -> Tensor:
    """The log-density at x (n, dim), in float64; minus infinity where there is none."""
    value = target.log_prob(x.to(target.dtype)).double()
    return torch.where(value < torch.inf, value, -torch.inf)


def _beside(value: Tensor, *, wraps: bool) -> Tensor:
    """The highest of the eight values around each of (SIDE, SIDE); the second side is a circle where it wraps."""
    sides = (value[:, -1:], value[:, :1]) if wraps else (torch.full_like(value[:, :1], -torch.inf),) * 2
    padded = torch.cat([sides[0], value, sides[1]], 1)
    nothing = torch.full_like(padded[:1], -torch.inf)
    windows = torch.cat([nothing, padded, nothing]).unfold(0, 3, 1).unfold(1, 3, 1).flatten(2)
    return torch.cat([windows[..., :4], windows[..., 5:]], -1).amax(-1)


def _highest(target: Target, x: Tensor, value: Tensor, beside: Tensor) -> Tensor:
    """The highest of points (n, dim) whose value (n,) stands out from those beside them; at most MOST_PEAKS."""
    least = ROUNDING * torch.finfo(target.dtype).eps * (1 + value.abs())
    stands_out = value.isfinite() & ((value - beside > least) | beside.isneginf())
    found = torch.where(stands_out, value, -torch.inf).topk(MOST_PEAKS)
    return x[found.indices[found.values.isfinite()]]
