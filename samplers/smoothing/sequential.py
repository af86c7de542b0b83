"""Sequential multimeasurement sampling: the measurements are drawn one by one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from samplers.runs.starts import Init
from samplers.smoothing.chain import Walk
from samplers.smoothing.measurement_chain import MeasurementChain
from samplers.smoothing.measurements import NextMeasurement, Noisy
from samplers.smoothing.plan import Plan
from targets import Noise, Target


@dataclass(frozen=True, eq=False)
class SequentialMultimeasurement(MeasurementChain):
    """m measurements of the target, each drawn by a short walk given the mean of those before it; then the jump.

        y_k starts at E[X | ybar_{k-1}] + noise and walks `steps` steps on p(y_k | y_1 .. y_{k-1}), whose score is
        P (E[X | ybar_k; C / k] - y_k);   ybar_k = ((k - 1) ybar_{k-1} + y_k) / k

    Once a conditional law is log-concave, all later ones are (Saremi, Park and Bach 2024,
    https://arxiv.org/abs/2305.19473); with `sigma` from `samplers.smoothing.plan` the first is. For a Gaussian the
    condition numbers fall to 1 like 1 / k, where those of the joint law grow. Only the running mean is kept: memory
    does not grow with m.

    noise, sigma: of one measurement; isotropic, a covariance (dim, dim), variances (dim,) or a targets.Noise.
    m: number of measurements. sigma and m are left to the plan where they are None.
    kernel: of the walks, in units of the noise (`samplers.smoothing.walk`); None is HMC, or UnderdampedLangevin where
    the denoiser is not exact. steps: of each; first_steps: of the first, None for eight times as many.
    denoiser: a Denoiser or its name; "auto" takes the closed form where there is one.
    jump: "posterior" draws x given the measurements; "mean" takes E[X | ybar_m], off by a Wasserstein distance of up to
    sigma sqrt(dim / m).

    Biased by what the walks leave undone in their steps, and by the denoiser's errors where it is not exact; with
    both exact, draws of the target.

    weighted: instead of walking, measurements are drawn from the denoiser's particles and weighted, as sequential Monte
    Carlo (`samplers.smoothing.weights`): gives weighted draws and log Z, E[Z-hat] = Z where the denoiser's
    exp(phi) is unbiased (exact ones; "smc" with fixed temperatures); "auto" is "smc" where no exact one fits. base: the
    law that first measurements are drawn from, before noise; a normalised Target that knows its smoothing, None for a
    Gaussian from the plan.

        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5, weights=[0.3, 0.7])
        >>> sampler = samplers.SequentialMultimeasurement(sigma=3.0, m=16, weighted=True)
        >>> draws = sampler.sample(modes, draws=500, seed=0)
        >>> draws.x.shape, abs(draws.log_z.value) < 0.1
        (torch.Size([1, 500, 1]), True)
    """

    weighted: bool = False
    base: Target | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base is not None and not self.weighted:
            raise ValueError("base: for weighted=True alone; chains that walk start at init=")
        if self.weighted and self.kernel is not None:
            raise ValueError("kernel, weighted: got both; weighted measurements are drawn, they do not walk")
        if self.base is not None and not {"log_z", "sample", "smoothed"} <= self.base.known:
            raise ValueError(
                f"base: {self.base.name} lacks log_z, draws or smoothing; expected a Gaussian or a mixture"
            )

    def base_for(self, found: Plan | None, target: Target) -> Target:
        return super().base_for(found, target) if self.base is None else self.base

    def starts_planned(self, target: Target, init: Init) -> bool:
        return self.base is None if self.weighted else super().starts_planned(target, init)

    def levels(self, noise: Noise) -> list[Noise]:
        assert self.m is not None
        return [noise.scaled(1 / k) for k in range(1, self.m + 1)]

    def advance(self, level: int, mean: Tensor, law: Noisy, noise: Noise, walk: Walk) -> Tensor:
        guess = law.denoise(mean).mean
        following = NextMeasurement(
            law.target, noise, mean, level, denoiser=law.denoiser, generator=law.generator, asked=law.asked
        )
        y = walk(following, guess + noise.sample_like(guess, law.generator), self.steps)
        return following.mean_with(y)
