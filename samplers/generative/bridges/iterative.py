"""What iterative methods share: where they start, and how half-bridges are trained in turn."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Generator

from samplers.annealing import SMC
from samplers.draws import Cost
from samplers.generative.bridges.gaussian import GaussianBridge
from samplers.generative.bridges.half_bridges import HalfBridges, Rule
from samplers.generative.bridges.method import BridgeMethod, End, Found, Run
from samplers.generative.bridges.path_bridge import PathBridge
from samplers.generative.data import Samples
from samplers.generative.score_model import check_kinds
from samplers.networks import NetworkSpec, ResidualMLP
from targets import Gaussian, Target
from targets.arguments import check_integer, positive

NETWORK, MOMENTS = 22_000_019, 23_000_009  # offsets of the seeds
ITERATIONS, PILOT = 3000, 2000


@dataclass(frozen=True)
class IterativeMethod(BridgeMethod):
    """Steps of both directions, trained in turn (`samplers.generative.bridges.half_bridges`).

    steps: K, of a path, shorter at both ends, t_k = (1 - cos(pi k / K)) / 2. halves: how often one direction is
    trained. network: of each direction, a `NetworkSpec`. batch: states an iteration, spread over all steps, each with a
    path of its own or more. paths: that are simulated at a time to learn from; refresh: iterations for which they are.
    learning_rate: of Adam, at the beginning of each half. The default number of iterations, of all halves, is 3000.
    TypeError for what is no network, ValueError for numbers out of range. A subclass writes `rule`.

        >>> from samplers.generative.bridges import IterativeMethod, MarkovianFitting
        >>> issubclass(MarkovianFitting, IterativeMethod), MarkovianFitting(steps=20).halves
        (True, 10)
    """

    steps: int = 40
    halves: int = 10
    network: NetworkSpec = field(default_factory=ResidualMLP)
    batch: int = 1024
    paths: int = 2048
    refresh: int = 100
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name, least in (("steps", 2), ("halves", 1), ("batch", 1), ("paths", 1), ("refresh", 1)):
            check_integer(getattr(self, name), name, least)
        positive(self.learning_rate, "learning_rate")
        check_kinds(self, network=(NetworkSpec,))

    @abstractmethod
    def rule(self, start: End, end: End, noise: float, energy: Target) -> Rule:
        """What the halves learn; energy: counts its evaluations, of the end that is one."""

    def learn(self, start: End, end: End, noise: float, run: Run) -> Found:
        like, energy = start.like, next((law.target for law in (start, end) if law.samples is None), None)
        first, spent = law_of_moments(start, run)
        last, more = law_of_moments(end, run)
        grid = 0.5 - 0.5 * torch.cos(math.pi * torch.linspace(0, 1, self.steps + 1, dtype=torch.float64))
        generator = Generator(like.device).manual_seed(run.seed + NETWORK)
        gaussian = GaussianBridge.between(first, last, noise)
        learning = HalfBridges(
            PathBridge.make(gaussian, grid, self.network, generator, like.dtype),
            lambda counted: self.rule(start, end, noise, counted),
            energy,
            {
                "method": repr(self),
                "noise": noise,
                "samples": [law.samples and law.samples.digest() for law in (start, end)],
            },
            halves=self.halves,
            refresh=self.refresh,
            learning_rate=self.learning_rate,
            total=ITERATIONS if run.iterations is None else run.iterations,
            run=run,
        )
        learning.carry_out(run.checkpoint, run.progress)
        notes = [*learning.notes, *learning.complaints()]
        return Found(learning.learned(), learning.done, learning.history, {}, notes, learning.cost + spent + more)


def law_of_moments(law: End, run: Run) -> tuple[Gaussian, Cost]:
    """The Gaussian of an end's mean and covariance, and what it cost.

    They are those of a target that knows them, else of its rows, or of PILOT draws of SMC where there are none.
    """
    target, cost = law.target, Cost()
    if target is not None and {"mean", "covariance"} <= set(target.known):
        mean, covariance = target.mean, target.covariance
    else:
        samples = law.samples
        if samples is None:
            assert target is not None
            draws = SMC().sample(target, draws=PILOT, seed=run.seed + MOMENTS, progress=run.progress)
            samples, cost = Samples.of(draws), draws.cost
        mean, covariance = samples.moments
    return Gaussian(mean.double(), covariance=covariance.double(), name="bridge"), cost
