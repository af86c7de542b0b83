"""A fan of scouts: many paths uphill from starts of all widths, which share nothing with the sampler that they judge.

1. Half of the paths start from Gaussians around the origin, of scales log-uniform between a third and thirty of the
   target's, or from the prior where there is one.
2. The others start from the ends of these, moved along one coordinate by a distance that is log-uniform too, in strata:
   a narrow mode is entered from there while all other coordinates are where the mass is. In one dimension, and
   in two, some more start from peaks of the line or the plane (`samplers.scouts.scan`).
3. Paths that end in the same place are captures of one region (`samplers.scouts.from_points`).

Sudden cooling finds narrow modes that annealing loses: at a high temperature they have no volume.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.adaptation.pathfinder import LocalGaussians, local_gaussians
from samplers.scouts.from_points import ITERATIONS, MOST_NUMBERS, NOTHING, PATIENCE, from_paths
from samplers.scouts.regions import Regions
from samplers.scouts.scan import FARTHEST, peaks, peaks_of_plane
from targets import Target

PATHS, FEWEST_PATHS, FULL = 256, 64, 20  # the first up to dimension 20
NARROWEST, WIDEST = 0.3, 30.0  # of the target's scale: starts around the origin
NEAREST, FAR = 2.0, 50.0  # of a local standard deviation: moves along a coordinate
STRATUM = 0.4  # of log length: beyond FAR where strata of that width reach further


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
    first = local_gaussians(target, starts, generator, ITERATIONS, PATIENCE)
    if not bool(first.bound.isfinite().any()):
        return None
    moved = _along_axes(first, n - n // 2, generator)
    if target.dim == 1:
        best = int(first.bound.argmax())
        deviation = float(first.covariance[best].clamp_min(0).sqrt())
        moved = torch.cat([moved, peaks(target, float(first.mean[best]), deviation, generator)])
    elif target.dim == 2:
        moved = torch.cat([moved, peaks_of_plane(target, *_ends(first), generator)])
    second = local_gaussians(target, moved, generator, ITERATIONS, PATIENCE)
    names = ("bound", "mean", "covariance", "draw", "end")
    both = (torch.cat([getattr(first, name), getattr(second, name)]) for name in names)
    return from_paths(target, LocalGaussians(*both), generator)


def _around_origin(target: Target, n: int, scale: float, generator: Generator) -> Tensor:
    like = torch.empty((n, target.dim), dtype=torch.float64, device=target.device)
    u = torch.rand((n, 1), generator=generator, dtype=like.dtype, device=like.device)
    return scale * NARROWEST * (WIDEST / NARROWEST) ** u * like.normal_(generator=generator)


def _ends(found: LocalGaussians) -> tuple[Tensor, Tensor]:
    """Means and deviations (n, dim) of the Gaussians that may hold mass, the best first."""
    order = found.bound.argsort(descending=True)
    order = order[found.bound[order] > found.bound[order[0]] + NOTHING]
    return found.mean[order], found.covariance[order].diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()


def _along_axes(found: LocalGaussians, n: int, generator: Generator) -> Tensor:
    """Ends (n, dim), each moved along one coordinate: both ways along all of them in turn, by lengths in strata."""
    good, dim = found.bound.isfinite().nonzero()[:, 0], found.mean.shape[1]
    which = good[torch.randint(len(good), (n,), generator=generator, device=good.device)]
    turn, ways = torch.arange(n, device=good.device), 2 * dim
    way = torch.randperm(ways, generator=generator, device=good.device)[turn % ways]
    axis, sign = way // 2, 2 * (way % 2) - 1
    deviation = found.covariance[which, axis, axis].clamp_min(0).sqrt()
    u = torch.rand(n, generator=generator, dtype=deviation.dtype, device=good.device)
    strata = -(-n // ways)
    farthest = min(FARTHEST, max(FAR, NEAREST * math.exp(STRATUM * strata)))
    x = found.mean[which]
    x[turn, axis] += sign * deviation * NEAREST * (farthest / NEAREST) ** ((turn // ways + u) / strata)
    return x
