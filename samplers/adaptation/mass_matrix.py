"""Inverse mass matrices C: from points, from scores, and when a dense one is determined.

    C = sum_i w_i (x_i - m) (x_i - m)',    m = sum_i w_i x_i                  the width of the whole
    C^-1 = E[s s'] = -E[grad^2 log p],     s = grad log p                     the width of what is locally there

A dense matrix needs more rows than dimensions, and many more where rows depend on one another; else C is diagonal.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST_DENSE_DIM = 500  # products with a dense factor cost more than they save beyond
FAR = 4.0  # times the median squared score


def is_dense(form: str | None, dim: int, rows: float, rows_per_dim: float) -> bool:
    """Whether a matrix is to be dense: asked for so, or "auto" and determined by `rows`, so many for each dimension.

    rows_per_dim: 10 of independent points; 20 of chains, whose states a step apart are alike.
    """
    return form == "dense" or (form == "auto" and dim <= MOST_DENSE_DIM and rows >= rows_per_dim * dim)


def is_positive_definite(matrix: Tensor) -> bool:
    """Whether a symmetric (dim, dim) has a Cholesky factor."""
    return bool(matrix.isfinite().all()) and int(torch.linalg.cholesky_ex(matrix)[1]) == 0


def usable(matrix: Tensor) -> Tensor | None:
    """The matrix where it is positive definite, else its diagonal (dim,) where that is positive, else None."""
    if matrix.ndim == 2:
        if is_positive_definite(matrix):
            return matrix
        matrix = matrix.diagonal()
    return matrix if bool((matrix > 0).all() & matrix.isfinite().all()) else None


def weighted_covariance(x: Tensor, weights: Tensor, dense: bool) -> Tensor:
    """Covariance (dim, dim), or variances (dim,), of points (n, dim) under weights (n,) of sum one, in float64."""
    points = x.double()
    centred = points - weights @ points
    return centred.mT @ (weights[:, None] * centred) if dense else weights @ centred.square()


def inverse_curvature(score: Tensor, weights: Tensor | None, form: str, rows_per_dim: float) -> Tensor | None:
    """(E[s s'])^-1 from scores (n, dim), dense or diagonal as `is_dense`; None where they determine neither.

    weights: (n,) of sum one; None: equal, and robust: points still far out, with the largest scores, have no say.
    """
    n, dim = score.shape
    if weights is None:
        far = score.square().sum(1)
        weights = (far <= FAR * far.median()).to(score)
        weights = weights / weights.sum()
    weighed = weights.to(score)[:, None] * score
    if is_dense(form, dim, n, rows_per_dim):
        factor, failed = torch.linalg.cholesky_ex(score.mT @ weighed)
        if int(failed) == 0 and is_positive_definite(matrix := torch.cholesky_inverse(factor)):
            return matrix
    return usable(1 / (score * weighed).sum(0))
