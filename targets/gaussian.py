"""Gaussian densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from targets._arguments import as_double, cholesky, floating_dtype, not_negative
from targets.base import Target


class Gaussian(Target):
    """N(mean, covariance), normalised: log_z = 0.

        log p(x) = -|(x - mean) / scale|^2 / 2 - sum log scale - dim/2 log 2 pi,     score = -(x - mean) / scale^2

    `scale` is a standard deviation, () or (dim,); `covariance` is (dim, dim) and then takes its place.
    Everything is known: exact draws, smoothing, the mode, moments.
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

    def smoothed(self, sigma: float) -> Gaussian:
        variance = not_negative(sigma, "sigma") ** 2
        mean = self._exact["mean"].to(self.dtype)
        if "scale" in self._exact:
            wider = Gaussian(mean, (self._exact["scale"] ** 2 + variance).sqrt(), name=self.name)
        else:
            factor = self._exact["factor"]
            matrix = factor @ factor.mT + variance * torch.eye(self.dim, dtype=factor.dtype, device=factor.device)
            wider = Gaussian(mean, covariance=matrix, name=self.name)
        return wider.to(self.device)

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
