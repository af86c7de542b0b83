"""What the networks say at the states of a path: a control network beside a gated score.

    u(t, x) = N(t, x, c) / rho + (g(t) + G(t)) c,     c = s min(1, clip sqrt(dim) / |s|)

N: the control network, zero where training starts. s: a score that the sampler knows, its preconditioner.
rho makes the network speak in units of the sampler's noise. g: a schedule of the sampler's, G: learned, zero at first. The clip is inside the network alone: what the sampler does
is an exact function of x whatever it is, and so are the weights. Zhang and Chen 2022; Vargas, Grathwohl and Doucet 2023.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from samplers.diffusion.networks import FourierFeatures, Linear, NetworkSpec

FEATURES = 16


class Control(nn.Module):
    """u(t, x) for times (s,), states and scores (s, n, dim); schedule: g, (s,) or None for zero; unit: rho, (s,)."""

    clip: Tensor

    def __init__(self, spec: NetworkSpec, dim: int, generator: Generator, *, gated: bool = True) -> None:
        super().__init__()
        self.network = spec.make(dim, generator)
        self.gated, self.mixed_precision = gated, False
        self._call: list[Callable[..., Tensor]] = [self.network]  # in a list: a compiled module is not a second one
        self.register_buffer("clip", torch.tensor(math.inf))
        if gated:
            self.features = FourierFeatures(FEATURES, generator=generator)
            self.gate = Linear(2 * FEATURES, 1 if spec.coordinates == "isotropic" else dim, generator, 0.0)

    def speed_up(self, mixed_precision: bool, compiled: bool) -> None:
        """The network in bfloat16, or compiled; what the sampler does with its output stays in the state's dtype."""
        self.mixed_precision = mixed_precision
        if compiled:
            self._call = [torch.compile(self.network, dynamic=True)]

    def __deepcopy__(self, memo: dict[int, object]) -> Control:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        calls, self.__dict__["_call"] = self._call, []
        try:
            copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        finally:
            self._call = calls
        copied._call = [copied.network]
        return copied

    def forward(self, time: Tensor, x: Tensor, score: Tensor, schedule: Tensor | None, unit: Tensor) -> Tensor:
        """(s, n, dim)."""
        clipped = clip_norm(score, self.clip)
        if self.mixed_precision:
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                out = self._call[0](time, x, clipped).to(x.dtype)
        else:
            out = self._call[0](time, x, clipped)
        out = out / unit[:, None, None]
        if not self.gated:
            return out
        gate = self.gate(self.features(time))
        if schedule is not None:
            gate = gate + schedule[:, None]
        return torch.addcmul(out, gate[:, None], clipped)


def clip_norm(v: Tensor, limit: Tensor) -> Tensor:
    """v, shortened where its root mean square is above the limit, (*batch, dim)."""
    size = v.square().mean(-1, keepdim=True).sqrt()
    return v * (limit / size.clamp_min(1e-20)).clamp_max(1.0)
