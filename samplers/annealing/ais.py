"""Annealed importance sampling.

x_0 ~ q;   for k = 1 .. K:   log w += log pi_k(x_{k-1}) - log pi_{k-1}(x_{k-1});   x_k ~ a kernel that keeps pi_k
Z-hat = mean w,   E[w] = Z
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samplers.annealing.driver import AnnealedSampler
from samplers.annealing.resampling import Scheme


@dataclass(frozen=True, eq=False)
class AIS(AnnealedSampler):
    """Annealed importance sampling: independent weighted draws, and E[Z-hat] = Z exactly.

    The arguments are those of SMC without its resampling: kernel, base, path, betas (temperatures, or a number of
    equal steps; None: adaptive by conditional ESS), moves, conditional_ess, replicates, unbiased, bidirectional.
    unbiased: schedule and kernels are found by a first run, whose particles the second does not use. Where they are
    found from the particles that they move (unbiased=False), log Z is too low by several stated errors in tens of
    dimensions: nothing selects among the particles, which are few for a mass matrix, and their weights keep it all.
    Its weights degenerate where SMC resamples; its draws stay independent of each other. Neal 2001,
    https://arxiv.org/abs/physics/9803008.

        >>> base, target = targets.Gaussian([0.0]), targets.Gaussian([1.0], scale=0.5)
        >>> draws = samplers.AIS(samplers.MALA(0.2), base=base, betas=8).sample(target, draws=500, seed=0)
        >>> draws.log_weights.shape, abs(draws.log_z.value) < 4 * draws.log_z.standard_error
        (torch.Size([1, 500]), True)
    """

    moves: int = 1
    conditional_ess: float = 0.99
    unbiased: bool = True

    resampling: ClassVar[Scheme] = "systematic"
    ess_threshold: ClassVar[float] = 0.0
