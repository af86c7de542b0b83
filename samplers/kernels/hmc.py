"""Hamiltonian Monte Carlo with jittered trajectories.

    p ~ N(0, I);   n leapfrog steps of size e:   p += (e/2) L' s(x),   x += e L p,   p += (e/2) L' s(x)
    accepted with probability min(1, exp(H(x, p) - H(x', p'))),     H = -log p(x) + |p|^2 / 2

p is the momentum in z = L^-1 x, so that C = L L' is the inverse mass matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import metropolis
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target
from targets.arguments import check_integer, positive


@dataclass(frozen=True, eq=False)
class HMCInfo(Info):
    """Also the end of the trajectory before the test, from which warmup learns the trajectory length."""

    proposal: Tensor | None = None
    momentum: Tensor | None = None
    length: float = 0.0


@dataclass(frozen=True, eq=False)
class HMC(PreconditionedKernel):
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

    inverse_mass_matrix: C = L L', as of `PreconditionedKernel`; step_size, trajectory_length: None leaves them to
    warmup. ValueError where both steps and trajectory_length are given.

        >>> draws = samplers.HMC(step_size=0.5, steps=4).sample(
        ...     targets.Gaussian([0.0, 3.0]), chains=4, draws=100, warmup=0, seed=0
        ... )
        >>> draws.x.shape, bool((draws.x.mean((0, 1)) - torch.tensor([0.0, 3.0])).abs().max() < 0.3)
        (torch.Size([4, 100, 2]), True)
    """

    trajectory_length: float | None = None
    steps: int | None = None
    max_steps: int = 1000
    target_acceptance: float = 0.9

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
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
        return int(self.leapfrogs_for(torch.rand((), generator=generator, device=generator.device)))

    def leapfrogs_for(self, jitter: Tensor) -> Tensor:
        """How many leapfrogs a step makes whose u is `jitter`, of the same shape."""
        if self.steps is not None:
            return torch.full_like(jitter, self.steps, dtype=torch.int64)
        length = self.default_trajectory_length if self.trajectory_length is None else self.trajectory_length
        return (jitter.double() * length / self.h).ceil().clamp(1, self.max_steps).long()

    def frozen(self, generator: Generator) -> HMC:
        """HMC with one number of leapfrogs, drawn as a step draws it."""
        return replace(self, steps=self._leapfrogs(generator), trajectory_length=None)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        n = self._leapfrogs(generator)
        start = noise_like(state.x, generator)
        proposal, momentum = self.leapfrog(target, state, start, n)
        log_ratio = self.energy_lost(state, start, proposal, momentum)
        log_ratio, by_energy = self.weighed(log_ratio, proposal)
        diverging = ~(log_ratio.abs() < self.most_energy_error)
        new, info = metropolis(state, proposal, log_ratio, generator, diverging)
        alone = None
        if by_energy is not log_ratio:  # rejected for its energy where the test rejects it as diverging
            alone = torch.where(info.diverging | by_energy.isnan(), 0.0, by_energy.clamp_max(0.0).exp())
        energy = 0.5 * start.double().square().sum(-1) - state.log_prob.double()
        return new, HMCInfo(
            info.acceptance_rate,
            info.diverging,
            energy=energy,
            n_steps=torch.full_like(info.diverging, n, dtype=torch.int64),
            by_energy=alone,
            proposal=proposal.x,
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

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, HMC)
        new = super().tuned(warm)
        return new if self.steps or self.trajectory_length else replace(new, trajectory_length=warm.trajectory_length)
