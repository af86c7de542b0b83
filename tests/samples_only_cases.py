"""Samplers that follow a model's denoiser, with nothing but samples: their laws for a Gaussian model, without sampling.

Untrained, a model is the Gaussian of the samples' moments. Isotropic noise and affine steps keep its principal axes
apart: mean and variance along each of them are those of a recursion of numbers.
"""

import math

import torch

import samplers
import targets
from samplers import ScoreDiffusion
from samplers.generative import ScoreMLP, Training
from samplers.processes import VE, VP

F64 = torch.float64
PLANE = targets.Gaussian(
    torch.tensor([3.0, -1.0], dtype=F64), covariance=torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=F64)
)
SAMPLES = PLANE.sample(500, generator=torch.Generator().manual_seed(0))
PROCESSES = {"VP": VP(), "VE": VE(0.01, 30.0)}
DRAWS, SIGMAS = 20_000, 4.5  # standard errors: a false alarm in 150,000 moments of exact draws


def untrained(process="VP"):
    model = ScoreDiffusion(
        network=ScoreMLP(width=8, blocks=1), process=PROCESSES[process], training=Training(validation=0),
        standardise="none",
    )  # fmt: skip
    return model.fit(SAMPLES, iterations=0, progress=False)


class Axes:
    """Mean and variance along the principal axes of the model, under affine steps."""

    def __init__(self, fitted, mean, covariance):
        self.centre = fitted.transformation.affine[0] + fitted.start.mean
        self.spread, self.turn = torch.linalg.eigh(fitted.start.covariance)
        self.mean, self.variance = (mean - self.centre) @ self.turn, (self.turn.mT @ covariance @ self.turn).diagonal()

    def langevin(self, sigma, h, steps):
        """Steps of size h on the law with noise sigma."""
        shrink = 1 - h / (self.spread + sigma**2)
        for _ in range(steps):
            self.mean, self.variance = shrink * self.mean, shrink**2 * self.variance + 2 * h

    def denoised(self, sigma):
        """E[X | y]."""
        shrink = self.spread / (self.spread + sigma**2)
        self.mean, self.variance = shrink * self.mean, shrink**2 * self.variance

    def check(self, x):
        """AssertionError unless independent draws (n, dim) have this mean and variance."""
        along = (x - self.centre) @ self.turn
        means = (along.mean(0) - self.mean) / (self.variance / len(x)).sqrt()
        variances = (along.var(0) / self.variance - 1) / math.sqrt(2 / len(x))
        worst = float(torch.cat([means, variances]).abs().max())
        assert worst < SIGMAS, f"{worst:.1f} standard errors from the exact mean or variance"


def check_annealed(process="VP"):
    """AssertionError unless annealed Langevin with a model's denoiser has its exact law, coarse steps and all."""
    fitted = untrained(process)
    sampler = samplers.AnnealedLangevin(4, 3, 8.0, 0.5, step_size=0.3, denoiser=fitted.denoiser())
    start = torch.tensor([4.0, 3.0], dtype=F64)
    exact = Axes(fitted, start, 0.49 * torch.eye(2, dtype=F64))
    for sigma in (8.0 * 0.0625 ** (i / 3) for i in range(4)):
        exact.langevin(sigma, 0.3 * sigma**2, 3)
    exact.denoised(0.5)
    draws = sampler.sample(
        fitted.as_target(density=False),
        draws=DRAWS,
        seed=1,
        init=lambda n, g: start + 0.7 * torch.randn(n, 2, generator=g, dtype=F64),
    )
    exact.check(draws.x[0])


def check_walk(process="VP"):
    """AssertionError unless walk-jump with a model's denoiser has its exact law after two jumps."""
    fitted, sigma, h, start = untrained(process), 1.5, 0.4, torch.tensor([4.0, 3.0], dtype=F64)
    sampler = samplers.WalkJump(sigma=sigma, kernel=samplers.ULA(h), steps=3, jump="mean", denoiser=fitted.denoiser())
    exact = Axes(fitted, start, sigma**2 * torch.eye(2, dtype=F64))
    exact.langevin(sigma, h * sigma**2, 6)
    exact.denoised(sigma)
    draws = sampler.sample(
        fitted.as_target(density=False), chains=DRAWS, draws=2, warmup=0, seed=2, init=start.expand(DRAWS, -1)
    )
    exact.check(draws.x[:, 1])
