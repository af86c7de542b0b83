"""Peaks of a density of one variable, by looking at many points of the line.

A path uphill finds a narrow mode only from a start within its basin, which few random starts hit. Looking costs
log-densities alone, all in one batch. The points are the denser the nearer they are to where they spread from: a mode
is seen whose basin is some thousandth of its distance wide. In more dimensions a line meets few modes.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from targets import Target

POINTS = 16_384
NEAREST, FARTHEST = 0.1, 1e4  # of a local standard deviation
MOST_PEAKS = 64
ROUNDING = 16  # of the dtype's precision, by which a peak must stand out


def peaks(target: Target, x: float, deviation: float, generator: Generator) -> Tensor:
    """The highest points (k, 1) of the log-density of one variable, to both sides of x in units of a deviation."""
    like = torch.empty(POINTS // 2, dtype=torch.float64, device=target.device)
    u = (torch.arange(len(like), device=like.device) + like.uniform_(generator=generator)) / len(like)
    away = deviation * NEAREST * (FARTHEST / NEAREST) ** u
    line = x + torch.cat([-away.flip(0), away.new_zeros(1), away])
    value = target.log_prob(line[:, None].to(target.dtype)).double()
    value = torch.where(value < torch.inf, value, -torch.inf)
    inner, beside = value[1:-1], torch.maximum(value[:-2], value[2:])
    least = ROUNDING * torch.finfo(target.dtype).eps * (1 + inner.abs())
    stands_out = inner.isfinite() & ((inner - beside > least) | beside.isneginf())
    found = torch.where(stands_out, inner, -torch.inf).topk(MOST_PEAKS)
    return line[1:-1, None][found.indices[found.values.isfinite()]]
