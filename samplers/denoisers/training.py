"""How a denoising network is trained: on draws of the target, or on another denoiser's estimates.

    loss = mean |F(y, sigma) - F*|^2,   F* the residual that makes D(y, sigma) the draw x, or the estimate of E[X | y]

Both are least where D(y, sigma) = E[X | y]. sigma is uniform on the logarithmic scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from samplers.denoisers.base import Estimate
from samplers.denoisers.fitting import Fitting
from samplers.denoisers.network import DenoisingNetwork

HELD_OUT = 10  # one example in ten is for validation
SAMPLING_STEPS = 32


class Examples(NamedTuple):
    """Measurements y (n, dim) at levels sigma (n,), what D should be there (n, dim), and the variance of its error."""

    y: Tensor
    sigma: Tensor
    x: Tensor
    variance: Tensor

    def rows(self, index: Tensor) -> Examples:
        """Some of them."""
        return Examples(*(values[index] for values in self))

    @classmethod
    def all_of(cls, parts: list[Examples]) -> Examples:
        """Several as one."""
        return cls(*(torch.cat(values) for values in zip(*parts, strict=True)))


Source = Callable[[int], Examples]
Ask = Callable[[Tensor, float], Estimate]


class Training(Fitting[DenoisingNetwork, Examples]):
    """A denoising network in training."""

    def loss(self, batch: Examples) -> Tensor:
        """The mean square of the residual's error."""
        wanted = self.network.wanted(batch.y, batch.sigma, batch.x)
        return (self.network.residual(batch.y, batch.sigma) - wanted).square().mean()

    def noisy(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x + sigma xi."""
        return x + sigma[:, None] * torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)

    def levels(self, n: int) -> Tensor:
        """n levels of the noise, log-uniform, one in each of n equal parts."""
        low, high, mean = self.network.low, self.network.high, self.network.mean
        uniform = torch.rand(n, generator=self.generator, dtype=mean.dtype, device=mean.device)
        place = (torch.arange(n, device=mean.device) + uniform) / n
        return low * (high / low) ** place

    @torch.no_grad()
    def sample(self, x: Tensor) -> Tensor:
        """Noise of the highest level is put on x and taken away in steps by the network as it is.

        From sigma to s: y' = D + (s / sigma)^2 (y - D) + s sqrt(1 - (s / sigma)^2) xi.
        """
        low, high = self.network.low, self.network.high
        sigma = torch.full_like(x[:, 0], high)
        y = self.noisy(x, sigma)
        for k in range(1, SAMPLING_STEPS + 1):
            ratio = (low / high) ** (1 / SAMPLING_STEPS)
            clean = self.network(y, sigma)
            y = clean + ratio**2 * (y - clean)
            sigma = torch.full_like(sigma, high * (low / high) ** (k / SAMPLING_STEPS))
            y = self.noisy(y, sigma * math.sqrt(1 - ratio**2))
        return self.network(y, sigma)


def on_draws(training: Training, draws: Tensor) -> float:
    """Denoising score matching on draws (n, dim); the loss on those held out."""
    order = torch.randperm(len(draws), generator=training.generator, device=draws.device)
    held, taught = draws[order[: len(draws) // HELD_OUT]], draws[order[len(draws) // HELD_OUT :]]

    def batch(n: int, source: Tensor = taught) -> Examples:
        x, sigma = source[training.some(len(source), n)], training.levels(n)
        return Examples(training.noisy(x, sigma), sigma, x, torch.zeros_like(x))

    training.run(batch, training.iterations)
    training.averaged()
    with torch.no_grad():
        return float(training.loss(batch(max(4096, len(held)), held)))


def on_energy(training: Training, ask: Ask, x: Tensor, fresh: bool, rounds: int, levels: int) -> tuple[float, float]:
    """Estimates at measurements of x, (n, dim): the loss on those held out, and the part of it that is their own error.

    fresh: after each round x is replaced by what the network itself then samples.
    """
    known: list[Examples] = []
    held: list[Examples] = []
    for round_ in range(rounds):
        found = _examples(training, ask, x, levels)
        out = torch.arange(len(found.y), device=x.device) % HELD_OUT == 0
        held.append(found.rows(out))
        known.append(found.rows(~out))
        pool = Examples.all_of(known)

        def batch(n: int, pool: Examples = pool) -> Examples:
            return pool.rows(training.some(len(pool.y), n))

        done = training.iterations * round_ // rounds
        training.run(batch, training.iterations * (round_ + 1) // rounds - done)
        if fresh and round_ < rounds - 1:
            x = training.sample(x)
            if not bool(x.isfinite().all()):
                raise RuntimeError("fit: the network in training samples points that are not finite; lower lr")
    training.averaged()
    test = Examples.all_of(held)
    with torch.no_grad():
        scale = training.network.coefficients(test.sigma)[1]
        own = torch.linalg.vecdot(test.variance, 1 / scale.square()).mean() / scale.shape[1]
        return float(training.loss(test)), float(own)


def _examples(training: Training, ask: Ask, x: Tensor, levels: int) -> Examples:
    """Estimates at measurements of x, a part of the rows at each of some levels; those not trusted are left out."""
    parts = []
    for some, sigma in zip(x.chunk(levels), training.levels(levels).tolist(), strict=False):
        level = torch.full_like(some[:, 0], sigma)
        y = training.noisy(some, level)
        found = ask(y, sigma)
        rows = found.mean.isfinite().all(-1)
        if found.trusted is not None:
            rows &= found.trusted
        if 2 * int(rows.sum()) < len(y):
            raise RuntimeError(
                f"denoiser: it believes {int(rows.sum())} of {len(y)} of its estimates at noise {sigma:.3g}; "
                "expected at least half, as a network knows nothing of where it has no examples"
            )
        variance = torch.zeros_like(y) if found.error is None else found.error.square() @ training.network.axes.square()
        parts.append(Examples(y, level, found.mean, variance).rows(rows))
    return Examples.all_of(parts)
