"""A product of Gaussian mixtures fitted to points: which coordinates depend on each other, a mixture for each block.

Two coordinates depend on each other where Legendre polynomials of their ranks are correlated (Neyman's smooth test of
independence): of n pairs with independent coordinates, n sum_ab r_ab^2 follows chi^2(DEGREE^2). Blocks are the
connected parts of the graph of pairs that exceed what chance gives the largest of all pairs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from torch import Generator, Tensor

from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

DEGREE = 4  # of the polynomials
CHANCE = 1e-6  # that independent coordinates show any dependence
MOST_COORDINATES = 4  # of a block
SIZES = (1, 2, 4, 8)
ITERATIONS = 100
TOLERANCE = 1e-4  # nats a point and block, between iterations
PRIOR_POINTS = 2.0  # points, besides the dimension, by which a component's covariance leans on the pooled one
LEAST_POINTS = 20  # a component, on one side
FEWEST_BLOCKS = 2


def dependence(x: Tensor, effective: float) -> Tensor:
    """Which coordinates of points (n, dim), worth `effective` independent ones, depend on each other, (dim, dim)."""
    n, dim = x.shape
    u = 2 * (x.argsort(0).argsort(0).double() + 0.5) / n - 1  # ranks, uniform on (-1, 1)
    polynomials = [torch.ones_like(u), u]
    for k in range(1, DEGREE):
        polynomials.append(((2 * k + 1) * u * polynomials[k] - k * polynomials[k - 1]) / (k + 1))
    features = torch.stack([math.sqrt(2 * k + 1) * polynomials[k] for k in range(1, DEGREE + 1)], -1)
    features = (features - features.mean(0)) / features.std(0, unbiased=False)
    features = features.reshape(n, dim * DEGREE)
    r = (features.mT @ features / n).reshape(dim, DEGREE, dim, DEGREE)
    pairs = max(1, dim * (dim - 1) // 2)
    return effective * r.square().sum((1, 3)) > float(chi2.isf(CHANCE / pairs, DEGREE**2))


def blocks_of(dependent: Tensor) -> list[Tensor]:
    """The connected parts of a graph (dim, dim), each as sorted indices."""
    parts, label = connected_components(dependent.cpu().numpy(), directed=False)
    return [torch.from_numpy(np.flatnonzero(label == part)).to(dependent.device) for part in range(parts)]


def fit_product(x: Tensor, families: Tensor, side: Tensor, generator: Generator) -> tuple[MixtureProduct, float] | None:
    """The product for points (n, dim) in float64, and the mean log-density of those off `side` (n,) where it is fitted
    to those on it; None where coordinates do not fall into blocks of MOST_COORDINATES at most.

    Each block has the number of components that is best by the points off the side, and stays together only where
    that is better by them than a mixture for each of its coordinates. families (n,): points of one are not independent.
    """
    counts = families.bincount().double()
    effective = float(counts.sum() ** 2 / counts.square().sum())
    parts = blocks_of(dependence(x, effective))
    if len(parts) < FEWEST_BLOCKS or max(len(part) for part in parts) > MOST_COORDINATES:
        return None
    if min(int(side.sum()), int((~side).sum())) < LEAST_POINTS:
        return None
    alone = torch.arange(x.shape[1], device=x.device)[:, None]
    sizes, values = _best_sizes(_of_blocks(x, alone), side, generator)
    chosen: dict[tuple[int, int], list[Tensor]] = {}  # blocks by number of coordinates and of components
    total = 0.0
    for d in sorted({len(part) for part in parts}):
        index = torch.stack([part for part in parts if len(part) == d])  # (B, d)
        if d == 1:
            together, value = sizes[index[:, 0]], values[index[:, 0]]
        else:
            together, value = _best_sizes(_of_blocks(x, index), side, generator)
        apart = values[index].sum(1)
        for block, k, own, single in zip(index, together.tolist(), value.tolist(), apart.tolist(), strict=True):
            total += max(own, single)
            if d > 1 and own > single:
                chosen.setdefault((d, k), []).append(block)
            else:
                for i in block:
                    chosen.setdefault((1, int(sizes[i])), []).append(i[None])
    groups = []
    for (_, k), found in chosen.items():
        index = torch.stack(found)
        groups.append(Blocks(index, *expectation_maximisation(_of_blocks(x, index), k, generator)))
    return MixtureProduct(groups, dtype=x.dtype), total


def _of_blocks(x: Tensor, index: Tensor) -> Tensor:
    """The coordinates of blocks (B, d) of points (n, dim), (B, n, d)."""
    return x[:, index].transpose(0, 1)


def _best_sizes(points: Tensor, side: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Of blocks (B, n, d) the number of components, and the mean held-out log-density, (B,) each."""
    here, there = points[:, side], points[:, ~side]
    best = points.new_full((len(points),), -math.inf)
    size = torch.ones(len(points), dtype=torch.long, device=points.device)
    open_ = torch.ones_like(size, dtype=torch.bool)  # blocks whose last size was their best
    for k in SIZES:
        if k > 1 and here.shape[1] < k * LEAST_POINTS:
            break
        value = torch.full_like(best, -math.inf)
        value[open_] = log_density(there[open_], *expectation_maximisation(here[open_], k, generator)).mean(1)
        better = value > best
        best, size = torch.where(better, value, best), torch.where(better, k, size)
        open_ = open_ & (better | (k == 1))
        if not bool(open_.any()):
            break
    return size, best


