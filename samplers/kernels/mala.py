"""Metropolis-adjusted Langevin algorithm.

    y = x + h C s(x) + sqrt(2h) L xi,     accepted with probability min(1, p(y) q(x|y) / (p(x) q(y|x)))

In z = L^-1 x, with g = L' s, the noise that would lead back is xi' = -(xi + sqrt(h/2) (g(x) + g(y))), so that
log q(x|y) - log q(y|x) = (|xi|^2 - |xi'|^2) / 2 needs no inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.kernels.metropolis import metropolis
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target


@dataclass(frozen=True, eq=False)
class MALA(PreconditionedKernel):
    """Metropolis-adjusted Langevin: y = x + h C s(x) + sqrt(2h) L xi, accepted by Metropolis-Hastings.

    Leaves the target invariant and is reversible. One score evaluation a step. step_size h is in squared units of
    z = L^-1 x; warmup tunes it to an acceptance of `target_acceptance`, 0.574. Roberts and Tweedie 1996,
    https://doi.org/10.2307/3318418;
    Roberts and Rosenthal 1998, https://doi.org/10.1111/1467-9868.00123.

    step_size, inverse_mass_matrix, metric: C = L L', and what leaves either to warmup, as of `PreconditionedKernel`, as
    well as the errors raised.

        >>> draws = samplers.MALA().sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=100, seed=0)
        >>> draws.x.shape, draws.kernel.step_size > 0
        (torch.Size([4, 20, 2]), True)
    """

    target_acceptance: float = 0.574

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        return metropolis(state, *self.propose(target, state, noise_like(state.x, generator)), generator)

    def propose(self, target: Target, state: State, noise: Tensor) -> tuple[State, Tensor]:
        """The proposal made with that noise xi, and its log acceptance ratio."""
        pull = self.pull(state)
        move = torch.add(self.h * pull, noise, alpha=math.sqrt(2 * self.h))
        proposal = evaluate(target, state.x + self.to_x(move))
        back = torch.add(noise, pull + self.pull(proposal), alpha=math.sqrt(self.h / 2))
        # |xi|^2 - |xi'|^2 as a product, exact to rounding where the two are close
        log_q = 0.5 * ((noise - back) * (noise + back)).sum(-1)
        return proposal, proposal.log_prob.double() - state.log_prob.double() + log_q.double()
