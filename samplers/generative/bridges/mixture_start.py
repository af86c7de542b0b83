"""Where mixture potentials start: pairs of the components of either end, or cells of the end that is led to.

    pairs   Gaussian mixtures for both ends, and the Gaussian bridge between each pair of components (i, j), in shares
            T = argmin sum_ij T_ij C_ij + eps KL(T | p q),   C_ij the entropic cost between them
    cells   the end cut into cells (k-means), the plan between the start and the cells' middles by the same iteration,
            and the Gaussian bridge from what comes to a cell to the cell

Pairs are right for components far apart, in units of their size, whose slopes are gentle; cells for all else, as there
are more of them. The duals of either plan say what a piece weighs: log c(x) = (|x|^2 / 2 - F(x)) / eps. Each is tried
with slopes of several shares, since steep pieces win far away, where they are not meant; the least loss is taken.
Delon and Desolneux 2020, https://arxiv.org/abs/1907.05254, for transport between mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Generator, Tensor

from samplers.annealing.mixture_fit import Fit, fit_mixture, spread_centres
from samplers.generative.bridges.gaussian import slope
from samplers.generative.bridges.pieces import Pieces
from samplers.generative.data import Samples

FITTED = 2000  # rows of either end, and as many to judge by
SWEEPS = 100  # of the iteration for a plan
LLOYD = 15  # iterations for the cells
LEAST_SHARE = 1e-4  # of a pair or cell
SLOPES = (1.0, 0.5, 0.2, 0.05)
RIDGE = 1e-3  # of an end's variance, that every covariance is widened by


@dataclass(frozen=True, eq=False)
class Start:
    """Pieces, and the covariances (K, dim, dim) of the points that each begins with."""

    pieces: Pieces
    spread: Tensor


def first_pieces(
    start: Samples, end: Samples, noise: float, most: int, diagonal: bool, generator: Generator
) -> tuple[Pieces, Pieces]:
    """At most `most` pieces forward, and backward, for centred rows of both ends in float64."""
    if most == 1:
        return _of_moments(start, end, noise, diagonal), _of_moments(end, start, noise, diagonal)
    (x, more_x), (y, more_y) = (_two_parts(law, generator) for law in (start, end))
    sides = (torch.rand(len(rows), generator=generator, device=rows.device) < 0.5 for rows in (x, y))
    first, last = (fit_mixture(rows, side, generator)[0] for rows, side in zip((x, y), sides, strict=True))
    if len(first.weights) == len(last.weights) == 1:
        return _of_moments(start, end, noise, diagonal), _of_moments(end, start, noise, diagonal)
    ahead = [_pairs(first, last, noise, most), _cells(x, y, noise, most, generator)]
    behind = [_pairs(last, first, noise, most), _cells(y, x, noise, most, generator)]
    rows, judges = (x, y), (more_x, more_y)
    return (
        _best(ahead, noise, rows, judges, diagonal),
        _best(behind, noise, rows[::-1], judges[::-1], diagonal),
    )


def _best(
    starts: list[Start], noise: float, rows: tuple[Tensor, Tensor], judges: tuple[Tensor, Tensor], diagonal: bool
) -> Pieces:
    """The start with the least loss on rows that it has not seen, once its weights have settled on those it has."""
    found = []
    for start, share in product(starts, SLOPES):
        pieces = _diagonal(start.pieces) if diagonal else start.pieces
        found.append(pieces.flatter(share, start.spread, noise).settled(noise, *rows))
    return min(found, key=lambda pieces: pieces.loss(noise, *judges))


def _of_moments(start: Samples, end: Samples, noise: float, diagonal: bool) -> Pieces:
    """One piece, the bridge between the Gaussians of the moments."""
    (m, a), (n, b) = start.moments, end.moments
    if diagonal:
        a, b = (torch.diag(matrix.diagonal()) for matrix in (a, b))
    pieces = Pieces(m[None], n[None], slope(a, b, noise)[None], m.new_zeros(1))
    return _diagonal(pieces) if diagonal else pieces


def _diagonal(pieces: Pieces) -> Pieces:
    return Pieces(pieces.here, pieces.there, pieces.slopes.diagonal(dim1=1, dim2=2), pieces.heights)


def _pairs(start: Fit, end: Fit, noise: float, most: int) -> Start:
    (p, m, a), (q, n, b) = ((fit.weights, fit.means, _full(fit.covariances)) for fit in (start, end))
    i = torch.arange(len(p), device=p.device).repeat_interleave(len(q))
    j = torch.arange(len(q), device=p.device).repeat(len(p))
    slopes = slope(a[i], b[j], noise)
    # E|x - y|^2 / 2 and the mutual information of the bridge of each pair
    cost = 0.5 * ((m[i] - n[j]).square().sum(1) + _trace(a[i]) + _trace(b[j])) - _trace(a[i] @ slopes)
    cost = cost + 0.5 * noise * (_log_det(b[j]) - _log_det(noise * slopes))
    log_plan, f, _ = _coupling(p.log(), q.log(), cost.reshape(len(p), len(q)), noise)
    log_shares = log_plan.flatten()
    kept = log_shares.argsort(descending=True)[:most]
    kept = kept[log_shares[kept].exp() > LEAST_SHARE]
    i, j = i[kept], j[kept]
    squares = m[i].square().sum(1) + _trace(a[i])
    heights = log_shares[kept] - p[i].log() + (0.5 * (squares - _trace(slopes[kept] @ a[i])) - f[i]) / noise
    return Start(Pieces(m[i], n[j], slopes[kept], heights), a[i])


def _cells(x: Tensor, y: Tensor, noise: float, most: int, generator: Generator) -> Start:
    q, n, b = _moments_of_parts(_k_means(y, min(most, len(y) // 4), generator), y)
    cost = 0.5 * torch.cdist(x, n, compute_mode="donot_use_mm_for_euclid_dist").square()
    log_plan, _, g = _coupling(-x.new_full((len(x),), len(x)).log(), q.log(), cost, noise)
    shares, m, a = _moments_of_parts(log_plan.exp(), x)
    slopes = slope(a, b, noise)
    # q exp((G + <x, n> - |n|^2 / 2) / eps) at x = m, the plan's share of the cell times c(x)
    heights = q.log() + (g + (m * n).sum(1) - 0.5 * n.square().sum(1) - 0.5 * _trace(slopes @ a)) / noise
    kept = shares > LEAST_SHARE
    return Start(Pieces(m[kept], n[kept], slopes[kept], heights[kept]), a[kept])


def _coupling(log_p: Tensor, log_q: Tensor, cost: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """log T, F and G of T = p q exp((F + G - C) / eps), whose second margin is q and whose first tends to p."""
    f, g = torch.zeros_like(log_p), torch.zeros_like(log_q)
    for _ in range(SWEEPS):
        f = -noise * (log_q + (g - cost) / noise).logsumexp(1)
        g = -noise * (log_p[:, None] + (f[:, None] - cost) / noise).logsumexp(0)
    return log_p[:, None] + log_q + (f[:, None] + g - cost) / noise, f, g


def _k_means(y: Tensor, cells: int, generator: Generator) -> Tensor:
    """Shares (n, K) that are one in the cell of each row."""
    scale = y.std(0).mean()
    middles = spread_centres(y / scale, cells, generator) * scale
    for _ in range(LLOYD):
        inside = torch.nn.functional.one_hot(torch.cdist(y, middles).argmin(1), cells).to(y)
        inside = inside[:, inside.sum(0) > 0]
        middles, cells = inside.mT @ y / inside.sum(0)[:, None], inside.shape[1]
    return inside


def _moments_of_parts(shares: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shares (K,), means and covariances of parts of rows x, in shares (n, K). Few rows lean on what all parts have."""
    n, dim = x.shape
    total = shares / shares.sum()
    p = total.sum(0)
    means = total.mT @ x / p[:, None]
    centred = x[:, None] - means
    within = torch.einsum("nk,nki,nkj->kij", total, centred, centred)
    pooled = within.sum(0) + RIDGE * torch.diag(x.var(0))
    rows = p[:, None, None] * n
    return p, means, (within * n + (dim + 2) * pooled) / (rows + dim + 2)


def _two_parts(law: Samples, generator: Generator) -> tuple[Tensor, Tensor]:
    """FITTED rows and as many others, or two halves of fewer."""
    if law.shares is not None:
        return law.batch(FITTED, generator), law.batch(FITTED, generator)
    size = min(FITTED, len(law.x) // 2)
    order = torch.randperm(len(law.x), generator=generator, device=law.x.device)[: 2 * size]
    return law.x[order[:size]], law.x[order[size:]]


def _full(covariances: Tensor) -> Tensor:
    return torch.diag_embed(covariances) if covariances.ndim == 2 else covariances


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def _log_det(matrices: Tensor) -> Tensor:
    return torch.linalg.slogdet(matrices)[1]
