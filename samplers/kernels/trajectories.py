"""Kernels whose step is a trajectory of n leapfrogs of size e, with a jittered length T:  n = ceil(u T / e)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.kernels.base import Kernel
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info
from targets.arguments import check_integer, positive


@dataclass(frozen=True, eq=False)
class TrajectoryInfo(Info):
    """Also what warmup learns the trajectory length from, beside the proposal: the end of the trajectory.

    momentum: its velocity dz/dt there, (chains, dim); length: the time that the trajectory took.
    """

    momentum: Tensor | None = None
    length: float = 0.0


@dataclass(frozen=True, eq=False)
class TrajectoryKernel(PreconditionedKernel):
    """A kernel that makes ceil(u T / e) leapfrogs a step, u uniform on (0, 1), the same for all chains.

    trajectory_length T: None leaves it to warmup; `steps` fixes the number of leapfrogs instead, `max_steps` bounds it.
    target_acceptance: to which warmup tunes the step size. ValueError where both steps and trajectory_length are given.
    """

    trajectory_length: float | None = None
    steps: int | None = None
    max_steps: int = 1000
    target_acceptance: float = 0.9

    default_trajectory_length: ClassVar[float] = 1.0
    most_energy_error: ClassVar[float] = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.trajectory_length is not None:
            raise ValueError("steps, trajectory_length: got both, expected at most one")
        if self.trajectory_length is not None:
            object.__setattr__(self, "trajectory_length", positive(self.trajectory_length, "trajectory_length"))
        for argument in ("steps", "max_steps"):
            if getattr(self, argument) is not None:
                check_integer(getattr(self, argument), argument)

    def _leapfrogs(self, generator: Generator) -> int:
        if self.steps is not None:
            return self.steps
        jitter = float(torch.rand((), generator=generator, device=generator.device))
        return math.ceil(min(max(jitter * self._length / self.h, 1), self.max_steps))

    @property
    def _length(self) -> float:
        return self.default_trajectory_length if self.trajectory_length is None else self.trajectory_length

    def leapfrogs_for(self, jitter: Tensor) -> Tensor:
        """How many leapfrogs a step makes whose u is `jitter`, of the same shape."""
        if self.steps is not None:
            return torch.full_like(jitter, self.steps, dtype=torch.int64)
        return (jitter.double() * self._length / self.h).ceil().clamp(1, self.max_steps).long()

    @property
    def evaluations(self) -> int:
        """Leapfrogs of a step; four where they are not fixed."""
        return 4 if self.steps is None else self.steps

    def frozen(self, generator: Generator) -> Self:
        """The kernel with one number of leapfrogs, drawn as a step draws it."""
        return replace(self, steps=self._leapfrogs(generator), trajectory_length=None)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, TrajectoryKernel)
        new = super().tuned(warm)
        return new if self.steps or self.trajectory_length else replace(new, trajectory_length=warm.trajectory_length)
