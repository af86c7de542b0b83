"""The correction of a flow: a scalar of time and state, for losses on parts of a path."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from samplers.networks.features import FourierFeatures
from samplers.networks.linear import Linear

FEATURES = 16


class FlowNetwork(nn.Module):
    """(time (s,), x (s, n, dim)) -> (s, n): one hidden layer of `width` units and one more, zero at first."""

    def __init__(self, dim: int, generator: Generator, width: int = 64) -> None:
        super().__init__()
        self.features = FourierFeatures(FEATURES, generator=generator)
        self.into = Linear(dim, width, generator)
        self.level = Linear(2 * FEATURES, width, generator, 0.5)
        self.layer = Linear(width, width, generator)
        self.out = Linear(width, 1, generator, 0.0)

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        """The correction, (s, n)."""
        h = torch.nn.functional.silu(self.into(x) + self.level(self.features(time))[:, None])
        return self.out(h + torch.nn.functional.silu(self.layer(h)))[..., 0]
