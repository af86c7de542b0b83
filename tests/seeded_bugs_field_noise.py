"""Mistakes in noise that has the shape of a field; the checks of `field_noise_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import field_noise_cases as cases
from bug_register import Bugs

from samplers.generative import coordinates
from samplers.learning import packing
from targets import CorrelatedNoise, IsotropicNoise, MRFNoise

BUGS = Bugs()
bug = BUGS.add


@bug("noise coloured by the precision")
def by_the_precision(patch):
    patch.setattr(MRFNoise, "colour", lambda self, white: self._placed(white)[1].colour(white))
    return cases.check_marginals


@bug("the score without the inverse of the noise's covariance")
def no_inverse(patch):
    patch.setattr(MRFNoise, "solve", lambda self, v: self.times(v))
    return cases.check_marginals


@bug("draws that forget the scale")
def no_scale(patch):
    patch.setattr(MRFNoise, "colour", lambda self, white: self._placed(white)[1].whiten(white))
    return cases.check_marginals


@bug("the common deviation without regard to the shape of the noise")
def mean_variance(patch):
    right = coordinates.coordinates

    def isotropic(train, generator, columns, standardise, noise):
        return right(train, generator, columns, standardise, IsotropicNoise(1.0))

    from samplers.generative import score_diffusion

    patch.setattr(score_diffusion, "coordinates", isotropic)
    return cases.check_untrained_it_is_the_gaussian


@bug("files with the covariance of the noise alone")
def covariance_alone(patch):
    right = packing.packed

    def packed(value):
        return right(CorrelatedNoise(value.covariance(value.dim)) if isinstance(value, MRFNoise) else value)

    patch.setattr(packing, "packed", packed)
    patch.setattr("samplers.generative.trained.packed", packed)
    return cases.check_files


@bug("files that forget the scale")
def scale_forgotten(patch):
    right = MRFNoise.state
    patch.setattr(MRFNoise, "state", lambda self: right(self) | {"scale": 1.0})
    return cases.check_files


@bug("files that forget the diagonal")
def diagonal_forgotten(patch):
    right = MRFNoise.state
    patch.setattr(MRFNoise, "state", lambda self: right(self) | {"shift": 5.0})
    return cases.check_files


@bug("the flow of isotropic noise with noise of a shape")
def isotropic_flow(patch):
    patch.setattr(MRFNoise, "times", lambda self, v: v.clone())
    return cases.check_solvers_reproduce_the_field
