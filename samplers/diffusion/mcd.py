"""Monte Carlo diffusion: annealed Langevin steps whose reversal is learned.

    x_{k+1} = x_k + h_k g_k(x_k) + sqrt(2 h_k) xi
    x_{k-1} = x_k + h_{k-1} (g_k - u_k)(x_k) + sqrt(2 h_{k-1}) xi

The draws are those of the unadjusted Langevin steps; what is learned is their weight. Doucet, Grathwohl, Matthews and
Strathmann 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from samplers.diffusion.cmcd import CMCD


@dataclass(frozen=True, eq=False)
class MCD(CMCD):
    """Monte Carlo diffusion: `CMCD` with the field in the backward kernel alone.

    E[exp(log w)] = Z for any field. The forward steps change only by the temperatures, step sizes and prior that are
    learned: a mode that annealed Langevin steps do not reach stays unreached, however long the training. The
    log-variance falls and the bound rises. Doucet, Grathwohl, Matthews and Strathmann 2022,
    https://arxiv.org/abs/2208.07698.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.MCD(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> fitted.sample(draws=500, seed=1).log_weights.shape
        torch.Size([1, 500])
    """

    backward_only: ClassVar[bool] = True
