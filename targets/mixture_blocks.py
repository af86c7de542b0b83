"""Blocks of coordinates that are independent of one another, each with a Gaussian mixture, and with noise on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Blocks:
    """B blocks of d coordinates each, with mixtures of K components that are independent of one another.

    index (B, d): the coordinates. weights (B, K), means (B, K, d), covariances (B, K, d, d): the mixtures.
    """

    index: Tensor
    weights: Tensor
    means: Tensor
    covariances: Tensor

    def mapped(self, means: Tensor, covariances: Tensor) -> Blocks:
        """These with other means and covariances."""
        return Blocks(self.index, self.weights, means, covariances)

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def responsibilities(self, x: Tensor) -> Tensor:
        """Of the components for blocks of points (B, n, d), (B, n, K)."""
        factors = torch.linalg.cholesky(self.covariances)
        white = torch.linalg.solve_triangular(factors, (x[:, None] - self.means[:, :, None]).mT, upper=False)
        log_det = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return ((self.weights.log() - log_det)[..., None] - 0.5 * white.square().sum(2)).softmax(1).mT


@dataclass(frozen=True, eq=False)
class NoisedBlocks:
    """Blocks on their way to noise: x_t = a x_0 + sqrt(1 - a^2) xi, x_0 from the mixtures; a = 1 is no noise.

    Along the principal axes e of a component its covariance is diagonal at every a. Components and coordinates come
    first, so that sums over them run along contiguous memory.
    index (d, B). log_weights (K, B). means, and along the axes centres and variances, (K, d, B). axes (K, d, e, B).
    """

    index: Tensor
    log_weights: Tensor
    means: Tensor
    centres: Tensor
    variances: Tensor
    axes: Tensor

    @classmethod
    def of(cls, blocks: Blocks) -> NoisedBlocks:
        """In the dtype of the blocks."""
        variances, axes = torch.linalg.eigh(blocks.covariances)  # (B, K, d), (B, K, d, e)
        if blocks.index.shape[1] == 1:
            axes = torch.ones_like(axes)
        centres = torch.einsum("bkde,bkd->bke", axes, blocks.means)
        found = (
            blocks.index.mT,
            blocks.weights.log().mT,
            blocks.means.permute(1, 2, 0),
            centres.permute(1, 2, 0),
            variances.permute(1, 2, 0),
            axes.permute(1, 2, 3, 0),
        )
        return cls(*(value.contiguous() for value in found))

    def state(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device, dtype: torch.dtype) -> NoisedBlocks:
        """These on another device and in another dtype."""
        place = {name: value.to(device, dtype) for name, value in self.state().items() if name != "index"}
        return replace(self, index=self.index.to(device), **place)

    def _parts(self, a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """log(w_k N(x; ..)) (K, s, n, B), and the pull (m - x) / v along the axes (K, d, s, n, B)."""
        x = torch.stack([x[..., row] for row in self.index])  # (d, s, n, B)
        scale = a[:, 0, 0, None, None].square()  # (s, 1, 1)
        variances = scale * self.variances[:, :, None, None] + (1 - scale)  # (K, d, s, 1, B)
        turned = x[None] if len(x) == 1 else torch.einsum("kdeb,dsnb->kesnb", self.axes, x)
        away = a[:, 0, 0, None, None] * self.centres[:, :, None, None] - turned
        pull = away / variances
        constant = self.log_weights[:, None, None] - 0.5 * (2 * math.pi * variances).log().sum(1)
        return constant - 0.5 * (away * pull).sum(1), pull

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        """log q_a of the blocks together at x (s, n, dim), for a (s, 1, 1), (s, n)."""
        return self._parts(a, x)[0].logsumexp(0).sum(-1)

    def write_score(self, a: Tensor, x: Tensor, score: Tensor) -> Tensor:
        """`log_prob`; the score of these blocks' coordinates goes to `score` (s, n, dim)."""
        logits, pull = self._parts(a, x)
        top = logits.amax(0)
        shares = (logits - top).exp()
        total = shares.sum(0)
        weighted = (shares / total)[:, None] * pull
        one = len(self.index) == 1
        found = weighted.sum(0) if one else torch.einsum("kdeb,kesnb->dsnb", self.axes, weighted)
        for row, part in zip(self.index, found, strict=True):
            score[..., row] = part
        return (total.log() + top).sum(-1)

    def write_draws(self, x: Tensor, generator: Generator) -> None:
        """Draws of the blocks' coordinates, into x (n, dim)."""
        n, (d, b) = len(x), self.index.shape
        weights = self.log_weights.exp().mT  # (B, K)
        which = torch.multinomial(weights, n, replacement=True, generator=generator).mT  # (n, B)
        noise = torch.randn(n, d, b, generator=generator, dtype=x.dtype, device=x.device)

        def of(values: Tensor) -> Tensor:
            """(K, d, B) of the chosen components, (n, d, B)."""
            return values.gather(0, which[:, None].expand(n, d, b))

        spread = of(self.variances).sqrt() * noise
        if d > 1:
            rows = torch.arange(b, device=x.device)
            spread = torch.einsum("nbde,neb->ndb", self.axes.permute(0, 3, 1, 2)[which, rows], spread)
        drawn = of(self.means) + spread
        for row, part in zip(self.index, drawn.unbind(1), strict=True):
            x[:, row] = part


def sum_of(values: Sequence[Tensor]) -> Tensor:
    """Of tensors of one shape."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).sum(0)
