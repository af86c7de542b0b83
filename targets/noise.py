"""Gaussian noise N(0, C) of a measurement y = x + noise, for any covariance C."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Generator, Tensor

from targets.arguments import as_double, cholesky, positive, shown

LEAST = 1e-100  # a deviation whose square and its inverse are far from the ends of float64


class Noise(ABC):
    """N(0, C) on R^dim: products with C and its inverse P, draws, log-determinant. dim is None where any fits.

    Vectors are (*batch, dim). Tensors are kept in float64 and used in the dtype and on the device of what they meet.

    A subclass writes `times`, `solve`, `colour`, `scaled`, `log_det` and `covariance`.

        >>> noise = targets.IsotropicNoise(2.0)
        >>> noise.times(torch.ones(2)), noise.square(torch.ones(2)), noise.scaled(0.25)
        (tensor([4., 4.]), tensor(0.5000), IsotropicNoise(1))
    """

    dim: int | None = None

    @abstractmethod
    def times(self, v: Tensor) -> Tensor:
        """C v."""

    @abstractmethod
    def solve(self, v: Tensor) -> Tensor:
        """P v = C^-1 v."""

    @abstractmethod
    def colour(self, white: Tensor) -> Tensor:
        """A linear map of white noise that gives it covariance C."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """Noise of covariance factor * C: m equal measurements have the mean of one with factor 1 / m."""

    @abstractmethod
    def log_det(self, dim: int) -> float:
        """log det C."""

    @abstractmethod
    def covariance(self, dim: int) -> Tensor:
        """C as a matrix (dim, dim) in float64."""

    def variances(self, dim: int) -> Tensor | None:
        """The diagonal (dim,) of a C that is diagonal, in float64; None for others."""
        del dim
        return None

    def square(self, v: Tensor) -> Tensor:
        """v' P v, (*batch, dim) -> (*batch,)."""
        return torch.linalg.vecdot(v, self.solve(v))

    def sample_like(self, v: Tensor, generator: Generator) -> Tensor:
        """A draw at every row of v, in its shape."""
        return self.colour(torch.randn(v.shape, generator=generator, dtype=v.dtype, device=v.device))

    def log_normaliser(self, dim: int) -> float:
        """log of the integral of exp(-v' P v / 2)."""
        return 0.5 * (self.log_det(dim) + dim * math.log(2 * math.pi))

    def check(self, dim: int, argument: str = "noise") -> None:
        """ValueError for noise of another dimension."""
        if self.dim is not None and self.dim != dim:
            raise ValueError(f"{argument}: got noise in {self.dim} dimensions, expected {dim}")


class IsotropicNoise(Noise):
    """C = sigma^2 I, sigma a standard deviation.

    sigma: positive.

        >>> targets.IsotropicNoise(2.0).covariance(2)
        tensor([[4., 0.],
                [0., 4.]], dtype=torch.float64)
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = positive(sigma, "sigma")
        if not LEAST <= self.sigma <= 1 / LEAST:
            raise ValueError(
                f"sigma: got {shown(sigma)}, expected {LEAST:g} to {1 / LEAST:g}: its square is a variance"
            )

    def times(self, v: Tensor) -> Tensor:
        return v * self.sigma**2

    def solve(self, v: Tensor) -> Tensor:
        return v * self.sigma**-2

    def colour(self, white: Tensor) -> Tensor:
        return white * self.sigma

    def scaled(self, factor: float) -> Self:
        return type(self)(self.sigma * math.sqrt(factor))

    def log_det(self, dim: int) -> float:
        return 2 * dim * math.log(self.sigma)

    def covariance(self, dim: int) -> Tensor:
        return self.sigma**2 * torch.eye(dim, dtype=torch.float64)

    def variances(self, dim: int) -> Tensor:
        return torch.full((dim,), self.sigma**2, dtype=torch.float64)

    def square(self, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(v, v) * self.sigma**-2

    def __repr__(self) -> str:
        return f"IsotropicNoise({self.sigma:.6g})"


class CorrelatedNoise(Noise):
    """C = a covariance (dim, dim), or its diagonal (dim,).

    ValueError for another shape, and for a matrix that is not positive definite.

        >>> noise = targets.CorrelatedNoise([1.0, 4.0])
        >>> noise.solve(torch.tensor([1.0, 2.0]))
        tensor([1.0000, 0.5000])
    """

    def __init__(self, covariance: Any) -> None:
        matrix = as_double(covariance, "covariance")
        if matrix.ndim == 1:
            if not bool((matrix > 0).all()):
                raise ValueError("covariance: got variances that are not positive")
            self._factor, self._inverse = matrix.sqrt(), 1 / matrix
        else:
            self._factor = cholesky(matrix, "covariance")
            self._inverse = torch.cholesky_inverse(self._factor)
        self.dim = len(matrix)
        self._matrix = matrix
        self._here: dict[Any, tuple[Tensor, Tensor, Tensor]] = {}

    def _placed(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        key = (v.dtype, v.device)
        if key not in self._here:
            self._here[key] = (self._matrix.to(v), self._inverse.to(v), self._factor.to(v))
        return self._here[key]

    def times(self, v: Tensor) -> Tensor:
        matrix = self._placed(v)[0]
        return v * matrix if matrix.ndim == 1 else v @ matrix

    def solve(self, v: Tensor) -> Tensor:
        inverse = self._placed(v)[1]
        return v * inverse if inverse.ndim == 1 else v @ inverse

    def colour(self, white: Tensor) -> Tensor:
        factor = self._placed(white)[2]
        return white * factor if factor.ndim == 1 else white @ factor.mT

    def scaled(self, factor: float) -> Self:
        return type(self)(self._matrix * factor)

    def log_det(self, dim: int) -> float:
        factor = self._factor
        return 2 * float((factor if factor.ndim == 1 else factor.diagonal()).log().sum())

    def covariance(self, dim: int) -> Tensor:
        return torch.diag(self._matrix) if self._matrix.ndim == 1 else self._matrix

    def variances(self, dim: int) -> Tensor | None:
        return self._matrix if self._matrix.ndim == 1 else None

    def __repr__(self) -> str:
        return f"CorrelatedNoise(dim={self.dim})"


def as_noise(noise: float | Tensor | Noise, dim: int, argument: str = "noise") -> Noise:
    """Noise from a standard deviation, a covariance (dim, dim) or variances (dim,), or itself."""
    if isinstance(noise, Noise):
        noise.check(dim, argument)
        return noise
    if isinstance(noise, Tensor) and noise.ndim > 0:
        if noise.shape not in ((dim,), (dim, dim)):
            raise ValueError(
                f"{argument}: got shape {tuple(noise.shape)}, expected a covariance ({dim}, {dim}) or its diagonal "
                f"({dim},)"
            )
        return CorrelatedNoise(noise)
    return IsotropicNoise(positive(noise, argument))


def regression(covariances: Tensor, noise: Noise) -> Tensor:
    """S (S + C)^-1, (..., dim, dim): E[x | y] - mean = that times (y - mean) for x ~ N(mean, S)."""
    return torch.linalg.solve(covariances + noise.covariance(covariances.shape[-1]).to(covariances), covariances).mT
