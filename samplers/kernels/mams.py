"""Metropolis-adjusted microcanonical sampler: isokinetic trajectories, accepted by density and volume.

    u uniform on the sphere;   n times:   B(e/2),   x += e sqrt(d) L u,   B(e/2)
    accepted with probability min(1, p(x') / p(x) exp(-K)),     K = sum over all B of (d - 1) log w

B(t) turns u by the score for a time t, and w is the factor by which it shrinks lengths on the sphere there; see
`samplers.kernels.isokinetic`. The map (x, u) -> (x', -u') is its own inverse, with the Jacobian exp(-K).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.kernels import isokinetic
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import metropolis
from samplers.kernels.trajectories import TrajectoryInfo, TrajectoryKernel
from samplers.runs.state import Info, State
from targets import Target


@dataclass(frozen=True, eq=False)
class MAMS(TrajectoryKernel):
    """Metropolis-adjusted microcanonical sampler; leaves the target invariant and is reversible.

    Motion at constant speed in a direction u that the score turns: u <- (u + g (sinh r + c (cosh r - 1))) / w, with
    w = cosh r + c sinh r, g the direction of the score, c = g.u, and r = (e/2) sqrt(d) |L's| / (d - 1); then
    x += e sqrt(d) L u; and u is turned again. Each step draws u anew from the uniform law and accepts with probability
    min(1, p(x') / p(x) / prod w^(d - 1)). A step goes no farther on a steep density, so that its size is bound by
    curvature alone.

    step_size e and trajectory_length T are times in z = L^-1 x at speed sqrt(d), to be compared with those of HMC; in
    the papers, where the speed is one, they are sqrt(d) times as long. Each step makes ceil(u T / e) leapfrogs with u
    uniform on (0, 1), the same for all chains; `steps` fixes the number instead, `max_steps` bounds it. Warmup tunes e
    to target_acceptance and T by the ChEES criterion. An energy error beyond 1000 counts as diverging.
    n leapfrogs take n score evaluations. Robnik, Cohn-Gordon and Seljak 2025, https://arxiv.org/abs/2503.01707.

    inverse_mass_matrix, metric: C = L L', as of `PreconditionedKernel`; step_size, trajectory_length: None leaves them
    to warmup. ValueError where both steps and trajectory_length are given, and for a target with one dimension, where
    the sphere is two points.

        >>> draws = samplers.MAMS(step_size=0.5, steps=4).sample(
        ...     targets.Gaussian([0.0, 3.0]), chains=4, draws=100, warmup=0, seed=0
        ... )
        >>> draws.x.shape, bool((draws.x.mean((0, 1)) - torch.tensor([0.0, 3.0])).abs().max() < 0.3)
        (torch.Size([4, 100, 2]), True)
    """

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def check_target(self, target: Target) -> None:
        super().check_target(target)
        isokinetic.check_dim(target.dim, self)

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        isokinetic.check_dim(target.dim, self)
        return super().init(target, x, generator)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        n = self._leapfrogs(generator)
        start = isokinetic.directions(state.x, generator)
        proposal, u, gained = isokinetic.leapfrog(self, target, state, start, n)
        log_ratio = proposal.log_prob.double() - state.log_prob.double() - gained
        diverging = ~(log_ratio.abs() < self.most_energy_error)
        new, info = metropolis(state, proposal, log_ratio, generator, diverging)
        return new, TrajectoryInfo(
            info.acceptance_rate,
            info.diverging,
            n_steps=torch.full_like(info.diverging, n, dtype=torch.int64),
            proposal=proposal.x,
            start_momentum=start,
            energy_error=-log_ratio,
            momentum=math.sqrt(target.dim) * u,
            length=n * self.h,
        )

    def tuned(self, warm: Kernel) -> Self:
        new = super().tuned(warm)
        if self.steps or self.trajectory_length or new.trajectory_length is None:
            return new
        return replace(new, trajectory_length=new.trajectory_length / math.sqrt(2))
