"""Metrics and their estimates with one mistake each, of the kinds that are really made; each calls the check of it.

Most kernels stay exact with them, for the Metropolis test knows the move: so the identities are what rejects them.
"""

import torch
from bug_register import Bugs
from metric_cases import check_diagonal, check_geometric_mean, check_products, low_rank, low_rank_matrix

from samplers.adaptation import fisher
from samplers.adaptation.metrics import LowRank

BUGS = Bugs()


def product(**methods):
    """The check of a low-rank metric with other methods."""
    check_products(low_rank(type("Wrong", (LowRank,), methods)), low_rank_matrix())


@BUGS.add("the inverse of the values in place of the values")
def _():
    product(_longer=property(lambda self: self.directions * (self.values.rsqrt() - 1)))


@BUGS.add("a missing square root of the values")
def _():
    product(_longer=property(lambda self: self.directions * (self.values - 1)))


@BUGS.add("the score by the inverse metric")
def _():
    product(sqrt_transposed=LowRank.whiten_transposed)


@BUGS.add("L in place of its transpose")
def _():
    product(sqrt_transposed=LowRank.sqrt)


@BUGS.add("directions in the units of x")
def _():
    def sqrt(self, z):
        scaled = z * self.scales
        return scaled + (scaled @ self.directions) @ self._longer.mT

    product(sqrt=sqrt)


@BUGS.add("a determinant of L, not of C")
def _():
    product(log_det=property(lambda self: self.scales.log().sum() + 0.5 * self.values.log().sum()))


@BUGS.add("a determinant without the directions")
def _():
    product(log_det=property(lambda self: 2 * self.scales.log().sum()))


@BUGS.add("the geometric mean of the inverses")
def _():
    check_geometric_mean(lambda a, b: fisher.geometric_mean(b, a))


@BUGS.add("the mean of both in place of the geometric mean")
def _():
    check_geometric_mean(lambda a, b: 0.5 * (a + torch.linalg.inv(b + 1e-8 * torch.eye(len(b)).to(b))))


@BUGS.add("a geometric mean without the square root")
def _():
    check_geometric_mean(lambda a, b: torch.linalg.solve(b + 1e-8 * torch.eye(len(b)).to(b), a))


@BUGS.add("a ridge on the draws alone")
def _():
    def mean(a, b):
        return fisher.geometric_mean(a + 1e-3 * torch.eye(len(a)).to(a), b)

    check_geometric_mean(mean)


@BUGS.add("a ridge on the inverse of the scores' covariance")
def _():
    def mean(a, b):
        eye = torch.eye(len(a)).to(a)
        return fisher.geometric_mean(a, torch.linalg.pinv(torch.linalg.pinv(b) + 1e-3 * eye))

    check_geometric_mean(mean)


@BUGS.add("variances without the square root")
def _():
    check_diagonal(lambda x, score: x / score)


@BUGS.add("variances by the scores alone")
def _():
    check_diagonal(lambda x, score: 1 / score)
