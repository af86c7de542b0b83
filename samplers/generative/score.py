"""The score of a noised density, from what is known of the clean state.

    grad log p_t(x) = C^-1 (a E[X | x_t = x] - x) / v,   x_t = a X + sqrt(v) e,   e ~ N(0, C)

x_t / a is a measurement of X with noise of covariance (v / a^2) C, so that every denoiser is the score of every linear
process. Robbins 1956; Vincent 2011.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser
from samplers.processes.base import Process
from samplers.processes.marginals import Marginal
from targets import IsotropicNoise, Target

Score = Callable[[Tensor, float], Tensor]  # (x (n, dim), t) -> (n, dim): grad log of the density of x_t at x


def as_score(denoiser: Denoiser, process: Process, target: Target, *, generator: Generator | None = None) -> Score:
    """score(x, t) of the target noised by the process, for 0 < t <= horizon; at t = 0 the target's own.

    Exact where the denoiser is. generator: what a denoiser that draws does so from. What the denoiser finds once for a
    target and noise is found anew at each time. ValueError or TypeError for a target or noise that it cannot serve.

        >>> from samplers.denoisers import ClosedForm
        >>> from samplers.generative import as_score
        >>> from samplers.processes import OrnsteinUhlenbeck
        >>> score = as_score(ClosedForm(), OrnsteinUhlenbeck(), targets.Gaussian([0.0]))
        >>> score(torch.ones(1, 1), 0.5)
        tensor([[-1.]])
    """
    unit = IsotropicNoise(1.0) if process.noise is None else process.noise

    def score(x: Tensor, t: float) -> Tensor:
        if t == 0:
            return target.score(x)
        marginal = Marginal.at(process, t, x)
        scale, variance = (float(value) for value in process.transition(0.0, t))
        noise = unit.scaled(variance / scale**2)
        with torch.no_grad():
            clean = denoiser.estimate(target, x / marginal.scale, noise, generator).mean
        return marginal.score_of_clean(clean)

    return score
