"""Where a pilot run was at each of its temperatures."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Clouds:
    """What a pilot run of SMC met on its way: points (n, dim) at each of its temperatures, equally weighted."""

    betas: tuple[float, ...]
    points: tuple[Tensor, ...]

    def at(self, beta: float) -> Tensor:
        """The points at the last temperature not beyond b: what lies at b lies within them."""
        return self.points[bisect_right(self.betas, beta) - 1]

    def starts(self, betas: Sequence[float], n: int, generator: Generator) -> Tensor:
        """Points for n replicas at each temperature, (n, levels, dim)."""
        drawn = []
        for beta in betas:
            points = self.at(beta)
            drawn.append(points[torch.randint(len(points), (n,), generator=generator, device=points.device)])
        return torch.stack(drawn, 1)
