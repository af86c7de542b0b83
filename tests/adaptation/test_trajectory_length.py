"""The gradient of ChEES on trajectories that are known, and where it leads."""

import math
from types import SimpleNamespace

import pytest
import torch

from samplers.adaptation.trajectory_length import TrajectoryLength


def rotated(chains, length, generator):
    """Trajectories of a standard Gaussian: z' = z cos T + p sin T, ending at the momentum p cos T - z sin T."""
    z, p = (torch.randn(chains, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    momentum = p * math.cos(length) - z * math.sin(length)
    info = SimpleNamespace(momentum=momentum, acceptance_rate=torch.ones(chains).double(), length=length)
    return z, z * math.cos(length) + p * math.sin(length), info


@pytest.mark.parametrize(("length", "longer"), [(0.7, True), (2.4, False)])
def test_it_goes_towards_a_quarter_of_the_period(length, longer):
    """On a standard Gaussian half of pi makes the end independent of the start, and pi leads back to it."""
    rule = TrajectoryLength()
    rule.update(*rotated(20_000, length, torch.Generator().manual_seed(0)))
    assert (rule.value > 2.0) is longer


def test_chains_that_went_nowhere_teach_nothing():
    rule = TrajectoryLength()
    z, end, info = rotated(8, 0.7, torch.Generator().manual_seed(0))
    info.acceptance_rate.zero_()
    rule.update(z, end, info)
    rule.update(z, torch.full_like(end, math.nan), rotated(8, 0.7, torch.Generator())[2])
    rule.update(z[:1], end[:1], info)
    assert (rule.value, rule.t) == (pytest.approx(2.0), 0)
