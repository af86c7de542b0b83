"""The spread of a target estimated from draws: exact ones where it has them, else those of a pilot run by SMC.

At each draw the Hessian H of log gamma tells how wide the target is there, tau^2 = 1 / max eig(-H), and a Newton step
along the directions in which it is concave leads to a point u that stands for U: for a mixture of well separated
Gaussians the mean of the component that the draw comes from.
"""

from __future__ import annotations

import math
import time
import warnings

import torch
from torch import Generator, Tensor

from samplers.annealing import SMC
from samplers.annealing.product_fit import blocks_of
from samplers.draws import Cost, SamplingWarning
from samplers.smoothing.concavity import threshold
from samplers.smoothing.probes import concave_at, probed_threshold
from samplers.smoothing.spread import DRAWS, Spread, enclosing_ball, hardest
from targets import Target
from targets.counting import Counted
from targets.sampling_warning import aside

CONDITIONAL_ESS, MOVES = 0.7, 3
SCORES, MOST_POINTS, FEWEST_POINTS = 50_000, 256, 16  # for Hessians
MOST_PROBED = 8  # parts, those of the largest bounds
FARTHEST = 3.0  # local standard deviations, of a Newton step
FINE, OUTER = 0.1, 0.99  # quantiles: of tau over the draws, of the distances of u
COUPLED = 1e-3  # of the geometric mean of the curvatures of two coordinates
PAIRS, SWAPPED = 32, 1e-2  # swaps that test independence, and what they may be off by, in nats
POINTS_PER_DIM = 5  # before full covariances are estimated


