"""Mistakes in `prior="moments"`; the checks of `moments_prior_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import moments_prior_cases as cases
import torch
from bug_register import Bugs

from samplers.diffusion import space
from targets import Gaussian

BUGS = Bugs()
bug = BUGS.add


@bug("the deviations without the correlations")
def no_correlations(patch):
    right = space.closest_gaussian

    def diagonal(law):
        found = right(law)
        return Gaussian(found.mean, found.covariance.diagonal().sqrt())

    patch.setattr(space, "closest_gaussian", diagonal)
    return cases.check_it_is_the_targets


@bug("variances in the place of deviations")
def variances(patch):
    right = space.closest_gaussian

    def squared(law):
        found = right(law)
        return Gaussian(found.mean, covariance=found.covariance @ found.covariance)

    patch.setattr(space, "closest_gaussian", squared)
    return cases.check_paths_start_from_it


@bug("the narrowed spread of heavy tails for the moments of the particles")
def narrowed(patch):
    patch.setattr(space, "_moments", lambda points: space._gaussian(points, cases.TILTED))
    return cases.check_it_is_that_of_the_particles


@bug("a pilot where the moments are known")
def needless_pilot(patch):
    patch.setattr(space, "moments_known", lambda target: False)
    return cases.check_it_is_the_targets


@bug("the prior about 0")
def about_zero(patch):
    right = space.closest_gaussian

    def moved(law):
        found = right(law)
        return Gaussian(torch.zeros_like(found.mean), covariance=found.covariance)

    patch.setattr(space, "closest_gaussian", moved)
    return cases.check_paths_start_from_it
