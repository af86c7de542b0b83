"""Metrics, estimates of them, and what must hold of each: the tests and the seeded bugs share these checks."""

import torch

import targets
from samplers.adaptation import fisher
from samplers.adaptation.metrics import Dense, Diagonal, LowRank

F64 = torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def covariance(dim, seed=1):
    factor = random(dim, dim, seed=seed)
    return factor @ factor.mT / dim + 0.1 * torch.eye(dim, dtype=F64)


def low_rank(kind=LowRank):
    """Seven dimensions, two directions: one wide, one narrow."""
    directions = torch.linalg.qr(random(7, 2, seed=2))[0]
    return kind(random(7, seed=3).exp(), directions, torch.tensor([25.0, 0.1], dtype=F64))


def low_rank_matrix():
    """C of it by its definition."""
    metric = low_rank()
    scales, u = metric.scales.diag(), metric.directions
    return scales @ (torch.eye(7, dtype=F64) + u @ (metric.values - 1).diag() @ u.mT) @ scales


METRICS = {
    "diagonal": lambda: (Diagonal(random(7).exp()), random(7).exp().diag()),
    "dense": lambda: (Dense(covariance(7)), covariance(7)),
    "low-rank": lambda: (low_rank(), low_rank_matrix()),
}


def check_products(metric, matrix):
    """All products against the matrix: C = L L', and what undoes each."""
    eye = torch.eye(len(matrix), dtype=F64)
    factor = metric.sqrt(eye).mT  # rows are images of the unit vectors
    torch.testing.assert_close(factor @ factor.mT, matrix)
    torch.testing.assert_close(metric.sqrt_transposed(eye), factor)
    torch.testing.assert_close(metric.whiten(eye).mT, torch.linalg.inv(factor))
    torch.testing.assert_close(metric.whiten_transposed(eye), torch.linalg.inv(factor))
    torch.testing.assert_close(metric.apply(eye), matrix)
    torch.testing.assert_close(metric.solve(eye), torch.linalg.inv(matrix))
    torch.testing.assert_close(metric.log_det, torch.linalg.slogdet(matrix)[1])


def check_geometric_mean(mean=fisher.geometric_mean):
    """M B M = A; the inverse where A and B change places; and one where neither says anything."""
    a, b = covariance(6, seed=4), covariance(6, seed=5)
    found = mean(a, b)
    torch.testing.assert_close(found @ b @ found, a, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found @ mean(b, a), torch.eye(6, dtype=F64), rtol=1e-5, atol=1e-5)
    silent = torch.diag(torch.tensor([4.0, 0.0], dtype=F64))
    torch.testing.assert_close(mean(silent, silent.clone()), torch.eye(2, dtype=F64), rtol=1e-5, atol=1e-5)


def check_diagonal(estimate=fisher.diagonal):
    """The variances of a Gaussian without correlation, from draws of any law: here of one five times as wide."""
    variances = random(5).exp()
    x = 5 * random(20, 5, seed=6) * variances.sqrt()
    torch.testing.assert_close(estimate(x.var(0), (x / variances).var(0)), variances)


def stiff(dim=400, count=5, variance=1e-3):
    """N(0, I) but for some directions at random."""
    along = torch.linalg.qr(random(dim, count, seed=7))[0]
    matrix = torch.eye(dim, dtype=F64) - (1 - variance) * along @ along.mT
    return targets.Gaussian(torch.zeros(dim, dtype=F64), covariance=matrix), matrix


def condition(metric, matrix):
    """The condition number of the covariance in whitened coordinates: leapfrogs grow as its root."""
    white = metric.whiten(metric.whiten(matrix).mT.contiguous())
    values = torch.linalg.eigvalsh(0.5 * (white + white.mT))
    return float(values[-1] / values[0])
