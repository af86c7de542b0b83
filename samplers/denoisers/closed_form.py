"""The denoiser of targets whose Gaussian smoothing is known: Gaussians, Gaussian mixtures, their products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate, Finding, Memory
from targets import Noise, Target
from targets.counting import Counted, counted_like, plain


@dataclass(frozen=True, eq=False)
class ClosedForm(Finding[Target]):
    """E[X | y] = y + C grad log q(y) with q = target.smoothed(noise), and exact draws of X given y. Nothing is random.

    ValueError for a target that does not know its smoothing.

        >>> from samplers.denoisers import ClosedForm
        >>> y, noise = torch.tensor([[1.0], [-1.0]]), targets.IsotropicNoise(1.0)
        >>> found = ClosedForm().estimate(targets.Gaussian([0.0], scale=3.0), y, noise)
        >>> found.mean.flatten(), found.error is None
        (tensor([ 0.9000, -0.9000]), True)
    """

    exact: ClassVar[bool] = True
    density: ClassVar[bool] = True

    def check(self, target: Target, noise: Noise) -> None:
        check_smoothing(target, "denoiser")

    def find(self, target: Counted, noise: Noise) -> Target:
        """The law of Y."""
        return target.inner.smoothed(noise)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        log_density, score = log_density_and_score(counted_like(target, self.found(target, noise)), y)
        return Estimate(y + noise.times(score), log_density)

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        return plain(target).sample_given(y, noise, generator=generator)


def check_smoothing(target: Target, argument: str) -> None:
    """ValueError for a target that does not know its smoothing, or its draws given a measurement."""
    missing = {"smoothed", "sample_given"} - plain(target).known
    if missing:
        raise ValueError(
            f"{argument}: {target.name} does not know its {' and its '.join(sorted(missing))} in closed form; "
            f"expected a Gaussian or a mixture of Gaussians, or another {argument}"
        )


def log_density_and_score(law: Target, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both at y; where y records gradients the score is differentiable too, else it is the law's own form of it."""
    if torch.is_grad_enabled() and y.requires_grad:
        value = law.log_prob(y)
        (score,) = torch.autograd.grad(value.sum(), y, create_graph=True)
        return value, score
    return law.log_prob_and_score(y)
