"""What the raw output F(x, t) of a network means, and the score that it stands for.

    x_t = a X + s e,   e ~ N(0, C = L L'),   D = E[X | x_t],   score = -C^-1 E[e | x_t] / s

    ScoreOf     F = score                                       |score - score*|_C = |F - F*|_C
    NoiseOf     F = E[e | x_t]                                  ..                 = |F - F*|_P / s
    CleanOf     F = D                                           ..                 = |F - F*|_P a / s^2
    Velocity    F = (a E[e | x_t] - s D) / r                    ..                 = |F - F*|_P a / (s r)
    Karras      D = c_skip y + c_out F,  y = x_t / a            ..                 = |F - F*|_P a k / (s T)
    Control     F = g L' score                                  ..                 = |F - F*| / g

with r^2 = a^2 + s^2, T^2 = s^2 + k^2 a^2, |v|_C^2 = v' C v, |v|_P^2 = v' C^-1 v. F* is what F would be were the noise
known: regression on it is denoising score matching with a weight, the square of the factor in the last column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.generative.noisy_state import NoisyState, whitened
from targets.arguments import positive


class Parametrisation(ABC):
    """The meaning of a network's output F: a frozen dataclass. `noise` and `output` are each other's inverse.

    A new one writes these two and `gain`.

        >>> from samplers.generative import CleanOf, NoisyState
        >>> from samplers.processes.linear import Brownian
        >>> state = NoisyState.at(Brownian(), 0.25, torch.ones(1, 2))
        >>> CleanOf().noise(torch.zeros(1, 2), state), CleanOf().gain(state)
        (tensor([[2., 2.]]), tensor([4.], dtype=torch.float64))
    """

    @abstractmethod
    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """E[e | x_t] where the network's output is this, (*batch, dim)."""

    @abstractmethod
    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """What the network should say where E[e | x_t], or the noise itself, is this, (*batch, dim)."""

    @abstractmethod
    def gain(self, state: NoisyState) -> Tensor:
        """k(t), (*batch) in float64: an error of F becomes one of the score, in the norm of C, times k."""

    def square(self, error: Tensor, state: NoisyState) -> Tensor:
        """|error|^2 of an error of F, in the norm of `gain`, (*batch)."""
        return state.square(error)


@dataclass(frozen=True)
class ScoreOf(Parametrisation):
    """F = grad log p_t(x_t), of the size 1 / s.

    A network of outputs of order one learns it slowly near the data.

        >>> from samplers.generative import ScoreOf
        >>> ScoreOf()
        ScoreOf()
    """

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """-s C F."""
        return state.marginal.noise_of_score(output)

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """-C^-1 e / s."""
        return state.marginal.score_of_noise(noise)

    def gain(self, state: NoisyState) -> Tensor:
        """1."""
        return torch.ones_like(state.t)

    def square(self, error: Tensor, state: NoisyState) -> Tensor:
        """In the norm of C."""
        return torch.linalg.vecdot(error, state.noise.times(error))


@dataclass(frozen=True)
class NoiseOf(Parametrisation):
    """F = E[e | x_t], the noise in the state, of the size of the noise at every t.

    Ho, Jain and Abbeel 2020, https://arxiv.org/abs/2006.11239.

        >>> from samplers.generative import NoiseOf
        >>> NoiseOf()
        NoiseOf()
    """

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """F."""
        return output

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """e."""
        return noise

    def gain(self, state: NoisyState) -> Tensor:
        """1 / s."""
        return 1 / state.s


@dataclass(frozen=True)
class CleanOf(Parametrisation):
    """F = E[X | x_t], the state without its noise, of the size of the data at every t.

    Its errors are small in the score at great noise and large near the data.

        >>> from samplers.generative import CleanOf
        >>> CleanOf()
        CleanOf()
    """

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """(x - a F) / s."""
        return state.marginal.noise_of_clean(output)

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """(x - s e) / a."""
        return state.marginal.clean_of_noise(noise)

    def gain(self, state: NoisyState) -> Tensor:
        """a / s^2."""
        return state.a / state.s.square()


@dataclass(frozen=True)
class Velocity(Parametrisation):
    """F = (a E[e | x_t] - s E[X | x_t]) / sqrt(a^2 + s^2), between noise and data.

    Salimans and Ho 2022, https://arxiv.org/abs/2202.00512.

        >>> from samplers.generative import Velocity
        >>> Velocity()
        Velocity()
    """

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """(s x + a r F) / r^2."""
        return state.marginal.noise_of_velocity(output)

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """(a e - s (x - s e) / a) / r."""
        return state.marginal.velocity_of_noise(noise)

    def gain(self, state: NoisyState) -> Tensor:
        """a / (s r)."""
        return state.a / (state.s * torch.hypot(state.a, state.s))


@dataclass(frozen=True)
class Karras(Parametrisation):
    """E[X | x_t] = c_skip y + c_out F of y = x_t / a, whose noise has the deviation sigma = s / a.

        c_skip = k^2 / (sigma^2 + k^2),   c_out = sigma k / sqrt(sigma^2 + k^2)

    deviation: k, that of the data in each coordinate. For data N(0, k^2 I) the best F is 0, and F* has unit variance at
    every noise. What enters the network is another choice: `KarrasInputs` gives it c_in y and c_noise. Karras, Aittala,
    Aila and Laine 2022, https://arxiv.org/abs/2206.00364. With k = 1 F is minus the velocity.

        >>> from samplers.generative import Karras
        >>> Karras(deviation=0.5)
        Karras(deviation=0.5)
    """

    deviation: float = 1.0

    def __post_init__(self) -> None:
        positive(self.deviation, "deviation")

    def _total(self, state: NoisyState) -> Tensor:
        """T, (*batch) in float64."""
        return torch.hypot(state.s, self.deviation * state.a)

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """(s x / T - a k F) / T: (y - D) / sigma without a difference of close numbers."""
        total = self._total(state)
        slope = self.deviation * state.a / total
        return state.row(state.s / total.square()) * state.x - state.row(slope) * output

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """(s x / T - T e) / (a k)."""
        total, slope = self._total(state), self.deviation * state.a
        return state.row(state.s / (total * slope)) * state.x - state.row(total / slope) * noise

    def gain(self, state: NoisyState) -> Tensor:
        """a k / (s T)."""
        return self.deviation * state.a / (state.s * self._total(state))


@dataclass(frozen=True)
class Control(Parametrisation):
    """F = g L' score, the a of Huang, Lim and Courville 2021, https://arxiv.org/abs/2106.02808.

    It is the drift, in units of the noise dW, by which the reverse process differs from the free one: the likelihood's
    bound is the plain regression on F*, without a weight.

        >>> from samplers.generative import Control
        >>> Control()
        Control()
    """

    def noise(self, output: Tensor, state: NoisyState) -> Tensor:
        """-(s / g) L F."""
        return -state.row(state.s / state.g) * state.noise.colour(output)

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """-(g / s) L^-1 e."""
        return -state.row(state.g / state.s) * whitened(noise, state.process.noise)

    def gain(self, state: NoisyState) -> Tensor:
        """1 / g."""
        return 1 / state.g

    def square(self, error: Tensor, state: NoisyState) -> Tensor:
        """In the usual norm."""
        return torch.linalg.vecdot(error, error)
