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
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor

from samplers.kernels.base import noise_like
from targets.arguments import positive
from targets.noise import Noise

Time = float | Tensor


class Process(ABC):
    """A linear Gaussian process on [0, horizon], a frozen dataclass; the module states its law. noise: C, None for I.

    Times are numbers or tensors of any shape and device, best in float64, since float32 may round the horizon up;
    coefficients are float64 in that shape, those of several times in the shape they broadcast to. ValueError for a time
    outside [0, horizon] or times out of order, and for a field that is not positive. A new process writes the private
    methods that follow; their times are checked and float64.
    """

    horizon: float
    noise: Noise | None

    def __post_init__(self) -> None:
        for argument, value in list(vars(self).items()):
            if argument != "noise":
                object.__setattr__(self, argument, positive(value, argument))
        if self.noise is not None and not isinstance(self.noise, Noise):
            raise ValueError(f"noise: got {self.noise!r}, expected a targets.noise.Noise, or None for the identity")

    def _drift(self, t: Tensor) -> Tensor:
        """a(t); 0 where a process does not say."""
        return torch.zeros_like(t)

    def _log_scale(self, s: Tensor, t: Tensor) -> Tensor:
        """int_s^t a, likewise."""
        return torch.zeros_like(t - s)

    @abstractmethod
    def _diffusion(self, t: Tensor) -> Tensor:
        """g(t)."""

    @abstractmethod
    def _variance(self, s: Tensor, t: Tensor) -> Tensor:
        """Var(x_t | x_s) per unit of C."""

    @abstractmethod
    def _time_of(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr`."""

    def _limit(self) -> float | None:
        return None

    @property
    def stationary_variance(self) -> float | None:
        """The limit of Var(x_t) per unit of C as t grows without end; None where there is none."""
        return self._limit()

    def drift_coefficient(self, t: Time) -> Tensor:
        """a(t): the drift is a(t) x."""
        return self._drift(*self._times(t=t))

    def diffusion(self, t: Time) -> Tensor:
        """g(t)."""
        return self._diffusion(*self._times(t=t))

    def scale(self, t: Time) -> Tensor:
        """a_t = exp(int_0^t a): E[x_t | x_0] = a_t x_0."""
        return self.transition(0.0, t)[0]

    def variance(self, t: Time) -> Tensor:
        """v_t = Var(x_t | x_0) per unit of C."""
        return self.transition(0.0, t)[1]

    def transition(self, s: Time, t: Time) -> tuple[Tensor, Tensor]:
        """(A, V) of x_t | x_s ~ N(A x_s, V C), for s <= t."""
        s, t = self._times(s=s, t=t)
        return self._log_scale(s, t).exp(), self._variance(s, t)

    def bridge(self, s: Time, r: Time, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """(b, c, V) of x_r | x_s, x_t ~ N(b x_s + c x_t, V C), for s <= r <= t; at s = t that is x_s.

        With (A1, V1) from s to r, (A2, V2) from r to t and S = A2^2 V1 + V2:  b = A1 V2/S,  c = A2 V1/S,  V = V1 V2/S.
        """
        s, r, t = self._times(s=s, r=r, t=t)
        first, before = self._log_scale(s, r).exp(), self._variance(s, r)
        second, after = self._log_scale(r, t).exp(), self._variance(r, t)
        total = second.square() * before + after
        total = torch.where(total == 0, 1.0, total)
        free = torch.where(before == 0, 1.0, after / total)
        return first * free, second * (before / total), before * free

    def log_snr(self, t: Time) -> Tensor:
        """log(a_t^2 / v_t), decreasing; infinite at t = 0."""
        s, t = self._times(s=0.0, t=t)
        return 2 * self._log_scale(s, t) - self._variance(s, t).log()

    def time_of(self, log_snr: Time) -> Tensor:
        """The t at which `log_snr` has this value; ValueError for a value it takes only beyond the horizon."""
        log_snr = torch.as_tensor(log_snr, dtype=torch.float64)
        least = float(self.log_snr(self.horizon))
        _refuse(log_snr, ~(log_snr >= least), "log_snr", f"at least {least:.6g}, its value at the horizon")
        return self._time_of(log_snr).clamp(max=self.horizon)  # only rounding is beyond

    def diffuse(self, x: Tensor, s: Time, t: Time, generator: Generator) -> Tensor:
        """A draw of x_t given x_s = x, (*batch, dim), in its dtype; s and t broadcast to (*batch)."""
        scale, variance = (_by_row(coefficient, x) for coefficient in self.transition(s, t))
        if self.noise is None:
            return scale * x + variance.sqrt() * noise_like(x, generator)
        self.noise.check(x.shape[-1])
        return scale * x + variance.sqrt() * self.noise.sample_like(x, generator)

    def conditional_score(self, x_t: Tensor, x_s: Tensor, s: Time, t: Time) -> Tensor:
        """grad_{x_t} log q(x_t | x_s) = -C^-1 (x_t - A x_s) / V, (*batch, dim); s < t broadcast to (*batch)."""
        if x_s.shape != x_t.shape:
            raise ValueError(f"x_s: got shape {tuple(x_s.shape)}, expected that of x_t, {tuple(x_t.shape)}")
        scale, variance = self.transition(s, t)
        _refuse(variance, variance == 0, "s, t", "s < t: x_t has no density given x_s", "Var(x_t | x_s) = ")
        residual = x_t - _by_row(scale, x_t) * x_s
        if self.noise is not None:
            self.noise.check(x_t.shape[-1])
            residual = self.noise.solve(residual)
        return -residual / _by_row(variance, x_t)

    def _times(self, **times: Time) -> Iterator[Tensor]:
        """The times in float64, checked to lie in [0, horizon] and not to come after the next."""
        tensors = {name: torch.as_tensor(time, dtype=torch.float64) for name, time in times.items()}
        for name, time in tensors.items():
            _refuse(time, ~((time >= 0) & (time <= self.horizon)), name, f"a time in [0, {self.horizon:.6g}]")
        for (name, time), (later, end) in pairwise(tensors.items()):
            try:
                gap = time - end
            except RuntimeError:
                shapes = f"{tuple(time.shape)} and {tuple(end.shape)}"
                raise ValueError(f"{name}, {later}: got shapes {shapes}, expected shapes that broadcast") from None
            _refuse(gap, gap > 0, f"{name}, {later}", f"{name} <= {later}", f"{name} - {later} = ")
        return iter(tensors.values())


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


def _by_row(coefficient: Tensor, x: Tensor) -> Tensor:
    """One coefficient for each row of x, in its dtype and on its device, (*batch, 1)."""
    got, batch = tuple(coefficient.shape), tuple(x.shape[:-1])
    try:
        return coefficient.to(x).expand(batch)[..., None]
    except RuntimeError:
        raise ValueError(f"s, t: got shape {got}, expected one that broadcasts to {batch}, the rows of x") from None


def _refuse(values: Tensor, bad: Tensor, argument: str, expected: str, quantity: str = "") -> None:
    """ValueError that shows the first bad value; nothing is looked at on the meta device."""
    if not bad.is_meta and bool(bad.any()):
        raise ValueError(f"{argument}: got {quantity}{float(values[bad].flatten()[0]):.6g}, expected {expected}")
