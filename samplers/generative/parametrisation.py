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
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from samplers.processes.base import Process, Time
from samplers.processes.marginals import Marginal
from targets.arguments import positive
from targets.noise import Noise


@dataclass(frozen=True, eq=False)
class NoisyState:
    """States x_t (*batch, dim) of a process at times t (*batch) above 0, in float64; `at` makes it of one time as well.

    process, t, x: as said.

        >>> from samplers.generative import NoisyState
        >>> from samplers.processes.linear import Brownian
        >>> NoisyState.at(Brownian(), 0.25, torch.ones(3, 2)).s
        tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """

    process: Process
    t: Tensor
    x: Tensor

    @classmethod
    def at(cls, process: Process, t: Time, x: Tensor) -> Self:
        """Of x at a time, or at a time for each row; ValueError for times that do not broadcast to the rows of x."""
        times, batch = torch.as_tensor(t, dtype=torch.float64, device=x.device), tuple(x.shape[:-1])
        try:
            return cls(process, times.expand(batch), x)
        except RuntimeError:
            got = tuple(times.shape)
            raise ValueError(f"t: got shape {got}, expected one that broadcasts to {batch}, the rows of x") from None

    @cached_property
    def marginal(self) -> Marginal:
        """The law of x_t given the data, in the dtype of x."""
        return Marginal.at(self.process, self.t, self.x)

    @cached_property
    def a(self) -> Tensor:
        """The scale, (*batch) in float64."""
        return self.process.scale(self.t)

    @cached_property
    def s(self) -> Tensor:
        """The deviation of the noise, (*batch) in float64."""
        return self.process.variance(self.t).sqrt()

    @cached_property
    def g(self) -> Tensor:
        """The diffusion coefficient, (*batch) in float64."""
        return self.process.diffusion(self.t)

    def row(self, coefficient: Tensor) -> Tensor:
        """A coefficient (*batch) as a factor of x, (*batch, 1) in its dtype."""
        return coefficient.to(self.x)[..., None]


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
        return square(error, state.process.noise)


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
        covariance = state.process.noise
        return torch.linalg.vecdot(error, error if covariance is None else covariance.times(error))


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
        covariance = state.process.noise
        coloured = output if covariance is None else covariance.colour(output)
        return -state.row(state.s / state.g) * coloured

    def output(self, noise: Tensor, state: NoisyState) -> Tensor:
        """-(g / s) L^-1 e."""
        return -state.row(state.g / state.s) * whitened(noise, state.process.noise)

    def gain(self, state: NoisyState) -> Tensor:
        """1 / g."""
        return 1 / state.g

    def square(self, error: Tensor, state: NoisyState) -> Tensor:
        """In the usual norm."""
        return torch.linalg.vecdot(error, error)


class ScoreModel(nn.Module):
    """A network, read as the score of a process: `model.score` is what reverse solvers take.

    network: called as network(x, t) with x (*batch, dim) and t (*batch), both in the dtype of x; returns (*batch, dim).
    Rows must not depend on one another (no batch normalisation): divergences are taken row by row. process:
    a `samplers.processes.base.Process`. parametrisation: what its output means.
    ValueError for an output of another shape, for t outside (0, horizon], and TypeError for other arguments.

        >>> from samplers.generative import NoiseOf, ScoreModel
        >>> from samplers.processes.linear import Brownian
        >>> class Half(torch.nn.Module):
        ...     def forward(self, x, t):
        ...         return x / 2
        >>> ScoreModel(Half(), Brownian(), NoiseOf()).score(torch.ones(1, 2), 0.25)
        tensor([[-1., -1.]])
    """

    def __init__(self, network: nn.Module, process: Process, parametrisation: Parametrisation) -> None:
        super().__init__()
        for argument, value, kind in (("network", network, nn.Module), ("process", process, Process),
                                      ("parametrisation", parametrisation, Parametrisation)):  # fmt: skip
            if not isinstance(value, kind):
                raise TypeError(f"{argument}: got {value!r}, expected a {kind.__name__}")
        self.network, self.process, self.parametrisation = network, process, parametrisation

    def output(self, state: NoisyState) -> Tensor:
        """F, (*batch, dim)."""
        found = self.network(state.x, state.t.to(state.x))
        if not isinstance(found, Tensor) or found.shape != state.x.shape:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"network: returned {got}, expected {tuple(state.x.shape)}, that of x")
        return found

    def noise_at(self, state: NoisyState) -> Tensor:
        """E[e | x_t], (*batch, dim)."""
        return self.parametrisation.noise(self.output(state), state)

    def score_at(self, state: NoisyState) -> Tensor:
        """grad log p_t(x_t), (*batch, dim)."""
        return state.marginal.score_of_noise(self.noise_at(state))

    def score(self, x: Tensor, t: Time) -> Tensor:
        """grad log p_t(x), (*batch, dim), for 0 < t <= horizon."""
        return self.score_at(NoisyState.at(self.process, t, x))

    def clean(self, x: Tensor, t: Time) -> Tensor:
        """E[X | x_t = x], (*batch, dim), likewise."""
        state = NoisyState.at(self.process, t, x)
        return state.marginal.clean_of_noise(self.noise_at(state))

    def forward(self, x: Tensor, t: Time) -> Tensor:
        """The score."""
        return self.score(x, t)


def square(v: Tensor, covariance: Noise | None) -> Tensor:
    """v' C^-1 v, (*batch)."""
    return torch.linalg.vecdot(v, v) if covariance is None else covariance.square(v)


def whitened(v: Tensor, covariance: Noise | None) -> Tensor:
    """L^-1 v = L' C^-1 v, (*batch, dim): what `covariance.colour` undoes."""
    if covariance is None:
        return v
    rows = covariance.colour(torch.eye(v.shape[-1], dtype=v.dtype, device=v.device))  # L', as its rows are L e_i
    return covariance.solve(v) @ rows.mT
