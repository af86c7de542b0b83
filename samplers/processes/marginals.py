"""The law of a noised state given the data, and the quantities that say the same of it as the score does.

    x_t = a X + s e,   e ~ N(0, C),   a = scale(t),   s^2 = variance(t)

    clean      D = E[X | x_t]
    noise      E[e | x_t] = (x_t - a D) / s
    score      grad log p_t(x_t) = -C^-1 E[e | x_t] / s                 (Tweedie's formula)
    velocity   (a E[e | x_t] - s D) / r,   r^2 = a^2 + s^2             (Salimans and Ho 2022, whose r is 1)

Each is an affine function of each other at a given x_t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from samplers.processes.base import Process, Time, by_row
from targets.noise import Noise


@dataclass(frozen=True, eq=False)
class Marginal:
    """Of states x (*batch, dim) at one time, or at a time for each row: scale a and deviation s, (*batch, 1).

    covariance: the C of the process, None for the identity.
    """

    x: Tensor
    scale: Tensor
    deviation: Tensor
    covariance: Noise | None

    @classmethod
    def at(cls, process: Process, t: Time, x: Tensor) -> Self:
        """Of x at time t, which broadcasts to the rows of x; ValueError for t = 0, where no noise is left."""
        return cls.of(process, *process.transition(0.0, t), x)

    @classmethod
    def of(cls, process: Process, scale: Tensor, variance: Tensor, x: Tensor) -> Self:
        """Of x where the process has this scale and variance, likewise."""
        if process.noise is not None:
            process.noise.check(x.shape[-1])
        if not variance.is_meta and not bool((variance > 0).all()):
            raise ValueError("t: got 0, expected a time above 0: x_0 is the data themselves")
        return cls(x, by_row(scale, x), by_row(variance.sqrt(), x), process.noise)

    def clean_of_noise(self, noise: Tensor) -> Tensor:
        """D = (x - s e) / a."""
        return (self.x - self.deviation * noise) / self.scale

    def noise_of_clean(self, clean: Tensor) -> Tensor:
        """e = (x - a D) / s."""
        return (self.x - self.scale * clean) / self.deviation

    def score_of_noise(self, noise: Tensor) -> Tensor:
        """-C^-1 e / s."""
        return -(noise if self.covariance is None else self.covariance.solve(noise)) / self.deviation

    def noise_of_score(self, score: Tensor) -> Tensor:
        """-s C score."""
        return -self.deviation * (score if self.covariance is None else self.covariance.times(score))

    def score_of_clean(self, clean: Tensor) -> Tensor:
        """C^-1 (a D - x) / s^2."""
        return self.score_of_noise(self.noise_of_clean(clean))

    def clean_of_score(self, score: Tensor) -> Tensor:
        """(x + s^2 C score) / a."""
        return self.clean_of_noise(self.noise_of_score(score))

    def noise_of_velocity(self, velocity: Tensor) -> Tensor:
        """e = (s x + a r v) / r^2."""
        total = self.scale.square() + self.deviation.square()
        return (self.deviation * self.x + self.scale * total.sqrt() * velocity) / total

    def velocity_of_noise(self, noise: Tensor) -> Tensor:
        """(a e - s D) / r."""
        total = self.scale.square() + self.deviation.square()
        return (self.scale * noise - self.deviation * self.clean_of_noise(noise)) / total.sqrt()
