"""What a particle method is: a velocity for every particle, and a step along it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from samplers.draws.brief import Brief
from samplers.kernels.metropolis import finite, select
from samplers.particles.pair_kernels import PairKernel, median_squared_bandwidth
from samplers.runs.checks import check_continuous
from samplers.runs.state import State, evaluate
from targets import Target
from targets.arguments import check_choice, positive, shown

Optimiser = Literal["adagrad", "sgd", "adam"]

ADAM_MEMORY = (0.9, 0.999)
SMALLEST_SCALE = 1e-8


@dataclass(frozen=True, eq=False)
class Swarm(State):
    """Particles x (n, dim) with log-density and score, and the optimiser's running sums of v and v^2 (n, dim).

    log_prob: (n,). first, second: the running sums.

        >>> from samplers.particles import Swarm
        >>> x = torch.zeros(3, 2)
        >>> Swarm(x, torch.zeros(3), x, first=x, second=x).second.shape
        torch.Size([3, 2])
    """

    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class ParticleFlow(Brief, ABC):
    """The fields of a `ParticleMethod`, which adds the verb, and a step of its particles.

    smooths_density: its velocity holds a kernel density estimate of the particles, which takes kernel="rbf".
    """

    smooths_density: ClassVar[bool] = False

    kernel: PairKernel = "rbf"
    bandwidth: Literal["median"] | float = "median"
    step_size: float = 0.3
    optimiser: Optimiser = "adagrad"

    def __post_init__(self) -> None:
        for name, known in (("kernel", get_args(PairKernel)), ("optimiser", get_args(Optimiser))):
            check_choice(getattr(self, name), name, known)
        if self.kernel == "imq" and self.smooths_density:
            raise ValueError(
                f"kernel: got 'imq', which has no finite integral, and {type(self).__name__} smooths the particles' "
                "density with it; expected 'rbf'"
            )
        if isinstance(self.bandwidth, str) and self.bandwidth != "median":
            raise ValueError(f"bandwidth: got {shown(self.bandwidth)}, expected 'median' or a positive number")
        if self.bandwidth != "median":
            object.__setattr__(self, "bandwidth", positive(self.bandwidth, "bandwidth"))
        object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))

    @abstractmethod
    def velocity(self, x: Tensor, score: Tensor, squared_bandwidth: Tensor) -> Tensor:
        """v (n, dim) of the particles x (n, dim) with scores (n, dim); squared_bandwidth is h^2."""

    def squared_bandwidth(self, x: Tensor) -> Tensor:
        """h^2 for particles at x."""
        if isinstance(self.bandwidth, str):
            return median_squared_bandwidth(x, self.kernel)
        return x.new_full((), self.bandwidth**2)

    def init(self, target: Target, x: Tensor) -> Swarm:
        """Particles that stand at x, (n, dim)."""
        state = evaluate(target, x)
        return Swarm(x, state.log_prob, state.score, torch.zeros_like(x), torch.zeros_like(x))

    def step(self, target: Target, state: Swarm, t: int) -> tuple[Swarm, Tensor]:
        """Iteration t = 0, 1, ...: the new particles, and which of them stayed because their move was not finite."""
        assert state.score is not None
        velocity = self.velocity(state.x, state.score, self.squared_bandwidth(state.x))
        move, first, second = self._move(velocity, state, t)
        there = evaluate(target, state.x + move)
        assert there.score is not None
        good = finite(there) & there.x.isfinite().all(-1)
        new = Swarm(there.x, there.log_prob, there.score, first, second)
        # a velocity that is not finite must not stay in the running sums; any other shortens the next attempt
        remains = Swarm(state.x, state.log_prob, state.score, _known(first, state.first), _known(second, state.second))
        return select(good, new, remains), ~good

    def _move(self, velocity: Tensor, state: Swarm, t: int) -> tuple[Tensor, Tensor, Tensor]:
        first, second = state.first, state.second
        if self.optimiser == "sgd":
            return self.step_size * velocity, first, second
        if self.optimiser == "adagrad":
            second = second + velocity.square()
            return self.step_size * velocity / (second.sqrt() + SMALLEST_SCALE), first, second
        a, b = ADAM_MEMORY
        first, second = a * first + (1 - a) * velocity, b * second + (1 - b) * velocity.square()
        scale = (second / (1 - b ** (t + 1))).sqrt() + SMALLEST_SCALE
        return self.step_size * first / ((1 - a ** (t + 1)) * scale), first, second

    def check_target(self, target: Target) -> None:
        """TypeError for a target without scores in R^n."""
        check_continuous(target, self)

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers and strings, for records."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _known(new: Tensor, old: Tensor) -> Tensor:
    return torch.where(new.isfinite(), new, old)
