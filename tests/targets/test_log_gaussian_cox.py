import math

import numpy as np
import pytest
import torch
from posteriordb import DATA
from scipy import integrate, stats

import targets
from targets.base import differentiate

F64 = torch.float64


def points(n=40, seed=0):
    return np.random.default_rng(seed).random((n, 2))


def finpines():
    file = DATA / "finpines.csv"
    if not file.exists():
        pytest.skip(f"{file} is not there; UNNORM_DATA names another folder")
    return np.loadtxt(file, delimiter=",", skiprows=1)


@pytest.fixture
def small():
    return targets.LogGaussianCox(points(), grid=5)


def test_log_prob_is_the_formula(small):
    data = points()
    counts = np.zeros((5, 5))
    for px, py in data:
        counts[int(5 * px), int(5 * py)] += 1
    place = [(i / 5, j / 5) for i in range(5) for j in range(5)]
    covariance = [[1.91 * math.exp(-33 * math.dist(a, b)) for b in place] for a in place]
    f = np.random.default_rng(1).normal(size=(4, 25))
    prior = stats.multivariate_normal(np.full(25, math.log(40) - 1.91 / 2), covariance).logpdf(f)
    rate = np.exp(f) / 25
    expected = prior + stats.poisson(rate).logpmf(counts.ravel()).sum(-1)
    expected += (np.array([math.lgamma(c + 1) for c in counts.ravel()]) - counts.ravel() * math.log(1 / 25)).sum()
    np.testing.assert_allclose(small.log_prob(torch.from_numpy(f)).numpy(), expected, rtol=1e-12)
    assert torch.equal(small.counts, torch.from_numpy(counts))
    assert small.area == 1 / 25


def test_closed_form_score_is_that_of_automatic_differentiation(small):
    x = 2 + torch.randn(2, 3, 25, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = differentiate(small.log_prob, x, "cox")
    torch.testing.assert_close(small.log_prob_and_score(x), (value, score), rtol=1e-10, atol=1e-10)
    parts = small.log_likelihood(x) + small.prior.log_prob(x)
    torch.testing.assert_close(value, parts, rtol=1e-12, atol=1e-12)


def test_one_cell_has_the_evidence_of_one_dimensional_quadrature():
    target = targets.LogGaussianCox(counts=[[7]], mean=0.3, variance=0.8, dtype=F64)

    def density(f):
        return math.exp(float(target.log_prob(torch.tensor([f], dtype=F64))))

    poisson = integrate.quad(
        lambda f: stats.norm(0.3, math.sqrt(0.8)).pdf(f) * stats.poisson(math.exp(f)).pmf(7), -8, 8
    )
    z = integrate.quad(density, -8, 8)[0]
    assert z == pytest.approx(poisson[0] * math.factorial(7), rel=1e-8)


def test_counts_give_the_same_target_as_points(small):
    from_counts = targets.LogGaussianCox(counts=small.counts)
    x = torch.randn(3, 25, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(small.log_prob(x), from_counts.log_prob(x))


def test_points_on_the_far_edges_belong_to_the_last_cells():
    counts = targets.LogGaussianCox([[1.0, 0.0], [0.5, 1.0]], grid=2).counts
    assert counts.tolist() == [[0, 0], [1, 1]]


def test_prior_draws_have_the_stated_law(small, generator):
    assert small.prior.log_z == 0
    assert small.known == {"prior"}
    x = small.prior.sample(20_000, generator=generator)
    assert (x.mean(0) - small.prior_mean).abs().max() < 4.5 * math.sqrt(1.91 / 20_000)
    correlation = torch.corrcoef(x.T)[0, 1].item()
    assert correlation == pytest.approx(math.exp(-33 / 5), abs=4.5 / math.sqrt(20_000))


@pytest.mark.parametrize(("grid", "laplace"), [(40, 511.205), (32, None)])
def test_finpines_and_its_laplace_approximation(grid, laplace):
    target = targets.LogGaussianCox(finpines(), grid=grid)
    assert target.dim == grid**2
    assert target.counts.sum() == 126
    precision = target.prior._precision
    mode = torch.full((target.dim,), target.prior_mean, dtype=F64)
    for _ in range(12):
        factor = torch.linalg.cholesky(precision + torch.diag(target.area * mode.exp()))
        mode = mode + torch.cholesky_solve(target.score(mode)[:, None], factor)[:, 0]
    assert target.score(mode).abs().max() < 1e-8
    log_z = target.log_prob(mode) + target.dim / 2 * math.log(2 * math.pi) - factor.diagonal().log().sum()
    if laplace is not None:
        assert log_z.item() == pytest.approx(laplace, abs=5e-4 + 1e-4)


def test_float32_follows_the_data_or_the_argument():
    assert targets.LogGaussianCox(torch.rand(9, 2, generator=torch.Generator().manual_seed(0)), grid=3).dtype == (
        torch.float32
    )
    single = targets.LogGaussianCox(points(), grid=5, dtype=torch.float32)
    double = targets.LogGaussianCox(points(), grid=5)
    assert single.prior.dtype == torch.float32
    x = torch.randn(4, 25, generator=torch.Generator().manual_seed(0))
    value, score = single.log_prob_and_score(x)
    assert value.dtype == score.dtype == torch.float32
    torch.testing.assert_close(value.double(), double.log_prob(x.double()), rtol=1e-5, atol=1e-4)
    assert torch.equal(single.to(dtype=F64).log_prob(x.double()), double.log_prob(x.double()))


def test_a_field_that_overflows_has_density_zero():
    target = targets.LogGaussianCox(points(), grid=5, dtype=torch.float32)
    assert target.log_prob(torch.full((25,), 200.0)).item() == -math.inf


def test_the_field_is_named(small):
    assert small.variables["log_intensity"].shape == (5, 5)
    x = torch.arange(50.0).reshape(2, 25)
    assert torch.equal(small.constrain(x)["log_intensity"], x.reshape(2, 5, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "points, counts: expected exactly one of them"),
        ({"points": points(), "counts": [[1]]}, "points, counts: expected exactly one of them"),
        ({"counts": [[1]], "grid": 3}, "grid: got it beside counts"),
        ({"points": points(), "grid": 0}, "grid: got 0, expected an integer of at least 1"),
        ({"points": [0.1, 0.2]}, r"points: got shape \(2,\), expected \(n, 2\)"),
        ({"points": [[0.1, 1.2]]}, r"points: got coordinates outside of \[0, 1\]"),
        ({"counts": [[1, 2]]}, r"counts: got shape \(1, 2\), expected \(M, M\)"),
        ({"counts": [[0.5]]}, "counts: got values that are no counts"),
        ({"counts": [[0]]}, "counts: got no point at all"),
        ({"counts": [[1]], "variance": 0}, "variance: got 0, expected a positive finite number"),
        ({"counts": [[1]], "length_scale": -1}, "length_scale: got -1, expected a positive finite number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        targets.LogGaussianCox(**arguments)
