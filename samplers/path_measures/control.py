"""What the networks say at the states of a path: a control network beside a gated score.

    u(t, x) = N(t, x, c) / rho + (g(t) + G(t) + M(t, x, c)) c

u is shortened where its root mean square is above LONGEST_PULL rho: no path that strays can be thrown out for good.

N: the control network, zero where training starts, in units rho of the sampler's noise. c: a score that the sampler
knows, its preconditioner. g: a schedule of the sampler's; G, and M where the network has one:
learned, zero at first. Zhang and Chen 2022; Vargas, Grathwohl and Doucet 2023.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from samplers.networks import FourierFeatures, NetworkSpec
from samplers.networks.linear import Linear

Steering = Callable[..., Tensor | tuple[Tensor, Tensor]]

FEATURES = 16
LONGEST_PULL = 20.0


class Control(nn.Module):
    """u of s steps of n paths, (s, n, dim), in two parts: `embed` for what depends on the step, then the call."""

    def __init__(self, spec: NetworkSpec, dim: int, generator: Generator) -> None:
        super().__init__()
        self.network = spec.make(dim, generator)
        self.mixed_precision = False
        self._steer: list[Steering] = [self.network.steer]  # in a list, so that a compiled module is not a second one
        self.features = FourierFeatures(FEATURES, generator=generator)
        self.gate = Linear(2 * FEATURES, 1 if spec.coordinates == "isotropic" else dim, generator, 0.0)

    def embed(self, time: Tensor, schedule: Tensor | None, unit: Tensor) -> tuple[Tensor, ...]:
        """Gate and 1 / rho, (s, 1, dim) or (s, 1, 1), and the network's own; time, schedule g and unit rho are (s,)."""
        gate = self.gate(self.features(time))
        if schedule is not None:
            gate = gate + schedule[:, None]
        return (gate[:, None], (1 / unit)[:, None, None], *self.network.embed(time))

    def forward(self, embedding: tuple[Tensor, ...], x: Tensor, score: Tensor) -> Tensor:
        """u, (s, n, dim)."""
        gate, size, *rest = embedding
        if self.mixed_precision:
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                out = self._steer[0](tuple(rest), x, score)
        else:
            out = self._steer[0](tuple(rest), x, score)
        control, own = out if isinstance(out, tuple) else (out, None)
        if own is not None:
            gate = gate + own.to(x.dtype)
        pull = torch.addcmul(gate * score, control.to(x.dtype), size)
        return clip_norm(pull, LONGEST_PULL * size)

    def speed_up(self, mixed_precision: bool, compiled: bool) -> None:
        """The network in bfloat16, or compiled; what the sampler does with its output stays in the state's dtype."""
        self.mixed_precision = mixed_precision
        if compiled:
            self._steer = [torch.compile(self.network.steer, dynamic=True)]

    def __deepcopy__(self, memo: dict[int, object]) -> Control:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy({k: v for k, v in self.__dict__.items() if k != "_steer"}, memo))
        copied._steer = [copied.network.steer]
        return copied


def clip_norm(v: Tensor, limit: Tensor | float) -> Tensor:
    """v, shortened where the root mean square of its coordinates is above the limit, (*batch, dim)."""
    square = torch.linalg.vecdot(v, v)[..., None] / (v.shape[-1] * limit**2)
    return v * square.clamp_min(1.0).rsqrt()  # without a root of zero, and an infinite limit has a gradient, that of v
