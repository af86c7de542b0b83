"""What warmup finds, and what it leaves alone."""

import math

import pytest
import torch
from kernel_cases import TUNED, skewed

import targets
from samplers import HMC, MALA, ULA, Barker, RandomWalkMetropolis, UnderdampedLangevin

SMALL = {"chains": 8, "draws": 30, "warmup": 40, "seed": 3}
# forty steps of warmup tune badly, and the runs say so: here only what they found is looked at
pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")


def test_warmup_leaves_alone_what_is_given():
    mass = torch.tensor([1.0, 2.0], dtype=torch.float64)
    kernel = HMC(0.37, mass, trajectory_length=1.7).sample(skewed(), **SMALL).kernel
    assert (kernel.step_size, kernel.trajectory_length) == (0.37, 1.7)
    assert torch.equal(kernel.inverse_mass_matrix, mass)
    fixed = ULA(0.05, "identity").sample(skewed(), **SMALL).kernel
    assert (fixed.step_size, fixed.factor) == (0.05, None)


@pytest.mark.parametrize("kernel", [HMC, MALA, ULA, Barker, RandomWalkMetropolis, UnderdampedLangevin])
def test_a_given_step_size_keeps_the_tuned_mass_matrix(kernel):
    target = targets.Gaussian(torch.zeros(2).double(), covariance=torch.diag(torch.tensor([25.0, 1.0])).double())
    found = kernel(0.37).sample(target, chains=64, draws=2, warmup=200, seed=0).kernel
    assert found.step_size == 0.37
    variances = found.inverse_mass_matrix.diagonal()
    assert 3 < float((variances[0] / variances[1]).sqrt()) < 8  # of the scales it is 5, of an identity 1


@pytest.mark.parametrize("kernel", [HMC, MALA, Barker, RandomWalkMetropolis])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan, "0.8", True])
def test_a_target_acceptance_is_between_zero_and_one(kernel, value):
    with pytest.raises(ValueError, match=r"target_acceptance: got .*, expected a number between 0 and 1"):
        kernel(target_acceptance=value)


def test_another_target_acceptance_is_reached():
    target = targets.Gaussian(torch.zeros(10).double())
    for kernel in (
        HMC(target_acceptance=0.75),
        MALA(target_acceptance=0.8),
        RandomWalkMetropolis(target_acceptance=0.5),
    ):
        draws = kernel.sample(target, chains=64, draws=100, warmup=400)
        assert draws.kernel.target_acceptance == kernel.target_acceptance
        assert abs(float(draws.stats["acceptance_rate"].mean()) - kernel.target_acceptance) < 0.05


@pytest.mark.parametrize(("word", "ndim"), [("diagonal", 1), ("dense", 2), ("auto", 2)])
def test_warmup_finds_the_mass_matrix_of_a_gaussian(word, ndim):
    covariance = torch.tensor([[4.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
    target = targets.Gaussian(torch.zeros(2).double(), covariance=covariance)
    found = HMC(inverse_mass_matrix=word).sample(target, chains=64, draws=2, warmup=300).kernel.inverse_mass_matrix
    assert found.ndim == ndim
    expected = covariance if ndim == 2 else covariance.diagonal()
    # the last window pools 64 chains over more than 50 steps; ten per cent is ten standard errors at least
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", TUNED)
def test_warmup_reaches_the_target_acceptance(name):
    kernel = TUNED[name]
    draws = kernel.sample(targets.Gaussian(torch.zeros(10).double()), chains=64, draws=200, warmup=400)
    assert abs(float(draws.stats["acceptance_rate"].mean()) - kernel.target_acceptance) < 0.08
