"""Where the particles of X given y start: one normalised density for every measurement y_r, k particles each.

    q_r(x) = N(x; y_r, C) [ (1 - a) g(x) / g_C(y_r) + a ],     g_C = g * N(0, C)

g is a guide, a density near the target whose smoothing by C is known: g(x) N(x; y_r, C) / g_C(y_r) is then what X given
y_r would be. Without a guide a = 1, and q_r is N(y_r, C) alone.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.annealing.resampling import systematic
from targets import GaussianMixture, Noise, Target
from targets.noise import regression

PLAIN_SHARE = 1 / 8  # a: of the particles, from N(y, C) beside a guide


class RowBase(Target):
    """q_r at rows * k points, row after row; normalised. y: (rows, dim).

    Draws are unbiased row by row and not independent within a row: those of N(y, C) come in pairs on opposite sides of
    y, and exactly round(a k) of k are of it; a guide that is a mixture gives each component its share of the rest by
    systematic resampling.
    """

    def __init__(self, y: Tensor, noise: Noise, guide: Target | None, particles: int) -> None:
        super().__init__(
            y.shape[1], dtype=y.dtype, device=y.device, name="posterior of the guide" if guide else "noise"
        )
        self.y, self.noise, self.guide = y, noise, guide
        self.plain = particles if guide is None else max(1, round(PLAIN_SHARE * particles))
        self._normaliser = noise.log_normaliser(self.dim)
        if guide is not None:
            self._smoothed = guide.smoothed(noise)
            self._log_q = self._smoothed.log_prob(y)[:, None]
            self._log_shares = math.log1p(-self.plain / particles), math.log(self.plain / particles)

    @property
    def log_z(self) -> float:
        return 0.0

    def log_prob(self, x: Tensor) -> Tensor:
        rows = self._rows(x)
        value = -0.5 * self.noise.square(rows - self.y[:, None]) - self._normaliser
        if self.guide is not None:
            value = value + self._tilt(self.guide.log_prob(rows))[1]
        return value.reshape(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = self._rows(x)
        away = rows - self.y[:, None]
        pull = self.noise.solve(away)
        value, score = -0.5 * torch.linalg.vecdot(away, pull) - self._normaliser, -pull
        if self.guide is not None:
            log_guide, guide_score = self.guide.log_prob_and_score(rows)
            guided, tilt = self._tilt(log_guide)
            value, score = value + tilt, score + (guided - tilt).exp()[..., None] * guide_score
        return value.reshape(-1), score.reshape(-1, self.dim)

    def _tilt(self, log_guide: Tensor) -> tuple[Tensor, Tensor]:
        """log (1 - a) g(x) / g_C(y), and log of that plus a."""
        guided = log_guide - self._log_q + self._log_shares[0]
        return guided, torch.logaddexp(guided, torch.full_like(guided, self._log_shares[1]))

    def _rows(self, x: Tensor) -> Tensor:
        self._check(x)
        return x.reshape(len(self.y), -1, self.dim)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        k = n // len(self.y)
        plain = k if self.guide is None else self.plain
        half = self.noise.sample_like(self.y[:, None].expand(-1, (plain + 1) // 2, -1), generator)
        parts = [self.y[:, None] + torch.stack([half, -half], 2).flatten(1, 2)[:, :plain]]
        if self.guide is not None:
            parts.insert(0, self._guided(self.guide, k - plain, generator))
        return torch.cat(parts, 1).reshape(n, self.dim)

    def _guided(self, guide: Target, k: int, generator: Generator) -> Tensor:
        """Draws of X given y as if the guide were its law, (rows, k, dim)."""
        y = self.y[:, None].expand(-1, k, -1).reshape(-1, self.dim)
        if not isinstance(guide, GaussianMixture):
            return guide.sample_given(y, self.noise, generator=generator).reshape(-1, k, self.dim)
        shares = self._smoothed.mode_probabilities(self.y)
        which = systematic(shares, k, generator).reshape(-1)
        return posterior_draws(guide, which, y, self.noise, generator).reshape(-1, k, self.dim)


def posterior_draws(mixture: GaussianMixture, which: Tensor, y: Tensor, noise: Noise, generator: Generator) -> Tensor:
    """A draw of X given each y (n, dim) and that X is of the component which (n,) of the mixture.

    z + S (S + C)^-1 (y - z - e) with fresh z ~ N(m, S), e ~ N(0, C): their difference from y is regressed on.
    """
    factors = mixture.component_factors
    white = torch.randn(y.shape, generator=generator, dtype=y.dtype, device=y.device)
    variances = noise.variances(mixture.dim)
    if factors.ndim == 2:
        z = mixture.modes[which] + factors[which] * white
    else:
        z = mixture.modes[which] + (factors[which] @ white[..., None])[..., 0]
    residual = y - z - noise.sample_like(y, generator)
    if factors.ndim == 2 and variances is not None:
        gains = factors.square() / (factors.square() + variances.to(factors))
        return z + gains[which] * residual
    covariances = torch.diag_embed(factors.square()) if factors.ndim == 2 else factors @ factors.mT
    return z + (regression(covariances.double(), noise).to(y)[which] @ residual[..., None])[..., 0]


class RowPosterior(Target):
    """gamma(x) N(x; y_r, C) at rows * k points, row after row: Z is exp(phi(y_r)) in each row. y: (rows, dim)."""

    def __init__(self, target: Target, y: Tensor, noise: Noise) -> None:
        super().__init__(target.dim, dtype=y.dtype, device=y.device, name=f"{target.name} given y")
        self.target, self.y, self.noise = target, y, noise
        self._normaliser = noise.log_normaliser(target.dim)

    def log_prob(self, x: Tensor) -> Tensor:
        away = x.reshape(len(self.y), -1, self.dim) - self.y[:, None]
        return self.target.log_prob(x).sub(0.5 * self.noise.square(away).reshape(-1)).sub_(self._normaliser)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self.target.log_prob_and_score(x)
        away = x.reshape(len(self.y), -1, self.dim) - self.y[:, None]
        pull = self.noise.solve(away)
        square = torch.linalg.vecdot(away, pull).reshape(-1)
        return value.sub(0.5 * square).sub_(self._normaliser), score - pull.reshape(-1, self.dim)
