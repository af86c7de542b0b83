"""Metrics C from draws x and scores s = grad log p: those of the least Fisher divergence.

    F(C) = E (s + C^-1 (x - m))' C (s + C^-1 (x - m)) = tr C B + tr C^-1 A - 2 d,     A = Cov(x),  B = Cov(s)

    diagonal   C_i = sqrt(A_ii / B_ii)
    dense      C B C = A:  the geometric mean of A and B^-1
    low-rank   the diagonal one, and the geometric mean in the span of some directions, where its values are not one

F is the divergence of N(m, C) from p. Where p is a Gaussian all three need few draws, wherever these are: s says of the
covariance what x does not yet. The directions are those in which x + s, both in the units of the diagonal metric, is
longest: where C is right, x + s vanishes. Seyboldt, Carlson and Carpenter 2026,
https://arxiv.org/abs/2603.18845, whose directions are those of x and of s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samplers.adaptation.mass_matrix import usable
from samplers.adaptation.metrics import LowRank, Metric

CUTOFF = 2.0  # a direction whose value is nearer to one is left to the diagonal
RIDGE = 1e-8  # of covariances in the units of the diagonal metric, so that both have an inverse
ROWS_PER_DIRECTION = 10
MOST_DIRECTIONS = 128
POWER_ITERATIONS = 3  # of the first directions; one each time that they are renewed
SWEEPS = 5  # of the directions given the diagonal, and of the diagonal given the directions, at most
LEAST_GAIN = 2e-3  # of F + 2 d, below which there is no further sweep
SPARE = 8  # directions beside twice those that were kept, when they are renewed
SHARE = 4  # the diagonal is taken beside at most dim / 4 directions, which leave something of every coordinate
AMONG = 0.1  # of the variance of a coordinate: below it, the rest beside the directions says little of its scale


def estimate(form: str, x: Tensor, score: Tensor, weights: Tensor | None = None) -> Tensor | LowRank | None:
    """The metric of rows x and scores (n, dim) in a form: (dim,), (dim, dim) or low-rank, in float64.

    form: "diagonal", "dense", or "low-rank". weights: (n,), of sum one; None: equal. A dense matrix takes ten rows a
    dimension, and is the diagonal one before. None where a coordinate has no width.
    """
    x, score = _centred(x, weights), _centred(score, weights)
    n = len(x) if weights is None else float(1 / weights.square().sum())
    variances = diagonal(x.square().sum(0), score.square().sum(0))
    if variances is None or form == "diagonal":
        return variances
    if form == "low-rank":
        return low_rank(x, score, variances, min(x.shape[1], MOST_DIRECTIONS, int(n / ROWS_PER_DIRECTION)))
    return dense(x.mT @ x, score.mT @ score, n)


def diagonal(x: Tensor, score: Tensor) -> Tensor | None:
    """sqrt(x / score) of variances (dim,); that of x where the score does not vary. None where x does not either."""
    return usable(torch.where(score > 0, (x / score).sqrt(), x))


def dense(x: Tensor, score: Tensor, rows: float) -> Tensor | None:
    """The geometric mean of covariances x and score^-1, (dim, dim); the diagonal metric where it takes more rows."""
    variances = diagonal(x.diagonal(), score.diagonal())
    if variances is None or rows < ROWS_PER_DIRECTION * len(x):
        return variances
    scales = variances.sqrt()
    return usable(scales[:, None] * geometric_mean(x / scales.outer(scales), score * scales.outer(scales)) * scales)


def low_rank(x: Tensor, score: Tensor, variances: Tensor, most: int) -> LowRank:
    """That of rows (n, dim) whose sums of squares are variances, from at most so many directions."""
    scales, basis = variances.sqrt(), None
    found = LowRank(scales, x.new_zeros(len(scales), 0), x.new_zeros(0))
    least = float(divergence(found, x, score))
    for _ in range(SWEEPS if most else 0):
        z, pull = x / scales, score * scales
        basis = leading(z + pull, most, None if basis is None else basis[:, :most])
        within, pulled = z @ basis, pull @ basis
        values, vectors = torch.linalg.eigh(geometric_mean(within.mT @ within, pulled.mT @ pulled))
        order = values.log().abs().argsort(descending=True)
        values, vectors = values[order], torch.linalg.qr(basis @ vectors[:, order])[0]
        made = LowRank.from_eigen(scales, vectors, values, CUTOFF)
        gain = 1 - float(divergence(made, x, score)) / least
        if gain > 0:
            found, least = made, least * (1 - gain)
        if not gain > LEAST_GAIN:
            break
        most = min(most, 2 * made.rank + SPARE)
        # the diagonal of what is beside the directions that differ most from it, which before was that of all
        basis, u = vectors, vectors[:, : len(scales) // SHARE]
        rest, rest_pull = ((one - one @ u @ u.mT).square().sum(0) for one in (z, pull))
        scales = scales * ((rest + AMONG) / (rest_pull + AMONG)).pow(0.25)
    return found


def divergence(metric: Metric, x: Tensor, score: Tensor) -> Tensor:
    """F + 2 d, from centred rows (n, dim) whose products are covariances."""
    return metric.sqrt_transposed(score).square().sum() + metric.whiten(x).square().sum()


def geometric_mean(x: Tensor, score: Tensor) -> Tensor:
    """M with M (score + r I) M = x + r I, positive definite: of covariances (k, k), with a small ridge r."""
    ridge = RIDGE * torch.eye(len(x), dtype=x.dtype, device=x.device)
    factor = torch.linalg.cholesky(score + ridge)
    middle = factor.mT @ (x + ridge) @ factor
    values, vectors = torch.linalg.eigh(middle)
    root = torch.linalg.solve_triangular(factor.mT, vectors * values.clamp_min(0).pow(0.25), upper=True)
    return root @ root.mT


def leading(rows: Tensor, count: int, basis: Tensor | None = None) -> Tensor:
    """An orthonormal basis (dim, count) of nearly the directions in which rows (n, dim) are longest.

    By subspace iteration, from some of the rows or once from a basis nearby, without a product of dim x dim; all
    directions where `count` is dim.
    """
    n, dim = rows.shape
    if count >= dim:
        return torch.eye(dim, dtype=rows.dtype, device=rows.device)
    iterations = POWER_ITERATIONS if basis is None else 1
    if basis is None:
        basis = torch.linalg.qr(rows[:: max(1, n // count)][:count].mT)[0]
    for _ in range(iterations):
        basis = torch.linalg.qr(rows.mT @ (rows @ basis))[0]
    return basis


def _centred(rows: Tensor, weights: Tensor | None) -> Tensor:
    """Less their mean, in float64, so that their products are covariances."""
    rows = rows.double()
    if weights is None:
        return (rows - rows.mean(0)) / len(rows) ** 0.5
    return (rows - weights @ rows) * weights[:, None].sqrt()


def of_covariance(form: str, matrix: Tensor) -> Tensor | LowRank:
    """The metric of a known covariance (dim, dim), which scores would say the same of."""
    if form == "diagonal":
        return matrix.diagonal().clone()
    if form == "dense":
        return matrix
    scales = matrix.diagonal().double().sqrt()
    values, vectors = torch.linalg.eigh(matrix.double() / scales.outer(scales))
    return LowRank.from_eigen(scales, vectors, values, CUTOFF).to(matrix.device, matrix.dtype)
