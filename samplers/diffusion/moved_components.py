"""Components of Gaussian mixtures that a gradient moves, in units of their own spread; how close a mixture is.

m_k + L_k d_k,     L_k (T_k + diag exp e_k),     log softmax(l)_k,      d, e and T, strictly lower, zero at first
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.annealing.evidence import log_mean_exp
from samplers.learning.descent import Descent, Group
from samplers.learning.rate import cosine
from targets import GaussianMixture, Target
from targets.mixture_product import MixtureProduct

RATE = 0.02  # of Adam at first
CLOSE, NEAR = 0.03, 2.0  # nats between log Z and the bound: nothing left to do, worth having
FEW = 0.05  # share of the points that is missed: worth having
MISSED = math.log(100.0)  # q has a hundred times too little there


class MovedComponents:
    """Means (..., K, d) and factors (..., K, d, d) as they came, or deviations (..., K, d), and what moves them.

    parameters: l, d, e and T, which are trained.
    """

    def __init__(self, weights: Tensor, means: Tensor, factors: Tensor) -> None:
        self.means, self.factors = means, factors
        self.diagonal = factors.ndim == means.ndim
        still = torch.zeros_like(means)
        shears = means.new_zeros(factors.shape)  # in rows, whatever the layout of the factors
        self.parameters = [weights.log(), still, still.clone(), shears]

    def now(self) -> tuple[Tensor, Tensor, Tensor]:
        """log weights (..., K), means, and factors or deviations."""
        logits, shifts, log_scales, shears = self.parameters
        if self.diagonal:
            return logits.log_softmax(-1), self.means + self.factors * shifts, self.factors * log_scales.exp()
        means = self.means + (self.factors @ shifts[..., None])[..., 0]
        return logits.log_softmax(-1), means, self.factors @ (shears.tril(-1) + torch.diag_embed(log_scales.exp()))


@dataclass(frozen=True, eq=False)
class Refined:
    """mixture, or product of mixtures; points (n, dim) of the target; gap: log Z less the bound, in nats; missed: share
    of the points, or of those that the refinement began with if more, that q visits a hundred times too rarely."""

    mixture: GaussianMixture | MixtureProduct
    points: Tensor
    gap: float
    missed: float

    @property
    def close(self) -> bool:
        """Whether nothing is left to do."""
        return self.gap < CLOSE and self.missed == 0

    @property
    def near(self) -> bool:
        """Whether the mixture is worth having."""
        return self.gap < NEAR and self.missed < FEW


def log_w_of(log_q: Callable[[Tensor], Tensor], x: Tensor, target: Target) -> Tensor:
    """log p / q at draws of q (n, dim), (n,); minus infinity where it is not finite."""
    log_w = target.log_prob(x).double() - log_q(x)
    return torch.where(log_w.isfinite(), log_w, -torch.inf)


def judged(
    mixture: GaussianMixture | MixtureProduct,
    log_q: Callable[[Tensor], Tensor],
    log_w: Tensor,
    samples: Sequence[Tensor],
    target: Target,
) -> Refined:
    """How close q is, by weights of its own draws and by samples of the target; the first are the points kept."""
    log_z = log_mean_exp(log_w)
    missed = 0.0
    for x in samples:
        ratio = target.log_prob(x).double() - log_z - log_q(x)
        missed = max(missed, float((ratio > MISSED).double().mean()))
    gap = log_z - float(log_w.mean())
    return Refined(mixture, samples[0], gap if math.isfinite(gap) else math.inf, missed)


def descend(parameters: Sequence[Tensor], loss: Callable[[], Tensor], steps: int, largest: float) -> None:
    """Steps on a noisy loss, their rate falling from RATE as a cosine does; largest: norm of a gradient."""
    descent = Descent([Group(parameters)], RATE, clip=largest, betas=(0.9, 0.99))
    for i in range(steps):
        descent.set_rate(cosine(i / steps))
        descent.clear()
        value = loss()
        value.backward()
        descent.step(float(value.detach()))
