"""Whether a target's tails fall as a power of the distance, and a base that reaches them.

Along a ray from the middle of the mass, x = m + r u, a tail r^-(a + k) of the density has slope
d log p / d log r = -(a + k): k is 1 along an axis, where a is the tail index of that coordinate, and dim in a direction
of the pilot's points. An exponential tail has a slope of hundreds at r = 100 spreads, a Gaussian one of thousands.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from samplers.annealing.heavy_tails import EllipticStudent, Mixed, StudentProduct
from samplers.annealing.pilot import Base
from targets import Target

RADII = (1e2, 1e3, 1e4)  # spreads, between which slopes are taken
RAYS = 64  # through points of the pilot
LIGHTEST, LEAST_INDEX = 6.0, 0.05  # tail indices beyond which Gaussians serve, and below which there is no Z
LOWEST_DOF = 0.5
SHARE = 0.5  # of the base that is heavy-tailed, where the target is
QUARTILE = 0.67449  # of a standard normal
FAR = 5.0  # spreads beyond which a point says nothing of the correlations in the middle


@torch.no_grad()
def reaching(base: Base, target: Target) -> Base:
    """The pilot's base, half of it replaced by Student-t laws where the target's log-density falls as slowly.

    The base of a target without such tails is returned as it is; so is that of one which falls more slowly than any
    normalised density along some ray, as an improper one does.
    """
    assert base.points is not None
    points = base.points.double()
    middle = points.median(0).values
    spread = (points - middle).abs().median(0).values / QUARTILE
    if not bool((spread > 0).all()):
        return base
    axes = torch.eye(target.dim, dtype=torch.float64, device=points.device)
    along = _slopes(target, middle, spread * torch.cat([axes, -axes])).reshape(2, -1)
    white = (points - middle) / spread
    some = white[:: -(-len(white) // RAYS)]
    some = some[some.norm(dim=1) > 0]
    across = _slopes(target, middle, spread * some / some.norm(dim=1, keepdim=True))
    index = -along.amax(0) - 1  # of each coordinate, (dim,)
    whole = -float(across.max()) - target.dim
    if float(index.min()) < LEAST_INDEX or whole < LEAST_INDEX:
        return base
    like = torch.empty((), dtype=target.dtype, device=target.device)
    heavy: list[Target] = []
    if bool((index <= LIGHTEST).any()):
        dof = torch.where(index <= LIGHTEST, index.clamp_min(LOWEST_DOF), torch.inf)
        width = torch.where(dof.isinf(), points.std(0), spread)
        heavy.append(StudentProduct(middle.to(like), width.to(like), dof.to(like)))
    if target.dim > 1 and whole <= LIGHTEST:
        factor = _factor(white, spread).to(like)
        heavy.append(EllipticStudent(middle.to(like), factor, max(whole, LOWEST_DOF)))
    if not heavy:
        return base
    shares = [1 - SHARE, *(SHARE / len(heavy) for _ in heavy)]
    return replace(base, density=Mixed([base.density, *heavy], shares, f"{base.density.name}, with heavy tails"))


def _slopes(target: Target, middle: Tensor, directions: Tensor) -> Tensor:
    """The flatter of two slopes of log p in log r, (rays,); minus infinity where the density ends or is undefined."""
    values = []
    for radius in RADII:
        value = target.log_prob((middle + radius * directions).to(target.dtype)).double()
        values.append(torch.where(value < torch.inf, value, -torch.inf))
    slopes = torch.stack([(b - a) / math.log(10.0) for a, b in pairwise(values)])
    return torch.where(slopes.isfinite(), slopes, -torch.inf).amax(0)


def _factor(white: Tensor, spread: Tensor) -> Tensor:
    """A Cholesky factor of the points' spreads and of the correlations in their middle; of the spreads alone where
    these are not to be had."""
    near = white[(white.abs() < FAR).all(1)]
    dim = white.shape[1]
    if len(near) > 5 * dim:
        correlation = near.mT.corrcoef().reshape(dim, dim)
        factor, failed = torch.linalg.cholesky_ex(correlation)
        if int(failed) == 0 and bool(factor.isfinite().all()):
            return spread[:, None] * factor
    return torch.diag(spread)
