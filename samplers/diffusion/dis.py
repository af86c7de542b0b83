"""Time-reversed diffusion sampler.

    x_{k-1} = a_{k-1} x_k + sqrt(v_{k-1}) xi                        the noising process: variance preserving, exact
    x_{k+1} = x_k / a_k + (v_k / a_k) s + sqrt(v_k) e^l xi          its learned reversal, s = F(t_k, x_k) - x_k

In place of the integrals of the divergence and of Girsanov's formula along an Euler path, whose weights are biased at
any step size, both directions are laws of finitely many points. Berner, Richter and Ullrich 2024.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Generator

from samplers.diffusion.reference import ReferenceMeasure
from samplers.diffusion.reference_sampler import ReferenceSampler, noise_of, noising, start_of
from samplers.diffusion.space import Space
from samplers.processes import grids
from samplers.processes.linear import VP
from targets import Target


@dataclass(frozen=True, eq=False)
class DIS(ReferenceSampler):
    """Time-reversed diffusion sampler: the reversal of a variance-preserving process, its score learned.

    E[exp(log w)] = Z for any network and any number of steps; the draws are those of the target as far as the score is
    learned, and exact under their weights. beta runs linearly from beta_min at the target to beta_max at the noise,
    over unit time in `steps` equal steps; from a mixture both are smaller, so that its components are blurred and no
    more. start, learn_scale: as of `DDS`. Berner, Richter and Ullrich 2024, https://arxiv.org/abs/2211.01364.

    network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.DIS(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> fitted.sample(draws=500, seed=1).log_weights.shape
        torch.Size([1, 500])
    """

    beta_min: float = 0.1
    beta_max: float = 10.0

    takes_mixture: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        VP(self.beta_min, self.beta_max)  # its checks

    def build(self, space: Space, target: Target, generator: Generator) -> ReferenceMeasure:
        mixture, horizon = start_of(space, target)
        slower = 1.0 if mixture is None else 4 * horizon / (self.beta_min + self.beta_max)  # the integral of beta / 2
        free = noising(VP(slower * self.beta_min, slower * self.beta_max), grids.uniform(self.steps))
        # x / a + (v / a) (F - x) = a x + (v / a) F, since a^2 + v = 1
        free = replace(free, ahead_control=free.ahead_control / free.ahead_scale)
        return self.assemble(*noise_of(mixture, target.dim, free.schedule), free, generator)
