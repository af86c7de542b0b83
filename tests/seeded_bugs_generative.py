"""Reverse solvers with one mistake each, of the kinds that are really made; the checks of `solver_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import math
from functools import partial
from itertools import pairwise

from bug_register import Bugs
from solver_cases import (
    SOLVERS,
    check_constant_score,
    check_denoised_at_zero,
    check_equal,
    check_exact_in_few_steps,
    check_order,
)

from samplers.generative.solvers import analytic_dpm, ddim
from samplers.generative.solvers.analytic_dpm import AnalyticDPM, DiagonalAnalyticDPM
from samplers.generative.solvers.ancestral import Ancestral
from samplers.generative.solvers.base import Reversal
from samplers.generative.solvers.dpm_multistep import DPMSolver2M
from samplers.generative.solvers.dpm_solver import DPMSolver2, DPMSolver3
from samplers.generative.solvers.edm import EDM
from samplers.generative.solvers.predictor_corrector import PredictorCorrector
from samplers.generative.solvers.probability_flow import Heun
from samplers.generative.solvers.reverse_sde import EulerMaruyama, ExponentialIntegrator
from samplers.generative.solvers.torch_sde import _Backward

BUGS = Bugs()
bug = BUGS.add


def order(name, patch, process="VP", **options):
    return partial(check_order, SOLVERS[name], process, patch, **options)


# The reverse SDE and the flow


@bug("the drift of the flow with the noise of the reverse SDE")
def half_drift(patch):
    def step(self, reversal, x, t, s):
        mean = x - (t - s) * reversal.velocity(x, t, score_weight=0.5)
        return reversal.noised(mean, math.sqrt(t - s) * float(reversal.process.diffusion(t)))

    patch.setattr(EulerMaruyama, "step", step)
    return order("Euler-Maruyama", patch)


@bug("1 - lam in place of its root before the noise")
def lam_without_root(patch):
    def step(self, reversal, x, t, s):
        mean = x - (t - s) * reversal.velocity(x, t, score_weight=1 - self.lam / 2)
        return reversal.noised(mean, (1 - self.lam) * math.sqrt(t - s) * float(reversal.process.diffusion(t)))

    patch.setattr(EulerMaruyama, "step", step)
    return order("Euler-Maruyama, lam 1/2", patch)


@bug("the score not multiplied by the covariance of the noise")
def score_without_covariance(patch):
    patch.setattr(Reversal, "times_covariance", lambda self, v: v)
    return order("Euler-Maruyama", patch, "SubVP")


@bug("the weight of the score integrated from the wrong end of the step")
def gain_from_the_wrong_end(patch):
    right = ExponentialIntegrator._gain

    def gain(reversal, t, s):
        return right(reversal, t, s) * reversal.transition(s, t)[0]

    patch.setattr(ExponentialIntegrator, "_gain", staticmethod(gain))
    return check_constant_score


@bug("Heun's second slope at the start of the step")
def slope_at_the_start(patch):
    def step(self, reversal, x, t, s):
        slope = reversal.velocity(x, t)
        return x + 0.5 * (s - t) * (slope + reversal.velocity(x + (s - t) * slope, t))

    patch.setattr(Heun, "step", step)
    return order("Heun", patch)


@bug("torchsde given the transposed factor of the covariance")
def transposed_factor(patch):
    right = _Backward.g
    patch.setattr(_Backward, "g", lambda self, passed, y: right(self, passed, y).mT)
    return order("torchsde, srk", patch, "SubVP")


# Steps from the denoised mean


@bug("the noise of a step forward in place of that of the step back")
def forward_noise(patch):
    def step(self, reversal, x, t, s):
        first, last, _ = reversal.posterior(s, t)
        variance = reversal.transition(s, t)[1]
        return reversal.noised(first * reversal.clean(x, t) + last * x, math.sqrt(variance))

    patch.setattr(Ancestral, "step", step)
    return check_equal


@bug("noise in the last step")
def noise_at_the_end(patch):
    right = Reversal.posterior

    def posterior(self, s, t):
        first, last, variance = right(self, s, t)
        return first, last, self.transition(0.0, t)[1] if s == 0 else variance

    patch.setattr(Reversal, "posterior", posterior)
    return partial(check_denoised_at_zero, SOLVERS["ancestral"])


@bug("fresh noise on top of all of the predicted noise")
def noise_on_top(patch):
    right = ddim.split

    def split(reversal, t, s, eta):
        return reversal.level(s)[1], right(reversal, t, s, eta)[1]

    patch.setattr(ddim, "split", split)
    return order("DDIM, eta 1", patch)


@bug("the optimal variance without the square of the slope")
def slope_not_squared(patch):
    right = AnalyticDPM.unknown

    def unknown(self, reversal, t, x):
        return right(self, reversal, t, x).sqrt()

    patch.setattr(AnalyticDPM, "unknown", unknown)
    return partial(check_exact_in_few_steps, AnalyticDPM)


@bug("the variance of the samples in place of what the denoiser misses of them")
def variance_of_the_samples(patch):
    def unknown(self, reversal, t, x):
        return self.samples.var(0)

    patch.setattr(DiagonalAnalyticDPM, "unknown", unknown)
    return partial(check_exact_in_few_steps, DiagonalAnalyticDPM)


@bug("the optimal variance in place of that of the ancestral noise, not on top of it")
def variance_not_added(patch):
    right = analytic_dpm.split
    patch.setattr(analytic_dpm, "split", lambda *given: (right(*given)[0], 0.0))
    return partial(check_exact_in_few_steps, AnalyticDPM)


# Corrections


@bug("Langevin steps with noise sqrt(d) in place of sqrt(2 d)")
def langevin_noise(patch):
    def walk(self, reversal, x, times):
        for t, s in pairwise(times):
            x = self.predictor.step(reversal, x, t, s)
            if s > 0:
                size = self.size(reversal, t, s)
                x = reversal.noised(x + size * reversal.score(x, s), math.sqrt(size))
            yield x

    patch.setattr(PredictorCorrector, "walk", walk)
    return order("predictor-corrector", patch)


@bug("corrections by a fixed part of the noise level, whose bias comes in at each step")
def corrections_that_stay(patch):
    patch.setattr(PredictorCorrector, "size", lambda self, reversal, t, s: self.ratio * reversal.level(s)[1] ** 2)
    return order("predictor-corrector", patch)


# Steps in the noise level


@bug("the state of the middle of a step taken for one at its end")
def middle_at_the_end(patch):
    def advance(self, interval):
        return interval.to(1.0, noise=interval.noise_at(1.0, interval.to(0.5)))

    patch.setattr(DPMSolver2, "advance", advance)
    return order("DPM-Solver 2", patch)


@bug("the slope of DPM-Solver 3 not divided by 2/3")
def slope_of_dpm_solver_3(patch):
    def advance(self, interval):
        first = interval.noise_at(1 / 3, interval.to(1 / 3)) - interval.noise
        second = interval.noise_at(2 / 3, interval.to(2 / 3, slope=3 * first)) - interval.noise
        return interval.to(1.0, slope=second)

    patch.setattr(DPMSolver3, "advance", advance)
    return order("DPM-Solver 3", patch)


@bug("the ratio of two steps left out")
def ratio_of_steps(patch):
    def walk(self, reversal, x, times):
        before = None
        for t, s in pairwise(times):
            clean = reversal.clean(x, t)
            if s == 0:
                yield clean
                return
            (scale_t, sigma_t), (scale_s, sigma_s) = reversal.level(t), reversal.level(s)
            h = math.log(scale_s * sigma_t / (sigma_s * scale_t))
            ahead = clean if before is None else clean + (clean - before[0]) * 0.5
            x = sigma_s / sigma_t * x - scale_s * math.expm1(-h) * ahead
            before = clean, h
            yield x

    patch.setattr(DPMSolver2M, "walk", walk)
    return order("DPM-Solver++ 2M", patch)


@bug("churn with too little noise")
def little_churn(patch):
    right = EDM._churned

    def churned(self, reversal, y, t, sigma):
        _, time, raised = right(self, reversal, y, t, sigma)
        return (reversal.noised(y, raised - sigma) if raised > sigma else y), time, raised

    patch.setattr(EDM, "_churned", churned)
    return order("EDM with churn", patch)


@bug("the denoiser at the noise level before churn")
def churn_at_the_old_time(patch):
    right = EDM._churned

    def churned(self, reversal, y, t, sigma):
        y, _, raised = right(self, reversal, y, t, sigma)
        return y, t, raised

    patch.setattr(EDM, "_churned", churned)
    return order("EDM with churn", patch)
