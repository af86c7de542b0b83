"""Hamiltonian Monte Carlo with jittered trajectories.

    p ~ N(0, I);   n leapfrog steps of size e:   p += (e/2) L' s(x),   x += e L p,   p += (e/2) L' s(x)
    accepted with probability min(1, exp(H(x, p) - H(x', p'))),     H = -log p(x) + |p|^2 / 2

p is the momentum in z = L^-1 x, so that C = L L' is the inverse mass matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.kernels.fused import fused_leapfrog, fused_test, graphs_for
from samplers.kernels.metropolis import metropolis
from samplers.kernels.trajectories import TrajectoryInfo, TrajectoryKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target
from targets.compiled import Graphs


@dataclass(frozen=True, eq=False)
class HMC(TrajectoryKernel):
    """Hamiltonian Monte Carlo; leaves the target invariant and is reversible (the momentum is drawn anew each step).

    step_size e is in units of z = L^-1 x; warmup tunes it to an acceptance of `target_acceptance`, 0.9, in its last
    tenth by a harmonic mean, so that few unstable trajectories make it smaller
    (`samplers.adaptation.warmup.Warmup`).
    trajectory_length T: each step runs ceil(u T / e) leapfrogs with u uniform on (0, 1), the same for all chains,
    which never resonates with the target; warmup tunes T by the ChEES criterion. `steps` fixes the number instead.
    At most `max_steps` leapfrogs. An energy error beyond 1000 counts as diverging.
    n leapfrogs take n score evaluations. Duane et al. 1987, https://doi.org/10.1016/0370-2693(87)91197-X; Neal 2011,
    https://arxiv.org/abs/1206.1901; Hoffman, Radul and Sountsov 2021 (ChEES),
    https://proceedings.mlr.press/v130/hoffman21a.html.

    inverse_mass_matrix, metric: C = L L', as of `PreconditionedKernel`; step_size, trajectory_length: None leaves them
    to warmup. ValueError where both steps and trajectory_length are given.

        >>> draws = samplers.HMC(step_size=0.5, steps=4).sample(
        ...     targets.Gaussian([0.0, 3.0]), chains=4, draws=100, warmup=0, seed=0
        ... )
        >>> draws.x.shape, bool((draws.x.mean((0, 1)) - torch.tensor([0.0, 3.0])).abs().max() < 0.3)
        (torch.Size([4, 100, 2]), True)
    """

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        n = self._leapfrogs(generator)
        start = noise_like(state.x, generator)
        # not of a subclass, which may move in other coordinates
        if type(self) is HMC and (graphs := graphs_for(target, state, self.factor)) is not None:
            return self._by_graphs(graphs, target, state, start, n, generator)
        proposal, momentum = self.leapfrog(target, state, start, n)
        log_ratio = self.energy_lost(state, start, proposal, momentum)
        log_ratio, by_energy = self.weighed(log_ratio, proposal)
        diverging = ~(log_ratio.abs() < self.most_energy_error)
        new, info = metropolis(state, proposal, log_ratio, generator, diverging)
        alone = None
        if by_energy is not log_ratio:  # rejected for its energy where the test rejects it as diverging
            alone = torch.where(info.diverging | by_energy.isnan(), 0.0, by_energy.clamp_max(0.0).exp())
        energy = 0.5 * start.double().square().sum(-1) - state.log_prob.double()
        return new, TrajectoryInfo(
            info.acceptance_rate,
            info.diverging,
            energy=energy,
            n_steps=torch.full_like(info.diverging, n, dtype=torch.int64),
            by_energy=alone,
            proposal=proposal.x,
            start_momentum=start,
            energy_error=-by_energy,
            momentum=momentum,
            length=n * self.h,
        )

    def _by_graphs(
        self, graphs: Graphs, target: Target, state: State, start: Tensor, n: int, generator: Generator
    ) -> tuple[State, Info]:
        """The same step of a compiled target."""
        end, momentum = fused_leapfrog(graphs, target, state, start, self.h, n, self.factor)
        uniform = torch.rand(len(start), generator=generator, dtype=torch.float64, device=start.device)
        new, rate, diverging, energy, lost = fused_test(
            graphs, self.energy_lost, state, start, end, momentum, uniform, self.most_energy_error
        )
        steps = torch.full_like(diverging, n, dtype=torch.int64)
        return new, TrajectoryInfo(
            rate,
            diverging,
            energy=energy,
            n_steps=steps,
            proposal=end.x,
            start_momentum=start,
            energy_error=-lost,
            momentum=momentum,
            length=n * self.h,
        )

    @staticmethod
    def energy_lost(state: State, start: Tensor, end: State, momentum: Tensor) -> Tensor:
        """H(x, p) - H(x', p') of a trajectory from momentum `start` to `momentum`, (chains,) in float64."""
        # |p|^2 - |p'|^2 as a product, exact to rounding where the two are close
        kinetic = 0.5 * ((start - momentum) * (start + momentum)).sum(-1)
        return end.log_prob.double() - state.log_prob.double() + kinetic.double()

    def weighed(self, log_ratio: Tensor, proposal: State) -> tuple[Tensor, Tensor]:
        """The log acceptance ratio with what a form of HMC adds to it, and that part of it that is an energy error."""
        del proposal
        return log_ratio, log_ratio

    def leapfrog(self, target: Target, state: State, momentum: Tensor, n: int) -> tuple[State, Tensor]:
        """n leapfrog steps from (x, p): reversible under p -> -p, volume preserving, energy error O(e^2)."""
        end, e = state, self.h
        momentum = torch.add(momentum, self.pull(state), alpha=0.5 * e)
        for i in range(n):
            end = evaluate(target, torch.add(end.x, self.to_x(momentum), alpha=e))
            momentum = torch.add(momentum, self.pull(end), alpha=e if i < n - 1 else 0.5 * e)
        return end, momentum
