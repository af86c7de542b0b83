"""What DDS, PIS and DIS share as samplers: where paths start, and where training does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.diffusion.learned_sampler import LearnedSampler
from samplers.diffusion.reference import Coefficients, ReferenceMeasure
from samplers.diffusion.space import Space
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.evaluation import lower_bound
from samplers.path_measures.noised_mixture import NoisedMixture, NoisedProduct, noised, on_its_way
from samplers.path_measures.prior import GaussianPrior, Prior, fixed_prior
from samplers.path_measures.simulation import simulate
from samplers.processes.base import Process
from targets import GaussianMixture, Target
from targets.arguments import check_choice
from targets.mixture_product import MixtureProduct

TRIED = 128  # paths
FULL = 4.0
BLUR, MOST_NOISE = 4.0, 0.95


@dataclass(frozen=True, eq=False)
class ReferenceSampler(LearnedSampler):
    """A fixed process back from the target, and its learned reversal (`samplers.diffusion.reference`).

    start: training begins at the free motion ("reference"), where the target's score already pulls ("score"), or at the
    better of the two ("auto"). learn_scale: the noise of each step and coordinate is learned with the rest.
    """

    start: Literal["auto", "reference", "score"] = "auto"
    learn_scale: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.start, "start", ("auto", "reference", "score"))

    def assemble(
        self,
        prior: Prior,
        moving: NoisedMixture | NoisedProduct | None,
        free: Coefficients,
        generator: Generator,
    ) -> ReferenceMeasure:
        """The measures with these coefficients; moving: the mixture on its way, where there is one."""
        return ReferenceMeasure(
            prior, free, self.network, generator, start=self.start, learn_scale=self.learn_scale, mixture=moving
        )

    def tune(self, measure: PathMeasure, target: Target, generator: Generator) -> None:
        """Begin where the score already pulls, or where it does not: what gives a few paths the larger mean log w."""
        assert isinstance(measure, ReferenceMeasure)
        if self.start != "auto":
            return
        bounds = []
        for scored in (0.0, 1.0):
            measure.scored.fill_(scored)
            bounds.append(lower_bound(simulate(measure, target, TRIED, generator).log_weights))
        measure.scored.fill_(float(bounds[1] > bounds[0]))


def start_of(space: Space, target: Target) -> tuple[GaussianMixture | MixtureProduct | None, float]:
    """The mixture that paths start from, in u, and how far it is noised: t of a unit-rate Ornstein-Uhlenbeck process.

    From noise alone, FULL. A mixture near the target needs only as much noise as blurs its components, a variance of
    BLUR times theirs, in a product of mixtures those of the narrowest block: the paths then mend shapes, and the shares
    of far modes stay those of the mixture.
    """
    mixture = space.seen_mixture(target)
    if mixture is None:
        return None, FULL
    if isinstance(mixture, MixtureProduct):
        own = mixture.component_variance
    else:
        variances = mixture._exact_covariances.diagonal(dim1=-2, dim2=-1).mean(-1)
        own = float(mixture._exact["weights"] @ variances)
    variance = min(MOST_NOISE, BLUR * own)
    return mixture, -0.5 * math.log1p(-variance)


def noising(process: Process, grid: Tensor) -> Coefficients:
    """Those of a process that keeps unit variance, on a grid; ahead its reversal by the exponential integrator."""
    times = grid.flip(0)
    signal = process.scale(times)
    scale, variance = process.transition(times[1:], times[:-1])
    deviation = variance.sqrt()
    return Coefficients(scale, deviation, scale, variance, deviation, signal, torch.ones_like(signal))


def noise_of(
    mixture: GaussianMixture | MixtureProduct | None, dim: int, signal: Tensor
) -> tuple[Prior, NoisedMixture | NoisedProduct | None]:
    """The prior, the mixture noised to the first state or N(0, I), and the mixture on its way, where there is one."""
    if mixture is None:
        return GaussianPrior(dim, learned=False), None
    return fixed_prior(noised(mixture, float(signal[0]))), on_its_way(mixture)
