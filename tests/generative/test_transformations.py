"""Transformations of data: log-Jacobians by automatic differentiation, bounds of probabilities, what is refused."""

import math

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, seeded

from samplers.generative import Bounded, Categorical, Chain, Columns, Levels, Ordinal, Positive, Real, Standardisation


def test_jacobians_and_inverses():
    cases.check_jacobians()


def test_ordinal():
    cases.check_ordinal()


def test_levels():
    cases.check_levels()


def test_levels_learn_the_frequencies_of_the_rows():
    cases.check_frequencies()
    given = Levels(0, 1, probabilities=(0.25, 0.75))
    assert given.learned(torch.zeros(3), None) is given
    assert Real().learned(torch.zeros(3), None) == Real()


def test_a_level_that_is_hardly_ever_seen():
    """Cells at both ends of 1e-12 come back, at finite u."""
    kind = Levels(0, 2, probabilities=(1e-12, 1 - 2e-12, 1e-12))
    x = torch.arange(3.0, dtype=F64).repeat(1000)
    u, c = kind.encode(x, seeded())
    assert bool(u.isfinite().all() & c.isfinite().all())
    assert torch.equal(kind.decode(u), x)


def test_categorical():
    cases.check_categorical()


@pytest.mark.parametrize("whiten", [True, False])
def test_standardised_moments(whiten):
    x = (
        torch.randn(500, 3, dtype=F64, generator=seeded())
        @ torch.tensor([[3.0, 1, 0], [0, 1, 0.2], [0, 0, 2]]).double()
    )
    mean, covariance = x.mean(0), torch.cov(x.mT, correction=0)
    u, _ = Standardisation.of(mean, covariance, whiten).forward(x)
    found = torch.cov(u.mT, correction=0)
    torch.testing.assert_close(found if whiten else torch.diag(found.diagonal()), torch.eye(3, dtype=F64))
    torch.testing.assert_close(u.mean(0), torch.zeros(3, dtype=F64), atol=1e-12, rtol=0.0)


def test_float32_far_from_zero():
    """Data in float32 at 1e6 with unit deviation: standardised in float64, not after rounding to the shift's digits."""
    x = 1e6 + torch.arange(8.0)[:, None]
    standard = Standardisation([1e6 + 0.123456], [1.0])
    u, c = standard.forward(x)
    torch.testing.assert_close(u.double()[:, 0], torch.arange(8.0).double() - 0.123456, rtol=1e-6, atol=0.0)
    assert u.dtype == torch.float32
    assert c.dtype == F64
    assert torch.equal(standard.inverse(u), x)


def test_values_next_to_an_end_come_back():
    for dtype in (torch.float32, F64):
        x = torch.tensor([[1e-6], [0.5], [1 - 1e-6]], dtype=dtype)
        columns = Columns([Bounded(0.0, 1.0)])
        torch.testing.assert_close(columns.inverse(columns.forward(x)[0]), x, rtol=1e-6, atol=1e-7)
    inside = Columns([Bounded(0.0, 1.0)]).inverse(torch.tensor([[-200.0], [200.0]]))
    assert bool(((inside > 0) & (inside < 1)).all())


def test_many_levels_come_back():
    """Noise never carries a value into the next cell, also in float32 and with 2^16 levels."""
    columns = Columns([Ordinal(0, 255), Ordinal(-5, 65_000)])
    x = torch.stack([torch.randint(0, 256, (50_000,), generator=seeded()), torch.arange(50_000)], -1).to(F64)
    assert torch.equal(columns.inverse(columns.forward(x, seeded(1))[0]), x)
    u, _ = columns.forward(x.float(), seeded(1))
    assert u.dtype == torch.float32
    assert torch.equal(columns.inverse(u)[:, 0], x[:, 0].float())


