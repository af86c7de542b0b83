"""Plain guidance by an energy: the gradient of -E at a denoised or at the noisy state is added to the score.

    clean    s(x, t) - w grad_x E(D(x, t)),   D = (x + v C s) / a
    noisy    s(x, t) - w grad E(x)

Both are biased as samplers of p(x) exp(-E(x)). The score of that law noised is s + grad_x log E[exp(-E(X)) | x_t = x],
and guidance takes the mean of exp(-E) for exp(-E) of the mean: right at t = 0 alone, and at all t for a linear E up to
a constant covariance. `TwistedDiffusion` corrects for it. Chung, Kim, Mccann, Klasky and Ye 2023; Ho et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from samplers.generative.score import Score, check_score, noise_of
from samplers.processes.base import Process
from targets.arguments import check_choice, not_negative

Energy = Callable[[Tensor], Tensor]  # x (n, dim) -> E (n,), whose row depends on that row alone


def energy_guided(
    score: Score, energy: Energy, process: Process, *, weight: float = 1.0, at: Literal["clean", "noisy"] = "clean"
) -> Score:
    """A score for solvers that leads to the model times exp(-weight E), with a bias: see the module.

    at: "clean" takes E at the denoised state and differentiates through the score, which must be differentiable;
    "noisy" takes it at the state itself. ValueError for an energy of another shape than (n,).

    How large it can be: for .3 N(-2, .5^2) + .7 N(1, .3^2), E = (x + .5)^2 / (2 .7^2), VP and the exact score, 36% of
    p exp(-E) lie left of -.4 and its mean is -.06; the guided probability flow puts 95% there with mean -.67 ("clean"),
    or 100% with mean -.48 ("noisy"). The exact `classifier_guided` gives 36% and -.06.
    https://arxiv.org/abs/2209.14687

        >>> from samplers.generative.guidance import energy_guided
        >>> process = samplers.processes.linear.VP()
        >>> guided = energy_guided(lambda x, t: -x, lambda x: x.square().sum(-1), process, at="noisy")
        >>> guided(torch.ones(1, 2), 0.5)
        tensor([[-3., -3.]])
    """
    check_choice(at, "at", ("clean", "noisy"))
    weight = not_negative(weight, "weight")
    if at == "noisy":
        return guided(score, lambda u, _: -weight * energy(u))
    return guided(score, denoised_twist(score, lambda u: weight * energy(u), process))


def guided(score: Score, twist: Callable[[Tensor, float], Tensor], weight: float = 1.0) -> Score:
    """s + weight grad log psi of a log-factor (x (n, dim), t) -> (n,)."""
    return lambda x, t: check_score(score(x, t), x) + weight * log_twist(twist, x, t)[1]


def denoised_twist(score: Score, energy: Energy, process: Process) -> Callable[[Tensor, float], Tensor]:
    """-E(D(x, t)), the log of what stands for E[exp(-E(X)) | x_t = x]; -E(x) itself at t = 0."""
    noise = noise_of(process)

    def twist(x: Tensor, t: float) -> Tensor:
        if t == 0:
            return -energy(x)
        scale, variance = (float(value) for value in process.transition(0.0, t))
        s = check_score(score(x, t), x)
        return -energy((x + variance * noise.times(s)) / scale)

    return twist


def log_twist(twist: Callable[[Tensor, float], Tensor], x: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """A log-factor (n,) at x (n, dim) and its gradient; ValueError for another shape. Where x records gradients, so do
    both."""
    keep = torch.is_grad_enabled() and x.requires_grad
    with torch.enable_grad():
        at = x if keep else x.detach().requires_grad_()
        value = twist(at, t)
        if value.shape != x.shape[:1]:
            raise ValueError(f"energy: got shape {tuple(value.shape)}, expected ({len(x)},), one for each point")
        (slope,) = torch.autograd.grad(value.sum(), at, create_graph=keep)
    return (value, slope) if keep else (value.detach(), slope)
