"""Mixtures whose noised laws and scores are known at every time, and models of a linear score, all of them Gaussian."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.integrate import solve_ivp

from samplers.generative.score import noise_of
from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP
from targets import CorrelatedNoise, Gaussian, GaussianMixture, IsotropicNoise

F64 = torch.float64
CORRELATED = CorrelatedNoise(torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=F64))
PROCESSES = {
    "VP": VP(),
    "sub-VP": SubVP(),
    "VE": VE(0.01, 20.0),
    "OU": OrnsteinUhlenbeck(horizon=2.0),
}
IN_THE_PLANE = PROCESSES | {"correlated VP": VP(noise=CORRELATED), "correlated VE": VE(0.01, 20.0, noise=CORRELATED)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_k w_k N(mu_k, s_k^2 C), C that of the process: noised it is sum_k w_k N(a mu_k, (a^2 s_k^2 + v) C)."""

    process: object
    means: torch.Tensor
    scales: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, process, dim, spread=2.0):
        means = spread * torch.randn(3, dim, dtype=F64, generator=generator(dim)) / dim**0.5
        return cls(process, means, torch.tensor([0.5, 0.3, 0.8], dtype=F64), torch.tensor([0.2, 0.3, 0.5], dtype=F64))

    @classmethod
    def single(cls, process, dim, mean, scale):
        """N(mean 1, scale^2 C)."""
        one = torch.ones(1, dtype=F64)
        return cls(process, torch.full((1, dim), mean, dtype=F64), scale * one, one)

    @property
    def dim(self):
        return self.means.shape[1]

    def law(self, t=0.0):
        scale, variance = self.process.transition(0.0, t)
        covariance = noise_of(self.process).covariance(self.dim)
        spread = (scale * self.scales).square() + variance
        return GaussianMixture(scale * self.means, covariances=spread[:, None, None] * covariance, weights=self.weights)

    @property
    def end(self):
        return self.law(self.process.horizon)

    def score(self, x, t):
        """In closed form, differentiable, without a new mixture at each time."""
        scale, variance = (float(v) for v in self.process.transition(0.0, t))
        noise = noise_of(self.process)
        spread = ((scale * self.scales) ** 2 + variance).to(x)
        rest = scale * self.means.to(x) - x[:, None]
        pull = noise.solve(rest)
        logits = self.weights.log().to(x) - 0.5 * self.dim * spread.log() - 0.5 * (rest * pull).sum(-1) / spread
        return ((logits.softmax(-1) / spread)[..., None] * pull).sum(1)

    def wrong(self, x, t):
        """Smooth, and far from it, in units of the score's own."""
        return 0.8 * self.score(x, t) + 0.3 * torch.sin(x) / (1 + float(self.process.variance(t)))


@dataclass(frozen=True, eq=False)
class Linear:
    """s(x, t) = -k/(1 + v_t) C^-1 (x - b): the marginals of the reverse SDE from N(0, v_T C) are N(m 1, P C).

    Backwards in time dm = -(q + a) m + q b, dP = -2 (q + a) P + (1 - lambda) g^2, q = (1 - lambda/2) g^2 k/(1 + v).
    """

    process: object
    dim: int
    k: float = 1.3
    b: float = 0.4
    family: float = 0.0

    def score(self, x, t):
        return -self._k(t) * noise_of(self.process).solve(x - self.b)

    def _k(self, t):
        return self.k / (1 + float(self.process.variance(t)))

    @cached_property
    def _solution(self):
        process, lam = self.process, self.family
        horizon = process.horizon

        def slope(back, y):
            a, g = float(process.drift_coefficient(horizon - back)), float(process.diffusion(horizon - back))
            pull = (1 - 0.5 * lam) * g**2 * self._k(horizon - back)
            return [-(pull + a) * y[0] + pull * self.b, -2 * (pull + a) * y[1] + (1 - lam) * g**2]

        start = [0.0, float(process.variance(horizon))]
        found = solve_ivp(slope, (0.0, horizon), start, rtol=1e-8, atol=1e-10, dense_output=True, method="DOP853")
        return found.sol

    def moments(self, t):
        horizon = self.process.horizon
        return self._solution(np.clip(horizon - t, 0.0, horizon))

    @property
    def law(self):
        mean, variance = self.moments(0.0)
        covariance = float(variance) * noise_of(self.process).covariance(self.dim)
        return Gaussian(torch.full((self.dim,), float(mean), dtype=F64), covariance=covariance)

    def model_score(self):
        """Of the model's marginals."""

        def score(x, t):
            mean, variance = self.moments(t)
            return -noise_of(self.process).solve(x - float(mean)) / float(variance)

        return score


def agree(estimates, exact, other=0.0, z=5.0):
    """Within z standard errors at every point."""
    error = (estimates.standard_error**2 + other**2).sqrt()
    worst = ((estimates.value - exact).abs() / error).max()
    assert worst < z, f"{float(worst):.2f} standard errors: {estimates.value.tolist()} against {exact.tolist()}"


class EvenNoise(IsotropicNoise):
    """Standard normal on the line, in place of random draws quantiles at even distances, along the first axis.

    Their variance is one: the mean over them is an integral to some 1e-4, and nothing is random.
    """

    def __init__(self):
        super().__init__(1.0)

    def sample_like(self, v, generator):
        del generator
        share = (torch.arange(len(v), dtype=F64) + 0.5) / len(v)
        values = torch.special.ndtri(share)
        return (values / values.square().mean().sqrt()).to(v)[:, None, None].expand(v.shape)