def test_mixed_columns():
    kinds = Columns([Real(), Categorical(3), Ordinal(0, 4)])
    x = torch.tensor([[0.5, 2.0, 4.0], [-1.0, 0.0, 0.0]], dtype=F64)
    u, c = kinds.forward(x, seeded())
    assert u.shape == (2, kinds.size) == (2, 5)
    assert c.shape == (2,)
    assert torch.equal(kinds.inverse(u), x)
    both = Chain([kinds, Standardisation(torch.zeros(5), torch.full((5,), 2.0))])
    torch.testing.assert_close(both.forward(x, seeded())[1], c - 5 * math.log(2.0))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Bounded(0.0, 1.0), 1.0, r"x: got 1 in column 1, expected a number inside \(0, 1\); .* wider interval"),
        (Bounded(0.0, 1.0), math.nan, "x: got nan in column 1"),
        (Positive(), 0.0, "x: got 0 in column 1, expected a positive number"),
        (Real(), math.inf, "x: got inf in column 1, expected a finite number"),
        (Ordinal(0, 9), 2.5, "x: got 2.5 in column 1, expected an integer from 0 to 9"),
        (Ordinal(0, 9), 10.0, "x: got 10 in column 1, expected an integer from 0 to 9"),
        (Levels(0, 9), 2.5, "x: got 2.5 in column 1, expected an integer from 0 to 9"),
        (Categorical(3), 3.0, "x: got 3 in column 1, expected one of 0, .., 2"),
        (Categorical(3), -1.0, "x: got -1 in column 1, expected one of 0, .., 2"),
    ],
)
def test_values_that_a_column_does_not_take(kind, value, message):
    with pytest.raises(ValueError, match=message):
        Columns([Real(), kind]).forward(torch.tensor([[0.0, value]]), seeded())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bounded(1.0, 1.0), ValueError, "low, high: got 1.0 and 1.0, expected finite numbers, low < high"),
        (lambda: Bounded(0.0, math.inf), ValueError, "low, high: got 0.0 and inf"),
        (lambda: Ordinal(3, 3), ValueError, "high: got 3, expected an integer of at least 4"),
        (lambda: Ordinal(0.5, 3), ValueError, "low: got 0.5, expected an integer"),
        (lambda: Levels(3, 3), ValueError, "high: got 3, expected an integer of at least 4"),
        (lambda: Levels(0, 65_536), ValueError, "low, high: got 65537 levels, expected 65536 at most; take Ordinal"),
        (lambda: Levels(0, 1, (0.5, 0.4)), ValueError, "probabilities: got 2 of sum 0.9, expected 2 positive numbers"),
        (lambda: Levels(0, 1, (1.0,)), ValueError, "probabilities: got 1 of sum 1, expected 2 positive numbers"),
        (lambda: Columns([Levels(0, 1)]).learned(torch.full((2, 1), 7.0)), ValueError, "x: got 7 in column 0"),
        (lambda: Categorical(1), ValueError, "categories: got 1, expected an integer of at least 2"),
        (lambda: Columns(["real"]), TypeError, "kinds: got 'real', expected a samplers.generative.Column"),
        (lambda: Columns([Ordinal(0, 3)]).forward(torch.ones(2, 1)), ValueError, "generator: got None, expected one"),
        (lambda: Columns([Real()]).forward(torch.ones(2, 3)), ValueError, r"x: got shape \(2, 3\), expected \(n, 1\)"),
        (lambda: Columns([Real()]).inverse(torch.ones(2)), ValueError, r"u: got shape \(2,\), expected \(n, 1\)"),
        (lambda: Standardisation([0.0], [0.0]), ValueError, "factor: expected positive numbers"),
        (lambda: Standardisation([0.0], [math.nan]), ValueError, "factor: holds non-finite values"),
        (lambda: Standardisation([0.0], [1.0, 2.0]), ValueError, r"shift, factor: got shapes \(1,\) and \(2,\)"),
        (
            lambda: Standardisation([0.0, 0.0], torch.tensor([[1.0, 0.5], [0.0, 1.0]])),
            ValueError,
            "factor: expected positive numbers, or a lower triangular matrix",
        ),
        (
            lambda: Standardisation.of(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 4.0]])),
            ValueError,
            "samples: got columns that depend linearly on one another",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
