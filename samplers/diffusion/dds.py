"""Denoising diffusion sampler.

    x_{k-1} = a_{k-1} x_k + sqrt(v_{k-1}) xi                        the noising process: Ornstein-Uhlenbeck, exact
    x_{k+1} = a_k x_k + v_k F(t_k, x_k) + sqrt(v_k) e^l xi          its learned reversal (exponential integrator)

with a^2 + v = 1: the process leaves N(0, I) as it is, in the sampler's coordinates. Vargas, Grathwohl, Doucet 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator

from samplers.diffusion.reference import ReferenceMeasure
from samplers.diffusion.reference_sampler import ReferenceSampler, noise_of, noising, start_of
from samplers.diffusion.space import Space
from samplers.processes import grids
from samplers.processes.linear import OrnsteinUhlenbeck
from targets import Target
from targets.arguments import positive


@dataclass(frozen=True, eq=False)
class DDS(ReferenceSampler):
    """Denoising diffusion sampler: the reversal of an Ornstein-Uhlenbeck process, learned.

    E[exp(log w)] = Z for any network; the draws are those of the target as far as it is learned, and exact under their
    weights. horizon: of the process, whose correlation with its start is exp(-horizon) in the end; None is 4 from
    noise, and from a mixture as much as blurs its components. Times lie on the cos^2 grid, dense where the target is.
    start: training begins at the free motion ("reference"), where the target's score already pulls ("score"), or at
    the better of the two ("auto"). learn_scale: the noise of each step and coordinate is learned with the rest.
    Vargas, Grathwohl and Doucet 2023, https://arxiv.org/abs/2302.13834.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.DDS(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> draws = fitted.sample(draws=500, seed=1)
        >>> draws.x.shape, abs(draws.log_z.value) < 0.1
        (torch.Size([1, 500, 2]), True)
    """

    horizon: float | None = None

    takes_mixture: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon is not None:
            positive(self.horizon, "horizon")

    def build(self, space: Space, target: Target, generator: Generator) -> ReferenceMeasure:
        mixture, horizon = start_of(space, target)
        horizon = self.horizon or horizon
        free = noising(OrnsteinUhlenbeck(horizon=horizon), grids.cosine(self.steps, horizon))
        return self.assemble(*noise_of(mixture, target.dim, free.schedule), free, generator)
