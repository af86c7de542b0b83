"""Stochastic localisation: a measurement that sharpens in continuous time, in steps.

Y_t = alpha(t) X + s W_t,     dY = alpha'(t) E[X | Y_t] dt + s dW
Y_t / alpha(t) = X + N(0, s^2 / lambda I),    lambda = alpha^2 / t the signal to noise ratio
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from samplers.smoothing.chain import Walk
from samplers.smoothing.jump import Jump, check_jump
from samplers.smoothing.measurement_chain import MeasurementChain
from samplers.smoothing.measurements import Noisy
from targets import Noise
from targets.arguments import check_choice, check_integer

Schedule = Literal["standard", "geometric"]


@dataclass(frozen=True, eq=False)
class SLIPS(MeasurementChain):
    """Stochastic localisation via iterative posterior sampling, with steps that can be exact.

        Y += (alpha(t') - alpha(t)) U + s sqrt(t' - t) xi,     lambda from 1 to m in equal steps of its log

    update: "posterior" takes for U a draw of X given Y_t, with which Y has its law at t' exactly, whatever the step;
    "mean" takes E[X | Y_t], the literature's Euler-Maruyama step, whose law is off by its discretisation.
    count: number of noise levels. sigma: s, the noise at the first, lambda = 1, None for that of
    `samplers.smoothing.plan`, at which Y is log-concave; there a walk of `first_steps` finds its law. m: the last
    lambda, None for the plan's: the noise of the last measurement is that of the mean of m.
    schedule: "standard", alpha = t, or "geometric" on [0, 1), alpha = lambda / sqrt(1 + lambda): they differ for
    update="mean" alone.
    denoiser, jump, kernel: as for SequentialMultimeasurement. The literature keeps four MALA chains on p(x | Y) going
    (denoiser="chains") and returns E[X | Y], jump="mean". Grenioux, Noble, Gabrie and Durmus 2024,
    https://arxiv.org/abs/2402.10758.

        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> samplers.SLIPS(sigma=4.0, m=100, count=16).sample(modes, draws=100, seed=0).x.shape
        torch.Size([1, 100, 1])
    """

    count: int = 64
    update: Jump = "posterior"
    schedule: Schedule = "geometric"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self.count, "count")
        check_jump(self.update, "update")
        check_choice(self.schedule, "schedule", get_args(Schedule))

    def ratios(self) -> list[float]:
        """The signal to noise ratios lambda_k, from 1 to m."""
        assert self.m is not None
        return [self.m ** (k / max(1, self.count - 1)) for k in range(self.count)]

    def clock(self, ratio: float) -> tuple[float, float]:
        """(alpha, t) at a signal to noise ratio."""
        if self.schedule == "standard":
            return ratio, ratio
        return ratio / math.sqrt(1 + ratio), ratio / (1 + ratio)

    def levels(self, noise: Noise) -> list[Noise]:
        return [noise.scaled(1 / ratio) for ratio in self.ratios()]

    def advance(self, level: int, mean: Tensor, law: Noisy, noise: Noise, walk: Walk) -> Tensor:
        ratios = self.ratios()
        (alpha, t), (new_alpha, new_t) = self.clock(ratios[level - 1]), self.clock(ratios[level])
        if self.update == "mean":
            drift = law.denoise(mean).mean
        else:
            if law.denoiser.persistent:
                law.denoise(mean)  # so that the draw is of chains that have moved to this measurement
            drift = law.draw(mean)
        y = alpha * mean + (new_alpha - alpha) * drift + math.sqrt(new_t - t) * noise.sample_like(drift, law.generator)
        return y / new_alpha
