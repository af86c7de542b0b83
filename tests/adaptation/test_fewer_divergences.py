"""Divergent steps of HMC with its defaults where a step size is nearly unstable in a tail."""

import pytest
import torch

import targets
from samplers import HMC

DOUBLE = torch.float64


def stiffening(x):
    """v ~ N(0, 1), e_j ~ N(0, exp(-v)): stiff where v is large, as z of a hierarchy that the data know well."""
    v, e = x[:, 0], x[:, 1:]
    return -0.5 * v.square() - 0.5 * v.exp() * e.square().sum(-1) + 0.5 * e.shape[1] * v


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_step_size_heeds_few_unstable_trajectories_and_no_gaussian_ones():
    """The plain mean of the acceptance is what was asked for on the Gaussian, and above it where errors have a tail."""
    rates = {}
    for name, target in {
        "Gaussian": targets.Gaussian(torch.zeros(6, dtype=DOUBLE)),
        "stiffening": targets.LogDensity(stiffening, 6, dtype=DOUBLE),
    }.items():
        draws = HMC(trajectory_length=2.0).sample(target, chains=64, draws=100, warmup=300, seed=0)
        rates[name] = float(draws.stats["acceptance_rate"].mean())
    assert abs(rates["Gaussian"] - 0.9) < 0.02
    assert rates["stiffening"] > 0.93
