"""A network D(y, sigma) for E[X | y] at Gaussian noise of every level in a range.

    D(y, sigma) = E (c_skip z + c_out F(c_in z, log sigma)) + m,     z = E'(y - m)
    c_skip = s^2 / (sigma^2 + s^2),   c_out = sigma s / sqrt(sigma^2 + s^2),   c_in = 1 / sqrt(sigma^2 + s^2)

m, E and s^2 are the mean, the principal axes and the variances of X: with F = 0, where training starts, D is exact for
a Gaussian X. F is a residual network of unit inputs and outputs. Karras, Aittala, Aila and Laine 2022.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from samplers.networks.linear import Linear

FREQUENCIES = 8


class Block(nn.Module):
    """h + B silu(A h + features of sigma + context)."""

    def __init__(self, width: int, generator: Generator, context: int = 0) -> None:
        super().__init__()
        self.first = Linear(width, width, generator)
        self.level = Linear(2 * FREQUENCIES, width, generator, 0.5)
        self.second = Linear(width, width, generator, 0.5)
        self.context = Linear(context, width, generator, 0.5) if context else None

    def forward(self, h: Tensor, features: Tensor, context: Tensor | None = None) -> Tensor:
        """(n, width), (n, features) and, where there is one, a context (n, size) -> (n, width)."""
        hidden = self.first(h) + self.level(features)
        if self.context is not None:
            hidden = hidden + self.context(context)
        return h + self.second(nn.functional.silu(hidden))


class DenoisingNetwork(nn.Module):
    """See the module. low, high: the range of sigma; mean: (dim,), covariance: (dim, dim) of X, perhaps estimated.

    context: how many numbers F is given beside z and sigma, such as those of a condition; every block takes them.
    """

    mean: Tensor
    axes: Tensor
    sd: Tensor
    frequencies: Tensor

    def __init__(
        self,
        mean: Tensor,
        covariance: Tensor,
        low: float,
        high: float,
        generator: Generator,
        width: int = 128,
        blocks: int = 3,
        context: int = 0,
    ) -> None:
        super().__init__()
        dim = len(mean)
        self.low, self.high = low, high
        self.sizes = {"low": low, "high": high, "width": width, "blocks": blocks}
        variances, axes = torch.linalg.eigh(covariance.to(torch.float64))
        least = 1e-6 * low**2  # the law of a single point has c_skip = 0
        self.register_buffer("mean", mean.clone())
        self.register_buffer("axes", axes.to(mean))
        self.register_buffer("sd", variances.clamp_min(least).sqrt().to(mean))
        steps = torch.arange(1, FREQUENCIES + 1, device=mean.device, dtype=mean.dtype)
        self.register_buffer("frequencies", 0.5 * math.pi * steps)
        self.into = Linear(dim, width, generator)
        self.blocks = nn.ModuleList(Block(width, generator, context) for _ in range(blocks))
        self.out = Linear(width, dim, generator, 0.0)
        self.to(mean)

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in, (n, dim) each, along the principal axes."""
        variance, total = self.sd.square(), self.sd.square() + sigma[:, None].square()
        return variance / total, sigma[:, None] * self.sd / total.sqrt(), total.rsqrt()

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """(n, dim) and (n,) -> (n, dim)."""
        skip, out, _ = self.coefficients(sigma)
        z = (y - self.mean) @ self.axes
        return self.mean + (skip * z + out * self.residual(y, sigma)) @ self.axes.mT

    def residual(self, y: Tensor, sigma: Tensor, context: Tensor | None = None) -> Tensor:
        """F, (n, dim); context: (n, size)."""
        place = (2 * torch.log(sigma / self.low) / math.log(self.high / self.low) - 1)[:, None]
        angles = place * self.frequencies
        features = torch.cat([angles.sin(), angles.cos()], -1)
        h = self.into(self.inputs(y, sigma))
        for block in self.blocks:
            h = block(h, features, context)
        return self.out(nn.functional.silu(h))

    def inputs(self, y: Tensor, sigma: Tensor) -> Tensor:
        """c_in z, (n, dim)."""
        return self.coefficients(sigma)[2] * ((y - self.mean) @ self.axes)

    def wanted(self, y: Tensor, sigma: Tensor, x: Tensor) -> Tensor:
        """What F should be where D should be x: of unit variance for a Gaussian X."""
        skip, out, _ = self.coefficients(sigma)
        return ((x - self.mean) @ self.axes - skip * ((y - self.mean) @ self.axes)) / out
