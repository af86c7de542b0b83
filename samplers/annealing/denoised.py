"""The law of Y = X + N(0, C) by the score that a denoiser gives.

    grad log p(y) = P (E[X | y] - y),     P = C^-1        (Tweedie's formula)

Denoisers are in `samplers.denoisers` and `samplers.generative`, which build on annealing: here is what is asked of one.
"""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

import torch
from torch import Generator, Tensor

from targets import Noise, Target


class Estimated(Protocol):
    """What a denoiser answers, see `samplers.denoisers.Estimate`."""

    @property
    def mean(self) -> Tensor:
        """E[X | y], (n, dim)."""

    @property
    def log_density(self) -> Tensor | None:
        """Of y, (n,)."""

    @property
    def trusted(self) -> Tensor | None:
        """(n,)."""


@runtime_checkable
class Denoising(Protocol):
    """What is asked of a `samplers.denoisers.Denoiser`."""

    def bind(self, target: Target, noise: Noise) -> Self:
        """This denoiser for that target and noise, checked."""

    def estimate(self, target: Target, y: Tensor, noise: Noise, generator: Generator | None) -> Estimated:
        """The estimate at measurements y, (n, dim)."""

    def describe(self) -> str:
        """A few words for reports."""


class Denoised(Target):
    """The law of Y = X + noise with the score P (E[X | y] - y), for samplers without a Metropolis test.

    Its log-density is the denoiser's, or 0 everywhere where that gives none. target: of X. denoiser: a
    samplers.denoisers.Denoiser. generator: of one that draws. RuntimeError for estimates that are not believed.

        >>> from samplers.annealing.denoised import Denoised
        >>> from samplers.denoisers import ClosedForm
        >>> Denoised(targets.Gaussian([0.0]), ClosedForm(), targets.IsotropicNoise(1.0)).score(torch.tensor([[1.0]]))
        tensor([[-0.5000]])
    """

    def __init__(self, target: Target, denoiser: Denoising, noise: Noise, generator: Generator | None = None) -> None:
        name = f"{target.name} denoised by {denoiser.describe()}"
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=name)
        self.target, self.noise, self.generator = target, noise, generator
        self.denoiser = denoiser.bind(target, noise)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.reshape(-1, self.dim)
        found = self.denoiser.estimate(self.target, y, self.noise, self.generator)
        if found.trusted is not None and not bool(found.trusted.all()):
            raise RuntimeError(
                f"denoiser: {self.denoiser.describe()} does not believe {int((~found.trusted).sum())} of {len(y)} "
                f"estimates of E[X | y] for {self.target.name} at {self.noise}; expected one that can"
            )
        value = torch.zeros_like(y[:, 0]) if found.log_density is None else found.log_density
        return value.reshape(x.shape[:-1]), self.noise.solve(found.mean - y).reshape(x.shape)
