"""A lower bound on the log-density of each point under the reverse SDE of a score, in continuous time.

    dX = (g^2 C s - a X) dt + g dW   backwards from prior at T, dW ~ N(0, C dt)          the model
    log p(x) >= E log prior(x_T) + d log a_T - v_m E h(t_m) - int_{t_m}^T g^2 E h dt      the bound
    h = s'Cs/2 + s'e/sqrt(v)         denoising          x_t = a_t x + sqrt(v_t) e,   e ~ N(0, C)
    h = s'Cs/2 + div(C s)            implicit; "sliced" by one random sign vector a point and time

The expectations are over the noising of x alone. From t_m = 0 the third term is none: this is the CT-ELBO with
a = g s. From t_m > 0 the model ends with the Gaussian decoder N(D(x_m), (v_m / a_m^2) C), D = (x_m + v_m C s) / a_m,
and the bound is one on the log-density of x itself all the same. The gap is

    log p(x) - ELBO(x) = 1/2 int_0^T g^2 E |s - grad log p_t|_C^2 dt,   p_t the model's own marginals

(the printed theorem lacks the 1/2), zero for the exact score and prior. Averaged over data of law q the bound is
E log q - KL(q_T || prior) - 1/2 int g^2 E |s - grad log q_t|_C^2 dt. Huang, Lim and Courville 2021; Song, Durkan,
Murray and Ermon 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.generative.divergence import divergence, projected, rademacher
from samplers.generative.estimates import PointEstimates
from samplers.generative.likelihood import log_z_of, recorded
from samplers.generative.score import Score, check_points, check_score, noise_of
from samplers.processes.base import Process
from targets import Noise, Target
from targets.arguments import check_choice, check_integer, shown

Estimator = Literal["denoising", "implicit", "sliced"]
ESTIMATORS = ("denoising", "implicit", "sliced")
Integrand = Callable[[Tensor, Tensor, float, float], Tensor]  # (x_t, e, sqrt(v_t), t), rows (m, dim) -> (m,)
Schedule = tuple[Tensor, Tensor]  # times and their weights, on the CPU in float64


def elbo(
    score: Score,
    process: Process,
    prior: Target,
    x: Tensor,
    *,
    generator: Generator,
    times: int = 64,
    noises: int = 1,
    repetitions: int = 8,
    estimator: Estimator = "denoising",
    t_min: float = 0.0,
) -> PointEstimates:
    """The bound at x (n, dim), unbiased. See the module.

    prior: normalised, `noise_law(process, dim)` or better. times: of one repetition, one in each of so many equal
    parts of [t_min, T], shared by the points. noises: at each time and point, so many e and their mirror images -e:
    what is left of s'e / sqrt(v) in a pair has bounded variance down to t = 0, where alone it has none; all are in one
    call of the score, so that few points are best served by many. repetitions: at least 2, whose scatter gives the
    standard errors. estimator: "denoising" takes no derivative of the score, "implicit" dim of
    them, "sliced" one. ValueError for points not finite or of another shape, and for a score of another shape than x.

        >>> from samplers.generative import as_score, elbo, noise_law
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0])
        >>> score = as_score(samplers.denoisers.ClosedForm(), process, law)
        >>> found = elbo(score, process, noise_law(process, 1), torch.zeros(1, 1), generator=torch.Generator())
        >>> exact = -0.918939  # an exact score and prior leave no gap
        >>> bool((found.value - exact).abs() < 5 * found.standard_error)
        True
    """
    integrand = estimated(score, noise_of(process), estimator, generator)
    if not 0 <= t_min < process.horizon:
        raise ValueError(f"t_min: got {shown(t_min)}, expected a time in [0, {process.horizon:.6g})")
    schedule = partial(_strata, process, t_min, times, generator)
    constant = prior.dim * float(process.scale(process.horizon).log())
    return bound(integrand, process, prior, x, schedule, constant, times, noises, repetitions, generator)


def family_elbo(
    score: Score,
    data_score: Score,
    process: Process,
    prior: Target,
    x: Tensor,
    family: float,
    *,
    generator: Generator,
    times: int = 64,
    noises: int = 1,
    repetitions: int = 8,
) -> PointEstimates:
    """CT-ELBO_lambda, lambda = `family` < 1: its mean over the data is the mean of the estimates at draws x of them.

        dX = ((1 - lambda/2) g^2 C s - a X) dt + sqrt(1 - lambda) g dW                         the model
        mean bound = mean CT-ELBO_0 - lambda^2 / (4 (1 - lambda)) int E g^2 |s - grad log q_t|_C^2 / 2 dt

    The noise that it is inferred by has the data's own marginals q_t, so that data_score, their exact score, is asked
    for; a single point's estimate bounds nothing. lambda = 0 is `elbo` in the mean. As lambda tends to 1, the
    probability flow, it falls without end for every score but the exact one. Arguments as of `elbo`.

        >>> from samplers.generative import as_score, family_elbo, noise_law
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0])
        >>> score, draw = as_score(samplers.denoisers.ClosedForm(), process, law), torch.Generator()
        >>> x = law.sample(10, generator=draw)
        >>> family_elbo(score, score, process, noise_law(process, 1), x, 0.5, generator=draw).value.shape
        torch.Size([10])
    """
    if not family < 1:
        raise ValueError(f"family: got {shown(family)}, expected a number below 1, where the model has no noise left")
    noise, half = noise_of(process), 1 - 0.5 * family

    @torch.no_grad()
    def integrand(x_t: Tensor, e: Tensor, deviation: float, t: float) -> Tensor:
        s, q = check_score(score(x_t, t), x_t), check_score(data_score(x_t, t), x_t, "data_score")
        control = half * s - 0.5 * family * q
        cost = 0.5 * torch.linalg.vecdot(control, noise.times(control)) / (1 - family)
        return cost + half * torch.linalg.vecdot(s, e) / deviation

    schedule = partial(_strata, process, 0.0, times, generator)
    constant = prior.dim * float(process.scale(process.horizon).log())
    return bound(integrand, process, prior, x, schedule, constant, times, noises, repetitions, generator)


def variational_gap(
    score: Score,
    model_score: Score,
    process: Process,
    x: Tensor,
    *,
    generator: Generator,
    times: int = 64,
    noises: int = 1,
    repetitions: int = 8,
) -> PointEstimates:
    """1/2 int_0^T g^2 E |s - model_score|_C^2 dt at x (n, dim): by how much `elbo` from t_min = 0 lies below log p(x).

    model_score: that of the model's own marginals p_t, which are those of the data for the exact score and prior alone.
    Over draws of the data and with their score it is what the mean bound loses to E log q beside KL(q_T || prior).

        >>> from samplers.generative import variational_gap
        >>> process = samplers.processes.linear.Brownian()
        >>> still, spreading = lambda x, t: 0 * x, lambda x, t: -x / (2 - t)  # N(0, 1) at T = 1, N(0, 2 - t) before
        >>> found = variational_gap(still, spreading, process, torch.zeros(1, 1), generator=torch.Generator())
        >>> bool((found.value - 0.153426).abs() < 5 * found.standard_error)  # (T - log(1 + T)) / 2
        True
    """
    points = check_points(x, x.shape[-1])
    noise = noise_of(process)

    @torch.no_grad()
    def integrand(x_t: Tensor, e: Tensor, deviation: float, t: float) -> Tensor:
        del e, deviation
        s, p = check_score(score(x_t, t), x_t), check_score(model_score(x_t, t), x_t, "model_score")
        return 0.5 * torch.linalg.vecdot(s - p, noise.times(s - p))

    def repetition() -> Tensor:
        return _sum(integrand, process, points, _strata(process, 0.0, times, generator), noises, generator)

    return PointEstimates.of(repetition, repetitions)


def bound(
    integrand: Integrand,
    process: Process,
    prior: Target,
    x: Tensor,
    schedule: Callable[[], Schedule],
    constant: float,
    ends: int,
    noises: int,
    repetitions: int,
    generator: Generator,
) -> PointEstimates:
    """E log prior(x_T) + constant - sum of weight E h(t) over the schedule, which is drawn anew each time; x_T is drawn
    `ends` times for each of the noises."""
    points = check_points(x, prior.dim)
    normaliser = log_z_of(prior)
    scale, variance = (float(value) for value in process.transition(0.0, process.horizon))
    deviation = math.sqrt(variance)

    def repetition() -> Tensor:
        lost = _sum(integrand, process, points, schedule(), noises, generator)
        e = _mirrored(process, points, ends * noises, generator)
        with torch.no_grad():
            gained = prior.log_prob(scale * points + deviation * e).double().mean(0)
        return gained - normaliser + constant - lost

    return PointEstimates.of(repetition, repetitions)


def _sum(
    integrand: Integrand, process: Process, x: Tensor, schedule: Schedule, noises: int, generator: Generator
) -> Tensor:
    """sum of weight h(t), h the mean over noises and their mirror images, (n,) in float64."""
    check_integer(noises, "noises")
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    times, weights = schedule
    scales, variances = process.transition(0.0, times)
    for t, weight, scale, deviation in torch.stack([times, weights, scales, variances.sqrt()], -1).tolist():
        e = _mirrored(process, x, noises, generator)
        value = integrand((scale * x + deviation * e).flatten(0, 1), e.flatten(0, 1), deviation, t)
        total += weight * value.double().reshape(len(e), -1).mean(0)
    return total


def _mirrored(process: Process, x: Tensor, noises: int, generator: Generator) -> Tensor:
    """`noises` draws of N(0, C) at each x (n, dim), and their mirror images, (2 noises, n, dim)."""
    e = noise_of(process).sample_like(x.expand(noises, -1, -1), generator)
    return torch.cat([e, -e])


def _strata(process: Process, t_min: float, times: int, generator: Generator) -> Schedule:
    """A time drawn uniformly in each of equal parts of [t_min, T], weighted by g(t)^2 times their width; before them
    t_min itself, where it is not 0, weighted by its v."""
    check_integer(times, "times")
    width = (process.horizon - t_min) / times
    parts = torch.rand(times, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    # rounding must not leave the process's times, nor reach the data themselves
    t = (t_min + (torch.arange(times) + parts.clamp_min(1e-12)) * width).clamp_max(process.horizon)
    weights = process.diffusion(t).square() * width
    if t_min == 0:
        return t, weights
    first = torch.full((1,), t_min, dtype=torch.float64)
    return torch.cat([first, t]), torch.cat([process.variance(first), weights])


def estimated(score: Score, noise: Noise, estimator: Estimator, generator: Generator) -> Integrand:
    """h of the module."""
    check_choice(estimator, "estimator", ESTIMATORS)

    @torch.no_grad()
    def denoising(x_t: Tensor, e: Tensor, deviation: float, t: float) -> Tensor:
        s = check_score(score(x_t, t), x_t)
        return torch.linalg.vecdot(s, 0.5 * noise.times(s) + e / deviation)

    @torch.enable_grad()
    def implicit(x_t: Tensor, e: Tensor, deviation: float, t: float) -> Tensor:
        del e, deviation
        x_t = x_t.detach().requires_grad_()
        s = recorded(check_score(score(x_t, t), x_t), "score")
        spread = noise.times(s)
        if estimator == "implicit":
            trace = divergence(spread, x_t)
        else:
            trace = projected(spread, x_t, rademacher(x_t, generator)[0])
        return (0.5 * torch.linalg.vecdot(s, spread) + trace).detach()

    return denoising if estimator == "denoising" else implicit
