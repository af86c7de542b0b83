"""What the warmup gathers over a window of steps, and the inverse mass matrix that it gives at the window's end."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from samplers.adaptation import fisher
from samplers.adaptation.left_open import LeftOpen
from samplers.adaptation.mass_matrix import is_dense, usable
from samplers.adaptation.metrics import LowRank
from samplers.draws.moments import RunningMoments
from samplers.runs.state import State
from targets import Target

ROWS_PER_DIM = 20  # of pooled chains, before a dense covariance is trusted
MOST_NUMBERS = 3_000_000  # of rows that are kept: 24 MB of draws in float64, and as much of scores


class Window(Protocol):
    """Gathers the states of all chains, step by step, and begins anew when a window ends."""

    def update(self, state: State) -> None:
        """Take in the chains after one step."""

    def estimate(self) -> Tensor | LowRank | None:
        """The inverse mass matrix that these say, in the target's dtype; None where nothing moved."""

    def first(self, covariance: Tensor) -> Tensor | LowRank:
        """The inverse mass matrix of a first guess of the target's covariance, (dim, dim)."""

    def restart(self) -> None:
        """Forget."""

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""


class Covariance:
    """The covariance of the draws, dense or diagonal as asked for and as the rows allow."""

    def __init__(self, form: str | None, target: Target) -> None:
        self._form, self._target = form, target
        self.restart()

    def restart(self) -> None:
        dense = is_dense(self._form, self._target.dim, math.inf, ROWS_PER_DIM)  # as far as is known at the start
        self._moments = RunningMoments(self._target.dim, self._target.device, dense=dense)

    def update(self, state: State) -> None:
        self._moments.update(state.x)

    def estimate(self) -> Tensor | None:
        dense = is_dense(self._form, self._target.dim, self._moments.count, ROWS_PER_DIM)
        return usable((self._moments.covariance if dense else self._moments.variance).to(self._target.dtype))

    def first(self, covariance: Tensor) -> Tensor:
        return covariance if self._form != "diagonal" else covariance.diagonal().clone()

    def state_dict(self) -> dict[str, Any]:
        return self._moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._moments.load_state_dict(state)


class Moments:
    """Of draws and scores, of which the diagonal and the dense metric of least Fisher divergence are made."""

    def __init__(self, form: str, target: Target) -> None:
        self._form, self._target = form, target
        self.restart()

    def restart(self) -> None:
        dim, device, dense = self._target.dim, self._target.device, self._form == "dense"
        self._draws, self._scores = (RunningMoments(dim, device, dense=dense) for _ in range(2))

    def update(self, state: State) -> None:
        assert state.score is not None
        self._draws.update(state.x)
        self._scores.update(state.score)

    def estimate(self) -> Tensor | None:
        if self._form == "dense":
            found = fisher.dense(self._draws.covariance, self._scores.covariance, self._draws.count)
        else:
            found = fisher.diagonal(self._draws.variance, self._scores.variance)
        return None if found is None else usable(found.to(self._target.dtype))

    def first(self, covariance: Tensor) -> Tensor | LowRank:
        return fisher.of_covariance(self._form, covariance)

    def state_dict(self) -> dict[str, Any]:
        return {"draws": self._draws.state_dict(), "scores": self._scores.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._draws.load_state_dict(state["draws"])
        self._scores.load_state_dict(state["scores"])


class Rows:
    """Draws and scores themselves, of which the low-rank metric of least Fisher divergence is made.

    Of a long window, every second step is kept, then every fourth and so on, so that 3 million numbers are enough; of
    chains that are more than these in one step, some.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.restart()

    def restart(self) -> None:
        self._draws: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._stride, self._steps = 1, 0

    def update(self, state: State) -> None:
        assert state.score is not None
        self._steps += 1
        if (self._steps - 1) % self._stride:
            return
        among = math.ceil(state.x.numel() / MOST_NUMBERS)
        self._draws.append(state.x[::among].clone())
        self._scores.append(state.score[::among].clone())
        if len(self._draws) > 1 and len(self._draws) * self._draws[0].numel() > MOST_NUMBERS:
            self._draws, self._scores = self._draws[::2], self._scores[::2]
            self._stride *= 2

    def estimate(self) -> LowRank | None:
        found = fisher.estimate("low-rank", torch.cat(self._draws), torch.cat(self._scores))
        if not isinstance(found, LowRank):
            return None
        return found.to(self._target.device, self._target.dtype)

    def first(self, covariance: Tensor) -> Tensor | LowRank:
        return fisher.of_covariance("low-rank", covariance)

    def state_dict(self) -> dict[str, Any]:
        return {"draws": list(self._draws), "scores": list(self._scores), "at": (self._stride, self._steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self._target.device
        self._draws, self._scores = ([one.to(device) for one in state[name]] for name in ("draws", "scores"))
        self._stride, self._steps = state["at"]


def window_for(left: LeftOpen, target: Target) -> Window:
    """What gathers what a kernel leaves open."""
    if left.metric is None:
        return Covariance(left.mass, target)
    return Rows(target) if left.metric == "low-rank" else Moments(left.metric, target)
