"""DPM-Solver++(2M): the data prediction extrapolated through the last two steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import LogSNR, Reversal


class DPMSolver2M(LogSNR):
    """The multistep form of DPM-Solver++, of order 2, h = lambda_s - lambda_t, lambda = log(a / sigma):

        x_s = (sigma_s / sigma_t) x_t - a_s (e^-h - 1) (D_t + (D_t - D_before) h / (2 h_before))

    D = E[X | x] at the start of this step and of the one before it. One evaluation a step; the first step has no other
    before it and is of order 1; the last one is the denoised mean. Equal steps of log-SNR.
    steps: at least 3. steps, grid, and errors raised: as of `GridSolver`.
    Lu et al. 2022, https://arxiv.org/abs/2211.01095.

        >>> from samplers.generative.solvers import DPMSolver2M
        >>> DPMSolver2M(steps=20).evaluations
        20
    """

    order: ClassVar[int] = 2
    deterministic: ClassVar[bool] = True
    fewest: ClassVar[int] = 3

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """A step that has none before it."""
        return next(self.walk(reversal, x, [t, s]))

    def walk(self, reversal: Reversal, x: Tensor, times: list[float]) -> Iterator[Tensor]:
        """The states of the equation above."""
        before: tuple[Tensor, float] | None = None
        for t, s in pairwise(times):
            clean = reversal.clean(x, t)
            if s == 0:
                yield clean
                return
            (scale_t, sigma_t), (scale_s, sigma_s) = reversal.level(t), reversal.level(s)
            h = math.log(scale_s * sigma_t / (sigma_s * scale_t))
            ahead = clean if before is None else clean + (clean - before[0]) * (0.5 * h / before[1])
            x = sigma_s / sigma_t * x - scale_s * math.expm1(-h) * ahead
            before = clean, h
            yield x
