"""Ancestral steps whose noise has the best variance, known from the score on given samples.

    x_s | x_t has mean m_s = a_s D + sqrt(sigma_s^2 - eta^2 V) E and covariance eta^2 V C + k^2 Cov(X | x_t)
    k = a_s - a_t sqrt(sigma_s^2 - eta^2 V) / sigma_t,   E = E[e | x_t]: the slope of m_s in D

DDIM's steps leave out the second part, what the denoiser does not know of X. Of all noise of one covariance at each
time, that of the mean of the second part over x_t is nearest to x_s | x_t in the Kullback-Leibler divergence.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from samplers.generative.score import noise_of
from samplers.generative.solvers.base import LogSNR, Reversal, check_states
from samplers.generative.solvers.ddim import check_eta, split


@dataclass(frozen=True, eq=False)
class OptimalVariance(LogSNR):
    """DDIM's steps with noise of the best variance; see the module.

    steps: at least 2. samples: draws of the data, (m, dim), or of what the score was fitted to; they are noised anew
    and the score is evaluated at them once in each step, beside the evaluations of the states. eta: in [0, 1].
    grid: as of `GridSolver`. ValueError as of `GridSolver` and for samples of another shape or not finite.
    A subclass writes `unknown`.

        >>> from samplers.generative.solvers import AnalyticDPM, OptimalVariance
        >>> issubclass(AnalyticDPM, OptimalVariance), AnalyticDPM(steps=10, samples=torch.zeros(5, 2)).evaluations
        (True, 10)
    """

    samples: Tensor = field(kw_only=True)
    eta: float = field(default=1.0, kw_only=True)

    order: ClassVar[int] = 1
    last: ClassVar[str] = "the denoised mean, with noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_states(self.samples, "samples")
        check_eta(self.eta)

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """A draw of x_s."""
        if self.samples.shape[1] != x.shape[1]:
            raise ValueError(f"samples: got {self.samples.shape[1]} columns, expected {x.shape[1]}, those of x")
        (scale_t, sigma_t), (scale_s, _) = reversal.level(t), reversal.level(s)
        kept, fresh = split(reversal, t, s, self.eta)
        predicted = reversal.noise(x, t)
        mean = scale_s / scale_t * (x - sigma_t * predicted) + kept * predicted
        slope = scale_s - scale_t * kept / sigma_t
        return reversal.noised(mean, (fresh**2 + slope**2 * self.unknown(reversal, t, x)).sqrt())

    @abstractmethod
    def unknown(self, reversal: Reversal, t: float, x: Tensor) -> Tensor:
        """The mean of Cov(X | x_t) in units of C: a number, or one for each coordinate, like x."""

    def noised_samples(self, reversal: Reversal, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
        """The samples and draws of x_t given them, like x."""
        samples = self.samples.to(x)
        return samples, reversal.process.diffuse(samples, 0.0, t, reversal.source)


class AnalyticDPM(OptimalVariance):
    """The best variance that is the same in every direction, by the second moment of the score:

        E tr(C^-1 Cov(X | x_t)) / dim = (sigma_t / a_t)^2 (1 - sigma_t^2 E[s' C s] / dim)

    over draws of x_t, kept between 0 and E tr(C^-1 Cov(X)) / dim, which bound it. The identity holds for an exact
    score. Where sigma_t / a_t is large it is a small difference of large numbers, known only from many samples; what
    `DiagonalAnalyticDPM` takes is not. Exact in one step where the data are N(., r C); weak order 1; the last step has
    that variance too.
    steps, grid, samples, eta, and errors raised: as of `OptimalVariance`.
    Bao, Li, Zhu and Zhang 2022, https://arxiv.org/abs/2201.06503.

        >>> from samplers.generative import as_score, solvers
        >>> from samplers.denoisers import ClosedForm
        >>> from samplers.processes.linear import VP
        >>> data, generator = targets.Gaussian([3.0], scale=0.5), torch.Generator().manual_seed(0)
        >>> score, x = as_score(ClosedForm(), VP(), data), torch.randn(4000, 1, generator=generator)
        >>> solver = solvers.AnalyticDPM(steps=10, samples=data.sample(4000, generator=generator))
        >>> found = solver.solve(score, VP(), x, generator)
        >>> abs(float(found.mean()) - 3) < 0.05, abs(float(found.std()) - 0.5) < 0.05
        (True, True)
    """

    def unknown(self, reversal: Reversal, t: float, x: Tensor) -> Tensor:
        """The number above."""
        samples, noised = self.noised_samples(reversal, t, x)
        scale, sigma = reversal.level(t)
        score, centred = reversal.score(noised, t), samples - samples.mean(0)
        moment = torch.linalg.vecdot(score, reversal.times_covariance(score)).mean() / x.shape[1]
        most = noise_of(reversal.process).square(centred).mean() / x.shape[1]
        return ((sigma / scale) ** 2 * (1 - sigma**2 * moment)).clamp_min(0.0).minimum(most)


class DiagonalAnalyticDPM(OptimalVariance):
    """The best variance of each coordinate for the denoiser as it is, by what it misses of the samples:

        E[(X - D(x_t, t))_i^2] over samples X and draws of x_t given them

    Right for an imperfect mean too, of which the part that is wrong counts as not known. The paper lets a network
    predict it at each x_t; here it is one vector for each time. Exact in one step where the data are independent
    normals and C is diagonal; with another C the noise has the correlations of C. Weak order 1; the last step has that
    variance too.
    steps, grid, samples, eta, and errors raised: as of `OptimalVariance`.
    Bao, Li, Sun, Zhu and Zhang 2022, https://arxiv.org/abs/2206.07309.

        >>> from samplers.generative.solvers import DiagonalAnalyticDPM
        >>> from samplers.processes.linear import VP
        >>> generator = torch.Generator().manual_seed(0)
        >>> solver = DiagonalAnalyticDPM(steps=2, samples=torch.randn(100, 1, generator=generator))
        >>> solver.solve(lambda x, t: -x, VP(), torch.zeros(10, 1), generator).shape
        torch.Size([10, 1])
    """

    def unknown(self, reversal: Reversal, t: float, x: Tensor) -> Tensor:
        """The vector above in units of the diagonal of C."""
        samples, noised = self.noised_samples(reversal, t, x)
        missed = (samples - reversal.clean(noised, t)).square().mean(0)
        return missed / noise_of(reversal.process).covariance(x.shape[1]).diagonal().to(x)
