"""What MCD, CMCD and SCLD share: Langevin steps along a path of densities, with a learned correction.

    g_k(x) = (1 - b_k) grad log prior(x) + b_k grad log gamma(x),      s_k = sqrt(2 h_k)
    x_{k+1} ~ N(x_k + h_k (g_k + u_k)(x_k), 2 h_k)
    x_{k-1} ~ N(x_k + h_{k-1} (g_k - u_k)(x_k), 2 h_{k-1})

u_k = N(t_k, x, g_k) s_k / h_k + G(t_k) g_k is a network of which a state needs one evaluation for both directions,
since both are taken at the temperature of the state that they start from. A score g whose step is longer than LONGEST
times the noise s is shortened to that: where scores explode, plain Euler steps do too. Temperatures b (cumulative sums
of softplus, from exactly 0 to exactly 1) and step sizes h (one a step, times one a coordinate) are learned too.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.networks import NetworkSpec
from samplers.path_measures.base import PathMeasure, Points, Step, Table, log_det
from samplers.path_measures.control import Control, clip_norm
from samplers.path_measures.prior import Prior

LONGEST = 3.0


class LangevinMeasure(PathMeasure):
    """See the module. backward_only: the network acts in the backward kernel alone."""

    uses_field_backward: ClassVar[bool] = True

    def __init__(
        self, prior: Prior, steps: int, network: NetworkSpec, generator: Generator, *, backward_only: bool = False
    ) -> None:
        super().__init__(prior, steps)
        self.backward_only = backward_only
        self.control = Control(network, prior.dim, generator)
        self.raw_temperatures = nn.Parameter(torch.full((steps,), math.log(math.e - 1)))  # softplus of it is 1
        self.log_steps = nn.Parameter(torch.full((steps,), math.log(0.01)))
        self.log_coordinates = nn.Parameter(torch.zeros(prior.dim))

    def temperature(self, k: Tensor) -> Tensor:
        increments = nn.functional.softplus(self.raw_temperatures)
        sums = increments.cumsum(0)
        b = torch.cat([sums.new_zeros(1), sums[:-1] / sums[-1], sums.new_ones(1)])
        return b[k]

    def table(self, k: Tensor) -> Table:
        ahead, behind = ((self.log_steps[i, None] + self.log_coordinates).exp()[:, None] for i in self._sides(k))
        scale_ahead, scale_behind = (2 * ahead).sqrt(), (2 * behind).sqrt()
        unit = (0.5 * ahead).sqrt().mean((1, 2))  # h u / s: the network speaks in units of the noise
        values = {
            "b": self.temperature(k)[:, None, None],
            "ahead": ahead,
            "behind": behind,
            "scale_ahead": scale_ahead,
            "scale_behind": scale_behind,
            "log_det_ahead": log_det(scale_ahead, self.dim),
            "log_det_behind": log_det(scale_behind, self.dim),
            "longest": (LONGEST / unit)[:, None, None],
        }
        return Table(values, self.embed(self.time(k), unit))

    def embed(self, time: Tensor, unit: Tensor) -> tuple[Tensor, ...]:
        """What the networks make of the states' times (s,)."""
        return self.control.embed(time, None, unit)

    def _sides(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """The steps after and before the states k."""
        return k.clamp_max(self.steps - 1), (k - 1).clamp_min(0)

    def field(self, table: Table, at: Points) -> Tensor:
        """(2, s, n, dim) with s first: g_k, and what the network adds to it."""
        score = torch.lerp(self.prior.score(at.x), at.score, table.values["b"])
        score = clip_norm(score, table.values["longest"])
        return torch.stack([score, self.control(table.parts, at.x, score)], 1)

    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        values = table.values
        drift = field[:, 0] if self.backward_only else field.sum(1)
        return Step(torch.addcmul(at.x, values["ahead"], drift), values["scale_ahead"], values["log_det_ahead"])

    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        assert field is not None
        values = table.values
        return Step(
            torch.addcmul(at.x, values["behind"], field[:, 0] - field[:, 1]),
            values["scale_behind"],
            values["log_det_behind"],
        )
