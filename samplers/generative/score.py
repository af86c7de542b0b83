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
from samplers.denoisers.closed_form import log_density_and_score
from samplers.processes.base import Process
from samplers.processes.marginals import Marginal
from targets import IsotropicNoise, Noise, Target

Score = Callable[[Tensor, float], Tensor]  # (x (n, dim), t) -> (n, dim): grad log of the density of x_t at x


def as_score(denoiser: Denoiser, process: Process, target: Target, *, generator: Generator | None = None) -> Score:
    """score(x, t) of the target noised by the process, for 0 < t <= horizon; at t = 0 the target's own.

    Exact where the denoiser is. generator: what a denoiser that draws does so from. What the denoiser finds once for a
    target and noise is found anew at each time. Where x records gradients, so does the score, if the denoiser is
    differentiable, as `ClosedForm` is. ValueError or TypeError for a target or noise that it cannot serve.

        >>> from samplers.denoisers import ClosedForm
        >>> from samplers.generative import as_score
        >>> from samplers.processes.linear import OrnsteinUhlenbeck
        >>> score = as_score(ClosedForm(), OrnsteinUhlenbeck(), targets.Gaussian([0.0]))
        >>> score(torch.ones(1, 1), 0.5)
        tensor([[-1.0000]])
    """
    unit = noise_of(process)

    def score(x: Tensor, t: float) -> Tensor:
        if t == 0:
            return log_density_and_score(target, x)[1]
        marginal = Marginal.at(process, t, x)
        scale, variance = (float(value) for value in process.transition(0.0, t))
        noise = unit.scaled(variance / scale**2)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            clean = denoiser.estimate(target, x / marginal.scale, noise, generator).mean
            return marginal.score_of_clean(clean)

    return score


def noise_of(process: Process) -> Noise:
    """N(0, C) of the process."""
    return IsotropicNoise(1.0) if process.noise is None else process.noise


def check_points(x: Tensor, dim: int) -> Tensor:
    """x as (n, dim); ValueError for another shape and for points that are not finite."""
    if x.shape[-1:] != (dim,):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (*batch, {dim})")
    bad = ~x.isfinite().all(-1)
    if bool(bad.any()):
        where = int(bad.flatten().nonzero()[0])
        raise ValueError(f"x: got values that are not finite, first at point {where}, expected finite points")
    return x.reshape(-1, dim)


def check_score(score: Tensor, x: Tensor, argument: str = "score") -> Tensor:
    """What a score, or another field, said at x; ValueError for another shape than that of x."""
    if not isinstance(score, Tensor) or score.shape != x.shape:
        raise ValueError(f"{argument}: got {shown(score)}, expected that of x, {tuple(x.shape)}")
    return score


def shown(value: object) -> str:
    """What came in place of a tensor of some shape, for messages."""
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
