"""Checks of `prior="moments"` of learned samplers; seeded bugs must fail them."""

import warnings

import torch
from diffusion_cases import F64, SMALL, TARGETS

import samplers
import targets
from samplers import SamplingWarning
from samplers.diagnostics import closest_gaussian
from samplers.diffusion import CMCD

TILTED = targets.Gaussian(torch.tensor([3.0, -1.0, 0.5], dtype=F64), covariance=torch.tensor(
    [[4.0, 1.5, 0.0], [1.5, 1.0, 0.1], [0.0, 0.1, 0.5]], dtype=F64
))  # fmt: skip


class Hidden(targets.Target):
    """A density of which no more is known than its values."""

    def __init__(self, inner):
        super().__init__(inner.dim, dtype=inner.dtype, name="hidden")
        self.inner = inner

    def log_prob(self, x):
        return self.inner.log_prob(x)


def fitted(target, kind=CMCD, **options):
    """Without training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return kind(**({"steps": 4, "network": SMALL, "prior": "moments"} | options)).fit(target, iterations=0)


def covariance_of(space):
    """Of x where u has unit covariance."""
    factor = torch.diag(space.factor) if space.factor.ndim == 1 else space.factor
    return factor @ factor.mT


def check_it_is_the_targets():
    """Of a target that states its moments, with no evaluation of a pilot."""
    for target in (TILTED, TARGETS["plane"], targets.Ising((3, 3), 0.3).relaxed().to(dtype=F64)):
        space = fitted(target).space
        assert space.source == "the target's moments"
        assert space.witnesses is None
        assert space.mixture is None
        torch.testing.assert_close(space.shift, target.mean)
        torch.testing.assert_close(covariance_of(space), target.covariance)


def check_it_is_that_of_the_particles():
    """Of another target, whatever their tails: the closest Gaussian of the pilot's points."""
    student = targets.StudentMixture(torch.zeros(1, 2, dtype=F64), dof=3.0)
    for target in (Hidden(TILTED), Hidden(student)):
        space = fitted(target).space
        expected = closest_gaussian(space.witnesses.double())
        assert space.source == "the moments of the pilot's particles"
        torch.testing.assert_close(space.shift, expected.mean)
        torch.testing.assert_close(covariance_of(space), expected.covariance)


def check_paths_start_from_it():
    """States of the reverse process of a Gaussian's own moments are its exact draws before any training."""
    law = fitted(TILTED, samplers.DDS)
    draws = law.sample(draws=2000, seed=3)
    assert draws.weight_ess > 0.999 * 2000
    assert abs(draws.log_z.value) < 1e-6
