"""The law of a noised state: its quantities say the same, and are those of a Gaussian's regression."""

import pytest
import torch

from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP
from samplers.processes.marginals import Marginal
from targets import CorrelatedNoise

COVARIANCE = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.7]], dtype=torch.float64)
PROCESSES = [
    VP(),
    SubVP(noise=CorrelatedNoise(COVARIANCE)),
    VE(0.01, 50.0, noise=CorrelatedNoise(COVARIANCE.diagonal())),
    OrnsteinUhlenbeck(horizon=3.0, noise=CorrelatedNoise(COVARIANCE)),
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_each_quantity_gives_the_others(process, generator):
    x, noise = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    at = Marginal.at(process, torch.tensor([1e-3, 0.1, 0.4, 0.7, 1.0], dtype=torch.float64), x)
    clean = at.clean_of_noise(noise)
    torch.testing.assert_close(at.scale * clean + at.deviation * noise, x)
    torch.testing.assert_close(at.noise_of_clean(clean), noise)
    torch.testing.assert_close(at.noise_of_score(at.score_of_noise(noise)), noise)
    torch.testing.assert_close(at.clean_of_score(at.score_of_clean(clean)), clean)
    torch.testing.assert_close(at.noise_of_velocity(at.velocity_of_noise(noise)), noise)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_score_is_that_of_a_noised_gaussian(process, generator):
    x = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    prior = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    scale, variance = process.transition(0.0, 0.3)
    covariance = torch.eye(3, dtype=torch.float64) if process.noise is None else process.noise.covariance(3)
    total = scale**2 * prior + variance * covariance
    clean = scale * torch.linalg.solve(total, x.mT).mT @ prior
    torch.testing.assert_close(Marginal.at(process, 0.3, x).score_of_clean(clean), -torch.linalg.solve(total, x.mT).mT)


def test_velocity_of_vp_is_that_of_salimans_and_ho(generator):
    x, noise = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    at = Marginal.at(VP(), 0.4, x)
    clean = at.clean_of_noise(noise)
    torch.testing.assert_close(at.velocity_of_noise(noise), at.scale * noise - at.deviation * clean)


def test_no_marginal_of_the_data_themselves():
    with pytest.raises(ValueError, match=r"t: got 0, expected a time above 0"):
        Marginal.at(VP(), torch.tensor([0.5, 0.0]), torch.ones(2, 3))
