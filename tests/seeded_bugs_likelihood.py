"""Likelihoods, bounds, paths and guidance with one mistake each, of the kinds that are really made.

BUGS: {name: (the module of tests, the test that must fail, its arguments, a function of pytest's `monkeypatch`)}.
"""

import math
from importlib import import_module

import torch
from likelihood_cases import IN_THE_PLANE

from samplers.annealing.cloud import Cloud
from samplers.generative import divergence, dop853, likelihood, path
from samplers.generative.estimates import PointEstimates
from samplers.generative.guidance import twisted
from samplers.processes.base import Process
from targets import Affine, IsotropicNoise

# functions of the same names hide these modules in their package
elbo, discrete_elbo = (import_module(f"samplers.generative.{name}") for name in ("elbo", "discrete_elbo"))

BUGS = {}


def bug(title, module, test, /, **arguments):
    def register(function):
        BUGS[title] = (module, test, arguments, function)
        return function

    return register


def of(module):
    """The bugs that a module of tests must reject."""
    return [name for name, (where, *_) in BUGS.items() if where == module]


MIXTURE = ("test_likelihood", "test_exact_score_of_a_mixture")
IN_1D = {"process": IN_THE_PLANE["VP"], "dim": 1}
IN_2D = {"process": IN_THE_PLANE["correlated VP"], "dim": 2}


# The probability flow


@bug("g^2 in place of g^2 / 2 in the flow", *MIXTURE, **IN_1D)
def reverse_drift(patch):
    right = Process.diffusion
    patch.setattr(Process, "diffusion", lambda self, t: math.sqrt(2) * right(self, t))


@bug("no drift of the process in the flow", *MIXTURE, **IN_1D)
def no_drift(patch):
    patch.setattr(Process, "drift_coefficient", lambda self, t: torch.zeros((), dtype=torch.float64))


@bug("the score not multiplied by the covariance of the noise", *MIXTURE, **IN_2D)
def no_covariance(patch):
    right = likelihood.noise_of
    unit = IsotropicNoise(1.0)
    patch.setattr(likelihood, "noise_of", lambda process: unit if process is IN_2D["process"] else right(process))


@bug("the prior's density left out", *MIXTURE, **IN_1D)
def no_prior(patch):
    right = likelihood.ContinuousFlow._follow

    def follow(self, *arguments, **more):
        moved, value = right(self, *arguments, **more)
        return moved, value - self.prior.log_prob(moved)[:, None]

    patch.setattr(likelihood.ContinuousFlow, "_follow", follow)


@bug("the wrong sign of the divergence", *MIXTURE, **IN_1D)
def sign(patch):
    right = likelihood.divergence
    patch.setattr(likelihood, "divergence", lambda v, x: -right(v, x))


@bug("a divergence without its last dimension", *MIXTURE, **IN_2D)
def dimension(patch):
    patch.setattr(
        likelihood,
        "divergence",
        lambda v, x: sum(divergence.gradient(v[:, i], x, keep=False)[:, i] for i in range(x.shape[1] - 1)),
    )


@bug("draws with the log-density of the way to the prior", "test_likelihood", "test_draws_with_their_density")
def draws(patch):
    right = likelihood.ContinuousFlow._follow

    def follow(self, x, start, end, trace, columns, ahead=True):
        moved, value = right(self, x, start, end, trace, columns, ahead)
        return (moved, value) if ahead else (moved, 2 * self.prior.log_prob(x) - value)

    patch.setattr(likelihood.ContinuousFlow, "_follow", follow)


HONEST = ("test_likelihood", "test_standard_errors_of_hutchinson_are_honest")


@bug("Hutchinson's estimate without its mean", *HONEST)
def no_mean(patch):
    patch.setattr(PointEstimates, "value", property(lambda self: self.repetitions.sum(0)))


@bug("the spread of the probes for the standard error of their mean", *HONEST)
def spread(patch):
    patch.setattr(PointEstimates, "_error", staticmethod(lambda repetitions: repetitions.std(0)))


@bug("probes of 0 and 1 in place of signs", *HONEST)
def probes(patch):
    right = likelihood.rademacher
    patch.setattr(likelihood, "rademacher", lambda *of: right(*of).clamp_min(0))


@bug("a standard deviation for a variance at the horizon", "test_likelihood", "test_the_law_of_pure_noise")
def deviation(patch):
    right = Process.variance
    patch.setattr(Process, "variance", lambda self, t: right(self, t).sqrt())


