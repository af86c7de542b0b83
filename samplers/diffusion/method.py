"""What every diffusion sampler learned from the energy is: hyper-parameters, and the path measures made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch import Generator

from samplers.diffusion.gradient import Objective
from samplers.diffusion.objectives import KL, LogVariance
from samplers.diffusion.settings import Training
from samplers.diffusion.space import PriorChoice, Space
from samplers.draws.brief import Brief
from samplers.networks import NetworkSpec, ResidualMLP
from samplers.networks.flow import FlowNetwork
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.subtrajectories import Resampling
from samplers.runs.header import plain
from targets import Target
from targets.arguments import check_integer, shown

FEW_DIMENSIONS = 5
WILD = 3.0  # standard deviations


@dataclass(frozen=True, eq=False)
class LearnedMethod(Brief, ABC):
    """The hyper-parameters of a `LearnedSampler`, which adds the verbs, and the path measures made of them."""

    steps: int = 64
    network: NetworkSpec = field(default_factory=ResidualMLP)
    prior: PriorChoice = None
    objective: Objective | None = None
    training: Training = field(default_factory=Training)

    takes_mixture: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", 2)
        if not isinstance(self.network, NetworkSpec):
            raise TypeError(f"network: got {shown(self.network)}, expected a NetworkSpec such as ResidualMLP(width=64)")
        if self.objective is not None and not isinstance(self.objective, Objective):
            raise TypeError(f"objective: got {shown(self.objective)}, expected an Objective such as LogVariance()")
        if self.through_paths and (self.training.replay or self.training.exploration):
            raise ValueError("objective: KL needs paths of the model itself; expected no replay and no exploration")

    @property
    def through_paths(self) -> bool:
        """Whether the objective that was given takes its gradient through the simulated states."""
        return self.objective is not None and self.objective.through_paths

    @property
    def resampling(self) -> Resampling | None:
        """How particles are resampled on their way; None where paths are simulated whole."""
        return None

    @abstractmethod
    def build(self, space: Space, target: Target, generator: Generator) -> PathMeasure:
        """The untrained pair of path measures for a target in the coordinates of `space`."""

    def measure(self, space: Space, target: Target, generator: Generator, *, flow: bool) -> PathMeasure:
        """What `build` gives, in the target's dtype and on its device, with a flow where one is learned."""
        measure = self.build(space, target, generator)
        if flow:
            measure.flow = FlowNetwork(target.dim, generator)
        measure.to(device=target.device, dtype=target.dtype)
        measure.speed_up(self.training.mixed_precision, self.training.compile)
        return measure

    def objective_for(self, space: Space) -> Objective:
        """The objective, or what takes its place for a target in these coordinates."""
        if self.objective is not None:
            return self.objective
        off_policy = self.training.replay is not None or self.training.exploration > 0
        few = space.mixture is not None or len(space.shift) <= FEW_DIMENSIONS
        return LogVariance(huber=WILD) if few or off_policy or self.resampling is not None else KL()

    def tune(self, measure: PathMeasure, target: Target, generator: Generator) -> None:
        """Set what a short trial can tell before training, in place; target in the sampler's coordinates."""
        del measure, target, generator

    def describe(self) -> dict[str, Any]:
        """The hyper-parameters as plain values, for records and checkpoints."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        named = {name: value.name if isinstance(value, Target) else value for name, value in values.items()}
        return {"sampler": type(self).__name__, **plain(named)}