def expectation_maximisation(x: Tensor, size: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """weights (B, K), means (B, K, d), covariances (B, K, d, d) of blocks of points (B, n, d), fitted at once."""
    middle, scale = x.mean(1, keepdim=True), x.std(1, keepdim=True).clamp_min(1e-300)
    z = (x - middle) / scale
    shares = torch.nn.functional.one_hot(_first_parts(z, size, generator), size).to(z)
    previous = z.new_full((len(z),), -math.inf)
    for _ in range(ITERATIONS):
        weights, means, covariances = _maximise(z, shares)
        joint = log_joint(z, weights.log(), means, torch.linalg.cholesky(covariances))
        total = joint.logsumexp(2)
        shares = (joint - total[..., None]).exp()
        value = total.mean(1)
        if float((value - previous).max()) < TOLERANCE:
            break
        previous = value
    return weights, means * scale + middle, covariances * scale[..., None] * scale[..., None].mT


def _first_parts(z: Tensor, size: int, generator: Generator) -> Tensor:
    """Where components begin, (B, n): equal slices of a line, else the nearest of centres that are drawn far apart."""
    b, n, d = z.shape
    if d == 1:
        return z[..., 0].argsort(1).argsort(1) * size // n
    rows = torch.arange(b, device=z.device)
    distance = z.new_ones(b, n)
    distances = []
    for _ in range(size):
        centres = z[rows, torch.multinomial(distance + 1e-300, 1, generator=generator)[:, 0]]
        distances.append((z - centres[:, None]).square().sum(2))
        distance = torch.minimum(distance, distances[-1]) if len(distances) > 1 else distances[0]
    return torch.stack(distances, -1).argmin(-1)


def _maximise(z: Tensor, shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, d = z.shape[1:]
    counts = shares.sum(1) + 1e-10  # (B, K)
    means = shares.mT @ z / counts[..., None]
    centred = z[:, :, None] - means[:, None]  # (B, n, K, d)
    scatter = torch.einsum("bnk,bnki,bnkj->bkij", shares, centred, centred)
    pooled = scatter.sum(1, keepdim=True) / n + 1e-6 * torch.eye(d).to(z)
    points = PRIOR_POINTS + (d if d > 1 else 0)
    covariances = (scatter + points * pooled) / (counts + points)[..., None, None]
    return counts / counts.sum(1, keepdim=True), means, covariances


def log_joint(z: Tensor, log_weights: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """log w_k N(z; m_k, L_k L_k') of blocks of points (B, n, d), (B, n, K)."""
    away = (z[:, None] - means[:, :, None]).mT  # (B, K, d, n)
    one = away.shape[2] == 1
    white = away / factors if one else torch.linalg.solve_triangular(factors, away, upper=False)
    log_det = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * z.shape[-1] * math.log(2 * math.pi)
    return ((log_weights - log_det)[..., None] - 0.5 * white.square().sum(2)).mT


def log_density(x: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Of blocks of points (B, n, d), (B, n)."""
    return log_joint(x, weights.log(), means, torch.linalg.cholesky(covariances)).logsumexp(2)