def from_draws(target: Target, whiten: Tensor | None, seed: int) -> Spread:
    """The spread of W X, W = `whiten`, or of X."""
    began = time.perf_counter()
    generator = Generator(target.device).manual_seed(seed)
    remarks: list[str] = []
    if "sample" in target.known:
        x, source, cost = target.sample(DRAWS, generator=generator), "exact draws", Cost()
    else:
        with aside(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SamplingWarning)
            pilot = SMC(conditional_ess=CONDITIONAL_ESS, moves=MOVES)
            draws = pilot.sample(target, draws=DRAWS, seed=seed, progress=False)
        remarks = [str(warning.message) for warning in caught if issubclass(warning.category, SamplingWarning)]
        x, source, cost = draws.resample(DRAWS, generator=generator), "draws of a pilot run", draws.cost
    counted = Counted(target)
    n = min(MOST_POINTS, max(FEWEST_POINTS, SCORES // (2 * target.dim)))
    points = x[torch.randperm(len(x), generator=generator, device=x.device)[:n]]
    score, hessian = hessians(counted, points, x.std(0))
    whole = x.double().cpu()
    mean, covariance = _moments(target, whole)
    if whiten is None:
        parts = independent_parts(counted, points, hessian, generator)
        points = points.double().cpu()
    else:
        # of z = W x: the score is W^-T s, the Hessian W^-T H W^-1
        parts, back = [torch.arange(target.dim)], torch.linalg.inv(whiten)
        points, whole = points.double().cpu() @ whiten.mT, whole @ whiten.mT
        score, hessian = score @ back, back.mT @ hessian @ back
    found = [_local(points[:, p], score[:, p], hessian[:, p][:, :, p], whole[:, p]) for p in parts]
    radius, tau = hardest(found)
    at_cpu = Generator().manual_seed(seed)
    hard = sorted(range(len(parts)), key=lambda k: -threshold(*found[k]))[:MOST_PROBED]
    least = max(probed_threshold(whole[:, parts[k]], threshold(*found[k]), at_cpu) for k in hard)
    where = f"in the hardest of {len(parts)} independent parts " if len(parts) > 1 else ""
    origin = f"As {n} {source} tell, X lies {where}within R = {radius:.4g} of a centre, up to Gaussian parts of a "
    origin += f"standard deviation of at least tau = {tau:.3g}"
    if radius == 0:
        origin = (
            f"At {n} {source} and between them the target is log-concave, its smallest standard deviation {tau:.3g}"
        )
    cost = Cost(cost.log_prob + counted.log_probs, cost.score + counted.scores, time.perf_counter() - began)
    own, finest = None if "sample" in target.known else x, min(part[1] for part in found)
    return Spread(mean, covariance, radius, tau, least, finest, origin, len(parts), cost, tuple(remarks), own)


def hessians(target: Target, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (n, dim) and Hessians (n, dim, dim) of the log-density at x (n, dim), by central differences of scores.

    scale: (dim,), of the steps. Below double precision a second pass takes steps by the curvature that was found.
    """
    scale = scale.double().cpu()
    root = torch.finfo(target.dtype).eps ** (1 / 3)
    passes = 1 if target.dtype == torch.float64 else 2
    for _ in range(passes):
        columns = []
        for i in range(target.dim):
            step = torch.zeros_like(x[0])
            step[i] = root * scale[i]
            up, down = x + step, x - step
            change = (target.score(up) - target.score(down)).double().cpu()
            columns.append(change / (up - down)[:, i].double().cpu()[:, None])
        found = torch.stack(columns, -1)
        found = (found + found.mT) / 2
        own = found.diagonal(dim1=1, dim2=2).abs().quantile(1 - FINE, dim=0)
        scale = torch.minimum(scale, own.clamp_min(1e-300).rsqrt())
    if not bool(found.isfinite().all()):
        raise ValueError(f"target: the score of {target.name} is not finite near its draws; give sigma= and m=")
    return target.score(x).double().cpu(), found


def _local(x: Tensor, score: Tensor, hessian: Tensor, draws: Tensor) -> tuple[float, float]:
    """R and tau of one part from points, scores (n, k), Hessians (n, k, k) and all draws; R = 0 where log-concave."""
    curvature, axes = torch.linalg.eigh(hessian)
    most = -curvature[:, 0]
    peaked = most > 0
    if not bool(peaked.any()):
        raise ValueError("target: the log-density is concave in no direction at any draw; give sigma= and m=")
    tau = math.sqrt(1 / float(most[peaked].quantile(1 - FINE)))
    if concave_at(x, score, hessian):
        return 0.0, tau
    along = torch.einsum("nij,ni->nj", axes, score)
    steep = -curvature.clamp_max(-1e-300)
    newton = torch.where(curvature < 0, along / steep, 0.0)
    newton = torch.minimum(newton.abs(), FARTHEST / steep.sqrt()) * newton.sign()
    u = x + torch.einsum("nij,nj->ni", axes, newton)
    return min(_radius(u), _radius(draws)), tau  # U spreads less than X


def _radius(x: Tensor) -> float:
    away = (x - x.mean(0)).norm(dim=1)
    return enclosing_ball(x[away <= away.quantile(OUTER)])[1]


def independent_parts(target: Target, x: Tensor, hessian: Tensor, generator: Generator) -> list[Tensor]:
    """Sets of coordinates that do not depend on each other, as far as points x (n, dim) and Hessians there tell.

    Coordinates with mixed derivatives belong together. A set that is left is independent of the rest only if

        log gamma(x_A', x_B) + log gamma(x_A, x_B') = log gamma(x) + log gamma(x')

    at pairs of points, which tells separated modes; sets that fail are taken together.
    """
    own = hessian.diagonal(dim1=1, dim2=2).abs().amax(0).clamp_min(1e-300)
    linked = hessian.abs().amax(0) > COUPLED * (own[:, None] * own).sqrt()
    parts = blocks_of(linked)
    if len(parts) == 1:
        return parts
    order = torch.randperm(len(x), generator=generator, device=x.device)[: 2 * PAIRS]
    one, other = x[order[: len(order) // 2]], x[order[len(order) // 2 : 2 * (len(order) // 2)]]
    whole = target.log_prob(one).double() + target.log_prob(other).double()
    alone: list[Tensor] = []
    together: list[Tensor] = []
    for part in parts:
        first, second = one.clone(), other.clone()
        first[:, part], second[:, part] = other[:, part], one[:, part]
        swapped = target.log_prob(first).double() + target.log_prob(second).double()
        precision = SWAPPED + 100 * torch.finfo(target.dtype).eps * whole.abs()
        (alone if bool(((swapped - whole).abs() <= precision).all()) else together).append(part)
    return alone + ([torch.cat(together)] if together else [])


def _moments(target: Target, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance: exact where known, else of the draws (n, dim), without correlations where n is small."""
    double = target.to("cpu")
    if {"mean", "covariance"} <= target.known:
        exact = double.covariance.double()
        if bool(exact.isfinite().all()):
            return double.mean.double(), exact
    if len(x) < POINTS_PER_DIM * target.dim:
        return x.mean(0), torch.diag(x.var(0))
    return x.mean(0), x.mT.cov().reshape(target.dim, target.dim)
