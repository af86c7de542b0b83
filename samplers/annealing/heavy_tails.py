"""Normalised densities with polynomial tails, for a base whose particles reach what no Gaussian's do.

product     prod_i t(x_i; m_i, s_i, nu_i)                                  heavy along the axes
elliptic    t(x; m, L L', nu) ~ (1 + |L^-1 (x - m)|^2 / nu)^(-(nu + dim) / 2)   heavy in every direction
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from targets import Target

LEAST_UNIFORM = 2.0**-54  # rand() is 0 with probability 2^-53; its quantile would be infinite


class Normalised(Target):
    """A density that is known with its normaliser and its score; Z is 1."""

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_and_score(x)[0]

    @property
    def log_z(self) -> float:
        return 0.0


class StudentProduct(Normalised):
    """Independent Student-t coordinates: location, scale, dof (dim,); a Gaussian coordinate where dof is infinite."""

    def __init__(self, location: Tensor, scale: Tensor, dof: Tensor) -> None:
        super().__init__(len(location), dtype=location.dtype, device=location.device, name="product of Student-t")
        self._location, self._scale, self._dof = location, scale.to(location), dof.to(location)
        light = dof.double().isinf()
        nu = torch.where(light, 1.0, dof.double())
        heavy = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * (math.pi * nu).log()
        constant = torch.where(light, -0.5 * math.log(2 * math.pi), heavy) - scale.double().log()
        self._constant = float(constant.sum())

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        z, light = (x - self._location) / self._scale, self._dof.isinf()
        nu = torch.where(light, 1.0, self._dof)
        square = z.square()
        terms = torch.where(light, 0.5 * square, 0.5 * (nu + 1) * torch.log1p(square / nu))
        pull = torch.where(light, z, (nu + 1) * z / (nu + square)) / self._scale
        return self._constant - terms.sum(-1), -pull

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        from scipy import special

        uniform = torch.rand(n, self.dim, generator=generator, dtype=torch.float64, device=self.device)
        points, nu = uniform.clamp_min(LEAST_UNIFORM).cpu().numpy(), self._dof.double().cpu()
        z = torch.from_numpy(special.stdtrit(torch.where(nu.isinf(), 1.0, nu).numpy(), points))
        z = torch.where(nu.isinf(), torch.from_numpy(special.ndtri(points)), z)
        return self._location + self._scale * z.to(self._location)


class EllipticStudent(Normalised):
    """The Student-t law in dim dimensions: location (dim,), factor L (dim, dim) lower triangular, one dof."""

    def __init__(self, location: Tensor, factor: Tensor, dof: float) -> None:
        super().__init__(len(location), dtype=location.dtype, device=location.device, name="Student-t")
        self._location, self._factor, self._dof = location, factor.to(location), float(dof)
        log_det = float(factor.diagonal().double().log().sum())
        self._constant = (
            math.lgamma((dof + self.dim) / 2)
            - math.lgamma(dof / 2)
            - 0.5 * self.dim * math.log(math.pi * dof)
            - log_det
        )

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        rows = (x - self._location).reshape(-1, self.dim)
        white = torch.linalg.solve_triangular(self._factor, rows.mT, upper=False)
        back = torch.linalg.solve_triangular(self._factor.mT, white, upper=True).mT.reshape(x.shape)
        square = white.square().sum(0).reshape(x.shape[:-1])
        power = self._dof + self.dim
        log_prob = self._constant - 0.5 * power * torch.log1p(square / self._dof)
        return log_prob, -power * back / (self._dof + square)[..., None]

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        from scipy import special

        place = {"generator": generator, "dtype": torch.float64, "device": self.device}
        normal = torch.randn(n, self.dim, **place)  # type: ignore[call-overload]
        uniform = torch.rand(n, 1, **place).clamp_min(LEAST_UNIFORM)  # type: ignore[call-overload]
        chi_squared = torch.from_numpy(2 * special.gammaincinv(self._dof / 2, uniform.cpu().numpy())).to(normal)
        z = normal * (self._dof / chi_squared).sqrt()
        return self._location + z.to(self._location) @ self._factor.mT


class Mixed(Normalised):
    """A mixture of normalised densities with exact draws: log p(x) = log sum_k w_k p_k(x)."""

    def __init__(self, parts: Sequence[Target], weights: Sequence[float], name: str) -> None:
        first = parts[0]
        super().__init__(first.dim, dtype=first.dtype, device=first.device, name=name)
        self.parts = list(parts)
        self._weights = torch.tensor(list(weights), dtype=first.dtype, device=first.device)

    def log_prob(self, x: Tensor) -> Tensor:
        values = torch.stack([part.log_prob(x) for part in self.parts], -1)
        return (self._weights.log() + values).logsumexp(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, scores = zip(*(part.log_prob_and_score(x) for part in self.parts), strict=True)
        logits = self._weights.log() + torch.stack(values, -1)
        return logits.logsumexp(-1), (torch.stack(scores, -1) * logits.softmax(-1)[..., None, :]).sum(-1)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        which = torch.multinomial(self._weights, n, replacement=True, generator=generator)
        drawn = torch.stack([part.sample(n, generator=generator) for part in self.parts])
        return drawn[which, torch.arange(n, device=which.device)]
