"""Controlled Monte Carlo diffusions: annealed Langevin steps, corrected in both directions by one learned field.

See `samplers.diffusion.controlled_langevin` for the two kernels. Vargas, Padhy, Blessing and Nusken 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator

from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.diffusion.langevin_tuning import tune_steps
from samplers.diffusion.learned_sampler import LearnedSampler
from samplers.diffusion.objectives import KL
from samplers.diffusion.space import Space
from samplers.path_measures.base import PathMeasure
from targets import Target


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
        assert isinstance(measure, LangevinMeasure)
        tune_steps(measure, target, generator)
