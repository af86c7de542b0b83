"""The length of trajectories, by the ChEES criterion (Hoffman, Radul and Sountsov 2021).

ChEES = E[(|z' - E z'|^2 - |z - E z|^2)^2] / 4,    z and z' in whitened coordinates where a trajectory begins and ends
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from samplers.adaptation.step_size import Averaged


class TrajectoryLength(Averaged):
    """Ascent on ChEES over the log of the trajectory length, with steps of equal size (Adam without momentum).

    Hoffman, Radul and Sountsov 2021, https://proceedings.mlr.press/v130/hoffman21a.html.
    """

    rate, decay = 0.025, 0.95

    def __init__(self) -> None:
        self.log_value = self.log_average = math.log(2.0)
        self.square, self.t = 0.0, 0

    def update(self, before: Tensor, after: Tensor, info: Any) -> None:
        """Take in where trajectories began and ended, (chains, dim) in whitened coordinates."""
        momentum, weight = info.momentum, info.acceptance_rate
        usable = after.isfinite().all(-1) & (weight > 0)
        if len(after) < 2 or not bool(usable.any()):
            return
        weight = torch.where(usable, weight, 0.0)
        after = torch.where(usable[:, None], after, before).double()
        momentum = torch.where(usable[:, None], momentum, 0.0).double()
        before = before.double()
        centre = (weight[:, None] * after).sum(0) / weight.sum()
        start, end = before - before.mean(0), after - centre
        change = end.square().sum(-1) - start.square().sum(-1)
        slope = info.length * change * (end * momentum).sum(-1)
        gradient = float((weight * slope).sum() / weight.sum())
        self.t += 1
        self.square = self.decay * self.square + (1 - self.decay) * gradient**2
        scale = math.sqrt(self.square / (1 - self.decay**self.t))
        if scale > 0:
            self.log_value += self.rate * gradient / scale
        self.average((self.t + 1) ** -0.75)
