"""What MCD, CMCD and SCLD share: Langevin steps along a path of densities, with a learned correction.

    g_k(x) = (1 - b_k) grad log prior(x) + b_k grad log gamma(x),      s_k = sqrt(2 h_k)
    x_{k+1} ~ N(x_k + h_k g_k(x_k) + u_k(x_k), 2 h_k)
    x_{k-1} ~ N(x_k + h_{k-1} g_k(x_k) - u_k(x_k), 2 h_{k-1})

u_k = s_k N(t_k, x, g_k) + h_k G(t_k) g_k is a network of which a state needs one evaluation for both directions, since
both are taken at the temperature of the state that they start from. A drift h g longer than LONGEST times s is
shortened to that: where scores explode, plain Euler steps do too. Temperatures b (cumulative sums of softplus, from
exactly 0 to exactly 1) and step sizes h (one a step, times one a coordinate) are learned with the rest.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from samplers.diffusion.control import Control, clip_norm
from samplers.diffusion.networks import NetworkSpec
from samplers.diffusion.path_measure import PathMeasure, Points, Step
from samplers.diffusion.prior import Prior

LONGEST = 3.0


class LangevinMeasure(PathMeasure):
    """See the module. sides: which of the two kernels the network acts in, "both", "forward" or "backward"."""

    uses_field_backward = True

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

    def step_sizes(self, k: Tensor) -> Tensor:
        """h of the step from state k to k + 1, (s, 1, dim)."""
        return (self.log_steps[k, None] + self.log_coordinates).exp()[:, None]

    def annealed_score(self, k: Tensor, at: Points) -> Tensor:
        """g_k, (s, n, dim)."""
        b = self.temperature(k)[:, None, None]
        return torch.lerp(self.prior.score(at.x), at.score, b)

    def field(self, k: Tensor, at: Points) -> Tensor:
        """(s, 2, n, dim): g_k, and what the network adds to it."""
        score = self.annealed_score(k, at)
        h = self.step_sizes(k.clamp_max(self.steps - 1)).detach()
        unit = (h * 0.5).sqrt().mean(-1)[:, 0]  # h u / s
        return torch.stack([score, self.control(self.time(k), at.x, score, None, unit)], 1)

    def forward(self, k: Tensor, at: Points, field: Tensor) -> Step:
        h = self.step_sizes(k)
        return self._step(at, field, h, 0.0 if self.backward_only else 1.0)

    def backward(self, k: Tensor, at: Points, field: Tensor | None) -> Step:
        assert field is not None
        h = self.step_sizes(k - 1)
        return self._step(at, field, h, -1.0)

    def _step(self, at: Points, field: Tensor, h: Tensor, sign: float) -> Step:
        scale = (2 * h).sqrt()
        drift = scale * clip_norm(field[:, 0] * (h / scale), scale.new_tensor(LONGEST))
        mean = at.x + drift
        if sign:
            mean = torch.addcmul(mean, h.expand_as(mean), field[:, 1], value=sign)
        return Step(mean, scale)
