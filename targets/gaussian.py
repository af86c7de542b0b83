"""Gaussian densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from targets._arguments import as_floating, cholesky
from targets.base import Target


class Gaussian(Target):
    """N(mean, covariance), normalised: log_z = 0.

        log p(x) = -|(x - mean) / scale|^2 / 2 - sum log scale - dim/2 log 2 pi,     score = -(x - mean) / scale^2

    `scale` is a standard deviation, () or (dim,); `covariance` is (dim, dim) and then takes its place.
    Everything is known: exact draws, smoothing, the mode, moments.
    """

    def __init__(self, mean: Any, scale: Any = None, *, covariance: Any = None, name: str | None = None) -> None:
        mean = as_floating(mean, "mean")
        if mean.ndim != 1:
            raise ValueError(f"mean: got shape {tuple(mean.shape)}, expected (dim,)")
        if scale is not None and covariance is not None:
            raise ValueError("scale and covariance: got both, expected one of them")
        super().__init__(len(mean), dtype=mean.dtype, device=mean.device, name=name)
        self._mean = mean
        self._factor = self._precision = None
        if covariance is not None:
            covariance = as_floating(covariance, "covariance").to(mean)
            if covariance.shape != (self.dim, self.dim):
                raise ValueError(
                    f"covariance: got shape {tuple(covariance.shape)}, expected ({self.dim}, {self.dim}) like the mean"
                )
            self._factor = cholesky(covariance, "covariance")
            self._precision = torch.cholesky_inverse(self._factor)
            log_scale = self._factor.diagonal().log().sum()
        else:
            self._scale = as_floating(1.0 if scale is None else scale, "scale").to(mean).expand(self.dim).contiguous()
            if bool((self._scale <= 0).any()):
                raise ValueError("scale: got values that are not positive, expected standard deviations")
            self._inverse_variance = self._scale**-2
            log_scale = self._scale.log().sum()
        self._log_normaliser = float(log_scale) + 0.5 * self.dim * math.log(2 * math.pi)

    def log_prob(self, x: Tensor) -> Tensor:
        centred = x - self._mean
        return (centred * self._pull(centred)).sum(-1).mul(-0.5) - self._log_normaliser

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x - self._mean
        pull = self._pull(centred)
        # einsum contracts without a (batch, dim) temporary, which counts with a million chains
        value = torch.einsum("...i,...i->...", centred, pull).mul(-0.5).sub(self._log_normaliser)
        return value, pull.neg_()

    def _pull(self, centred: Tensor) -> Tensor:
        return centred * self._inverse_variance if self._precision is None else centred @ self._precision

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        return self._mean + (noise * self._scale if self._factor is None else noise @ self._factor.mT)

    def smoothed(self, sigma: float) -> Gaussian:
        if self._factor is None:
            return Gaussian(self._mean, (self._scale**2 + sigma**2).sqrt(), name=self.name)
        identity = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        return Gaussian(self._mean, covariance=self.covariance + sigma**2 * identity, name=self.name)

    @property
    def modes(self) -> Tensor:
        return self._mean[None]

    @property
    def mode_weights(self) -> Tensor:
        return torch.ones(1, dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def covariance(self) -> Tensor:
        return torch.diag(self._scale**2) if self._factor is None else self._factor @ self._factor.mT
