"""A residual network of a state, a score and the time, beside a small one for each coordinate.

    h = silu(W [x, asinh(score)] + T_0(t)),   h <- h + silu(W_l h + T_l(t))
    [A, B, M] = V h,   N = A + B x,   and M is a gate for the score
    N_i += sum_w c_iw (1 + S_w(t)) silu(a_iw x_i + b_iw asinh(score_i) + e_iw + R_w(t))

asinh tames scores of any size; T, S and R are linear in Fourier features of the time. V and c are zero where training
starts. B and M serve densities whose scales depend on other coordinates, such as funnels; the last line serves those
whose coordinates are nearly independent, which the first learns slowly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.networks.base import ControlNetwork, Coordinates, NetworkSpec
from samplers.networks.features import FourierFeatures
from samplers.networks.linear import Linear
from targets.arguments import check_integer

FEW_COORDINATES, MANY_COORDINATES = 4, 256
LOCAL_UNITS = 32


@dataclass(frozen=True)
class ResidualMLP(NetworkSpec):
    """`layers` residual layers of `width` units, with `features` frequencies of the time. Works in any coordinates.

    local: units of each coordinate's own network; None takes 32 in five to 256 dimensions,
    and none in fewer, which need none, and in more, where they cost most.

    ValueError for numbers below 1, `local` 0 apart, which is none.

        >>> from samplers.networks import ResidualMLP
        >>> samplers.DDS(network=ResidualMLP(width=32, layers=1)).network.width
        32
    """

    width: int = 64
    layers: int = 2
    features: int = 16
    local: int | None = None

    coordinates: ClassVar[Coordinates] = "full"

    def __post_init__(self) -> None:
        for name in ("width", "layers", "features"):
            check_integer(getattr(self, name), name)
        if self.local is not None:
            check_integer(self.local, "local", 0)

    def make(self, dim: int, generator: Generator) -> ControlNetwork:
        """The network, on the generator's device."""
        return _ResidualMLP(self, dim, generator)


class _ResidualMLP(ControlNetwork):
    def __init__(self, spec: ResidualMLP, dim: int, generator: Generator) -> None:
        super().__init__(dim)
        width = spec.width
        units = spec.local if spec.local is not None else LOCAL_UNITS * (FEW_COORDINATES < dim <= MANY_COORDINATES)
        self.features = FourierFeatures(spec.features, generator=generator)
        self.into = Linear(2 * dim, width, generator)
        self.layers = nn.ModuleList(Linear(width, width, generator) for _ in range(spec.layers))
        self.times = nn.ModuleList(Linear(2 * spec.features, width, generator, 0.5) for _ in range(spec.layers + 1))
        self.out = Linear(width, 3 * dim, generator, 0.0)
        self.local = _Local(dim, units, 2 * spec.features, generator) if units else None

    def forward(self, time: Tensor, x: Tensor, score: Tensor) -> Tensor:
        return self.steer(self.embed(time), x, score)[0]

    def embed(self, time: Tensor) -> tuple[Tensor, ...]:
        features = self.features(time)
        # with the layer's own bias, so that a layer is one product
        layers = [self.into, *self.layers]
        levels = [(level(features) + layer.bias)[:, None] for layer, level in zip(layers, self.times, strict=True)]
        return (*levels, *(() if self.local is None else self.local.embed(features)))

    def steer(self, embedding: tuple[Tensor, ...], x: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        first, *levels = embedding[: len(self.layers) + 1]
        tame = score.asinh()
        h = nn.functional.silu(_product(torch.cat([x, tame], -1), self.into, first))
        for layer, level in zip(self.layers, levels, strict=True):
            h = nn.functional.silu(_product(h, layer, level)).add_(h)
        free, slope, gate = self.out(h).chunk(3, -1)
        control = torch.addcmul(free, slope, x)
        if self.local is not None:
            control = control + self.local(embedding[len(self.layers) + 1 :], x, tame)
        return control, gate


class _Local(nn.Module):
    """The coordinates' own networks, all at once."""

    def __init__(self, dim: int, units: int, features: int, generator: Generator) -> None:
        super().__init__()
        weights = torch.randn(3, dim, units, generator=generator, dtype=torch.float32, device=generator.device)
        self.inputs = nn.Parameter(weights / math.sqrt(2))
        self.outputs = nn.Parameter(torch.zeros_like(weights[0]))
        self.shift = Linear(features, units, generator, 0.5)
        self.swell = Linear(features, units, generator, 0.5)

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and factor of the units at each time, (s, 1, units)."""
        return self.shift(features)[:, None], (1 + self.swell(features))[:, None]

    def forward(self, embedding: tuple[Tensor, Tensor], x: Tensor, score: Tensor) -> Tensor:
        """(s, n, dim), by two products for each step and coordinate: passes over all the units are what costs here."""
        shift, swell = embedding
        s, n, dim = x.shape
        seen = torch.stack([x, score], -1).transpose(1, 2).reshape(s * dim, n, 2)
        into = self.inputs[:2].transpose(0, 1).expand(s, -1, -1, -1).reshape(s * dim, 2, -1)
        bias = (self.inputs[2] + shift).reshape(s * dim, 1, -1)
        units = nn.functional.silu(torch.baddbmm(bias, seen, into))
        out = (self.outputs * swell).reshape(s * dim, -1, 1)
        return (units @ out).reshape(s, dim, n).mT


def _product(h: Tensor, layer: Any, bias: Tensor) -> Tensor:
    """h W' + bias, (s, n, inputs) -> (s, n, outputs), with a bias (s, 1, outputs) for each step."""
    return torch.baddbmm(bias, h, layer.weight.mT.expand(len(h), -1, -1))
