"""Inverse mass matrices against their definitions."""

import math

import pytest
import torch

import targets
from samplers.adaptation.mass_matrix import inverse_curvature, is_dense, usable, weighted_covariance

C = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)


def draws(n, seed=0):
    return targets.Gaussian(torch.zeros(2).double(), covariance=C).sample(
        n, generator=torch.Generator().manual_seed(seed)
    )


def test_a_repeated_point_weighs_as_often():
    x = draws(6)
    weights = torch.tensor([0.25, 0.25, 0.125, 0.125, 0.125, 0.125], dtype=torch.float64)
    repeated = torch.cat([x[:2], x])
    assert torch.allclose(weighted_covariance(x, weights, True), torch.cov(repeated.mT, correction=0))
    assert torch.allclose(weighted_covariance(x, weights, False), repeated.var(0, correction=0))


def test_scores_of_a_gaussian_give_its_covariance():
    """With weights for which the mean of s s' is C^-1 exactly: s at the columns of a square root of 2 C."""
    x = torch.linalg.cholesky(2 * C).mT
    score = -torch.linalg.solve(C, x.mT).mT
    half = torch.full((2,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(inverse_curvature(score, half, "dense", 10), C)
    torch.testing.assert_close(inverse_curvature(score, half, "auto", 10), 1 / torch.linalg.inv(C).diagonal())


def test_scores_that_say_nothing_of_a_coordinate_give_no_matrix():
    score = torch.ones(40, 2, dtype=torch.float64) * torch.tensor([1.0, 0.0])
    for form in ("auto", "dense", "diagonal"):
        assert inverse_curvature(score, None, form, 10) is None


def test_points_still_far_out_have_no_say():
    score = torch.cat([torch.ones(99, 1), torch.full((1, 1), 1e6)]).double()
    assert inverse_curvature(score, None, "diagonal", 10) == pytest.approx(1.0)


def test_a_dense_matrix_needs_rows_and_few_dimensions():
    assert is_dense("auto", 500, 5_000, 10)
    assert not is_dense("auto", 500, 4_999, 10)
    assert not is_dense("auto", 501, math.inf, 10)
    assert is_dense("dense", 501, 1, 10)
    assert not is_dense("diagonal", 1, math.inf, 10)
    assert not is_dense(None, 1, math.inf, 10)


def test_what_cannot_be_a_mass_matrix_is_left_out():
    singular = torch.ones(2, 2, dtype=torch.float64)
    assert usable(C) is C
    assert usable(singular).tolist() == [1.0, 1.0]
    for bad in ([0.0, 1.0], [math.nan, 1.0], [math.inf, 1.0]):
        variances = torch.tensor(bad, dtype=torch.float64)
        assert usable(variances) is None
        assert usable(torch.diag(variances)) is None
