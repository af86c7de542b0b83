"""A Gaussian mixture fitted to points by expectation-maximisation, its size and form chosen on held-out points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from targets import GaussianMixture

Form = Literal["full", "diagonal", "tied"]

SIZES = (1, 2, 3, 4, 6, 9, 13, 20, 30, 45)
ITERATIONS = 60
STARTS, TRIED = 3, 8  # of expectation-maximisation, which only finds a local best; iterations before one is chosen
POINTS_PER_DIM = 5  # before full covariances are tried
LEAST_POINTS = 0.5  # that a known component counts for
TOLERANCE = 1e-4  # nats a point, between iterations
LOG_2_PI = math.log(2 * math.pi)
PRIOR_POINTS = 2.0  # points, besides the dimension, by which a component's covariance leans on the local pooled one


@dataclass
class Fit:
    """weights (K,), means (K, dim), covariances (K, dim, dim), or variances (K, dim) where `diagonal`."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @property
    def diagonal(self) -> bool:
        """Whether the covariances are held as variances."""
        return self.covariances.ndim == 2

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at (n, dim), (n,)."""
        return (self.weights.log() + _log_normal(x, self.means, self.covariances)).logsumexp(1)


def mixture_of(
    fits: Sequence[Fit], shares: Sequence[float], widening: float, dtype: torch.dtype, name: str | None = None
) -> GaussianMixture:
    """The mixture of fits of one form in these shares, its covariances times widening^2."""
    weights = torch.cat([share * fit.weights for fit, share in zip(fits, shares, strict=True)])
    means = torch.cat([fit.means for fit in fits]).to(dtype)
    covariances = widening**2 * torch.cat([fit.covariances for fit in fits])
    if fits[0].diagonal:
        return GaussianMixture(means, scales=covariances.sqrt().to(dtype), weights=weights, name=name)
    return GaussianMixture(means, covariances=covariances.to(dtype), weights=weights, name=name)


def fit_gaussian(x: Tensor) -> Fit:
    """One Gaussian with the points' mean and covariance, or variances where the points are few."""
    n, dim = x.shape
    covariance = x.mT.cov().reshape(1, dim, dim) if n >= POINTS_PER_DIM * dim else x.var(0)[None]
    return Fit(x.new_ones(1), x.mean(0, keepdim=True), covariance)


def halves(families: Tensor, generator: Generator) -> Tensor:
    """A random half of points of families (n,), as a mask: points of one are not independent, and stay together."""
    return torch.rand(int(families.max()) + 1, generator=generator, device=families.device)[families] < 0.5


def fit_mixture(
    x: Tensor, side: Tensor, generator: Generator, known: Fit | None = None, enough: float = math.inf
) -> tuple[Fit, float]:
    """The mixture that gives points (n, dim) in float64 the highest likelihood where it is fitted to those on
    `side` (n,) and judged by the others, and that mean log-likelihood. Sizes grow until it has fallen twice; the fit is
    then to all.

    known: components found elsewhere, which are taken with weights fitted to the points, where that does better, or as
    well as `enough`.
    """
    n, dim = x.shape
    here, there = x[side], x[~side]
    if min(len(here), len(there)) < 2 * SIZES[1]:
        fit = fit_gaussian(x)
        return fit, float(fit.log_prob(x).mean())
    known_value = -math.inf if known is None else float(reweighted(known, here).log_prob(there).mean())
    if known is not None and known_value > enough:
        return reweighted(known, x), known_value
    best: tuple[float, int, Form] = (-math.inf, 1, "diagonal")
    forms: tuple[Form, ...] = ("full", "tied", "diagonal") if n >= POINTS_PER_DIM * dim else ("diagonal",)
    for form in forms:
        highest, falls = -math.inf, 0
        for size in SIZES:
            if size > len(here) // (dim + 2 if form == "full" else 4):
                break
            value = float(expectation_maximisation(here, size, form, generator, there).log_prob(there).mean())
            falls = falls + 1 if value <= highest else 0
            highest = max(highest, value)
            best = max(best, (value, size, form))
            if falls == 2:
                break
    if known is not None and known_value > best[0]:
        return reweighted(known, x), known_value
    return expectation_maximisation(x, best[1], best[2], generator), best[0]


def reweighted(fit: Fit, x: Tensor) -> Fit:
    """The same components with the weights that make points (n, dim) most likely, none of them zero."""
    log_normal, weights = _log_normal(x, fit.means, fit.covariances), fit.weights
    for _ in range(ITERATIONS):
        shares = (weights.log() + log_normal).softmax(1)
        weights = (shares.sum(0) + LEAST_POINTS) / (len(x) + LEAST_POINTS * len(weights))
    return Fit(weights, fit.means, fit.covariances)


