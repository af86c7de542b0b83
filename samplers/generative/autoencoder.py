"""An autoencoder with a Gaussian code: the encoder q(z | x), the decoder p(x | z), and the loss of both.

    q(z | x) = N(m, s^2),   (m, log s) = A y + a + N(y)         y: what is seen of x, standardised
    p(x | z) = prod_j p(x_j | mu_j, sigma_j),   mu = W z + N'(z)        `samplers.generative.column_likelihood`
    loss = E_q[-log p(x | z)] + KL(q(z | x) || N(0, I))

Where training starts N and N' are zero, and A, a, W and sigma those of probabilistic principal components,

    W = U (L - v)^(1/2),   A = L^-1 W',   s^2 = v / L,   sigma^2 = v

L and U the largest eigenvalues and their vectors of the covariance of y, v the mean of the others: of real columns the
loss is then the exact -log p(x) of that model, which is the best of linear ones. Kingma and Welling 2014; Tipping and
Bishop 1999.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from samplers.generative.column_likelihood import ColumnLikelihood
from samplers.generative.columns import Column, shares_of
from samplers.generative.training import Training
from samplers.networks.linear import Linear
from targets.arguments import check_integer, shown

LEAST_VARIANCE = 1e-6  # v, where training starts, of rows that have fewer components than the code


@dataclass(frozen=True)
class Autoencoder:
    """What an autoencoder shall be, and how it is trained: see the module.

    size: of the code, below the number of columns. width, blocks: of N and N', with so many hidden layers.
    iterations, training: as of `ScoreDiffusion`, for the autoencoder alone; the validation rows are those of the
    diffusion, whose `Training` says how many. ValueError for numbers below 1, iterations aside.
    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; Tipping and Bishop 1999,
    https://doi.org/10.1111/1467-9868.00196.

        >>> from samplers.generative import Autoencoder
        >>> Autoencoder(size=2).width
        128
    """

    size: int = 16
    width: int = 128
    blocks: int = 1
    iterations: int = 2000
    training: Training = field(default_factory=lambda: Training(batch=256))

    def __post_init__(self) -> None:
        for name in ("size", "width", "blocks"):
            check_integer(getattr(self, name), name)
        check_integer(self.iterations, "iterations", 0)
        if not isinstance(self.training, Training):
            raise TypeError(f"training: got {shown(self.training)}, expected a samplers.generative.Training")


class AutoencoderNetwork(nn.Module):
    """Encoder and decoder of columns of these kinds; like: whose dtype and device it has."""

    def __init__(
        self, kinds: Sequence[Column], size: int, width: int, blocks: int, like: Tensor, generator: Generator
    ) -> None:
        super().__init__()
        dim = len(kinds)
        if size >= dim:
            raise ValueError(f"size: got {size}, expected a code of fewer numbers than the {dim} columns")
        self.size, self.columns = size, ColumnLikelihood(kinds, like)
        self.encoder = _Map(dim, 2 * size, width, blocks, generator).to(like)
        self.decoder = _Map(size, dim, width, blocks, generator).to(like)
        self.log_sigma = nn.Parameter(like.new_zeros(dim))

    @torch.no_grad()
    def begin(self, x: Tensor, shares: Tensor | None) -> None:
        """Principal components of the training rows x (n, dim) of these weights."""
        each = shares_of(x, shares)
        self.columns.standardise(x, each)
        y = self.columns.seen(x.double())
        variances, vectors = torch.linalg.eigh((each[:, None] * y).mT @ y)
        rest, kept = variances[: -self.size].mean().clamp_min(LEAST_VARIANCE), variances[-self.size :]
        kept = torch.maximum(kept, rest * (1 + 1e-6))
        out = vectors[:, -self.size :] * (kept - rest).sqrt()
        self.decoder.straight.weight.copy_(out)
        self.encoder.straight.weight.copy_(torch.cat([(out / kept).mT, torch.zeros_like(out.mT)]))
        self.encoder.straight.bias.copy_(torch.cat([torch.zeros_like(kept), 0.5 * (rest / kept).log()]))
        self.log_sigma.fill_(0.5 * float(rest.log()))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m and log s, (n, size) each."""
        m, log_s = self.encoder(self.columns.seen(x)).chunk(2, -1)
        return m, log_s

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), (n,) in float64."""
        return self.columns.log_prob(x, self.decoder(z), self.log_sigma)


class _Map(nn.Module):
    """A x + a + a network of hidden layers, zero at first."""

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, generator: Generator) -> None:
        super().__init__()
        self.straight = Linear(inputs, outputs, generator)
        self.into = Linear(inputs, width, generator)
        self.hidden = nn.ModuleList(Linear(width, width, generator) for _ in range(blocks - 1))
        self.out = Linear(width, outputs, generator, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        h = self.into(x)
        for layer in self.hidden:
            h = h + layer(nn.functional.silu(h))
        found: Tensor = self.straight(x) + self.out(nn.functional.silu(h))
        return found


def drawn(m: Tensor, log_s: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """z ~ N(m, s^2), and log q(z), (n,) in float64."""
    noise = torch.randn(m.shape, generator=generator, dtype=m.dtype, device=m.device)
    log_q = -(0.5 * (noise.square() + math.log(2 * math.pi)) + log_s).double().sum(-1)
    return m + log_s.exp() * noise, log_q


def loss_of_rows(network: AutoencoderNetwork, x: Tensor, generator: Generator) -> Tensor:
    """The loss of the module for each row, (n,), from one draw of the code."""
    m, log_s = network.encode(x)
    z, _ = drawn(m, log_s, generator)
    divergence = 0.5 * (m.square() + (2 * log_s).exp() - 1 - 2 * log_s).double().sum(-1)
    return divergence - network.log_likelihood(x, z)
