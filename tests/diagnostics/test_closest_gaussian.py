"""The closest Gaussians in KL, in W2 and how far they are in the Fourier metric."""

import math

import closest_gaussian_cases as cases
import pytest
import torch
from closest_gaussian_cases import COIN, F64
from seeded_bugs_closest_gaussian import BUGS

import targets
from samplers import Draws
from samplers.diagnostics import closest_gaussian, fourier_bounds, quantile_gaussian, transported_gaussian

CHECKS = [value for name, value in vars(cases).items() if name.startswith("check_")]
GAUSSIAN = targets.Gaussian([0.0, 0.0])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_closest(check):
    check()


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_draws_count_by_their_weights():
    x, log_weights = cases.weighted(2, n=20, dim=1)
    draws = Draws(x[None], log_weights=log_weights[None])
    for distance in ("kl", "w2"):
        mine, other = closest_gaussian(draws, distance), closest_gaussian(x, distance, log_weights=log_weights)
        assert torch.equal(mine.mean, other.mean)
        assert torch.equal(mine.covariance, other.covariance)
    chains = Draws(x.reshape(4, 5, 1))
    assert torch.equal(closest_gaussian(chains).covariance, closest_gaussian(x).covariance)


def test_the_dtype_is_that_of_the_law():
    assert closest_gaussian(COIN.float(), "w2").dtype == torch.float32
    assert closest_gaussian(COIN).dtype == F64
    assert closest_gaussian(targets.Gaussian([0.0]), "w2").dtype == torch.float32


def test_the_same_seed_transports_alike():
    x = torch.randn(50, 2, generator=cases.seeded(0), dtype=F64)
    first, again = (transported_gaussian(x, points=32, seed=5) for _ in range(2))
    assert first[1:] == again[1:]
    assert torch.equal(first.gaussian.covariance, again.gaussian.covariance)


WRONG = {
    r"distance: got 'tv', expected 'kl' or 'w2'": lambda: closest_gaussian(COIN, "tv"),
    r"law: got list, expected a Target, points \(n, dim\) or samplers.Draws": lambda: closest_gaussian([1.0, 2.0]),
    r"law: got points of shape \(2,\), expected \(n, dim\)": lambda: closest_gaussian(COIN[:, 0]),
    r"law: got (nan|inf|-inf) in row [01], column 0, expected finite points": lambda: closest_gaussian(COIN / 0),
    r"log_weights: got 3 numbers, expected 2, one for each point": lambda: closest_gaussian(
        COIN, log_weights=torch.zeros(3)
    ),
    r"log_weights: got some beside a target": lambda: closest_gaussian(GAUSSIAN, log_weights=torch.zeros(3)),
    r"log_weights: got some beside draws": lambda: closest_gaussian(Draws(COIN[None]), log_weights=torch.zeros(2)),
    r"law: got 2 points on a hyperplane of 2 dim": lambda: closest_gaussian(torch.eye(2)),
    r"law: got points in 2 dimensions, expected 1: in W2": lambda: closest_gaussian(torch.eye(2), "w2"),
    r"law: got [0-9]+ points that are all the same, expected points that differ": lambda: closest_gaussian(
        COIN[:1], "w2"
    ),
    r"law: got Banana, whose mean and covariance are not known": lambda: closest_gaussian(Unknown(2, name="Banana")),
    r"law: got Ising in 9 dimensions, expected a Gaussian": lambda: closest_gaussian(targets.Ising((3, 3)), "w2"),
    r"quantiles: got none, expected a function": lambda: quantile_gaussian(),
    r"quantiles: got 3 as number 1, expected a function": lambda: quantile_gaussian(lambda u: u, 3),
    r"quantiles: got mean .* from number 1, expected s > 0": lambda: quantile_gaussian(lambda u: u, lambda u: -u),
    r"gaussian: got the mean \[0.5\], expected that of the law": lambda: fourier_bounds(COIN, targets.Gaussian([0.5])),
    r"gaussian: got dim 2, expected 1": lambda: fourier_bounds(COIN, GAUSSIAN),
    r"gaussian: got Tensor, expected a targets.Gaussian": lambda: fourier_bounds(COIN, COIN),
    r"law: got Banana, which has no exact draws": lambda: transported_gaussian(Unknown(2, name="Banana")),
    r"points: got 1, expected an integer of at least 2": lambda: transported_gaussian(COIN, points=1),
}


class Unknown(targets.Target):
    """A target of which nothing is known."""


@pytest.mark.parametrize("message", WRONG)
def test_wrong_input_is_told(message):
    with pytest.raises((TypeError, ValueError), match=message):
        WRONG[message]()


def test_quantiles_that_are_none_of_a_law_with_a_variance():
    for quantile in (lambda u: 3.0, lambda u: math.tan(math.pi * (u - 0.5)), lambda u: math.nan):
        with pytest.raises(ValueError, match=r"^quantiles: "):
            quantile_gaussian(quantile)


def test_a_gaussian_of_single_precision_is_that_of_its_points():
    x = torch.randn(100, 1, generator=torch.Generator().manual_seed(0)) + 1e4
    assert fourier_bounds(x, closest_gaussian(x)).lower < 1e-2


def test_weights_may_be_a_list_and_are_no_nan():
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    assert float(closest_gaussian(x, log_weights=[0.0, 0.0, 0.0]).mean) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="log_weights: got .*nan.*, expected no NaN"):
        closest_gaussian(x, log_weights=torch.tensor([0.0, math.nan, 0.0]))


def test_what_is_transported_has_the_mean_of_the_law():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = transported_gaussian(x, points=24, repetitions=2).gaussian
    torch.testing.assert_close(found.mean, x.mean(0))
    assert fourier_bounds(x, found).upper > 0
    law = targets.Gaussian([1.0, -2.0], [1.0, 3.0])
    torch.testing.assert_close(transported_gaussian(law, points=24, repetitions=2).gaussian.mean, law.mean)
