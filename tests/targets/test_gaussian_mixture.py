import numpy as np
import pytest
import torch
from scipy import special, stats

import targets
from targets.base import differentiate

F64 = torch.float64
MEANS = torch.tensor([[0.0, 0.0], [2.0, 1.0], [-1.5, 2.5]], dtype=F64)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=F64)
FULL = torch.tensor([[[1.0, 0.4], [0.4, 0.5]], [[0.6, -0.2], [-0.2, 0.9]], [[0.5, 0.0], [0.0, 0.7]]], dtype=F64)
COVARIANCES = {
    "isotropic": ({"scales": 0.6}, torch.diag_embed(torch.full((3, 2), 0.36, dtype=F64))),
    "isotropic per component": (
        {"scales": [0.5, 1.0, 0.8]},
        torch.diag_embed(torch.tensor([0.5, 1.0, 0.8], dtype=F64).square()[:, None].expand(3, 2)),
    ),
    "diagonal": (
        {"scales": [[0.5, 1.0], [0.7, 0.6], [1.2, 0.4]]},
        torch.diag_embed(torch.tensor([[0.5, 1.0], [0.7, 0.6], [1.2, 0.4]], dtype=F64).square()),
    ),
    "full": ({"covariances": FULL}, FULL),
    "one full": ({"covariances": FULL[0]}, FULL[:1].expand(3, 2, 2)),
}


def mixture(case, **more):
    spread = {key: torch.as_tensor(value, dtype=F64) for key, value in COVARIANCES[case][0].items()}
    return targets.GaussianMixture(MEANS, weights=WEIGHTS, **spread, **more)


def scipy_log_density(x, covariances, noise=0.0):
    terms = [
        np.log(w) + np.atleast_1d(stats.multivariate_normal(m, c + noise * np.eye(2)).logpdf(x))
        for w, m, c in zip(WEIGHTS.numpy(), MEANS.numpy(), covariances.numpy(), strict=True)
    ]
    return special.logsumexp(terms, axis=0)


