"""Random-walk Metropolis.

y = x + h L xi,     accepted with probability min(1, p(y) / p(x))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from samplers.kernels.metropolis import metropolis
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target


@dataclass(frozen=True, eq=False)
class RandomWalkMetropolis(PreconditionedKernel):
    """Random-walk Metropolis: y = x + h L xi, accepted with probability min(1, p(y)/p(x)). Needs no score.

    Leaves the target invariant and is reversible. step_size h is the proposal's standard deviation in units of
    z = L^-1 x; warmup tunes it to an acceptance of `target_acceptance`, 0.234. Metropolis et al. 1953,
    https://doi.org/10.1063/1.1699114;
    Roberts, Gelman and Gilks 1997, https://doi.org/10.1214/aoap/1034625254.

    step_size, inverse_mass_matrix, metric: C = L L', and what leaves either to warmup, as of `PreconditionedKernel`, as
    well as the errors raised.

        >>> kernel = samplers.RandomWalkMetropolis(step_size=1.0)
        >>> kernel.sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0).cost.score
        0
    """

    target_acceptance: float = 0.234

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    needs_score: ClassVar[bool] = False
    default_step_size: ClassVar[float] = 0.5

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        return metropolis(state, *self.propose(target, state, noise_like(state.x, generator)), generator)

    def propose(self, target: Target, state: State, noise: Tensor) -> tuple[State, Tensor]:
        """The proposal made with that noise xi, with a score where the state has one, and its log acceptance ratio."""
        proposal = evaluate(target, state.x + self.h * self.to_x(noise), score=state.score is not None)
        return proposal, proposal.log_prob.double() - state.log_prob.double()
