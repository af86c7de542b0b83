"""Where mixture potentials start: a Gaussian mixture for either end, and the bridge between each pair of components.

    T = argmin sum_ij T_ij C_ij + eps KL(T | p q)         shares of the pairs; C_ij the entropic cost of N_i and N_j
    S_ij, n_j + S_ij (x - m_i)                            the Gaussian bridge of a pair
    log c(x) = (|x|^2 / 2 - F_i) / eps near m_i           F, G the duals of T, which say what a pair weighs

For components that lie far apart, in units of their own size, the mixture of these bridges is the bridge.
Delon and Desolneux 2020, https://arxiv.org/abs/1907.05254, for transport between mixtures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.annealing.mixture_fit import Fit, fit_gaussian, fit_mixture
from samplers.generative.bridges.gaussian import slope
from samplers.generative.data import Samples

FITTED = 4000  # rows that mixtures are fitted to
SWEEPS = 500  # of the iterations for T
LEAST_SHARE = 1e-5  # of a pair


@dataclass(frozen=True, eq=False)
class Pieces:
    """A mixture potential by pieces: from x near m_k (K, dim) to n_k + S_k (x - m_k), S_k (K, dim, dim), or diagonals
    (K, dim), with log shares there, (K,). All in float64, from the origins of both ends.

        log a_k exp((x' S_k x + 2 r_k' x) / (2 eps)) = height_k + ((x - m_k)' S_k (x - m_k) + 2 n_k' (x - m_k)) / (2 eps)
    """

    here: Tensor
    there: Tensor
    matrices: Tensor
    heights: Tensor


def paired(start: Samples, end: Samples, noise: float, most: int, diagonal: bool, generator: Generator) -> tuple[Pieces, Pieces]:
    """The pieces forward and backward, at most `most` of them, for centred rows of both ends."""
    fits = [_fit(law, most, diagonal, generator) for law in (start, end)]
    (p, m, a), (q, n, b) = ((fit.weights, fit.means, _full(fit.covariances)) for fit in fits)
    i, j = (index.flatten() for index in torch.meshgrid(*(torch.arange(len(w), device=w.device) for w in (p, q)), indexing="ij"))
    ahead, behind = slope(a[i], b[j], noise), slope(b[j], a[i], noise)
    cost = 0.5 * ((m[i] - n[j]).square().sum(1) + _trace(a[i]) + _trace(b[j])) - _trace(a[i] @ ahead)
    cost = cost + 0.5 * noise * (_log_det(b[j]) - _log_det(noise * ahead))
    shares, f, g = _coupling(p, q, cost.reshape(len(p), len(q)), noise)
    kept = shares.flatten().argsort(descending=True)[:most]
    kept = kept[shares.flatten()[kept] > LEAST_SHARE]
    i, j, log_share = i[kept], j[kept], shares.flatten()[kept].log()

    def pieces(x: Tensor, cov: Tensor, y: Tensor, matrices: Tensor, given: Tensor, dual: Tensor) -> Pieces:
        squares = x.square().sum(1) + _trace(cov)
        heights = log_share - given.log() + (0.5 * (squares - _trace(matrices @ cov)) - dual) / noise
        return Pieces(x, y, matrices.diagonal(dim1=1, dim2=2) if diagonal else matrices, heights)

    return (
        pieces(m[i], a[i], n[j], ahead[kept], p[i], f[i]),
        pieces(n[j], b[j], m[i], behind[kept], q[j], g[j]),
    )


def _fit(law: Samples, most: int, diagonal: bool, generator: Generator) -> Fit:
    x = law.batch(FITTED, generator).double() if law.shares is not None else _some(law.x.double(), generator)
    if most == 1:
        mean, covariance = law.moments
        return Fit(mean.new_ones(1), mean[None], covariance.diagonal()[None] if diagonal else covariance[None])
    side = torch.rand(len(x), generator=generator, device=x.device) < 0.5
    fit = fit_mixture(x, side, generator)[0] if len(x) > 40 else fit_gaussian(x)
    if diagonal and not fit.diagonal:
        fit = Fit(fit.weights, fit.means, fit.covariances.diagonal(dim1=1, dim2=2))
    return fit


def _some(x: Tensor, generator: Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=generator, device=x.device)[:FITTED]]


def _coupling(p: Tensor, q: Tensor, cost: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """T = p q exp((F + G - C) / eps) with margins p and q, and F, G."""
    f, g = torch.zeros_like(p), torch.zeros_like(q)
    for _ in range(SWEEPS):
        f = -noise * (q.log() + (g - cost) / noise).logsumexp(1)
        g = -noise * (p.log()[:, None] + (f[:, None] - cost) / noise).logsumexp(0)
    return p[:, None] * q * ((f[:, None] + g - cost) / noise).exp(), f, g


def _full(covariances: Tensor) -> Tensor:
    return torch.diag_embed(covariances) if covariances.ndim == 2 else covariances


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def _log_det(matrices: Tensor) -> Tensor:
    return torch.linalg.slogdet(matrices)[1]
