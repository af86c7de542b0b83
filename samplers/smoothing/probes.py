"""Log-concavity looked for at points: what bounds leave out.

Y = X + N(0, sigma^2 I) is log-concave where Cov(X | y) <= sigma^2 I. Draws x_i of X stand for X given y with weights
N(y; x_i, sigma^2 I), and the bound of a radius is often far from what they show: points that lie on a line or fill a
disc hold together at much less noise than two at its ends.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

PROBES = 256
BEYOND = 0.25  # of the distance of two draws: how far past them probes on their line go
RATIO = 2**-0.25  # from one sigma to the next
HALVINGS = 3
LEAST_DRAWS = 100.0  # effective ones behind a probe that counts
WORST = 0.99  # quantile over the probes
POWERS = 12  # of the power iteration
MARGIN = 1.05  # of sigma, for what the probes have missed
CURVED = 1e-3  # of the largest curvature: positive ones below are rounding


def concave_at(x: Tensor, score: Tensor, hessian: Tensor) -> bool:
    """Whether log gamma looks concave: no positive curvature at points x, (s(x) - s(x'))'(x - x') <= 0 for all pairs.

    x, score: (n, k); hessian: (n, k, k).
    """
    curvature = torch.linalg.eigvalsh(hessian)
    if bool((curvature[:, -1] > CURVED * curvature.abs().amax(1)).any()):
        return False
    own = (score * x).sum(1)
    mixed = score @ x.mT
    along = own[:, None] + own - mixed - mixed.mT
    return bool((along <= CURVED * own.abs().max()).all())


def probed_threshold(x: Tensor, highest: float, generator: Generator) -> float:
    """The sigma down to which Y is log-concave at probes, from draws x (n, k) of X; at most `highest`.

    sigma falls from `highest` until the largest eigenvalue of Cov(X | y), over sigma^2, passes 1 at one probe in a
    hundred, or until fewer than LEAST_DRAWS draws stand behind most of the probes. Probes are draws of Y and points on
    lines through two draws of X. Half of the draws find the eigenvector, the others the variance along it.
    """
    if highest == 0:
        return 0.0
    x = x - x.mean(0)
    high, low = highest, highest * RATIO
    while _concave(x, low, generator):
        high, low = low, low * RATIO
    for _ in range(HALVINGS):
        middle = (high * low) ** 0.5
        high, low = (middle, low) if _concave(x, middle, generator) else (high, middle)
    return min(highest, MARGIN * high)


def _concave(x: Tensor, sigma: float, generator: Generator) -> bool:
    y = _probes(x, sigma, generator)
    half = len(x) // 2
    one, other = x[:half], x[half:]
    logits = -torch.cdist(y, x).square() / (2 * sigma**2)
    weights, held_out = logits[:, :half].softmax(1), logits[:, half:].softmax(1)
    draws = 1 / torch.maximum(weights.square().sum(1), held_out.square().sum(1))
    trusted = draws >= LEAST_DRAWS / 2
    if float(trusted.double().mean()) < 0.5:
        return False
    mean = weights @ one
    v = torch.randn(y.shape, generator=generator, dtype=x.dtype, device=x.device)
    for _ in range(POWERS):
        v = (weights * (v @ one.mT)) @ one - mean * (mean * v).sum(1, keepdim=True)
        v = v / v.norm(dim=1, keepdim=True).clamp_min(1e-300)
    along = v @ other.mT
    variance = (held_out * along.square()).sum(1) - (held_out * along).sum(1).square()
    return float((variance[trusted] / sigma**2).quantile(WORST)) <= 1


def _probes(x: Tensor, sigma: float, generator: Generator) -> Tensor:
    i, j = torch.randint(len(x), (2, PROBES), generator=generator, device=x.device)
    t = torch.rand(PROBES, 1, generator=generator, dtype=x.dtype, device=x.device) * (1 + 2 * BEYOND) - BEYOND
    line = torch.lerp(x[i], x[j], t)
    noisy = x[i] + sigma * torch.randn(line.shape, generator=generator, dtype=x.dtype, device=x.device)
    return torch.cat([line, noisy])
