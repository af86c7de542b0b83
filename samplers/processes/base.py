"""What a linear Gaussian noising process is: its law between any two times.

dx = a(t) x dt + g(t) dW,   dW ~ N(0, C dt),   t = 0 data, t = horizon noise
x_t | x_s ~ N(A x_s, V C),   A = exp(int_s^t a),   V = int_s^t g(u)^2 exp(2 int_u^t a) du
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import torch
from torch import Generator, Tensor

from samplers.runs.state import noise_like
from targets.arguments import positive, shown
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
            raise ValueError(
                f"noise: got {shown(self.noise)}, expected a targets.noise.Noise, or None for the identity"
            )

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

    @cached_property
    def last_log_snr(self) -> float:
        """That at the horizon, its least."""
        return float(self.log_snr(self.horizon))

    def time_of(self, log_snr: Time) -> Tensor:
        """The t at which `log_snr` has this value; ValueError for a value it takes only beyond the horizon."""
        log_snr = torch.as_tensor(log_snr, dtype=torch.float64)
        least = self.last_log_snr
        _refuse(log_snr, ~(log_snr >= least), "log_snr", f"at least {least:.6g}, its value at the horizon")
        return self._time_of(log_snr).clamp(max=self.horizon)  # only rounding is beyond

    def diffuse(self, x: Tensor, s: Time, t: Time, generator: Generator) -> Tensor:
        """A draw of x_t given x_s = x, (*batch, dim), in its dtype; s and t broadcast to (*batch)."""
        scale, variance = (by_row(coefficient, x) for coefficient in self.transition(s, t))
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
        residual = x_t - by_row(scale, x_t) * x_s
        if self.noise is not None:
            self.noise.check(x_t.shape[-1])
            residual = self.noise.solve(residual)
        return -residual / by_row(variance, x_t)

    def _times(self, **times: Time) -> Iterator[Tensor]:
        """The times in float64, checked to lie in [0, horizon] and not to come after the next."""
        tensors = {name: torch.as_tensor(time, dtype=torch.float64) for name, time in times.items()}
        for name, time in tensors.items():
            if isinstance(given := times[name], float) and 0 <= given <= self.horizon:
                continue  # as most are, and a number is looked at sooner than a tensor
            _refuse(time, ~((time >= 0) & (time <= self.horizon)), name, f"a time in [0, {self.horizon:.6g}]")
        for (name, time), (later, end) in pairwise(tensors.items()):
            if isinstance(given := times[name], float) and given == 0:
                continue  # no time is before 0
            try:
                gap = time - end
            except RuntimeError:
                shapes = f"{tuple(time.shape)} and {tuple(end.shape)}"
                raise ValueError(f"{name}, {later}: got shapes {shapes}, expected shapes that broadcast") from None
            _refuse(gap, gap > 0, f"{name}, {later}", f"{name} <= {later}", f"{name} - {later} = ")
        return iter(tensors.values())


def by_row(coefficient: Tensor, x: Tensor) -> Tensor:
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