@pytest.mark.parametrize("case", COVARIANCES)
def test_density_is_that_of_scipy_and_the_score_its_gradient(case):
    target = mixture(case)
    x = 3 * torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = target.log_prob_and_score(x)
    np.testing.assert_allclose(value.numpy(), scipy_log_density(x.numpy(), COVARIANCES[case][1]), rtol=1e-11)
    torch.testing.assert_close(target.log_prob(x), value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(score, differentiate(target.log_prob, x, "")[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("spread", ["scales", "covariances"])
def test_a_narrow_component_far_from_the_middle_keeps_its_digits_in_float32(spread):
    """1e-3 wide, 100 away: a square that is expanded would be off by a thousand nats, and may come out negative."""
    means = torch.tensor([[0.0, 0.0], [100.0, -100.0]], dtype=F64)
    scales = torch.tensor([[1.0, 2.0], [1e-3, 2e-3]], dtype=F64)
    own = {"scales": scales} if spread == "scales" else {"covariances": torch.diag_embed(scales.square())}
    target = targets.GaussianMixture(means, weights=[0.5, 0.5], **own)
    rounded = target.to(dtype=torch.float32)
    x = target.sample(200, generator=torch.Generator().manual_seed(0)).float()
    value, score = target.log_prob_and_score(x.double())
    normal = [torch.distributions.Normal(m, s).log_prob(x.double()).sum(-1) for m, s in zip(means, scales, strict=True)]
    exact = torch.stack(normal).logsumexp(0) - np.log(2)
    torch.testing.assert_close(value, exact, rtol=1e-7, atol=1e-5)
    for found in (rounded.log_prob(x), rounded.log_prob_and_score(x)[0]):
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(rounded.score(x).double(), score, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rounded.mode_probabilities(x).double(), target.mode_probabilities(x.double()))


@pytest.mark.parametrize("case", COVARIANCES)
def test_smoothed_is_the_numerical_convolution_in_the_plane(case):
    target, sigma, step = mixture(case, log_z=0.7), 0.5, 0.05
    axis = torch.arange(-9, 10, step, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    density = target.log_prob(grid).exp()
    x = torch.tensor([[0.0, 0.0], [1.0, -1.0], [-2.0, 3.0], [3.0, 3.0]], dtype=F64)
    kernel = torch.exp(-0.5 * torch.cdist(x, grid).square() / sigma**2) / (2 * np.pi * sigma**2)
    convolved = (kernel @ density) * step**2  # trapezoid on an analytic integrand: exact to rounding
    torch.testing.assert_close(target.smoothed(sigma).log_prob(x).exp(), convolved, rtol=1e-9, atol=1e-15)
    assert target.smoothed(sigma).log_z == target.log_z


def test_smoothed_is_the_numerical_convolution_on_the_line():
    means, scales = (torch.tensor(v, dtype=F64) for v in ([-3.0, 0.5, 1.5, 2.5], [0.5, 0.6, 0.3, 0.4]))
    target, sigma, step = targets.GaussianMixture(means[:, None], scales=scales), 0.3, 0.01
    y = torch.arange(-12, 12, step, dtype=F64)
    x = torch.linspace(-5, 5, 21, dtype=F64)
    kernel = torch.exp(-0.5 * ((x[:, None] - y) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    convolved = kernel @ target.log_prob(y[:, None]).exp() * step
    torch.testing.assert_close(target.smoothed(sigma).log_prob(x[:, None]).exp(), convolved, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("case", COVARIANCES)
def test_smoothing_twice_is_smoothing_by_the_root_of_the_sum_of_squares(case):
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    twice, once = mixture(case).smoothed(0.3).smoothed(0.4), mixture(case).smoothed(0.5)
    torch.testing.assert_close(twice.log_prob(x), once.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(twice.score(x), once.score(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("log_z", [0.0, 1.5])
@pytest.mark.parametrize("case", COVARIANCES)
def test_log_z_and_moments_are_those_of_quadrature(case, log_z):
    target, step = mixture(case, log_z=log_z), 0.05
    axis = torch.arange(-13, 13, step, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    mass = target.log_prob(grid).exp() * step**2
    assert mass.sum().log().item() == pytest.approx(log_z, abs=1e-10)
    p = mass / mass.sum()
    mean = p @ grid
    torch.testing.assert_close(target.mean, mean, rtol=1e-9, atol=1e-9)
    centred = grid - mean
    torch.testing.assert_close(target.covariance, (p[:, None] * centred).mT @ centred, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", COVARIANCES)
def test_exact_draws_follow_the_marginals_and_the_projections(case, generator):
    x = mixture(case).sample(5000, generator=generator).numpy()
    covariances = COVARIANCES[case][1].numpy()
    for direction in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]):
        a = np.array(direction)
        spread = np.sqrt(np.einsum("i,kij,j->k", a, covariances, a))
        centres = MEANS.numpy() @ a

        def cdf(t, centres=centres, spread=spread):
            return stats.norm.cdf((t[:, None] - centres) / spread) @ WEIGHTS.numpy()

        assert stats.kstest(x @ a, cdf).pvalue > 1e-5


def test_draws_visit_separate_modes_by_their_weights(generator):
    target = targets.benchmark("gmm9-unequal", dtype=F64)
    counts = target.mode_probabilities(target.sample(9000, generator=generator)).round().sum(0)
    weights = np.arange(1, 10) / 45
    assert stats.chisquare(counts.numpy(), 9000 * weights).pvalue > 1e-5


@pytest.mark.parametrize("case", COVARIANCES)
def test_mode_probabilities_are_the_responsibilities(case):
    x = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    shares = mixture(case).mode_probabilities(x)
    assert shares.shape == (4, 5, 3)
    covariance = COVARIANCES[case][1]
    joint = [stats.multivariate_normal(MEANS[k], covariance[k]).pdf(x.numpy()) * WEIGHTS[k].item() for k in range(3)]
    expected = np.stack(joint, -1)
    np.testing.assert_allclose(shares.numpy(), expected / expected.sum(-1, keepdims=True), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("case", COVARIANCES)
def test_density_far_away_neither_overflows_nor_vanishes(case):
    x = torch.full((1, 2), 1e6, dtype=F64)
    value, score = mixture(case).log_prob_and_score(x)
    assert value.isfinite().all()
    assert score.isfinite().all()
    assert value.item() < -1e10


def test_weights_are_normalised_to_one():
    target = targets.GaussianMixture(MEANS, scales=1.0, weights=[5, 2, 3])
    torch.testing.assert_close(target.mode_weights, WEIGHTS)


def test_the_same_mixture_given_in_three_ways_is_the_same_density():
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    ways = [
        targets.GaussianMixture(MEANS, scales=torch.tensor(0.6, dtype=F64)),
        targets.GaussianMixture(MEANS, scales=torch.full((3, 2), 0.6, dtype=F64)),
        targets.GaussianMixture(MEANS, covariances=torch.eye(2, dtype=F64) * 0.6**2),
        targets.GaussianMixture(MEANS, scales=torch.tensor([0.6, 0.6, 0.6 + 1e-15], dtype=F64)),
    ]
    for other in ways[1:]:
        torch.testing.assert_close(other.log_prob(x), ways[0].log_prob(x), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(other.score(x), ways[0].score(x), rtol=1e-11, atol=1e-11)


def test_python_numbers_are_not_rounded_to_single_precision_beside_double_means():
    given = targets.GaussianMixture(MEANS, scales=0.6, weights=[0.5, 0.2, 0.3])
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(given.log_prob(x), mixture("isotropic").log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(given.mode_weights, WEIGHTS, rtol=1e-15, atol=0)
