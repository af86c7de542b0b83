"""p-values that assume nothing about the densities compared: all from ranks."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special, stats
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
    gap = (from_a.cumsum(0) / n - (1 - from_a).cumsum(0) / m).abs().max()
    return {
        f"location of {name}": _linear_rank(normal, from_a, n, m),
        f"scale of {name}": _linear_rank(normal.square(), from_a, n, m),
        f"shape of {name}": float(stats.kstwobign.sf(float(gap) * math.sqrt(n * m / (n + m)))),
    }


def _linear_rank(scores: Tensor, from_a: Tensor, n: int, m: int) -> float:
    centred = scores - scores.mean()
    variance = n * m / ((n + m) * (n + m - 1)) * centred.square().sum()
    return float(special.erfc(abs(float((centred * from_a).sum() / variance.sqrt())) / math.sqrt(2)))


def uniform_ranks(ranks: Tensor, levels: int) -> float:
    """p-value for ranks (n,) being uniform on 0..levels - 1, by chi-square."""
    counts = torch.bincount(ranks, minlength=levels).cpu().numpy()
    return float(stats.chisquare(counts).pvalue)


def symmetric_signs(differences: Tensor) -> float:
    """p-value for differences (n,) being symmetric about zero, by their signs; zeros are left out, a NaN fails."""
    if bool(differences.isnan().any()):
        return 0.0
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    if positive + negative == 0:
        return 1.0
    return float(stats.binomtest(positive, positive + negative).pvalue)


def seeds(seed: int, stage: int, n: int) -> list[int]:
    """n independent seeds for a stage."""
    return [int(value) for value in np.random.SeedSequence([seed, stage]).generate_state(n, np.uint64) >> np.uint64(2)]
