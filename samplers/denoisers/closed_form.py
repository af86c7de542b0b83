"""The denoiser of targets whose Gaussian smoothing is known: Gaussians, Gaussian mixtures, their products."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate, count, inner
from targets import Noise, Target


@dataclass(frozen=True, eq=False)
class ClosedForm(Denoiser):
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

    _kept: list[Any] = field(default_factory=list, init=False, repr=False)

    def check(self, target: Target, noise: Noise) -> None:
        missing = {"smoothed", "sample_given"} - inner(target).known
        if missing:
            raise ValueError(
                f"denoiser: {target.name} does not know its {' and its '.join(sorted(missing))} in closed form; "
                "expected a Gaussian or a mixture of Gaussians, or another denoiser"
            )

    def smoothed(self, target: Target, noise: Noise) -> Target:
        """The law of Y; the last one is kept."""
        bare = inner(target)
        if not (self._kept and self._kept[0] is bare and self._kept[1] is noise):
            self._kept[:] = [bare, noise, bare.smoothed(noise)]
        return count(target, self._kept[2])

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Tensor | None = None
    ) -> Estimate:
        log_density, score = self.smoothed(target, noise).log_prob_and_score(y)
        return Estimate(y + noise.times(score), log_density)

    def draw(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Tensor | None = None
    ) -> Tensor:
        return inner(target).sample_given(y, noise, generator=generator)
