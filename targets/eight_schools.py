"""Eight schools, the classic hierarchical model."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from targets.base import Moments, Target, Variable
from targets.one_dimensional import Density1D

EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
PRIOR_SD = 5.0


class EightSchools(Target):
    """Effects of coaching in eight schools (Rubin 1981): y_j ~ N(theta_j, s_j), theta_j ~ N(mu, tau), s_j known,

        mu ~ N(0, 5),    tau ~ half-Cauchy(0, 5)    (standard deviations)

    Coordinates x = (mu, log tau, z_1..z_8). Non-centred (default): theta = mu + tau z, z ~ N(0, 1).
    With `centred=True`: z = theta, a funnel that chains find hard. All factors are normalised, so that Z is the
    evidence. Everything is known by integrating tau numerically and the rest analytically: log_z = -31.311348,
    exact draws, the moments of mu, tau and theta.

    dtype: float64 by default. name: as of `Target`. Rubin's paper: https://doi.org/10.3102/10769986006004377.

        >>> schools = targets.EightSchools()
        >>> round(schools.log_z, 4), list(schools.variables)
        (-31.3113, ['mu', 'tau', 'theta'])
    """

    def __init__(self, centred: bool = False, *, dtype: torch.dtype | None = torch.float64, name: str | None = None):
        super().__init__(10, dtype=dtype, name=name)
        self.centred = centred
        self._y = torch.tensor(EFFECTS, dtype=self.dtype)
        self._s = torch.tensor(ERRORS, dtype=self.dtype)
        normal = 0.5 * math.log(2 * math.pi)
        self._constant = (
            -17 * normal - math.log(PRIOR_SD) - float(self._s.log().sum()) + math.log(2 / (math.pi * PRIOR_SD))
        )

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        mu, log_tau, z = x[..., :1], x[..., 1:2], x[..., 2:]
        tau = log_tau.exp()
        ratio = tau / PRIOR_SD
        theta, unit = (z, (z - mu) / tau) if self.centred else (mu + tau * z, z)
        residual = (self._y - theta) / self._s
        value = (
            self._constant
            - 0.5 * (mu / PRIOR_SD).square()[..., 0]
            - (torch.log1p(ratio.square()) - log_tau)[..., 0]
            - 0.5 * (unit.square() + residual.square()).sum(-1)
        )
        pull = residual / self._s  # d log likelihood / d theta
        d_mu = -mu / PRIOR_SD**2
        d_log_tau = 1 - 2 * ratio.square() / (1 + ratio.square())
        if self.centred:
            # log N(theta; mu, tau) = ... - 8 log tau - unit^2 / 2
            value = value - 8 * log_tau[..., 0]
            d_mu = d_mu + unit.sum(-1, keepdim=True) / tau
            d_log_tau = d_log_tau + unit.square().sum(-1, keepdim=True) - 8
            d_z = pull - unit / tau
        else:
            d_mu = d_mu + pull.sum(-1, keepdim=True)
            d_log_tau = d_log_tau + tau * (pull * z).sum(-1, keepdim=True)
            d_z = tau * pull - z
        return value, torch.cat([d_mu, d_log_tau, d_z], -1)

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        mu, tau, z = x[..., 0], x[..., 1].exp(), x[..., 2:]
        theta = z if self.centred else mu[..., None] + tau[..., None] * z
        return {"mu": mu, "tau": tau, "theta": theta}

    @property
    def variables(self) -> dict[str, Variable]:
        schools = {"school": list("ABCDEFGH")}
        return {"mu": Variable(), "tau": Variable(), "theta": Variable((8,), ("school",), schools)}

    # Given tau, mu and theta are Gaussian

    @staticmethod
    def _mu_given(tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of mu given tau and the data."""
        precision = 1 / (np.square(ERRORS)[:, None] + tau**2)
        variance = 1 / (1 / PRIOR_SD**2 + precision.sum(0))
        return variance * (np.array(EFFECTS) @ precision), variance

    @staticmethod
    def _log_marginal(log_tau: np.ndarray) -> np.ndarray:
        """log p(y, log tau), mu and theta integrated out."""
        tau = np.exp(log_tau)
        mean, variance = EightSchools._mu_given(tau)
        spread = np.square(ERRORS)[:, None] + tau**2
        data = -0.5 * (np.log(2 * math.pi * spread) + np.square(EFFECTS)[:, None] / spread).sum(0)
        data += 0.5 * (np.log(variance / PRIOR_SD**2) + mean**2 / variance)
        return data + np.log(2 / (math.pi * PRIOR_SD)) - np.log1p((tau / PRIOR_SD) ** 2) + log_tau

    @cached_property
    def _log_tau(self) -> Density1D:
        # The left tail decays like tau, the right one like tau^-9: mass outside is below 1e-14
        return Density1D(self._log_marginal, -32.0, 12.0)

    @property
    def log_z(self) -> float:
        return self._log_tau.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        log_tau = self._log_tau.sample(n, generator=generator)
        noise = torch.randn(n, 9, generator=generator, dtype=torch.float64, device=generator.device)
        tau = log_tau.exp()
        mean, variance = (torch.from_numpy(part).to(tau) for part in self._mu_given(tau.cpu().numpy()))
        mu = mean + variance.sqrt() * noise[:, 0]
        y, s = (torch.tensor(data, dtype=torch.float64, device=tau.device) for data in (EFFECTS, ERRORS))
        # z_j given mu, tau: prior N(0, 1), one observation (y_j - mu) / tau with standard deviation s_j / tau
        shrink = tau[:, None] ** 2 + s**2
        z = tau[:, None] * (y - mu[:, None]) / shrink + s / shrink.sqrt() * noise[:, 1:]
        last = mu[:, None] + tau[:, None] * z if self.centred else z
        return torch.cat([mu[:, None], log_tau[:, None], last], -1).to(dtype=self.dtype, device=self.device)

    @cached_property
    def moments(self) -> dict[str, Moments]:
        def integrands(log_tau: np.ndarray) -> np.ndarray:
            tau = np.exp(log_tau)
            mean, variance = self._mu_given(tau)
            s2 = np.square(ERRORS)[:, None]
            keep = s2 / (s2 + tau**2)  # theta_j given mu: keep mu + (1 - keep) y_j, variance keep tau^2
            centre = keep * mean + (1 - keep) * np.array(EFFECTS)[:, None]
            spread = keep * tau**2 + keep**2 * variance
            first = np.vstack([mean, tau, centre])
            second = np.vstack([mean**2 + variance, tau**2, centre**2 + spread])
            return np.stack([first, second])

        first, second = self._log_tau.expectation(integrands)
        mean, sd = (torch.from_numpy(m).to(self._y) for m in (first, np.sqrt(second - first**2)))
        parts: dict[str, Any] = {"mu": 0, "tau": 1, "theta": slice(2, 10)}
        return {name: Moments(mean[where], sd[where]) for name, where in parts.items()}
