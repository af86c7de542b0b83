"""Ends of earlier paths, from which paths run backwards: a loss of any paths then learns where the model has been."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import robbins_monro
from samplers.kernels import MALA
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.simulation import simulate_backward
from targets import Target
from targets.arguments import check_integer, positive, shown

ACCEPTANCE, GAIN = 0.574, 0.05


@dataclass(frozen=True)
class Replay:
    """A buffer of `capacity` ends of paths; `share` of a batch are backward paths from its points.

    Points are drawn by the rank of their log w at the time they came in, with probability in proportion to
    1 / (flatness capacity + rank): small flatness is greedy, large is uniform. search_every: iterations from one local
    search to the next, in which `search_points` points take `search_steps` MALA steps on the target and come back;
    None for none. Sendera et al. 2024, https://arxiv.org/abs/2402.05098.

        >>> from samplers.diffusion import Replay, Training
        >>> Training(replay=Replay(capacity=1000, search_every=20)).replay.share
        0.5
    """

    capacity: int = 10_000
    share: float = 0.5
    flatness: float = 0.01
    search_every: int | None = None
    search_points: int = 512
    search_steps: int = 50

    def __post_init__(self) -> None:
        for name in ("capacity", "search_points", "search_steps"):
            check_integer(getattr(self, name), name)
        if self.search_every is not None:
            check_integer(self.search_every, "search_every")
        positive(self.flatness, "flatness")
        if not 0 <= self.share < 1:
            raise ValueError(f"share: got {shown(self.share)}, expected a share of the batch in [0, 1)")


class Buffer:
    """Points (capacity, dim) with the log w (capacity,) that they came with; the oldest are written over."""

    def __init__(self, settings: Replay, dim: int, like: Tensor) -> None:
        self.settings = settings
        self.x = like.new_zeros(settings.capacity, dim)
        self.log_w = torch.full((settings.capacity,), -math.inf, dtype=torch.float64, device=like.device)
        self.count, self.step_size = 0, 0.01

    def __len__(self) -> int:
        return min(self.count, self.settings.capacity)

    def add(self, x: Tensor, log_w: Tensor) -> None:
        """Points (n, dim) with finite log w (n,); others are left out."""
        good = log_w.isfinite() & x.isfinite().all(-1)
        x, log_w = x[good][-self.settings.capacity :], log_w[good][-self.settings.capacity :]
        where = (torch.arange(len(x), device=x.device) + self.count) % self.settings.capacity
        self.x[where], self.log_w[where] = x, log_w
        self.count += len(x)

    def draw(self, n: int, generator: Generator) -> Tensor:
        """n points (n, dim), with replacement."""
        size = len(self)
        ranks = torch.empty(size, dtype=torch.float64, device=self.x.device)
        order = self.log_w[:size].argsort(descending=True, stable=True)
        ranks[order] = torch.arange(size, dtype=torch.float64, device=self.x.device)
        weights = 1 / (self.settings.flatness * size + ranks)
        return self.x[torch.multinomial(weights, n, replacement=True, generator=generator)]

    def searches(self, iteration: int) -> bool:
        """Whether a local search is due."""
        every = self.settings.search_every
        return every is not None and len(self) > 0 and iteration % every == every - 1

    @torch.no_grad()
    def search(self, measure: PathMeasure, target: Target, generator: Generator) -> None:
        """MALA from points of the buffer, its step size kept at an acceptance of 0.574; the ends are added."""
        kernel = MALA(step_size=self.step_size)
        state = kernel.init(target, self.draw(self.settings.search_points, generator), generator)
        for _ in range(self.settings.search_steps):
            state, info = kernel.step(target, state, generator)
            self.step_size *= math.exp(robbins_monro(float(info.acceptance_rate.mean()), ACCEPTANCE, GAIN))
            kernel = MALA(step_size=self.step_size)
        self.add(state.x, simulate_backward(measure, target, state.x, generator).log_weights)

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain values."""
        return {"x": self.x, "log_w": self.log_w, "count": self.count, "step_size": self.step_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.x.copy_(state["x"])
        self.log_w.copy_(state["log_w"])
        self.count, self.step_size = state["count"], state["step_size"]
