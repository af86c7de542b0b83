"""Neal's funnel."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from targets.arguments import positive
from targets.base import Target


class Funnel(Target):
    """Neal's funnel: x_0 = v ~ N(0, std^2), and x_i given v ~ N(0, exp(v)) for i = 1..dim-1. Normalised.

        log p = log N(v; 0, std^2) - (dim - 1)(v + log 2 pi)/2 - exp(-v) r/2,    r = sum_i x_i^2
        score_0 = -v/std^2 - (dim - 1)/2 + exp(-v) r/2,    score_i = -exp(-v) x_i

    Three variants circulate: std = 3 (wide), std = 1, and std = sqrt(3); `std` is the standard deviation of v.
    Known: log_z = 0, exact draws, the mode, moments (E[x_i^2] = exp(std^2/2)). Neal 2003,
    https://doi.org/10.1214/aos/1056562461.

    dtype, name: as of `Target`.

        >>> funnel = targets.Funnel(10, std=3.0)
        >>> funnel.log_z, funnel.sample(4, generator=torch.Generator().manual_seed(0)).shape
        (0.0, torch.Size([4, 10]))
    """

    def __init__(
        self, dim: int = 10, std: float = 3.0, *, dtype: torch.dtype | None = None, name: str | None = None
    ) -> None:
        super().__init__(dim, dtype=dtype, name=name)
        if dim < 2:
            raise ValueError(f"dim: got {dim}, expected at least 2")
        self.std = positive(std, "std")

    def log_prob(self, x: Tensor) -> Tensor:
        return self._parts(x)[0]

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self._check(x)
        v, rest = x[..., 0], x[..., 1:]
        precision = torch.exp(-v)
        energy = 0.5 * precision * rest.square().sum(-1)
        constant = -math.log(self.std) - 0.5 * self.dim * math.log(2 * math.pi)
        value = constant - 0.5 * (v / self.std).square() - 0.5 * (self.dim - 1) * v - energy
        return value, precision, energy

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, precision, energy = self._parts(x)
        along = energy - x[..., 0] / self.std**2 - 0.5 * (self.dim - 1)
        return value, torch.cat([along[..., None], -precision[..., None] * x[..., 1:]], -1)

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        v = self.std * noise[:, :1]
        return torch.cat([v, torch.exp(0.5 * v) * noise[:, 1:]], -1)

    @property
    def modes(self) -> Tensor:
        mode = torch.zeros(1, self.dim, dtype=self.dtype, device=self.device)
        mode[0, 0] = -0.5 * (self.dim - 1) * self.std**2
        return mode

    @property
    def mode_weights(self) -> Tensor:
        return torch.ones(1, dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return torch.zeros(self.dim, dtype=self.dtype, device=self.device)

    @property
    def covariance(self) -> Tensor:
        variance = torch.full((self.dim,), math.exp(0.5 * self.std**2), dtype=self.dtype, device=self.device)
        variance[0] = self.std**2
        return torch.diag(variance)
