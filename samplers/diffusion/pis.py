"""Path integral sampler.

    x_0 ~ N(m, t_0 e^l),   x_{k+1} = x_k + d_k F(t_k, x_k) + sqrt(d_k) e^l xi      Brownian motion from a point, steered
    x_{k-1} = (t_{k-1} / t_k) x_k + sqrt(t_{k-1} d_{k-1} / t_k) xi                 the bridge back to the point, exact

d the variance of a step, t the variance so far, t_K = width^2. The first step, from the point, knows nothing of x: it
is a Gaussian whose mean and scale are learned, and x_0 is its end. Zhang and Chen 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator

from samplers.diffusion.reference import Coefficients, ReferenceMeasure
from samplers.diffusion.reference_sampler import ReferenceSampler
from samplers.diffusion.space import Space
from samplers.path_measures.prior import GaussianPrior
from samplers.processes import grids
from samplers.processes.linear import Brownian
from targets import Target
from targets.arguments import positive


@dataclass(frozen=True, eq=False)
class PIS(ReferenceSampler):
    """Path integral sampler: Brownian motion from the centre, steered to the target.

    E[exp(log w)] = Z for any control; the draws are those of the target as far as the control is learned, and exact
    under their weights. width: standard deviation of the free motion's end in units of the target's spread; an end that
    is much narrower than the target gives weights of huge variance. start, learn_scale: as of `DDS`.
    Zhang and Chen 2022, https://arxiv.org/abs/2111.15141; Tzen and Raginsky 2019, https://arxiv.org/abs/1903.01608.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.PIS(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> fitted.sample(draws=500, seed=1).log_weights.shape
        torch.Size([1, 500])
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.width, "width")

    def build(self, space: Space, target: Target, generator: Generator) -> ReferenceMeasure:
        process = Brownian(horizon=self.width**2)
        # the grid is dense at the end of the motion, where the target's detail is; its first step leads to x_0
        times = (self.width**2 - grids.cosine(self.steps + 1, self.width**2)).flip(0)[1:]
        before, after = times[:-1], times[1:]
        _, back, variance = process.bridge(torch.zeros_like(before), before, after)
        ones, step = torch.ones_like(before), after - before
        free = Coefficients(back, variance.sqrt(), ones, step, step.sqrt(), times / self.width**2, times)
        prior = GaussianPrior(target.dim, scale=float(times[0].sqrt()), learned=True)
        return self.assemble(prior, None, free, generator)
