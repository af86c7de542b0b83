"""General bridge sampler: annealed Langevin steps with a learned field in each direction, two that share nothing.

    x_{k+1} = x_k + h_k (g_k + u_k)(x_k) + sqrt(2 h_k) xi
    x_{k-1} = x_k + h_{k-1} (g_k - v_k)(x_k) + sqrt(2 h_{k-1}) xi

Where u = v this is CMCD, whose path of densities is then prescribed; two fields leave it free. Richter and Berner 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.diffusion.cmcd import CMCD
from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.diffusion.space import Space
from samplers.networks import NetworkSpec
from samplers.path_measures.base import Points, Step, Table
from samplers.path_measures.control import Control
from samplers.path_measures.prior import Prior
from targets import Target


@dataclass(frozen=True, eq=False)
class GBS(CMCD):
    """General bridge sampler: x' = x + h (g_b(x) + u(x)) + sqrt(2h) xi, and back with -v, a network of its own.

    E[exp(log w)] = Z for any fields u and v, temperatures b and step sizes h, all of which are learned. The bridge
    between prior and target is not unique: many pairs (u, v) make the log-variance zero, and training ends at one of
    them. A step costs one evaluation of the score and two of networks, where `CMCD` takes one. Richter and Berner
    2024, https://arxiv.org/abs/2307.01198.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`; both fields have a network of
    this kind.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.GBS(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> fitted.sample(draws=500, seed=1).log_weights.shape
        torch.Size([1, 500])
    """

    def build(self, space: Space, target: Target, generator: Generator) -> LangevinMeasure:
        return TwoFields(space.prior(target, learned=True), self.steps, self.network, generator)


class TwoFields(LangevinMeasure):
    """Langevin steps with u forward and v backward; a state's field is (s, 3, n, dim): g, u and v."""

    def __init__(self, prior: Prior, steps: int, network: NetworkSpec, generator: Generator) -> None:
        super().__init__(prior, steps, network, generator)
        self.backward_control = Control(network, prior.dim, generator)

    def embed(self, time: Tensor, unit: Tensor) -> tuple[Tensor, ...]:
        return super().embed(time, unit) + self.backward_control.embed(time, None, unit)

    def field(self, table: Table, at: Points) -> Tensor:
        half = len(table.parts) // 2
        forward = super().field(Table(table.values, table.parts[:half]), at)
        v = self.backward_control(table.parts[half:], at.x, forward[:, 0])
        return torch.cat([forward, v[:, None]], 1)

    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        return super().forward(table, at, field[:, :2])

    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        assert field is not None
        return super().backward(table, at, field[:, ::2])
