"""How far draws are from their law; each distance has a floor, its own value for as many exact draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from targets import GaussianMixture, Rings

CELLS = 8  # quantiles that stand for each draw in a Wasserstein distance


def floor(metric: Callable[[Tensor], float], sample: Callable[[Generator], Tensor], sets: int) -> float:
    """The mean of the metric over sets of exact draws."""
    return sum(floors(metric, sample, sets)) / sets


def floors(metric: Callable[[Tensor], float], sample: Callable[[Generator], Tensor], sets: int) -> list[float]:
    """The metric of each of several sets of exact draws."""
    return [metric(sample(Generator().manual_seed(1000 + seed))) for seed in range(sets)]


# Distances


def radius_total_variation(x: Tensor, rings: Rings, bins: int = 100, reach: float = 5.5) -> float:
    """Of |x| in equal bins on [0, reach], and what lies beyond, against the exact law of the bins."""
    edges = torch.linspace(0, reach, bins + 1, dtype=torch.float64)
    radii = torch.tensor(rings.radii, dtype=torch.float64)
    below = torch.special.ndtr((edges[:, None] - radii) / rings.scale).mean(1)
    exact = torch.cat([below.diff(), 1 - below[-1:]])
    which = torch.bucketize(x.double().norm(dim=-1), edges[1:], right=True)
    counts = torch.bincount(which, minlength=bins + 1).double()
    return 0.5 * float((counts / len(x) - exact).abs().sum())


# Two Gaussians


def light_share(x: Tensor, log_weights: Tensor | None = None) -> float:
    """The share of draws on the side of +3, of the lighter mode."""
    right = (x.mean(-1) > 0).double()
    return float(right.mean() if log_weights is None else log_weights.double().softmax(0) @ right)


def diagonal(x: Tensor) -> Tensor:
    """Coordinates along the unit vector that leads from one mode to the other."""
    return x.double().sum(-1) / math.sqrt(x.shape[-1])


def diagonal_density(mixture: GaussianMixture, at: Tensor) -> Tensor:
    """The exact density of `diagonal`, for modes with spherical covariances."""
    centres, scales, weights = _along(mixture)
    z = (at[:, None] - centres) / scales
    return (weights / scales * torch.exp(-0.5 * z.square())).sum(-1) / math.sqrt(2 * math.pi)


def diagonal_quantiles(mixture: GaussianMixture, n: int) -> Tensor:
    """Quantiles of `diagonal` in the middle of each of n equal cells, by bisection."""
    centres, scales, weights = _along(mixture)
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    low = torch.full_like(levels, float((centres - 12 * scales).min()))
    high = torch.full_like(levels, float((centres + 12 * scales).max()))
    for _ in range(64):
        middle = 0.5 * (low + high)
        below = (weights * torch.special.ndtr((middle[:, None] - centres) / scales)).sum(-1) < levels
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)


def diagonal_wasserstein(x: Tensor, quantiles: Tensor) -> float:
    """W2 between draws along the diagonal and their exact law, given by CELLS quantiles for each draw."""
    values = diagonal(x).sort().values
    return math.sqrt(float((values[:, None] - quantiles.reshape(len(x), CELLS)).square().mean()))


def _along(mixture: GaussianMixture) -> tuple[Tensor, Tensor, Tensor]:
    return (
        diagonal(mixture.modes),
        mixture.component_factors.double().reshape(len(mixture.modes), -1)[:, 0],
        mixture.mode_weights.double(),
    )
