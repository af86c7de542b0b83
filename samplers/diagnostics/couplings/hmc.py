"""HMC: common momenta, and proposals that can be one point where a trajectory is a single leapfrog.

Trajectories from near points with the same momentum come nearer on a log-concave density, but never meet. One leapfrog
of step e proposes from N(x + (e^2/2) C s(x), e^2 C), as MALA does, and such proposals are coupled by reflection. Of
jittered trajectories a share e / T is of one leapfrog; a fixed number needs steps of a random walk in between
(`WithRandomWalk`). Heng and Jacob 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling, accepted_together, couples
from samplers.diagnostics.couplings.gaussians import langevin_gap, reflection_maximal
from samplers.diagnostics.couplings.states import both, rows, with_rows
from samplers.kernels import HMC, State
from samplers.kernels.metropolis import metropolis
from samplers.runs.state import Info, noise_like
from targets import Target


@couples(HMC)
@dataclass(frozen=True, eq=False)
class CoupledHMC(Coupling[HMC]):
    """Both chains of a pair make the same number of leapfrogs; each pair draws its own."""

    def check(self) -> None:
        """ValueError for a fixed number of leapfrogs above one."""
        if self.kernel.steps is not None and self.kernel.steps > 1:
            raise ValueError(
                f"kernel: got HMC with steps={self.kernel.steps}, two chains of which never meet; expected jittered "
                "trajectories (trajectory_length=, some of which are of one leapfrog), or "
                "couplings.WithRandomWalk(kernel, scale=)"
            )

    def alone(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One step of chains that each draw their own number of leapfrogs."""
        start, n = noise_like(state.x, generator), self.leapfrogs(len(state.x), state.x, generator)
        end, momentum = self.trajectories(target, state, start, n)
        log_ratio, diverging = self._judged(state, start, end, momentum)
        return metropolis(state, end, log_ratio, generator, diverging)

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        n = self.leapfrogs(len(x.x), x.x, generator)
        single = n == 1
        momentum, other, same = reflection_maximal(self._gap(x, y), generator)
        other, same = torch.where(single[:, None], other, momentum), same & single
        state, start = both(x, y), torch.cat([momentum, other])
        end, momenta = self.trajectories(target, state, start, n.repeat(2))
        log_ratio, diverging = self._judged(state, start, end, momenta)
        return accepted_together(x, y, end, log_ratio, same, generator, diverging)

    def leapfrogs(self, pairs: int, like: Tensor, generator: Generator) -> Tensor:
        """How many each pair makes, (pairs,)."""
        return self.kernel.leapfrogs_for(torch.rand(pairs, generator=generator, device=like.device))

    def trajectories(self, target: Target, state: State, momentum: Tensor, n: Tensor) -> tuple[State, Tensor]:
        """The ends of n (chains,) leapfrogs, made one by one: two half kicks in place of a whole one."""
        for i in range(int(n.max())):
            moving = (n > i).nonzero()[:, 0]
            part, kicked = self.kernel.leapfrog(target, rows(state, moving), momentum[moving], 1)
            state, momentum = with_rows(state, moving, part), momentum.index_copy(0, moving, kicked)
        return state, momentum

    def _judged(self, state: State, start: Tensor, end: State, momentum: Tensor) -> tuple[Tensor, Tensor]:
        """The log acceptance ratio, and where the energy is so far off that the trajectory is diverging."""
        log_ratio = self.kernel.energy_lost(state, start, end, momentum)
        return log_ratio, ~(log_ratio.abs() < self.kernel.most_energy_error)

    def _gap(self, x: State, y: State) -> Tensor:
        """Of one leapfrog, whose mean is x + (e^2 / 2) C s(x), in units of e."""
        return langevin_gap(self.kernel, x, y, 0.5 * self.kernel.h**2)
