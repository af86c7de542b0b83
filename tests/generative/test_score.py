"""Every denoiser is the score of every linear process."""

import pytest
import torch

from samplers.denoisers import ClosedForm, Quadrature
from samplers.generative import as_score
from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP
from targets import CorrelatedNoise, GaussianMixture

MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.5]], dtype=torch.float64)
COVARIANCES = torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, 0.0], [0.0, 0.6]]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MIXTURE = GaussianMixture(MEANS, covariances=COVARIANCES, weights=WEIGHTS)
NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64))


@pytest.mark.parametrize(
    "process", [VP(), SubVP(noise=NOISE), VE(0.01, 20.0, noise=NOISE), OrnsteinUhlenbeck(horizon=2.0)]
)
@pytest.mark.parametrize("t", [0.02, 0.5, 1.0])
def test_score_of_a_mixture(process, t, generator):
    """The noised mixture is a mixture, whose score is known by another path."""
    x = 2 * torch.randn(6, 2, dtype=torch.float64, generator=generator)
    scale, variance = process.transition(0.0, t)
    covariance = torch.eye(2, dtype=torch.float64) if process.noise is None else process.noise.covariance(2)
    noised = GaussianMixture(scale * MEANS, covariances=scale**2 * COVARIANCES + variance * covariance, weights=WEIGHTS)
    torch.testing.assert_close(as_score(ClosedForm(), process, MIXTURE)(x, t), noised.score(x))


def test_score_by_quadrature(generator):
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    exact, found = (as_score(denoiser, VP(), MIXTURE)(x, 0.5) for denoiser in (ClosedForm(), Quadrature()))
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)


def test_score_of_the_data_themselves(generator):
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    assert torch.equal(as_score(ClosedForm(), VP(), MIXTURE)(x, 0), MIXTURE.score(x))
