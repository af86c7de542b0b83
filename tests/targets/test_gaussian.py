import numpy as np
import pytest
import torch
from scipy import stats

import targets
from targets.base import differentiate

F64 = torch.float64
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
COVARIANCE = torch.tensor([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]], dtype=F64)
CASES = {
    "unit": (targets.Gaussian(MEAN), torch.eye(3, dtype=F64)),
    "isotropic": (targets.Gaussian(MEAN, 0.7), 0.49 * torch.eye(3, dtype=F64)),
    "diagonal": (targets.Gaussian(MEAN, [0.5, 1.0, 3.0]), torch.diag(torch.tensor([0.25, 1.0, 9.0], dtype=F64))),
    "full": (targets.Gaussian(MEAN, covariance=COVARIANCE), COVARIANCE),
}


@pytest.mark.parametrize("case", CASES)
def test_density_is_that_of_scipy_and_the_score_its_gradient(case):
    target, covariance = CASES[case]
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    expected = stats.multivariate_normal(MEAN.numpy(), covariance.numpy()).logpdf(x.numpy())
    value, score = target.log_prob_and_score(x)
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(target.log_prob(x).numpy(), expected, rtol=1e-12)
    torch.testing.assert_close(score, differentiate(target.log_prob, x, "")[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_moments_mode_and_normaliser_are_stated(case):
    target, covariance = CASES[case]
    assert target.log_z == 0
    assert torch.equal(target.mean, MEAN)
    assert torch.equal(target.modes, MEAN[None])
    assert target.mode_weights.tolist() == [1.0]
    torch.testing.assert_close(target.covariance, covariance)
    torch.testing.assert_close(target.moments["x"].sd, covariance.diagonal().sqrt())


@pytest.mark.parametrize("case", CASES)
def test_exact_draws_are_standard_normal_after_whitening(case, generator):
    target, covariance = CASES[case]
    x = target.sample(5000, generator=generator)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (x - MEAN).mT, upper=False)
    assert stats.kstest(white.flatten().numpy(), "norm").pvalue > 1e-5
    assert stats.kstest(white.square().sum(0).numpy(), stats.chi2(3).cdf).pvalue > 1e-5


@pytest.mark.parametrize("case", CASES)
def test_smoothing_adds_the_variance_of_the_noise(case):
    target, covariance = CASES[case]
    smooth = target.smoothed(0.8)
    torch.testing.assert_close(smooth.covariance, covariance + 0.64 * torch.eye(3, dtype=F64))
    assert torch.equal(smooth.mean, MEAN)


def test_a_badly_conditioned_covariance_is_evaluated_exactly():
    scale = torch.logspace(-4, 4, 9, dtype=F64)
    diagonal = targets.Gaussian(torch.zeros(9, dtype=F64), scale)
    full = targets.Gaussian(torch.zeros(9, dtype=F64), covariance=torch.diag(scale**2))
    x = scale * torch.randn(5, 9, generator=torch.Generator().manual_seed(1), dtype=F64)
    torch.testing.assert_close(full.log_prob(x), diagonal.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(full.score(x), diagonal.score(x), rtol=1e-12, atol=0)


def test_lists_of_integers_become_the_default_dtype():
    assert targets.Gaussian([0, 0]).dtype == torch.get_default_dtype()
