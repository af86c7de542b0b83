"""DPM-Solver: the probability flow in lambda = log(a / sigma), its linear part exact.

    x_s = (a_s / a_t) x_t - a_s int_{lambda_t}^{lambda_s} exp(-lambda) E_lambda dlambda,   E = E[e | x] on the way

The orders differ in what E is taken for. With h = lambda_s - lambda_t, and p(r) the state at lambda_t + r h:

    1   E_lambda = E(x_t, t)
    2   E_lambda = E(u, .) at the middle, u = p(1/2) by order 1
    3   E_lambda linear through E(x_t, t) and E(u, .) at 2/3, u = p(2/3) in turn by a line through 0 and 1/3

Lu, Zhou, Bao, Chen, Li and Zhu 2022.
"""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import LogSNR, Reversal


class DPMSolver1(LogSNR):
    """DPM-Solver of order 1:

        x_s = (a_s / a_t) x_t - sigma_s (e^h - 1) E(x_t, t)

    `DDIM` with eta = 0, written otherwise. One evaluation a step; the last step is the denoised mean. Equal steps of
    log-SNR. steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.
    Lu et al. 2022, https://arxiv.org/abs/2206.00927.

        >>> from samplers.generative.solvers import DPMSolver1
        >>> from samplers.processes.linear import OrnsteinUhlenbeck
        >>> DPMSolver1(steps=200).solve(lambda x, t: -x, OrnsteinUhlenbeck(), torch.ones(1, 1)).round(decimals=1)
        tensor([[1.]])
    """

    order: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above; D at s = 0."""
        if s == 0:
            return reversal.clean(x, t)
        return self.advance(Interval(reversal, x, t, s))

    def advance(self, interval: Interval) -> Tensor:
        """x_s for s > 0."""
        return interval.to(1.0)


class DPMSolver2(DPMSolver1):
    """DPM-Solver of order 2, by the middle r of a step in lambda:

        u = (a_r / a_t) x_t - sigma_r (e^(h/2) - 1) E(x_t, t),   x_s = (a_s / a_t) x_t - sigma_s (e^h - 1) E(u, r)

    Two evaluations a step, and one in the last, which is the denoised mean. Equal steps of log-SNR; for few steps
    `grid=grids.arctan(process, steps)`, with the deviation of the data.
    steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.
    Lu et al. 2022, https://arxiv.org/abs/2206.00927.

        >>> from samplers.generative.solvers import DPMSolver2
        >>> DPMSolver2(steps=10).evaluations
        19
    """

    order: ClassVar[int] = 2
    a_step: ClassVar[int] = 2

    def advance(self, interval: Interval) -> Tensor:
        """x_s for s > 0."""
        return interval.to(1.0, noise=interval.noise_at(0.5, interval.to(0.5)))


class DPMSolver3(DPMSolver1):
    """DPM-Solver of order 3; E_0, E_1, E_2 at lambda_t, at 1/3 of a step and at 2/3 of it:

        u_1 = p(1/3),   u_2 = p(2/3) - 2 sigma_2 (phi(2h/3) - 1) (E_1 - E_0)
        x_s = p(1) - (3/2) sigma_s (phi(h) - 1) (E_2 - E_0)
        p(r) = (a_r / a_t) x_t - sigma_r (e^(r h) - 1) E_0,   phi(z) = (e^z - 1) / z

    Three evaluations a step, and one in the last, which is the denoised mean. Equal steps of log-SNR; for few steps
    `grid=grids.arctan(process, steps, power=0.5)`, with the deviation of the data.
    steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.
    Lu et al. 2022, https://arxiv.org/abs/2206.00927.

        >>> from samplers.generative.solvers import DPMSolver3
        >>> DPMSolver3(steps=10).evaluations
        28
    """

    order: ClassVar[int] = 3
    a_step: ClassVar[int] = 3

    def advance(self, interval: Interval) -> Tensor:
        """x_s for s > 0."""
        first = interval.noise_at(1 / 3, interval.to(1 / 3)) - interval.noise
        second = interval.noise_at(2 / 3, interval.to(2 / 3, slope=3 * first)) - interval.noise
        return interval.to(1.0, slope=1.5 * second)


class Interval:
    """A step from x at t to s, h = lambda_s - lambda_t, with E_0 = E(x, t)."""

    def __init__(self, reversal: Reversal, x: Tensor, t: float, s: float) -> None:
        self.reversal, self.x, self.s = reversal, x, s
        self.scale, sigma = reversal.level(t)
        scale, last = reversal.level(s)
        self.start = math.log(self.scale / sigma)
        self.h = math.log(scale / last) - self.start
        self.noise = reversal.noise(x, t)

    def time(self, r: float) -> float:
        """The t of lambda_t + r h."""
        return self.s if r == 1 else float(self.reversal.process.time_of(2 * (self.start + r * self.h)))

    def to(self, r: float, noise: Tensor | None = None, slope: Tensor | None = None) -> Tensor:
        """The state at lambda_t + r h where E is `noise`, or E_0, and its slope in r where it has one."""
        scale, sigma = self.reversal.level(self.time(r))
        growth = math.expm1(r * self.h)
        x = scale / self.scale * self.x - sigma * growth * (self.noise if noise is None else noise)
        return x if slope is None else x - sigma * (growth / self.h - r) * slope

    def noise_at(self, r: float, x: Tensor) -> Tensor:
        """E of the state x at lambda_t + r h."""
        return self.reversal.noise(x, self.time(r))
