"""Denoising score matching of second and third order: the derivatives of the score, from what the score leaves over.

    r = e - E[e | x_t],   rho = C^-1 r,   S = grad log p_t,   H = grad S,   h = tr(C H) = div C S

    s^2 C H C + C = E[r r' | x_t],   s^2 h + dim = E[r . rho | x_t],   s^3 C grad h = -E[r (r . rho) | x_t]

    HessianMatching          l = |H - C^-1 (r r' - C) C^-1 / s^2|^2 / 2
    TraceMatching            l = (h - (r . rho - dim) / s^2)^2 / 2
    TraceGradientMatching    l = |grad h + C^-1 z / s^3|^2 / 2,   z = r (r . rho) - tr(K) r - 2 K r,   K = s^2 C H + I

With the noise that the model itself predicts in place of E[e | x_t], which takes no gradient, an error of it counts
only by its square (in z by the terms of K, whose mean is zero otherwise). Norms are those of C: |M|^2 = tr(M' C M C)
for matrices. They make the curvature of the log-density right, on which the probability flow's likelihood depends. Lu,
Zheng, Bao, Chen, Li and Zhu 2022, https://arxiv.org/abs/2206.08265.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.generative.divergence import Field, gradient, rademacher, with_divergence, with_images, with_jacobian
from samplers.generative.losses import Example, Loss
from samplers.generative.noisy_state import NoisyState
from samplers.generative.score_model import ScoreModel
from targets.arguments import check_integer


@dataclass(frozen=True, kw_only=True)
class HessianMatching(Loss):
    """l = |H - C^-1 (r r' - C) C^-1 / s^2|^2 / 2 of the Jacobian H of the model's score: dim backward passes.

    probes: None for the matrix, else the number of random signs v by whose images the norm is estimated, E|L' M L v|^2
    = |M|^2: a backward pass each. weighting, times: as of `samplers.generative.Loss`.

        >>> from samplers.generative import HessianMatching
        >>> HessianMatching(probes=1).order
        2
    """

    probes: int | None = None

    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probes is not None:
            check_integer(self.probes, "probes")

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """l for each row, (n,)."""
        state = example.state
        if self.probes is None:
            score, hessian = with_jacobian(_score(model, state), state.x)
            return hessian_rows(state, hessian, _left_over(score, example))
        probes = state.noise.colour(rademacher(state.x, generator, self.probes))
        score, images = with_images(_score(model, state), state.x, probes)  # H' w
        r = _left_over(score, example)
        variance, solved = state.row(state.s.square()), state.noise.solve(r)
        found = []
        for w, image in zip(probes, images, strict=True):
            left = variance * state.noise.times(image) + w - r * torch.linalg.vecdot(solved, w)[..., None]
            found.append(state.square(left))
        return 0.5 * torch.stack(found).mean(0).double() / state.s.pow(4)


@dataclass(frozen=True, kw_only=True)
class TraceMatching(Loss):
    """l = (h - (r . rho - dim) / s^2)^2 / 2 of the divergence h of C times the model's score: dim backward passes.

    weighting, times: as of `samplers.generative.Loss`.

        >>> from samplers.generative import TraceMatching
        >>> TraceMatching(weighting="noise level").order
        2
    """

    order: ClassVar[int] = 2

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """l for each row, (n,)."""
        state = example.state
        noise, divergence = with_divergence(lambda x: model.noise_at(state.moved(x)), state.x)  # of -s C S
        return trace_rows(state, -divergence.double() / state.s, example.noise - noise.detach())


@dataclass(frozen=True, kw_only=True)
class TraceGradientMatching(Loss):
    """l = |grad h + C^-1 z / s^3|^2 / 2 of the gradient of that divergence: dim backward passes and one through them.

    weighting, times: as of `samplers.generative.Loss`.

        >>> from samplers.generative import TraceGradientMatching
        >>> TraceGradientMatching().order
        3
    """

    order: ClassVar[int] = 3

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """l for each row, (n,)."""
        state = example.state
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            score, hessian = with_jacobian(_score(model, state), x)
            trace = state.noise.times(hessian.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
            found = gradient(trace, x, keep)
        return trace_gradient_rows(state, found, _left_over(score, example), hessian.detach())


def hessian_rows(state: NoisyState, hessian: Tensor, r: Tensor) -> Tensor:
    """l of a Hessian (n, dim, dim) beside what the score leaves of the noise, r (n, dim); (n,) in float64."""
    m = _second(state, hessian) - r[..., :, None] * state.noise.solve(r)[..., None, :]  # s^2 C M
    solved = state.noise.solve(m.mT).mT
    return 0.5 * (solved * state.noise.times(m)).sum((-2, -1)).double() / state.s.pow(4)


def trace_rows(state: NoisyState, trace: Tensor, r: Tensor) -> Tensor:
    """l of h (n,), likewise."""
    wanted = state.square(r).double() - r.shape[-1]
    return 0.5 * (state.s.square() * trace.double() - wanted).square() / state.s.pow(4)


def trace_gradient_rows(state: NoisyState, found: Tensor, r: Tensor, hessian: Tensor) -> Tensor:
    """l of grad h (n, dim), likewise; hessian: an estimate of H, (n, dim, dim)."""
    second = _second(state, hessian)
    size = state.square(r) - second.diagonal(dim1=-2, dim2=-1).sum(-1)
    z = size[..., None] * r - 2 * (second @ r[..., None])[..., 0]
    error = state.row(state.s.pow(3)) * state.noise.times(found) + z
    return 0.5 * state.square(error).double() / state.s.pow(6)


def _second(state: NoisyState, hessian: Tensor) -> Tensor:
    """K = s^2 C H + I, (n, dim, dim): the mean of r rho'."""
    unit = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return state.row(state.s.square())[..., None] * state.noise.times(hessian.mT).mT + unit


def _score(model: ScoreModel, state: NoisyState) -> Field:
    return lambda x: model.score_at(state.moved(x))


def _left_over(score: Tensor, example: Example) -> Tensor:
    """r, of the noise that this score stands for."""
    return example.noise - example.state.marginal.noise_of_score(score.detach())
