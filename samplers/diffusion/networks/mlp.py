"""A residual network of a state, a score and the time.

    h = silu(W [x, asinh(score)] + T_0(t)),   h <- h + silu(W_l h + T_l(t)),   N = V h

asinh tames scores of any size; T are linear in Fourier features of the time. V is zero where training starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.diffusion.networks.base import ControlNetwork, Coordinates, Linear, NetworkSpec
from samplers.diffusion.networks.features import FourierFeatures
from targets.arguments import check_integer


@dataclass(frozen=True)
class ResidualMLP(NetworkSpec):
    """`layers` residual layers of `width` units, with `features` frequencies of the time. Works in any coordinates."""

    width: int = 64
    layers: int = 2
    features: int = 16

    coordinates: ClassVar[Coordinates] = "full"

    def __post_init__(self) -> None:
        for name in ("width", "layers", "features"):
            check_integer(getattr(self, name), name)

    def make(self, dim: int, generator: Generator) -> ControlNetwork:
        """The network, on the generator's device."""
        return _ResidualMLP(self, dim, generator)


class _ResidualMLP(ControlNetwork):
    def __init__(self, spec: ResidualMLP, dim: int, generator: Generator) -> None:
        super().__init__(dim)
        width = spec.width
        self.features = FourierFeatures(spec.features, generator=generator)
        self.into = Linear(2 * dim, width, generator)
        self.layers = nn.ModuleList(Linear(width, width, generator) for _ in range(spec.layers))
        self.times = nn.ModuleList(Linear(2 * spec.features, width, generator, 0.5) for _ in range(spec.layers + 1))
        self.out = Linear(width, dim, generator, 0.0)

    def forward(self, time: Tensor, x: Tensor, score: Tensor) -> Tensor:
        return self.steer(self.embed(time), x, score)

    def embed(self, time: Tensor) -> tuple[Tensor, ...]:
        features = self.features(time)
        # with the layer's own bias, so that a layer is one product
        layers = [self.into, *self.layers]
        return tuple((level(features) + layer.bias)[:, None] for layer, level in zip(layers, self.times, strict=True))

    def steer(self, embedding: tuple[Tensor, ...], x: Tensor, score: Tensor) -> Tensor:
        first, *levels = embedding
        h = nn.functional.silu(_product(torch.cat([x, score.asinh()], -1), self.into, first))
        for layer, level in zip(self.layers, levels, strict=True):
            h = nn.functional.silu(_product(h, layer, level)).add_(h)
        return self.out(h)


def _product(h: Tensor, layer: Any, bias: Tensor) -> Tensor:
    """h W' + bias, (s, n, inputs) -> (s, n, outputs), with a bias (s, 1, outputs) for each step."""
    return torch.baddbmm(bias, h, layer.weight.mT.expand(len(h), -1, -1))
