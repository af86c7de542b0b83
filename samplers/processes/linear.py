"""Linear Gaussian noising processes in closed form.

    dx = a(t) x dt + g(t) dW,   dW ~ N(0, C dt),   t = 0 data, t = horizon noise
    x_t | x_s ~ N(A x_s, V C),   A = exp(int_s^t a),   V = int_s^t g(u)^2 exp(2 int_u^t a) du

    VP                  a = -beta/2    g^2 = beta                  V = 1 - exp(-B)
    SubVP               a = -beta/2    g^2 = beta (1 - zeta_t^4)   V = (1 - exp(-B)) (1 - zeta_s^2 zeta_t^2)
    VE                  a = 0          g^2 = d sigma_t^2 / dt      V = sigma_t^2 - sigma_s^2
    OrnsteinUhlenbeck   a = -k         g^2 = 2 k sigma^2           V = sigma^2 (1 - exp(-2 k (t - s)))
    Brownian            a = 0          g^2 = sigma^2               V = sigma^2 (t - s)

beta is linear in t, B = int_s^t beta, zeta_t = exp(-1/2 int_0^t beta). Coefficients are float64; none is a difference
of close numbers, so that they keep their relative precision at tiny t and at tiny t - s. Song et al. 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.processes.base import Process
from targets.noise import Noise


@dataclass(frozen=True)
class VP(Process):
    """Variance preserving: dx = -beta/2 x dt + sqrt(beta) dW, x_t | x_0 ~ N(zeta x_0, (1 - zeta^2) C).

    beta(t) = beta_min + (beta_max - beta_min) t / horizon. N(0, C) is stationary. Ho et al. 2020; Song et al. 2021.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    horizon: float = 1.0
    noise: Noise | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_min > self.beta_max:
            raise ValueError(f"beta_min: got {self.beta_min:.6g}, expected at most beta_max = {self.beta_max:.6g}")

    def _limit(self) -> float | None:
        return 1.0

    @property
    def _slope(self) -> float:
        return (self.beta_max - self.beta_min) / self.horizon

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + self._slope * t

    def _integral(self, s: Tensor | float, t: Tensor) -> Tensor:
        """B = int_s^t beta."""
        return (t - s) * (self.beta_min + 0.5 * self._slope * (s + t))

    def _drift(self, t: Tensor) -> Tensor:
        return -0.5 * self._beta(t)

    def _log_scale(self, s: Tensor, t: Tensor) -> Tensor:
        return -0.5 * self._integral(s, t)

    def _diffusion(self, t: Tensor) -> Tensor:
        return self._beta(t).sqrt()

    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        return -torch.expm1(-self._integral(s, t))

    def _time_of(self, log_snr: Tensor) -> Tensor:
        return self._time_at(_log1p_exp(-log_snr))  # 1 / (exp(B) - 1) = exp(log_snr)

    def _time_at(self, integral: Tensor) -> Tensor:
        """t with int_0^t beta = B: the root of beta_min t + slope t^2 / 2 = B, without cancellation."""
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * self._slope * integral).sqrt())


@dataclass(frozen=True)
class SubVP(VP):
    """VP with less noise: dx = -beta/2 x dt + sqrt(beta (1 - zeta^4)) dW, x_t | x_0 ~ N(zeta x_0, (1 - zeta^2)^2 C).

    Its variance is below that of VP at every t and has the same limit. Song et al. 2021.
    """

    def _diffusion(self, t: Tensor) -> Tensor:
        return (-self._beta(t) * torch.expm1(-2 * self._integral(0.0, t))).sqrt()

    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        # p = zeta_s^2, q = exp(-B), zeta_t^2 = p q:  v_t - q v_s = (1 - p q)^2 - q (1 - p)^2 = (1 - q) (1 - p^2 q)
        both = self._integral(0.0, s) + self._integral(0.0, t)
        return torch.expm1(-self._integral(s, t)) * torch.expm1(-both)

    def _time_of(self, log_snr: Tensor) -> Tensor:
        # (2 sinh(B / 2))^-2 = exp(log_snr); far out, where exp would overflow, sinh is half an exponential
        half = torch.where(log_snr < -80, -0.5 * log_snr, torch.asinh(0.5 * torch.exp(-0.5 * log_snr)))
        return self._time_at(2 * half)


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding: dx = sqrt(d sigma_t^2 / dt) dW, x_t | x_0 ~ N(x_0, (sigma_t^2 - sigma_0^2) C).

    sigma_t = sigma_min (sigma_max / sigma_min)^(t / horizon). Song and Ermon 2019; Song et al. 2021.
    """

    sigma_min: float
    sigma_max: float
    horizon: float = 1.0
    noise: Noise | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min: got {self.sigma_min:.6g}, expected less than sigma_max = {self.sigma_max:.6g}"
            )

    @property
    def _growth(self) -> float:
        """d log sigma_t^2 / dt."""
        return 2 * math.log(self.sigma_max / self.sigma_min) / self.horizon

    def _diffusion(self, t: Tensor) -> Tensor:
        return self.sigma_min * math.sqrt(self._growth) * torch.exp(0.5 * self._growth * t)

    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        return self.sigma_min**2 * torch.exp(self._growth * s) * torch.expm1(self._growth * (t - s))

    def _time_of(self, log_snr: Tensor) -> Tensor:
        return _log1p_exp(-log_snr - 2 * math.log(self.sigma_min)) / self._growth


@dataclass(frozen=True)
class OrnsteinUhlenbeck(Process):
    """dx = -k x dt + sigma sqrt(2 k) dW with k = `rate`; N(0, sigma^2 C) is stationary. Uhlenbeck and Ornstein 1930."""

    rate: float = 1.0
    sigma: float = 1.0
    horizon: float = 1.0
    noise: Noise | None = None

    def _limit(self) -> float | None:
        return self.sigma**2

    def _drift(self, t: Tensor) -> Tensor:
        return torch.full_like(t, -self.rate)

    def _log_scale(self, s: Tensor, t: Tensor) -> Tensor:
        return -self.rate * (t - s)

    def _diffusion(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.sigma * math.sqrt(2 * self.rate))

    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        return -(self.sigma**2) * torch.expm1(-2 * self.rate * (t - s))

    def _time_of(self, log_snr: Tensor) -> Tensor:
        return _log1p_exp(-log_snr - 2 * math.log(self.sigma)) / (2 * self.rate)


@dataclass(frozen=True)
class Brownian(Process):
    """dx = sigma dW, x_t | x_0 ~ N(x_0, sigma^2 t C)."""

    sigma: float = 1.0
    horizon: float = 1.0
    noise: Noise | None = None

    def _diffusion(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.sigma)

    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        return self.sigma**2 * (t - s)

    def _time_of(self, log_snr: Tensor) -> Tensor:
        return torch.exp(-log_snr) / self.sigma**2


def _log1p_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to full relative precision; torch's softplus drops the 1 beyond a threshold."""
    return torch.logaddexp(torch.zeros_like(x), x)
