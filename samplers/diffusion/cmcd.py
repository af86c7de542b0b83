"""Controlled Monte Carlo diffusions: annealed Langevin steps, corrected in both directions by one learned field.

See `samplers.diffusion.controlled_langevin` for the two kernels. Vargas, Padhy, Blessing and Nusken 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator

from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.diffusion.learned_sampler import LearnedSampler
from samplers.diffusion.objectives import KL
from samplers.diffusion.space import Space
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.evaluation import lower_bound
from samplers.path_measures.simulation import simulate
from targets import Target

TRIED = 256  # paths of every pair of size and fall
SIZES = tuple(10 ** (-4.5 + 0.5 * j) for j in range(8))  # h in units of the target's spread
FALLS = (4.0, 16.0)  # from the prior to the target; tried after none


@dataclass(frozen=True, eq=False)
class CMCD(LearnedSampler):
    """Controlled Monte Carlo diffusion: x' = x + h (g_b(x) + u(x)) + sqrt(2h) xi, and back with -u.

    E[exp(log w)] = Z for any field u, temperatures b and step sizes h, all of which are learned; without training, and
    with h as the pilot finds it, this is annealed importance sampling by unadjusted Langevin steps (ULA-AIS). The draws
    are those of the target as far as u is learned, and exact under their weights.
    The backward kernel at x_{k+1} takes the temperature b_{k+1}, so that one evaluation of score and network a state
    serves both kernels. The prior may be a mixture. Vargas, Padhy, Blessing and Nusken 2024,
    https://arxiv.org/abs/2307.01050; for mixtures as priors Blessing, Jia and Neumann 2025,
    https://arxiv.org/abs/2503.00524.

    steps, network, prior, objective, training: as of `samplers.diffusion.LearnedSampler`.

        >>> target = targets.Gaussian([1.0, 0.0], scale=0.7)
        >>> fitted = samplers.CMCD(steps=4, prior="gaussian").fit(target, iterations=2, seed=0)
        >>> draws = fitted.sample(draws=500, seed=1)
        >>> draws.x.shape, abs(draws.log_z.value) < 0.1
        (torch.Size([1, 500, 2]), True)
    """

    takes_mixture: ClassVar[bool] = True
    backward_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.objective, KL) and self.objective.memory == "adjoint":
            raise ValueError(
                "objective: got KL(memory='adjoint'), which is for DDS, PIS and DIS, whose noising process is fixed; "
                f"expected memory='full' or 'recompute' for {type(self).__name__}"
            )

    def build(self, space: Space, target: Target, generator: Generator) -> LangevinMeasure:
        prior = space.prior(target, learned=True)
        return LangevinMeasure(prior, self.steps, self.network, generator, backward_only=self.backward_only)

    def tune(self, measure: PathMeasure, target: Target, generator: Generator) -> None:
        """Set log h_k = log size + (1 - b_k) log fall, the pair with the largest mean log w of a few paths."""
        assert isinstance(measure, LangevinMeasure)
        log_steps = measure.log_steps.data
        b = measure.temperature(torch.arange(measure.steps, device=target.device)).detach()
        bounds: dict[tuple[float, float], float] = {}

        def place(size: float, fall: float) -> None:
            log_steps.copy_(math.log(size) + (1 - b) * math.log(fall))

        def attempt(size: float, fall: float) -> None:
            place(size, fall)
            bounds[size, fall] = lower_bound(simulate(measure, target, TRIED, generator).log_weights)

        for trial in SIZES:
            attempt(trial, 1.0)
        size, _ = max(bounds, key=bounds.__getitem__)
        for fall in FALLS:
            for last in (size, size / 2):
                attempt(last, fall)
        place(*max(bounds, key=bounds.__getitem__))