@bug(
    "a step judged by the root mean square of all points",
    "test_likelihood",
    "test_a_point_that_needs_small_steps_is_not_outvoted",
)
def outvoted(patch):
    patch.setattr(dop853, "_error", lambda fifth, third, h: h * float(fifth.square().mean().sqrt()))


# Bounds


@bug("the printed theorem's gap, without its 1/2", "test_elbo", "test_brownian_motion_without_control")
def half(patch):
    right = torch.linalg.vecdot
    patch.setattr(elbo.torch.linalg, "vecdot", lambda u, v: 2 * right(u, v))


@bug(
    "no divergence of the process's own drift",
    "test_elbo",
    "test_an_exact_score_and_prior_leave_no_gap",
    name="VP",
    estimator="denoising",
)
def no_log_scale(patch):
    patch.setattr(Process, "scale", lambda self, t: torch.ones((), dtype=torch.float64))


@bug(
    "pairs that are not mirror images", "test_elbo", "test_mirrored_noise_leaves_an_error_of_the_order_of_the_variance"
)
def pairs(patch):
    def mirrored(process, x, noises, generator):
        return elbo.noise_of(process).sample_like(x.expand(2 * noises, -1, -1), generator)

    patch.setattr(elbo, "_mirrored", mirrored)


@bug(
    "times at the ends of their parts",
    "test_elbo",
    "test_the_gap_of_a_wrong_score_is_that_of_the_formula",
    name="OU",
)
def ends(patch):
    def strata(process, t_min, times, generator):
        t = process.horizon * torch.arange(1, times + 1, dtype=torch.float64) / times
        return t, process.diffusion(t).square() * process.horizon / times

    patch.setattr(elbo, "_strata", strata)


@bug(
    "the variance of a step given the data, in the constants alone",
    "test_elbo",
    "test_steps_that_are_exact_leave_no_gap",
    name="VP",
)
def constants(patch):
    right = discrete_elbo.reverse_variance

    def variance(process, s, t, data_variance):
        return right(process, s, t, math.inf)

    patch.setattr(discrete_elbo, "reverse_variance", variance)


# The path


@bug("the score at the end of its step", "test_path", "test_steps_that_are_exact_leave_no_variance", name="VP")
def late_score(patch):
    right = path.ReverseProcess.field

    def field(self, table, at):
        table.values["k"] = (table.values["k"] + 1).clamp_max(self.steps - 1)
        return right(self, table, at)

    patch.setattr(path.ReverseProcess, "field", field)


@bug("the density in other coordinates without its determinant", "test_path", "test_weights_from_their_definition")
def determinant(patch):
    def log_prob_and_score(self, u):
        value, score = self.target.log_prob_and_score(self.to_x(u))
        return value, self.score_to_u(score)

    patch.setattr(Affine, "log_prob_and_score", log_prob_and_score)


@bug("the noising kernel with the scale of the reverse one", "test_path", "test_weights_from_their_definition")
def neighbour(patch):
    right = path.ReverseProcess.backward

    def backward(self, table, at, field):
        step = right(self, table, at, field)
        return type(step)(table.values["keep"] * at.x, step.scale, step.log_det)

    patch.setattr(path.ReverseProcess, "backward", backward)


RANDOM = ("test_path", "test_weights_of_a_random_score_have_mean_z")


@bug("the normaliser of the neighbouring kernel", *RANDOM, name="VP", seed=0)
def normaliser(patch):
    right = path.ReverseProcess.backward

    def backward(self, table, at, field):
        step = right(self, table, at, field)
        return type(step)(step.mean, step.scale, table.values["log_det_ahead"])

    patch.setattr(path.ReverseProcess, "backward", backward)


# Twisted diffusion


TWISTED = ("test_guidance", "test_z_of_twisted_diffusion_is_unbiased")


@bug("weights that do not know that the proposal was steered", *TWISTED, name="exact score")
def steered(patch):
    patch.setattr(twisted.torch.linalg, "vecdot", lambda u, v: torch.zeros(len(u), dtype=u.dtype))


@bug("weights kept when ancestors are drawn", *TWISTED, name="always resampled")
def kept(patch):
    right = Cloud.resample

    def resample(self, scheme, needed, generator):
        weights = self.log_weights
        right(self, scheme, needed, generator)
        self.log_weights = weights

    patch.setattr(Cloud, "resample", resample)


@bug("the last twist that of the denoised state before", *TWISTED, name="no twist")
def last_twist(patch):
    right = twisted.TwistedDiffusion._twist_at
    patch.setattr(
        twisted.TwistedDiffusion, "_twist_at", lambda self, x, t, energy, last: right(self, x, t, energy, False)
    )
