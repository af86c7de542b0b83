"""p-values that assume nothing about the densities compared: all from ranks."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.draws.ties import joined


def two_sample(a: Tensor, b: Tensor, name: str, generator: Generator) -> dict[str, float]:
    """p-values for one law behind a (n,) and b (m,): location, scale and shape.

    Location and scale are van der Waerden's and Klotz's normal-score tests, nearly as sharp as tests of mean and
    variance on Gaussian data and valid on any; shape is Kolmogorov-Smirnov. Ties, and what only rounding tells apart
    (`samplers.draws.ties`), are broken at random. A NaN takes part as the largest, beside plus infinity.
    """
    n, m = len(a), len(b)
    pooled = torch.cat([a, b])
    pooled = joined(torch.where(pooled.isnan(), torch.inf, pooled))  # ranks only: a NaN must count
    shuffle = torch.randperm(n + m, generator=generator, device=pooled.device)
    order = shuffle[torch.sort(pooled[shuffle], stable=True).indices]
    from_a = (order < n).double()  # in increasing order of value
    normal = torch.special.ndtri((torch.arange(n + m, dtype=torch.float64, device=pooled.device) + 0.5) / (n + m))
    from scipy import special  # where it is used: it would double the time of an import

    gap = (from_a.cumsum(0) / n - (1 - from_a).cumsum(0) / m).abs().max()
    return {
        f"location of {name}": _linear_rank(normal, from_a, n, m),
        f"scale of {name}": _linear_rank(normal.square(), from_a, n, m),
        f"shape of {name}": float(special.kolmogorov(float(gap) * math.sqrt(n * m / (n + m)))),
    }


def _linear_rank(scores: Tensor, from_a: Tensor, n: int, m: int) -> float:
    centred = scores - scores.mean()
    variance = n * m / ((n + m) * (n + m - 1)) * centred.square().sum()
    return math.erfc(abs(float((centred * from_a).sum() / variance.sqrt())) / math.sqrt(2))


def uniform_ranks(ranks: Tensor, levels: int) -> float:
    """p-value for ranks (n,) being uniform on 0..levels - 1, by chi-square."""
    from scipy import special

    counts = torch.bincount(ranks, minlength=levels).double()
    expected = counts.sum() / levels
    return float(special.chdtrc(levels - 1, float(((counts - expected).square() / expected).sum())))


def symmetric_signs(differences: Tensor) -> float:
    """p-value for differences (n,) being symmetric about zero, by their signs; zeros are left out, a NaN fails."""
    if bool(differences.isnan().any()):
        return 0.0
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    if positive + negative == 0:
        return 1.0
    from scipy import special

    n, fewer = positive + negative, min(positive, negative)
    return min(1.0, 2 * float(special.bdtr(fewer, n, 0.5)))


def seeds(seed: int, stage: int, n: int) -> list[int]:
    """n independent seeds for a stage."""
    return [int(value) for value in np.random.SeedSequence([seed, stage]).generate_state(n, np.uint64) >> np.uint64(2)]
