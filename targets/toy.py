"""Small exact densities that catch mistakes: a skewed one and a bent one."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from targets.arguments import positive
from targets.base import Target

EULER_GAMMA = 0.5772156649015329


class LogExponential(Target):
    """The logarithm of unit exponential variables, independent: log p(x) = sum_i x_i - exp(x_i). Normalised.

    Skewed, with one tail exponential and the other double-exponential, it shows mistakes that symmetric targets
    hide. Known: log_z = 0, exact draws, the mode, moments (mean -0.5772, variance pi^2/6).

    dim: of x, 1 by default. dtype, name: as of `Target`.

        >>> round(targets.LogExponential(2).mean[0].item(), 4)
        -0.5772
    """

    def __init__(self, dim: int = 1, *, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        super().__init__(dim, dtype=dtype, name=name)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        return (x - x.exp()).sum(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_prob(x), 1 - x.exp()

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        exponential = torch.empty(n, self.dim, dtype=torch.float64, device=self.device).exponential_(
            generator=generator
        )
        return exponential.log().to(self.dtype)

    @property
    def modes(self) -> Tensor:
        return torch.zeros(1, self.dim, dtype=self.dtype, device=self.device)

    @property
    def mode_weights(self) -> Tensor:
        return torch.ones(1, dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return torch.full((self.dim,), -EULER_GAMMA, dtype=self.dtype, device=self.device)

    @property
    def covariance(self) -> Tensor:
        return math.pi**2 / 6 * torch.eye(self.dim, dtype=self.dtype, device=self.device)


class Banana(Target):
    """The banana: x_0 ~ N(0, scale^2), x_1 = xi + curvature (x_0^2 - scale^2), xi ~ N(0, 1). Normalised.

        log p = log N(x_0; 0, scale^2) + log N(u; 0, 1),     u = x_1 - curvature (x_0^2 - scale^2)
        score_0 = -x_0/scale^2 + 2 curvature x_0 u,     score_1 = -u

    Known: log_z = 0, exact draws, the mode, moments (var x_1 = 1 + 2 curvature^2 scale^4).

    scale: standard deviation of x_0, positive. dtype, name: as of `Target`. Haario, Saksman and Tamminen 1999,
    https://doi.org/10.1007/s001800050022.

        >>> targets.Banana(scale=1.0, curvature=0.5).log_prob(torch.tensor([2.0, 1.5]))
        tensor(-3.8379)
    """

    def __init__(
        self,
        scale: float = 10.0,
        curvature: float = 0.03,
        *,
        dtype: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(2, dtype=dtype, name=name)
        self.scale, self.curvature = positive(scale, "scale"), float(curvature)

    def _straight(self, x: Tensor) -> Tensor:
        self._check(x)
        return x[..., 1] - self.curvature * (x[..., 0].square() - self.scale**2)

    def log_prob(self, x: Tensor) -> Tensor:
        constant = -math.log(2 * math.pi * self.scale)
        return constant - 0.5 * (x[..., 0] / self.scale).square() - 0.5 * self._straight(x).square()

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = self._straight(x)
        along = 2 * self.curvature * x[..., 0] * u - x[..., 0] / self.scale**2
        return self.log_prob(x), torch.stack([along, -u], -1)

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        noise = torch.randn(n, 2, generator=generator, dtype=self.dtype, device=self.device)
        first = self.scale * noise[:, 0]
        return torch.stack([first, noise[:, 1] + self.curvature * (first.square() - self.scale**2)], -1)

    @property
    def modes(self) -> Tensor:
        return torch.tensor([[0.0, -self.curvature * self.scale**2]], dtype=self.dtype, device=self.device)

    @property
    def mode_weights(self) -> Tensor:
        return torch.ones(1, dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return torch.zeros(2, dtype=self.dtype, device=self.device)

    @property
    def covariance(self) -> Tensor:
        variances = [self.scale**2, 1 + 2 * self.curvature**2 * self.scale**4]
        return torch.diag(torch.tensor(variances, dtype=self.dtype, device=self.device))
