"""A learned sampler is a pair of path measures on a grid of steps: one runs from the prior, one back from the target.

    x_0 ~ prior,   x_{k+1} ~ N(f_k(x_k), s_k^2)         forward, what is sampled
    x_K ~ gamma/Z, x_{k-1} ~ N(b_k(x_k), r_k^2)         backward, what it is compared with
    log w = log gamma(x_K) - log prior(x_0) + sum_k [ log N(x_k; b_{k+1}(x_{k+1}), r_{k+1}^2)
                                                      - log N(x_{k+1}; f_k(x_k), s_k^2) ]

Both are normalised laws of finitely many points, so E[exp(log w)] = Z whatever f, b, s and r are; no term of a
stochastic integral in continuous time is left to be discretised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.path_measures.control import Control
from samplers.path_measures.prior import Prior


@dataclass(frozen=True, eq=False)
class Points:
    """States of s successive steps of n paths, and what the target says there, in the coordinates of the sampler.

    x: (s, n, dim); log_prob: (s, n); score: (s, n, dim).
    """

    x: Tensor
    log_prob: Tensor
    score: Tensor

    def __getitem__(self, steps: slice | list[int]) -> Points:
        return Points(self.x[steps], self.log_prob[steps], self.score[steps])

    def of(self, paths: Tensor) -> Points:
        """Those of some paths."""
        return Points(self.x[:, paths], self.log_prob[:, paths], self.score[:, paths])


@dataclass(frozen=True, eq=False)
class Table:
    """What depends on the step alone, of s states: every tensor has the s rows first. `parts` are a control's."""

    values: Mapping[str, Tensor]
    parts: tuple[Tensor, ...] = ()

    def __getitem__(self, steps: slice) -> Table:
        return Table({name: value[steps] for name, value in self.values.items()}, tuple(p[steps] for p in self.parts))


@dataclass(frozen=True, eq=False)
class Step:
    """A Gaussian transition: mean (s, n, dim), scale a standard deviation that broadcasts to it.

    log_det: the sum over coordinates of log scale, (s, 1) in float64. factor: L (s, dim, dim), lower triangular, of
    steps whose noise is correlated, L (scale * e); the sum of log diag L is then in log_det too.
    """

    mean: Tensor
    scale: Tensor
    log_det: Tensor
    factor: Tensor | None = None

    def at(self, noise: Tensor, noise_scale: float = 1.0) -> Tensor:
        """The state that standard normal noise (s, n, dim) leads to; `noise_scale` widens it."""
        if self.factor is not None:
            return torch.add(self.mean, (self.scale * noise) @ self.factor.mT, alpha=noise_scale)
        return torch.addcmul(self.mean, self.scale.expand_as(noise), noise, value=noise_scale)

    def noise_of(self, state: Tensor) -> Tensor:
        """The noise that leads to a state, (s, n, dim)."""
        moved = state - self.mean
        if self.factor is not None:
            moved = torch.linalg.solve_triangular(self.factor.mT, moved, upper=True, left=False)
        return moved / self.scale


def log_det(scale: Tensor, dim: int) -> Tensor:
    """The sum of log scale over dim coordinates, for (s, 1, dim) or (s, 1, 1), (s, 1) in float64."""
    logs = scale.log().sum(-1).double()
    return logs * dim if scale.shape[-1] == 1 else logs


class PathMeasure(nn.Module, ABC):
    """The two path measures; tensors have s steps first, then n paths.

    `table` holds what depends on the states' indices alone; a simulation asks for it once. `field` is what the networks
    say at states; it is computed once a state and handed to `forward` (from state k to k + 1) and to `backward` (from
    state k to k - 1). uses_field_backward: whether `backward` reads it.
    flow: an optional network whose output is added to `log_density` between the ends.
    """

    uses_field_backward: ClassVar[bool] = False
    control: Control

    def __init__(self, prior: Prior, steps: int) -> None:
        super().__init__()
        self.prior, self.steps, self.dim = prior, steps, prior.dim
        self.flow: nn.Module | None = None

    @abstractmethod
    def table(self, k: Tensor) -> Table:
        """What the states of indices k (s,) have in common, whatever x is."""

    @abstractmethod
    def field(self, table: Table, at: Points) -> Tensor:
        """The networks' output at the states, (s, n, ...)."""

    @abstractmethod
    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        """The law of x_{k+1} given x_k."""

    @abstractmethod
    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        """The law of x_{k-1} given x_k."""

    def set_clip(self, limit: float) -> None:
        """The limit on the score that the networks see, for measures that have one."""
        del limit

    def speed_up(self, mixed_precision: bool, compiled: bool) -> None:
        """As `Control.speed_up`, of every control."""
        for module in self.modules():
            if isinstance(module, Control):
                module.speed_up(mixed_precision, compiled)

    def time(self, k: Tensor) -> Tensor:
        """The share of the steps that is done at state k, (s,)."""
        return k.to(self.prior.reference) / self.steps

    def temperature(self, k: Tensor) -> Tensor:
        """b_k of `log_density`, (s,): 0 at the prior, 1 at the target."""
        return self.time(k)

    def log_density(self, k: Tensor, at: Points) -> Tensor:
        """log pi_k of the state after k steps, (s, n) in float64: (1 - b_k) log prior + b_k log gamma (+ the flow).

        The ends are exact: pi_0 is the prior, pi_K the target. Between them it is a guess that resampling and the
        losses on pieces of a path may use, and which changes no weight.
        """
        b = self.temperature(k).double()[:, None]
        prior, target = self.prior.log_prob(at.x).double(), at.log_prob.double()
        # 0 * infinity: an end of no weight has no say
        value = torch.where(b > 0, b * target, 0.0) + torch.where(b < 1, (1 - b) * prior, 0.0)
        if self.flow is not None:
            value = value + (b * (1 - b)) * self.flow(self.time(k), at.x).double()
        return value

    def log_ratio(self, forward: Step, new: Tensor, backward: Step, old: Tensor) -> Tensor:
        """As the function of this name."""
        return log_ratio(forward, new, backward, old)


def log_ratio(forward: Step, new: Tensor, backward: Step, old: Tensor) -> Tensor:
    """log N(old; backward) - log N(new; forward), (s, n) in float64.

    The difference of the squares is taken as a product, coordinate by coordinate, before anything is added up.
    """
    ahead, behind = forward.noise_of(new), backward.noise_of(old)
    squares = torch.linalg.vecdot(ahead - behind, ahead + behind).double()
    return torch.add(forward.log_det - backward.log_det, squares, alpha=0.5)


def draw(step: Step, generator: Generator, noise_scale: float = 1.0) -> Tensor:
    """A draw of every transition; `noise_scale` widens it, for exploration."""
    noise = torch.randn(step.mean.shape, generator=generator, dtype=step.mean.dtype, device=step.mean.device)
    return step.at(noise, noise_scale)
