"""The law of X given a noisy measurement y = X + N(0, C), again a target.

    GivenMeasurements       log p(x | y) = log gamma(x) - (x - y)'P (x - y) / 2,     P = C^-1

The laws of the measurements themselves are in `samplers.smoothing.measurements`.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from targets import Gaussian, Noise, Target
from targets.noise import as_noise


class GivenMeasurements(Target):
    """The law of X given a measurement y of it with noise C: gamma(x) N(y; x, C), the normaliser of N left out.

    y: (dim,), or (n, dim) for one posterior a row. The mean ybar of m measurements counts as one with noise C / m.
    A posterior with `prior` N(y, C) and likelihood gamma, for a single y: Z is exp(phi(y)) (2 pi)^(d/2) det C^(1/2).

    target: of X. noise: C, a sigma, a covariance (dim, dim), variances (dim,) or a targets.Noise.

        >>> from samplers.smoothing import GivenMeasurements
        >>> given = GivenMeasurements(targets.Gaussian([0.0]), torch.tensor([2.0]), noise=1.0)
        >>> given.score(torch.tensor([1.0]))
        tensor([0.])
    """

    def __init__(self, target: Target, y: Tensor, noise: float | Tensor | Noise) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=f"{target.name} given y")
        if y.shape[-1:] != (target.dim,) or y.ndim > 2:
            raise ValueError(f"y: got shape {tuple(y.shape)}, expected ({target.dim},) or (n, {target.dim})")
        self.target, self.y, self.noise = target, y, as_noise(noise, target.dim)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.target.log_prob(x) - 0.5 * self.noise.square(x - self.y)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        value, score = self.target.log_prob_and_score(x)
        away = x - self.y
        pull = self.noise.solve(away)
        return value - 0.5 * torch.linalg.vecdot(away, pull), score - pull

    @property
    def _unknown(self) -> frozenset[str]:
        without = {"prior": self.y.ndim == 2, "sample": "sample_given" not in self.target.known}
        return frozenset(name for name, missing in without.items() if missing)

    @property
    def prior(self) -> Target:
        covariance = self.noise.variances(self.dim)
        if covariance is not None:
            return Gaussian(self.y, covariance.sqrt())
        return Gaussian(self.y, covariance=self.noise.covariance(self.dim))

    def log_likelihood(self, x: Tensor) -> Tensor:
        return self.target.log_prob(x) + self.noise.log_normaliser(self.dim)  # of exp(-x'Px / 2)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self.target.log_prob_and_score(x)
        return value + self.noise.log_normaliser(self.dim), score

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        y = self.y.expand(n, -1)
        return self.target.sample_given(y, self.noise, generator=generator)