def expectation_maximisation(
    x: Tensor, size: int, form: Form, generator: Generator, others: Tensor | None = None
) -> Fit:
    """The mixture of `size` components that makes points (n, dim) most likely, from centres drawn far apart.

    A few iterations are made from each of several draws of centres, and the best is gone on with: the one that makes
    `others` most likely where they are given, for among few points a component on a handful of them looks best.
    """
    scale = x.std(0).clamp_min(1e-300)
    z = (x - x.mean(0)) / scale  # the same fit in any units of the coordinates
    several = [_nearest(z, spread_centres(z, size, generator)) for _ in range(STARTS if size > 1 else 1)]
    value = -math.inf
    if len(several) > 1:
        tried = [_iterated(z, shares, form, TRIED) for shares in several]
        judges = z if others is None else (others - x.mean(0)) / scale
        shares, value, _ = max(tried, key=lambda one: float(Fit(*one[2]).log_prob(judges).mean()))
    else:
        (shares,) = several
    _, _, (weights, means, covariances) = _iterated(z, shares, form, ITERATIONS, value)
    if form == "tied":
        covariances = covariances.expand(size, -1, -1)
    row_scale = scale if covariances.ndim == 2 else scale[:, None]
    return Fit(weights, means * scale + x.mean(0), covariances * row_scale * scale)


def _nearest(z: Tensor, centres: Tensor) -> Tensor:
    """Shares (n, K) that are one at the nearest centre."""
    return torch.nn.functional.one_hot(torch.cdist(z, centres).argmin(1), len(centres)).double()


def _iterated(
    z: Tensor, shares: Tensor, form: Form, iterations: int, value: float = -math.inf
) -> tuple[Tensor, float, tuple[Tensor, Tensor, Tensor]]:
    """Shares (n, K) of the points after so many iterations or when they gain too little, and their mean log-density."""
    for _ in range(iterations):
        previous = value
        found = _maximise(z, shares, form)
        log_joint = found[0].log() + _log_normal(z, *found[1:])
        total = log_joint.logsumexp(1)
        shares = (log_joint - total[:, None]).exp()
        value = float(total.mean())
        if value - previous < TOLERANCE:
            break
    return shares, value, found


def spread_centres(z: Tensor, size: int, generator: Generator) -> Tensor:
    """Points drawn one after the other in proportion to their squared distance from those before (k-means++)."""
    first = int(torch.randint(len(z), (), generator=generator, device=z.device))
    centres = [z[first]]
    distance = (z - centres[0]).square().sum(1)
    for _ in range(size - 1):
        cumulative = distance.cumsum(0)
        u = torch.rand((), generator=generator, dtype=z.dtype, device=z.device) * cumulative[-1]
        centres.append(z[int(torch.searchsorted(cumulative, u).clamp_max(len(z) - 1))])
        distance = torch.minimum(distance, (z - centres[-1]).square().sum(1))
    return torch.stack(centres)


def _maximise(z: Tensor, shares: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    n, dim = z.shape
    counts = shares.sum(0) + 1e-10
    weights = counts / counts.sum()
    means = shares.mT @ z / counts[:, None]
    if form == "diagonal":
        second = shares.mT @ z.square() / counts[:, None]
        variances = (second - means.square()).clamp_min(0)
        pooled = weights @ variances + 1e-6
        lean = PRIOR_POINTS / (counts[:, None] + PRIOR_POINTS)
        return weights, means, (1 - lean) * variances + lean * pooled
    ridge = 1e-6 * torch.eye(dim, dtype=z.dtype, device=z.device)
    if form == "tied":
        return weights, means, ((z.mT @ z - (means.mT * counts) @ means) / n + ridge)[None]
    centred = z[None] - means[:, None]
    scatter = (centred * shares.mT[:, :, None]).mT @ centred
    pooled = scatter.sum(0) / n + ridge
    # towards a round one of the component's own size: a funnel's parts differ in size by orders of magnitude
    size = (scatter.diagonal(dim1=1, dim2=2).sum(1) / counts / dim + 1e-9)[:, None, None]
    around = size * torch.diag(pooled.diagonal() / pooled.diagonal().mean())
    points = PRIOR_POINTS + dim
    return weights, means, (scatter + points * around) / (counts + points)[:, None, None]


def _log_normal(z: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """(n, K) log-densities; of one covariance (1, dim, dim) all have it."""
    dim = z.shape[1]
    if covariances.ndim == 3 and len(covariances) < len(means):
        factor = torch.linalg.cholesky(covariances[0])
        z, means = (torch.linalg.solve_triangular(factor, x.mT, upper=False).mT for x in (z, means))
        log_det = 2 * factor.diagonal().log().sum()
        return -0.5 * (
            torch.cdist(z, means, compute_mode="donot_use_mm_for_euclid_dist").square() + log_det + dim * LOG_2_PI
        )
    if covariances.ndim == 2:
        squares = ((z[:, None] - means).square() / covariances).sum(-1)
        return -0.5 * (squares + covariances.log().sum(-1) + dim * LOG_2_PI)
    factor = torch.linalg.cholesky(covariances)
    white = torch.linalg.solve_triangular(factor, (z[None] - means[:, None]).mT, upper=False)
    log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return -0.5 * (white.square().sum(1).mT + dim * LOG_2_PI) - log_det
