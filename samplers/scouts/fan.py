"""A fan of scouts: many paths uphill from starts of all widths, which share nothing with the sampler that they judge.

1. Half of the paths start from Gaussians around the origin, of scales log-uniform between a third and thirty of the
   target's, or from the prior where there is one.
2. The others start from the ends of these, moved along one coordinate by a distance that is log-uniform too: a narrow
   mode is entered from there while all other coordinates are where the mass is.
3. Paths that end in the same place are captures of one region (`samplers.scouts.from_points`).

Sudden cooling finds narrow modes that annealing loses: at a high temperature they have no volume.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.pathfinder import LocalGaussians, local_gaussians
from samplers.scouts.from_points import ITERATIONS, MOST_NUMBERS, from_paths
from samplers.scouts.regions import Regions
from targets import Target

PATHS, FEWEST_PATHS, FULL = 256, 64, 20  # the first up to dimension 20
NARROWEST, WIDEST = 0.3, 30.0  # of the target's scale: starts around the origin
NEAREST, FARTHEST = 2.0, 50.0  # of a local standard deviation: moves along a coordinate


def paths_for(dim: int) -> int:
    """How many paths a fan has, fewer in high dimension; none where their covariances are too large to hold."""
    n = min(PATHS, max(FEWEST_PATHS, PATHS * FULL // dim))
    return n if n * dim**2 <= MOST_NUMBERS else 0


@torch.no_grad()
def fan(target: Target, prior: Target | None, scale: float, generator: Generator) -> Regions | None:
    """The regions that a fan finds; None where it finds none.

    prior: where the first half starts. scale, in its place: that of the target around the origin, as `reach` finds it.
    """
    n = paths_for(target.dim)
    if prior is None:
        starts = _around_origin(target, n // 2, scale, generator)
    else:
        starts = prior.sample(n // 2, generator=generator).double()
    first = local_gaussians(target, starts, generator, ITERATIONS)
    if not bool(first.bound.isfinite().any()):
        return None
    second = local_gaussians(target, _along_axes(first, n - n // 2, generator), generator, ITERATIONS)
    names = ("bound", "mean", "covariance", "draw", "end")
    both = (torch.cat([getattr(first, name), getattr(second, name)]) for name in names)
    return from_paths(target, LocalGaussians(*both), generator)


def _around_origin(target: Target, n: int, scale: float, generator: Generator) -> Tensor:
    like = torch.empty((n, target.dim), dtype=torch.float64, device=target.device)
    return scale * _log_uniform(like[:, :1], NARROWEST, WIDEST, generator) * like.normal_(generator=generator)


def _along_axes(found: LocalGaussians, n: int, generator: Generator) -> Tensor:
    """Ends (n, dim), each moved along one coordinate."""
    good = found.bound.isfinite().nonzero()[:, 0]
    which = good[torch.randint(len(good), (n,), generator=generator, device=good.device)]
    axis = torch.randint(found.mean.shape[1], (n,), generator=generator, device=good.device)
    deviation = found.covariance[which, axis, axis].clamp_min(0).sqrt()
    length = deviation * _log_uniform(deviation, NEAREST, FARTHEST, generator)
    sign = torch.randint(2, (n,), generator=generator, device=good.device) * 2 - 1
    x = found.mean[which]
    x[torch.arange(n), axis] += sign * length
    return x


def _log_uniform(like: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    return low * (high / low) ** torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
