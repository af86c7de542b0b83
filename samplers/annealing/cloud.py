"""Weighted particles on their way along a path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from samplers.annealing.resampling import SCHEMES, Scheme
from samplers.draws.weighted import FAMILY
from samplers.kernels import State
from samplers.runs.state import each, values

S = TypeVar("S", bound=State)

KEPT = ("log_weights", "log_z", "eves", "noise", "mixed", "first", "resamplings")


@dataclass
class Cloud:
    """`rows` independent replicates of n particles each.

    state: of all rows * n points, row after row. log_weights: (rows, n), normalised in each row. log_z: (rows,), the
    estimates so far. eves: (rows, n), which of the first particles each descends from. noise: (rows,), what chance in
    resampling has added to the sum of squared family weights, in expectation. mixed: (rows,), the variance that log Z
    would have if every move drew its particle anew. first: how many particles a row began with. All weights are in
    float64.
    """

    state: State
    log_weights: Tensor
    log_z: Tensor
    eves: Tensor
    noise: Tensor
    mixed: Tensor
    first: int
    resamplings: int = 0

    @classmethod
    def start(cls, state: State, rows: int, log_z: float) -> Cloud:
        """Equal weights."""
        n = len(state.x) // rows
        weights = torch.full((rows, n), -math.log(n), dtype=torch.float64, device=state.x.device)
        eves = torch.arange(n, device=state.x.device).repeat(rows, 1)
        nothing = weights.new_zeros(rows)
        return cls(state, weights, weights.new_full((rows,), log_z), eves, nothing, nothing, n)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n)."""
        return self.log_weights.shape[0], self.log_weights.shape[1]

    @property
    def ess(self) -> Tensor:
        """1 / sum W^2 of each row, (rows,)."""
        return (-torch.logsumexp(2 * self.log_weights, -1)).exp()

    def reweight(self, increment: Tensor) -> None:
        """log w += increment (rows, n);   log Z += log sum_i W_i exp(increment_i).

        A row that has lost all weight has log Z = -inf for good, and goes on with equal weights.
        """
        raised = self.log_weights + increment
        total = torch.logsumexp(raised, -1)
        share = self.log_weights.exp()
        ratio = torch.where(total[:, None] == -torch.inf, 1.0, (increment - total[:, None]).exp())
        self.mixed = self.mixed + (share * (ratio - 1)).square().sum(-1)
        self.log_z = self.log_z + total
        equal = -math.log(self.shape[1])
        self.log_weights = torch.where(total[:, None] == -torch.inf, equal, raised - total[:, None])

    def resample(self, scheme: Scheme, needed: Tensor, generator: Generator) -> None:
        """Equal weights and drawn ancestors in the rows where `needed` (rows,)."""
        n = self.shape[1]
        ancestors = self._ancestors(n, scheme, generator)
        noise = offspring_noise(self.family_weights(), n, scheme)
        self.noise = self.noise + torch.where(needed, noise, 0.0)
        ancestors = torch.where(needed[:, None], ancestors, torch.arange(n, device=ancestors.device))
        self._take(ancestors)
        self.log_weights = torch.where(needed[:, None], -math.log(n), self.log_weights)
        self.resamplings += 1

    def thin(self, n: int, scheme: Scheme, generator: Generator) -> None:
        """n equally weighted ancestors of each row take the place of the row."""
        self.noise = self.noise + offspring_noise(self.family_weights(), n, scheme)
        self._take(self._ancestors(n, scheme, generator))
        self.log_weights = self.log_weights.new_full((len(self.log_weights), n), -math.log(n))
        self.resamplings += 1

    def _ancestors(self, n: int, scheme: Scheme, generator: Generator) -> Tensor:
        return SCHEMES[scheme](self.log_weights.exp(), n, generator)

    def _take(self, ancestors: Tensor) -> None:
        rows, n = self.shape
        first = n * torch.arange(rows, device=ancestors.device)[:, None]
        self.state = take(self.state, (first + ancestors).reshape(-1))
        self.eves = self.eves.gather(1, ancestors)

    def spread(self, states: list[State]) -> None:
        """Chains of P states a particle, all kept as particles of equal weight: (rows, m) become (rows, m * P).

        A chain's states lie side by side, so that systematic resampling of equal weights takes one of each chain.
        """
        rows, m = self.shape
        self.state = interleave(states)
        self.eves = self.eves.repeat_interleave(len(states), 1)
        self.log_weights = self.log_weights.new_full((rows, m * len(states)), -math.log(m * len(states)))

    @property
    def families(self) -> dict[str, Tensor]:
        """Which of all first particles each point descends from, (1, rows * n); none before resampling."""
        if not self.resamplings:
            return {}
        rows = self.first * torch.arange(len(self.eves), device=self.eves.device)[:, None]
        return {FAMILY: (self.eves + rows).reshape(1, -1)}

    def family_weights(self) -> Tensor:
        """sum of W over the descendants of each first ancestor, (rows, ancestors).

        All schemes keep the particles in order, so that a family stays side by side.
        """
        weights = torch.zeros(len(self.eves), int(self.eves.max()) + 1, dtype=torch.float64, device=self.eves.device)
        return weights.scatter_add_(1, self.eves, self.log_weights.exp())

    def kept(self) -> dict[str, Any]:
        """All but the state, for a checkpoint."""
        return {name: getattr(self, name) for name in KEPT}

    def take_back(self, kept: dict[str, Any]) -> None:
        """Put back what `kept` gave."""
        for name in KEPT:
            value = kept[name]
            setattr(self, name, value.to(self.state.x.device) if isinstance(value, Tensor) else value)

    def family_share(self) -> Tensor:
        """sum over first ancestors of their squared family weight, (rows,)."""
        return self.family_weights().square().sum(-1)


def take(state: S, index: Tensor) -> S:
    """The rows `index` of every field."""
    return each(state, lambda value: value[index])


def interleave(states: list[State]) -> State:
    """P states of n points each as one of n * P points, the P of a point side by side."""
    joined: dict[str, Any] = {}
    for name, value in values(states[0]).items():
        parts = [getattr(state, name) for state in states]
        joined[name] = None if value is None else torch.stack(parts, 1).flatten(0, 1)
    return replace(states[0], **joined)


def offspring_noise(weights: Tensor, n: int, scheme: Scheme) -> Tensor:
    """sum over parts of Var(offspring) / n^2, for parts side by side of weights (rows, m) that sum to one, (rows,)."""
    if scheme == "multinomial":
        return (1 - weights.square().sum(-1)) / n
    expected = n * weights
    if scheme == "systematic":
        part = expected.frac()
        return (part * (1 - part)).sum(-1) / n**2
    # stratified: a part that reaches into another stratum is drawn independently at its two ends
    end = expected.cumsum(-1)
    start = end - expected
    one = end.floor() == start.floor()
    head = torch.where(one, expected, start.ceil() - start)
    tail = torch.where(one, 0.0, end.frac())
    return (head * (1 - head) + tail * (1 - tail)).sum(-1) / n**2
