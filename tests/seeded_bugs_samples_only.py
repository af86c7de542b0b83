"""Samplers that follow a model's denoiser with one mistake each; the checks of `samples_only_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import math

from bug_register import Bugs
from samples_only_cases import check_annealed, check_walk

from samplers.annealing.annealed_langevin import AnnealedLangevin
from samplers.annealing.denoised import Denoised
from samplers.generative.denoiser import DiffusionDenoiser
from samplers.processes.base import Process
from targets import IsotropicNoise

BUGS = Bugs()
bug = BUGS.add


@bug("the score of a denoiser over sigma in place of its square")
def score_over_sigma(patch):
    right = Denoised.log_prob_and_score

    def log_prob_and_score(self, x):
        value, score = right(self, x)
        return value, score * math.sqrt(float(self.noise.covariance(1)))

    patch.setattr(Denoised, "log_prob_and_score", log_prob_and_score)
    return check_annealed


@bug("the last level's denoiser at every level")
def one_denoiser(patch):
    def noised(self, target, sigma, generator):
        return Denoised(target, self.denoiser, IsotropicNoise(0.5), generator)

    patch.setattr(AnnealedLangevin, "_noised", noised)
    return check_annealed


@bug("the model asked at y in place of a y")
def unscaled(patch):
    right = Process.scale
    patch.setattr(Process, "scale", lambda self, t: 0 * right(self, t) + 1)
    return check_walk


@bug("sigma taken for the variance in the time of a noise level")
def time_of_sigma(patch):
    right = DiffusionDenoiser._level
    patch.setattr(DiffusionDenoiser, "_level", lambda self, noise: math.sqrt(right(self, noise)))
    return check_walk
