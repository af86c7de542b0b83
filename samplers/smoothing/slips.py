"""Stochastic localisation: a measurement that sharpens in continuous time, in steps.

Y_t = alpha(t) X + s W_t,     dY = alpha'(t) E[X | Y_t] dt + s dW
Y_t / alpha(t) = X + N(0, s^2 / lambda I),    lambda = alpha^2 / t the signal to noise ratio
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from torch import Tensor

from samplers.smoothing.measurement_chain import MeasurementChain
from targets import Noise
from targets.arguments import check_integer

if TYPE_CHECKING:
    from samplers.smoothing.chain_run import ChainRun

Schedule = Literal["standard", "geometric"]
Update = Literal["posterior", "mean"]


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
    (denoiser="chains") and returns E[X | Y], jump="mean". Grenioux, Noble, Gabrie and Durmus 2024.
    """

    count: int = 64
    update: Update = "posterior"
    schedule: Schedule = "geometric"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self.count, "count")
        if self.update not in get_args(Update):
            raise ValueError(f"update: got {self.update!r}, expected 'posterior' or 'mean'")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule: got {self.schedule!r}, expected 'standard' or 'geometric'")

    def ratios(self) -> list[float]:
        """The signal to noise ratios lambda_k, from 1 to m."""
        assert self.m is not None
        if self.count == 1:
            return [1.0]
        return [self.m ** (k / (self.count - 1)) for k in range(self.count)]

    def clock(self, ratio: float) -> tuple[float, float]:
        """(alpha, t) at a signal to noise ratio."""
        if self.schedule == "standard":
            return ratio, ratio
        return ratio / math.sqrt(1 + ratio), ratio / (1 + ratio)

    def levels(self, noise: Noise) -> list[Noise]:
        return [noise.scaled(1 / ratio) for ratio in self.ratios()]

    def advance(self, run: ChainRun) -> Tensor:
        assert run.mean is not None
        ratios = self.ratios()
        (alpha, t), (new_alpha, new_t) = self.clock(ratios[run.done - 1]), self.clock(ratios[run.done])
        found = run.denoised() if self.update == "mean" or run.denoiser.persistent else None
        if self.update == "mean":
            assert found is not None
            drift = found.mean
        else:
            here = run.noises[run.done - 1]
            drift = run.denoiser.draw(run.counted, run.mean, here, run.generator, run.memory)
        noise = run.noise.sample_like(drift, run.generator)
        y = alpha * run.mean + (new_alpha - alpha) * drift + math.sqrt(new_t - t) * noise
        return y / new_alpha
