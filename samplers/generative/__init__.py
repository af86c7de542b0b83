"""Diffusion models learned from samples: reverse solvers, losses, likelihoods."""

from samplers.generative.discrete_elbo import ddpm_elbo, discrete_elbo, vdm_elbo
from samplers.generative.elbo import elbo, family_elbo, variational_gap
from samplers.generative.estimates import PointEstimates
from samplers.generative.likelihood import ContinuousFlow, noise_law, probability_flow
from samplers.generative.path import ReverseProcess
from samplers.generative.score import Score, as_score

__all__ = [
    "ContinuousFlow",
    "PointEstimates",
    "ReverseProcess",
    "Score",
    "as_score",
    "ddpm_elbo",
    "discrete_elbo",
    "elbo",
    "family_elbo",
    "noise_law",
    "probability_flow",
    "variational_gap",
    "vdm_elbo",
]
