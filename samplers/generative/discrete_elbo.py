"""A lower bound on the log-density of each point under T reverse steps: the bounds of DDPM and of VDM.

    log p(x) >= -KL(q(x_T | x) || prior) - sum_{k=2}^T E KL(q(x_{k-1} | x_k, x) || p(x_{k-1} | x_k)) + E log p(x | x_1)

The steps are those of `samplers.generative.reverse_step`. Every term is affine in the h of `samplers.generative.elbo`,

    |e + sqrt(v) C s|^2 = d + 2 v h in the mean, e the noise in x_k, |.|^2 by C^-1;   w = b^2 v^2 / (a^2 V')
    KL_k = d/2 (r - 1 - log r) + w (d / (2 v) + h),   r = V / V'
    log p(x | x_1) = -(d/2) log(2 pi V') - (log det C)/2 - w (d / (2 v) + h)

so that the expectation over x_{k-1} is taken exactly, and what is drawn is one noise for each point and step.

    DDPM   V' for data N(m, C)                  VP's beta; on a grid from 0
    VDM    V' = V, so that KL_k = (SNR_{k-1} - SNR_k) |x - D|^2 / 2;   p(x | x_1) has V' = v_1 / a_1^2

As the steps of a grid from 0 shrink DDPM's bound tends to the continuous one of `elbo`. VDM's tends to that with
t_min = the first time, where that is held fixed as the steps above it shrink. On an even grid from 0 it does not: near
the data the variance given x is (k - 1) / k of the reverse's, whatever the step, and what this costs sums to half of
Euler's constant a dimension, .2886 nats. Ho, Jain and Abbeel 2020; Kingma, Salimans, Poole and Ho 2021.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Generator, Tensor

from samplers.generative.elbo import Estimator, bound, estimated
from samplers.generative.estimates import PointEstimates
from samplers.generative.reverse_step import check_grid, reverse_variance
from samplers.generative.score import Score, noise_of
from samplers.processes.base import Process
from targets import Target


def discrete_elbo(
    score: Score,
    process: Process,
    prior: Target,
    x: Tensor,
    grid: Tensor,
    *,
    generator: Generator,
    data_variance: float = 1.0,
    decoder_variance: float | None = None,
    noises: int = 1,
    repetitions: int = 8,
    estimator: Estimator = "denoising",
) -> PointEstimates:
    """The bound at x (n, dim) on the steps of the grid (T + 1,), from 0 to the horizon, unbiased; T scores each time.

    data_variance: w of V' = P V(s,t) / (A^2 P + V(s,t)), P = a_s^2 w + v_s. decoder_variance: V' of p(x | x_1), by
    default as of the other steps. Other arguments and errors as of `elbo`; ValueError for a grid that does not begin at
    0 and for a decoder without noise.

        >>> from samplers.generative import as_score, discrete_elbo, noise_law
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0])
        >>> score, grid = as_score(samplers.denoisers.ClosedForm(), process, law), samplers.processes.grids.uniform(10)
        >>> settings = {"generator": torch.Generator(), "repetitions": 50}
        >>> found = discrete_elbo(score, process, noise_law(process, 1), torch.zeros(1, 1), grid, **settings)
        >>> bool((found.value + 0.918939).abs() < 5 * found.standard_error)  # steps exact for N(0, 1): no gap
        True
    """
    check_grid(grid, process)
    if float(grid[0]) != 0:
        raise ValueError(f"grid: got a first time of {float(grid[0]):.6g}, expected 0, the data")
    dim, s, t = prior.dim, grid[:-1].double().cpu(), grid[1:].double().cpu()
    factor, _, given = process.bridge(0.0, s, t)
    scale, variance = process.transition(0.0, t)
    model = reverse_variance(process, s, t, data_variance)
    if decoder_variance is not None:
        model[0] = decoder_variance
    if not float(model[0]) > 0:
        raise ValueError(f"decoder_variance: got {float(model[0]):.6g}, expected a positive number")
    ratio = given[1:] / model[1:]
    weight = factor.square() * variance.square() / (scale.square() * model)
    # log det C of the decoder and of the entropy of x_T given x cancel
    nats = (1 + (2 * math.pi * variance[-1]).log()) - (ratio - 1 - ratio.log()).sum() - (2 * math.pi * model[0]).log()
    constant = 0.5 * dim * float(nats - (weight / variance).sum())
    integrand = estimated(score, noise_of(process), estimator, generator)
    return bound(integrand, process, prior, x, lambda: (t, weight), constant, len(t), noises, repetitions, generator)


def ddpm_elbo(
    score: Score, process: Process, prior: Target, x: Tensor, grid: Tensor, *, generator: Generator, **settings: Any
) -> PointEstimates:
    """`discrete_elbo` with the variance of DDPM, beta with VP: exact steps for data N(m, C). settings: as of that."""
    return discrete_elbo(score, process, prior, x, grid, generator=generator, data_variance=1.0, **settings)


def vdm_elbo(
    score: Score, process: Process, prior: Target, x: Tensor, grid: Tensor, *, generator: Generator, **settings: Any
) -> PointEstimates:
    """`discrete_elbo` with VDM's variances, given x_0, and v / a^2 at the first time for the decoder."""
    check_grid(grid, process)
    scale, variance = process.transition(0.0, float(grid[1]))
    decoder = float(variance / scale.square())
    settings |= {"data_variance": 0.0, "decoder_variance": decoder}
    return discrete_elbo(score, process, prior, x, grid, generator=generator, **settings)
