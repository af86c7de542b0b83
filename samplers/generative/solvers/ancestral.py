"""Ancestral sampling: the step back that would be exact if the data were where the denoiser sees them."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import LogSNR, Reversal


class Ancestral(LogSNR):
    """Draws of x_s given x_t and the denoised mean in place of x_0:

        x_s = b D(x_t, t) + c x_t + sqrt(V) e,   e ~ N(0, C),   x_s | x_0, x_t ~ N(b x_0 + c x_t, V C)

    With VP this is DDPM's sampler, with VE that of annealed noise. Weak order 1; one evaluation a step; the last step
    is D, as b = 1 and c = V = 0 there. Equal steps of log-SNR.
    steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.
    Ho, Jain and Abbeel 2020, https://arxiv.org/abs/2006.11239; Song et al. 2021, https://arxiv.org/abs/2011.13456.

        >>> from samplers.generative.solvers import Ancestral
        >>> from samplers.processes.linear import VP
        >>> generator = torch.Generator().manual_seed(0)
        >>> Ancestral(steps=10).solve(lambda x, t: -x, VP(), torch.zeros(10, 1), generator).shape
        torch.Size([10, 1])
    """

    order: ClassVar[int] = 1

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        first, last, variance = reversal.posterior(s, t)
        return reversal.noised(first * reversal.clean(x, t) + last * x, math.sqrt(variance))
