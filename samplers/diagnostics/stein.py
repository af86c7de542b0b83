"""Kernel Stein discrepancy: how far draws are from a density of which only the score is known."""

from __future__ import annotations

import torch
from torch import Tensor

from targets import Target
from targets.arguments import positive

BLOCK = 256
MOST_POINTS = 1000  # whose distances the scale is found from
EXPONENT = -0.5  # of the inverse multiquadric kernel


def ksd_squared(x: Tensor, target: Target, *, scale: float | None = None) -> tuple[float, float]:
    """Squared discrepancy of draws x (n, dim) as V-statistic, and the same without the diagonal, which is unbiased.

        u(a, b) = s(a).s(b) k + s(a).grad_b k + s(b).grad_a k + tr grad_a grad_b k,
        k(a, b) = (scale^2 + |a - b|^2)^(-1/2),    s = grad log p

    The expectation is zero only for draws of p (Gorham and Mackey 2017). scale: None is the median distance of pairs.
    Blind to the weights of modes that are far apart: draws that miss a mode altogether can look perfect.
    """
    if x.ndim != 2 or len(x) < 2 or x.shape[1] != target.dim:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, {target.dim}) with at least 2 points")
    x = x.detach().to(target.device)
    score = target.score(x.to(target.dtype)).detach().double()
    x = x.double()
    if not bool(score.isfinite().all()):
        raise ValueError(f"x: the score of {target.name} is not finite at some of the points")
    if scale is None:
        points = min(len(x), MOST_POINTS)
        part = x[torch.arange(points, device=x.device) * (len(x) - 1) // (points - 1)]  # linspace rounds by the machine
        scale = float(torch.pdist(part).median())
        if scale == 0:
            raise ValueError("x: most points are the same one, expected different points; or give a scale=")
    positive(scale, "scale")
    n, whole = len(x), 0.0
    for rows in torch.arange(n, device=x.device).split(BLOCK):
        whole += float(stein_kernel(x[rows], score[rows], x, score, scale).sum())
    diagonal = float((score.square().sum(1) / scale + x.shape[1] / scale**3).sum())
    return whole / n**2, (whole - diagonal) / (n * (n - 1))


def stein_kernel(a: Tensor, score_a: Tensor, b: Tensor, score_b: Tensor, scale: float) -> Tensor:
    """u(a, b) of all pairs, (n, m)."""
    difference = a[:, None] - b
    square = difference.square().sum(-1)
    base = scale**2 + square
    slope = 2 * EXPONENT * base ** (EXPONENT - 1)  # grad_a k = slope (a - b) = -grad_b k
    along_a, along_b = (difference * score_a[:, None]).sum(-1), (difference * score_b).sum(-1)
    trace = -slope * a.shape[-1] - 4 * EXPONENT * (EXPONENT - 1) * square * base ** (EXPONENT - 2)
    return score_a @ score_b.mT * base**EXPONENT + slope * (along_b - along_a) + trace
