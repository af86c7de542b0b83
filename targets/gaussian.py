"""Gaussian densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from targets.arguments import as_double, cholesky, floating_dtype
from targets.base import Target
from targets.noise import Noise, as_noise, regression


class Gaussian(Target):
    """N(mean, covariance), normalised: log_z = 0.

        log p(x) = -|(x - mean) / scale|^2 / 2 - sum log scale - dim/2 log 2 pi,     score = -(x - mean) / scale^2

    `scale` is a standard deviation, () or (dim,); `covariance` is (dim, dim) and then takes its place.
    Everything is known: exact draws, smoothing, the mode, moments.

    mean: (dim,), which tells dim. scale: 1 where neither it nor covariance is given. name: as of `Target`. ValueError
    for shapes that do not agree, a scale that is not positive, and a covariance that is not positive definite.

        >>> plane = targets.Gaussian([0.0, 0.0], scale=2.0)
        >>> plane.score(torch.tensor([4.0, 2.0])), plane.smoothed(1.5).covariance[0, 0].item()
        (tensor([-1.0000, -0.5000]), 6.25)
    """

    def __init__(self, mean: Any, scale: Any = None, *, covariance: Any = None, name: str | None = None) -> None:
        dtype, mean64 = floating_dtype(mean), as_double(mean, "mean")
        if mean64.ndim != 1:
            raise ValueError(f"mean: got shape {tuple(mean64.shape)}, expected (dim,)")
        if scale is not None and covariance is not None:
            raise ValueError("scale and covariance: got both, expected one of them")
        super().__init__(len(mean64), dtype=dtype, device=mean64.device, name=name)
        self._exact = {"mean": mean64}
        if covariance is not None:
            matrix = as_double(covariance, "covariance").to(mean64)
            if matrix.shape != (self.dim, self.dim):
                raise ValueError(
                    f"covariance: got shape {tuple(matrix.shape)}, expected ({self.dim}, {self.dim}) like the mean"
                )
            self._exact["factor"] = cholesky(matrix, "covariance")
            log_scale = self._exact["factor"].diagonal().log().sum()
        else:
            spread = as_double(1.0 if scale is None else scale, "scale").to(mean64)
            if spread.shape not in ((), (self.dim,)):
                raise ValueError(f"scale: got shape {tuple(spread.shape)}, expected () or ({self.dim},)")
            if bool((spread <= 0).any()):
                raise ValueError("scale: got values that are not positive, expected standard deviations")
            self._exact["scale"] = spread.expand(self.dim)
            log_scale = self._exact["scale"].log().sum()
        self._log_normaliser = float(log_scale) + 0.5 * self.dim * math.log(2 * math.pi)
        self._place()

    def _place(self) -> None:
        def place(value: Tensor) -> Tensor:
            return value.to(device=self.device, dtype=self.dtype).contiguous()

        self._mean = place(self._exact["mean"])
        self._factor = self._precision = self._scale = self._inverse_variance = None
        if "factor" in self._exact:
            self._factor = place(self._exact["factor"])
            self._precision = place(torch.cholesky_inverse(self._exact["factor"]))
        else:
            self._scale = place(self._exact["scale"])
            self._inverse_variance = place(self._exact["scale"] ** -2)

    _factor: Tensor | None
    _precision: Tensor | None
    _scale: Tensor | None
    _inverse_variance: Tensor | None

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        centred = x - self._mean
        return (centred * self._pull(centred)).sum(-1).mul(-0.5) - self._log_normaliser

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        centred = x - self._mean
        pull = self._pull(centred)
        # einsum contracts without a (batch, dim) temporary, which counts with a million chains
        value = torch.einsum("...i,...i->...", centred, pull).mul(-0.5).sub(self._log_normaliser)
        return value, pull.neg_()

    def _pull(self, centred: Tensor) -> Tensor:
        if self._inverse_variance is not None:
            return centred * self._inverse_variance
        assert self._precision is not None
        return centred @ self._precision

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        if self._scale is not None:
            return self._mean + noise * self._scale
        assert self._factor is not None
        return self._mean + noise @ self._factor.mT

    def smoothed(self, sigma: float | Noise) -> Gaussian:
        mean = self._exact["mean"].to(self.dtype)
        if sigma == 0:
            return self
        noise = as_noise(sigma, self.dim, "sigma")
        variances = noise.variances(self.dim)
        if "scale" in self._exact and variances is not None:
            scale = self._exact["scale"]
            wider = Gaussian(mean, (scale**2 + variances.to(scale)).sqrt(), name=self.name)
        else:
            matrix = self._exact_covariance
            wider = Gaussian(mean, covariance=matrix + noise.covariance(self.dim).to(matrix), name=self.name)
        return wider.to(self.device)

    def sample_given(self, y: Tensor, noise: float | Noise, *, generator: Generator) -> Tensor:
        self._check(y)
        noise = as_noise(noise, self.dim)
        # x + S (S + C)^-1 (y - x - e), S the covariance, with fresh x and e: their difference from y is regressed on
        x = self.sample(len(y), generator=generator)
        residual = y - x - noise.sample_like(y, generator)
        return x + residual @ regression(self._exact_covariance, noise).to(y).mT

    @property
    def _exact_covariance(self) -> Tensor:
        """The covariance (dim, dim) in float64."""
        if "scale" in self._exact:
            return torch.diag(self._exact["scale"] ** 2)
        return self._exact["factor"] @ self._exact["factor"].mT

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
        if self._scale is not None:
            return torch.diag(self._scale**2)
        assert self._factor is not None
        return self._factor @ self._factor.mT
