"""Points that stand for the target while a sampler is learned: the pilot's particles, which HMC keeps moving.

Each call moves those that it hands out, by a kernel that leaves the target invariant: points that are right stay right
and are never the same, so that nothing is learned by heart. Weights of modes are those that the pilot found.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import robbins_monro
from samplers.kernels import HMC
from targets import Target

LEAPFROGS, ACCEPTANCE, GAIN = 4, 0.8, 0.05


class Witnesses:
    """u (m, dim), in the sampler's coordinates."""

    def __init__(self, u: Tensor) -> None:
        self.u = u.clone()
        self.step_size = 0.1

    def draw(self, n: int, target: Target, generator: Generator) -> Tensor:
        """n of the points (n, dim), or all where they are fewer, after one more HMC move each."""
        index = torch.randperm(len(self.u), generator=generator, device=self.u.device)[:n]
        kernel = HMC(step_size=self.step_size, steps=LEAPFROGS)
        with torch.no_grad():
            state, info = kernel.step(target, kernel.init(target, self.u[index], generator), generator)
        self.step_size *= math.exp(robbins_monro(float(info.acceptance_rate.mean()), ACCEPTANCE, GAIN))
        self.u[index] = state.x
        return state.x

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain values."""
        return {"u": self.u, "step_size": self.step_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.u.copy_(state["u"])
        self.step_size = state["step_size"]
