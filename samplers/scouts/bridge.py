"""log Z from draws that come without one: bridge sampling to Gaussians through them (Meng and Wong 1996).

    Z = E_q[l / (s l + t Z)] / E_p[1 / (s l + t Z)],   l = gamma / q,   s = n_p / (n_p + n_q),   t = 1 - s

q is a mixture with a Gaussian for each region in which paths uphill from the draws end (`samplers.scouts.from_points`),
with the moments of the draws nearest to it. The first half of each chain fixes q, the second is compared with it. Z is
that of the part of the target which the draws reach.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.draws.points import PointSet
from samplers.scouts.from_points import from_points
from samplers.scouts.regions import Regions, squares
from samplers.scouts.sample import effective
from targets import GaussianMixture, Target

STARTS = 64  # of paths uphill
MOST = 4096  # points of either side
FEWEST = 100  # effective draws in the half that is compared
POINTS_PER_DIM = 5  # before a covariance is estimated
FIRM = 0.1  # relative standard error of Z up to which it is given
ITERATIONS, CLOSE = 1000, 1e-10


@torch.no_grad()
def bridge(draws: PointSet, target: Target, generator: Generator) -> tuple[float, float] | None:
    """log Z and its standard error; None where the draws are too few, or no mixture comes near the target."""
    x = draws.unweighted().x.to(target.device, torch.float64)
    half = x.shape[1] // 2
    every = max(1, len(x) * half // MOST)
    first, second = x[:, :half].flatten(0, 1), x[:, half::every]
    worth = effective(draws, second)
    if not worth >= FEWEST:
        return None
    regions = from_points(
        target, first[torch.randperm(len(first), generator=generator, device=x.device)[:STARTS]], generator
    )
    if regions is None:
        return None
    try:
        q = _mixture(first, regions)
    except ValueError:  # draws that lie in a plane
        return None
    ours = _log_ratio(target, q, second.flatten(0, 1))
    theirs = _log_ratio(target, q, q.sample(MOST, generator=generator))
    log_z = _fixed_point(ours, theirs, worth)
    if not math.isfinite(log_z):
        return None
    error = _error(draws, ours.reshape(second.shape[:2]), theirs, worth, log_z)
    return (log_z, error) if error < FIRM else None


def _mixture(x: Tensor, regions: Regions) -> GaussianMixture:
    """A Gaussian with the moments of the points (n, dim) nearest to each region; those without points are left out."""
    nearest = squares(x, regions.means, regions.factors).argmin(0)
    dim, own = x.shape[1], []
    for k in range(len(regions)):
        points = x[nearest == k]
        if len(points) >= POINTS_PER_DIM * dim:
            own.append((float(len(points)), points.mean(0), points.mT.cov().reshape(dim, dim)))
        elif len(points):
            own.append((float(len(points)), regions.means[k], regions.factors[k] @ regions.factors[k].mT))
    weights, means, covariances = zip(*own, strict=True)
    return GaussianMixture(torch.stack(means), covariances=torch.stack(covariances), weights=x.new_tensor(weights))


def _log_ratio(target: Target, q: GaussianMixture, x: Tensor) -> Tensor:
    value = target.log_prob(x.to(target.dtype)).double() - q.log_prob(x)
    return torch.where(value < torch.inf, value, -torch.inf)


def _fixed_point(ours: Tensor, theirs: Tensor, worth: float) -> float:
    """log Z from log l at draws of the target (n_p,) and of q (n_q,)."""
    log_s, log_t = (math.log(n / (worth + len(theirs))) for n in (worth, len(theirs)))
    log_z = float(ours.median())
    for _ in range(ITERATIONS):
        last = log_z
        up = theirs - torch.logaddexp(log_s + theirs, theirs.new_tensor(log_t + last))
        down = -torch.logaddexp(log_s + ours, ours.new_tensor(log_t + last))
        log_z = float(up.logsumexp(0) - down.logsumexp(0)) - math.log(len(up) / len(down))
        if not abs(log_z - last) > CLOSE:
            break
    return log_z


def _error(draws: PointSet, ours: Tensor, theirs: Tensor, worth: float, log_z: float) -> float:
    """Relative standard error of Z (Fruehwirth-Schnatter 2004), the draws (chains, draws) counted by their ESS."""
    s, t = (n / (worth + len(theirs)) for n in (worth, len(theirs)))
    up = (theirs - log_z).exp() / (s * (theirs - log_z).exp() + t)
    down = 1 / (s * (ours - log_z).exp() + t)
    counted = min(worth, effective(draws, down)) if bool((down != down[0, 0]).any()) else worth
    parts = [up.var() / (len(up) * up.mean().square()), down.var() / (counted * down.mean().square())]
    return float(sum(parts)) ** 0.5
