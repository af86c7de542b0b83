"""Random times at which a loss over a process is estimated, with their density p(t).

    int h(t) dt = E[h(t) / p(t)]     for any h on the times that p reaches

    UniformTimes     p constant on [least, horizon]
    LogSNRTimes      p proportional to g^2 / v on [least, horizon]: log-SNR l(t) = log(a^2 / v) is uniform
    DebiasedTimes    the same down to t = knee; below, p(t) dt = exp(-tail (l(t) - l(knee))) |dl|, down to t = 0

For every linear process dl/dt = -g^2 / v. Training on [least, horizon] leaves (0, least) out: what is learned there is
another objective than the likelihood's, and estimates of a bound are biased by that part of the integral.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.processes.base import Process
from targets.arguments import not_negative, positive, shown


class Times(ABC):
    """Independent times of a process, and their density: a frozen dataclass.

    A new one writes `start`, `at` and `density`. Times are independent, so that errors of estimates are known.

        >>> from samplers.generative import UniformTimes
        >>> from samplers.processes.linear import VP
        >>> t, density = UniformTimes(0.5).draw(VP(), 3, torch.Generator().manual_seed(0))
        >>> bool((t > 0.5).all()), density
        (True, tensor([2., 2., 2.], dtype=torch.float64))
    """

    @abstractmethod
    def start(self, process: Process) -> float:
        """The infimum of the times, 0 where all are reached; ValueError where it is not below the horizon."""

    @abstractmethod
    def at(self, process: Process, share: Tensor) -> Tensor:
        """The quantiles of p: the times before which this share of all lies; shares in (0, 1], times above 0."""

    @abstractmethod
    def density(self, process: Process, t: Tensor) -> Tensor:
        """p(t), in float64."""

    def draw(self, process: Process, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """n times and their density, (n,) in float64 on the generator's device."""
        self.start(process)
        share = 1 - torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        t = self.at(process, share)
        return t, self.density(process, t)


@dataclass(frozen=True)
class UniformTimes(Times):
    """p constant on [least, horizon], or on (0, horizon] with least = 0.

    Simple, and of great variance under weights that grow towards the data. least: of the time, not negative.

        >>> from samplers.generative import UniformTimes
        >>> UniformTimes(least=1e-3)
        UniformTimes(least=0.001)
    """

    least: float = 1e-5

    def __post_init__(self) -> None:
        not_negative(self.least, "least")

    def start(self, process: Process) -> float:
        """`least`."""
        return _below("least", self.least, process)

    def at(self, process: Process, share: Tensor) -> Tensor:
        """least + share (horizon - least)."""
        return (self.least + share * (process.horizon - self.least)).clamp(max=process.horizon)  # but for rounding

    def density(self, process: Process, t: Tensor) -> Tensor:
        """1 / (horizon - least)."""
        return torch.full_like(t, 1 / (process.horizon - self.least))


@dataclass(frozen=True)
class LogSNRTimes(Times):
    """p proportional to g^2 / v on [least, horizon]: the log signal-to-noise ratio is uniform.

    Of a weighted loss it takes out the variance that comes from g^2 / v. least: positive. Song, Durkan, Murray and
    Ermon 2021, https://arxiv.org/abs/2101.09258; Kingma, Salimans, Poole and Ho 2021, https://arxiv.org/abs/2107.00630.

        >>> from samplers.generative import LogSNRTimes
        >>> LogSNRTimes(least=1e-3)
        LogSNRTimes(least=0.001)
    """

    least: float = 1e-5

    def __post_init__(self) -> None:
        positive(self.least, "least")

    def start(self, process: Process) -> float:
        """`least`."""
        return _below("least", self.least, process)

    def at(self, process: Process, share: Tensor) -> Tensor:
        """The time at which l = l(horizon) + (1 - share) width."""
        last, width = _range(process, self.least)
        return process.time_of(last + (1 - share) * width)

    def density(self, process: Process, t: Tensor) -> Tensor:
        """(g^2 / v) / width."""
        return _rate(process, t) / _range(process, self.least)[1]


@dataclass(frozen=True)
class DebiasedTimes(Times):
    """p proportional to g^2 / v down to t = knee and to exp(-tail l) g^2 / v below: no time above 0 is left out.

    Estimates of an integral over (0, horizon] are unbiased. tail = 1 is the density of Huang, Lim and Courville 2021,
    https://arxiv.org/abs/2106.02808, that is all but constant below the knee where v grows like t. The term s . e /
    sqrt(v) of centred denoising score matching, times g^2, then has a variance that diverges like a logarithm; with
    any tail below 1 it is finite, and least with 1/2. knee, tail: positive; ValueError for a tail of 2 or more, with
    which the variance of a bounded score's square, times g^2, is infinite too.

        >>> from samplers.generative import DebiasedTimes
        >>> DebiasedTimes(knee=1e-2)
        DebiasedTimes(knee=0.01, tail=0.5)
    """

    knee: float = 1e-3
    tail: float = 0.5

    def __post_init__(self) -> None:
        positive(self.knee, "knee")
        if positive(self.tail, "tail") >= 2:
            raise ValueError(f"tail: got {shown(self.tail)}, expected less than 2")

    def start(self, process: Process) -> float:
        """0."""
        _below("knee", self.knee, process)
        return 0.0

    def at(self, process: Process, share: Tensor) -> Tensor:
        """The same up to l(knee), with `width` of the mass; beyond, in 1 / tail of it, l is exponential."""
        last, width = _range(process, self.knee)
        mass = width + 1 / self.tail
        tail = (share * mass * self.tail).clamp(max=1).log() / self.tail
        return process.time_of(last + ((1 - share) * mass).clamp(max=width) - tail)

    def density(self, process: Process, t: Tensor) -> Tensor:
        """(g^2 / v) exp(-tail max(0, l - l(knee))) / mass."""
        last, width = _range(process, self.knee)
        beyond = (process.log_snr(t) - last - width).clamp(min=0)
        return _rate(process, t) * torch.exp(-self.tail * beyond) / (width + 1 / self.tail)


def _range(process: Process, t: float) -> tuple[float, float]:
    """l(horizon) and l(t) - l(horizon)."""
    last = process.last_log_snr
    return last, float(process.log_snr(t)) - last


def _rate(process: Process, t: Tensor) -> Tensor:
    """-dl/dt = g^2 / v."""
    return process.diffusion(t).square() / process.variance(t)


def _below(argument: str, time: float, process: Process) -> float:
    if time >= process.horizon:
        raise ValueError(f"{argument}: got {time:.6g}, expected less than the horizon, {process.horizon:.6g}")
    return time
