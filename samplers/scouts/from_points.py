"""Regions around points that are believed to lie where a target has mass: witnesses, draws, ends of a search.

Each point is the start of a path uphill; paths that end in the same place are captures of one region
(`samplers.scouts.regions`), once as wide as the best Gaussian on the way and once as the curvature at the end says.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor

from samplers.adaptation.pathfinder import LocalGaussians, local_gaussians
from samplers.scouts.regions import TRIFLE, UNSURE, Regions, curvature, distinct, measured, overlooked, squares
from targets import Target

MOST_PATHS, ITERATIONS, PATIENCE = 256, 40, 10
MOST_NUMBERS = 2**23  # in the covariances of all paths
MOST_REGIONS = 128
NOTHING = math.log(1e-6)  # of the largest mass, below which an end is of no interest
STANDS_OUT = 3.0  # nats of a log-density above a Gaussian that does not know of a peak there
POINTS = 32  # of a first estimate of each mass


@torch.no_grad()
def from_points(target: Target, points: Tensor, generator: Generator) -> Regions | None:
    """The regions around points (n, dim), of which so many are taken at random as their covariances leave room for.

    None where there is no such room, or no path has met a finite density.
    """
    most = min(MOST_PATHS, MOST_NUMBERS // target.dim**2)
    if most == 0:
        return None
    chosen = torch.randperm(len(points), generator=generator, device=points.device)[:most]
    return from_paths(target, local_gaussians(target, points[chosen], generator, ITERATIONS, PATIENCE), generator)


@torch.no_grad()
def from_paths(target: Target, paths: LocalGaussians, generator: Generator) -> Regions | None:
    """The regions in which paths have ended; None where no Gaussian on them has a finite bound."""
    mean, covariance, end = paths.mean, paths.covariance, paths.end
    factor, failed = torch.linalg.cholesky_ex(covariance)
    good = (failed == 0) & factor.isfinite().all(-1).all(-1)
    bound = torch.where(good, paths.bound, -torch.inf)
    height = target.log_prob(mean.to(target.dtype)).double()

    def stands_out(first: int, held: Tensor) -> Tensor:
        """Where the density is far above the Gaussian that holds it."""
        away = squares(mean[held], mean[first][None], factor[first][None])[0]
        scale = factor[first].diagonal().log().sum() + 0.5 * mean.shape[1] * math.log(2 * math.pi)
        above = height[held] - (bound[first] - 0.5 * away - scale)
        return (above > STANDS_OUT) & (bound[held] > bound[first] + math.log(TRIFLE))

    index, captures = distinct(mean, factor, bound, NOTHING, MOST_REGIONS, stands_out)
    if len(index) == 0:
        return None
    wide = measured(target, mean[index], factor[index], captures, POINTS, generator)
    spread = covariance[index].diagonal(dim1=1, dim2=2).sqrt()
    sharp, peaked = curvature(target, end[index], spread)
    if bool(peaked.any()):
        local = measured(target, end[index][peaked], sharp[peaked], captures[peaked], POINTS, generator)
        wide = wide.joined(local)
    # of two that hold each other's centres the one whose mass is surer
    sure = wide.log_mass - UNSURE * wide.error
    index, _ = distinct(
        wide.means, wide.factors, sure, NOTHING, MOST_REGIONS, lambda i, held: overlooked(wide, i, wide, held)
    )
    found = wide.only(index)
    return replace(found, captures=_captured(found, mean))


def _captured(found: Regions, ends: Tensor) -> Tensor:
    """How many ends (n, dim) lie in each region, each in the first that holds it; at least one."""
    there = found.inside(ends)
    first = torch.where(there.any(1), there.double().argmax(1), len(found))
    return torch.bincount(first, minlength=len(found) + 1)[:-1].clamp_min(1)
