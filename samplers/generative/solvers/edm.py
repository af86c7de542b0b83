"""Heun's steps in the noise level sigma, with churn, for every linear process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from samplers.generative.solvers.base import GridSolver, Reversal
from samplers.processes import grids
from samplers.processes.base import Process
from targets.arguments import not_negative, positive, shown


@dataclass(frozen=True, eq=False)
class EDM(GridSolver):
    """The stochastic sampler of Karras et al. in y = x / a, of noise level sigma = sqrt(v) / a, E = E[e | x]:

        sigma' = sigma_t (1 + c),   y' = y + sqrt(sigma'^2 - sigma_t^2) churn_noise e,   e ~ N(0, C)
        u = y' + (sigma_s - sigma') E(y', sigma'),   y_s = y' + (sigma_s - sigma') (E(y', sigma') + E(u, sigma_s)) / 2

    c = min(churn / steps, sqrt(2) - 1) where sigma_t is within [churn_min, churn_max], else 0; sigma' is at most the
    noise at the horizon, beyond which the process says nothing. E = (y - D) / sigma is dy/dsigma of the probability
    flow. Order 2, weak with churn; two evaluations a step, and one in the last, which is the denoised mean.
    Equal steps of sigma^(1/rho) from sigma_min to the horizon's, after one from 0; for few steps
    `grid=grids.arctan(process, steps, centre=2.0)`, twice the deviation of the data.

    steps: at least 2. grid: as of `GridSolver`. churn, churn_min, churn_max, churn_noise: S of the paper; churn = 0
    draws nothing. sigma_min, rho: of its own grid. ValueError for what is not positive or negative, as of `GridSolver`,
    and for sigma_min beyond the noise at the horizon. Karras et al. 2022, https://arxiv.org/abs/2206.00364.

        >>> from samplers.generative.solvers import EDM
        >>> EDM(steps=18).evaluations, EDM(steps=18, churn=40.0).deterministic
        (35, False)
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0
    sigma_min: float = 0.002
    rho: float = 7.0

    order: ClassVar[int] = 2
    a_step: ClassVar[int] = 2
    fewest: ClassVar[int] = 2
    last: ClassVar[str] = "the denoised mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("churn", "churn_min"):
            not_negative(getattr(self, name), name)
        for name in ("churn_noise", "sigma_min", "rho"):
            positive(getattr(self, name), name)
        if not self.churn_max >= self.churn_min:
            raise ValueError(
                f"churn_max: got {shown(self.churn_max)}, expected at least churn_min = {self.churn_min!r}"
            )
        self.says(deterministic=self.churn == 0)

    def own_grid(self, process: Process) -> Tensor:
        most = math.exp(-0.5 * float(process.log_snr(process.horizon)))
        if self.sigma_min >= most:
            raise ValueError(
                f"sigma_min: got {self.sigma_min:.6g}, expected less than the noise level at the horizon, {most:.6g}"
            )
        levels = grids.rho(self.steps, self.sigma_min, most, self.rho)[1:-1]
        ends = torch.tensor([0.0, process.horizon], dtype=torch.float64)
        return torch.cat([ends[:1], process.time_of(-2 * levels.log()), ends[1:]])

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s = a_s y_s of the equation above."""
        scale, sigma = self._level(reversal, t)
        y, t, raised = self._churned(reversal, x / scale, t, sigma)
        scale, _ = self._level(reversal, t)
        slope = reversal.noise(scale * y, t)
        scale, sigma = self._level(reversal, s)
        end = y + (sigma - raised) * slope
        if s > 0:
            end = y + 0.5 * (sigma - raised) * (slope + reversal.noise(scale * end, s))
        return scale * end

    def _churned(self, reversal: Reversal, y: Tensor, t: float, sigma: float) -> tuple[Tensor, float, float]:
        """y', its time, and sigma'."""
        most = self._level(reversal, reversal.process.horizon)[1]
        part = min(self.churn / self.steps, math.sqrt(2) - 1)
        raised = min(sigma * (1 + part), most) if self.churn_min <= sigma <= self.churn_max else sigma
        if not raised > sigma:
            return y, t, sigma
        y = reversal.noised(y, math.sqrt(raised**2 - sigma**2) * self.churn_noise)
        process = reversal.process
        return y, process.horizon if raised == most else float(process.time_of(-2 * math.log(raised))), raised

    @staticmethod
    def _level(reversal: Reversal, t: float) -> tuple[float, float]:
        """(a, sigma) of y = x / a."""
        scale, deviation = reversal.level(t)
        return scale, deviation / scale
