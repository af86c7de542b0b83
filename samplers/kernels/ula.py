"""Unadjusted Langevin algorithm.

    x' = x + h C s(x) + sqrt(2h) L xi,     s = grad log p,  C = L L' the inverse mass matrix

Invariant law off by O(h): on a Gaussian with covariance C every variance comes out as 1/(1 - h/2) times the truth.
One score evaluation a step. Parisi 1981; Roberts and Tweedie 1996.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.kernels.mala import MALA
from samplers.kernels.metropolis import always
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target


@dataclass(frozen=True, eq=False)
class CautiousMALA(MALA):
    """MALA at an acceptance of 0.95: the step size rule of the kernels that leave the test out."""

    target_acceptance: float = 0.95


@dataclass(frozen=True, eq=False)
class ULA(PreconditionedKernel):
    """Unadjusted Langevin: x' = x + h C s(x) + sqrt(2h) L xi; the invariant law is the target's up to O(h).

    step_size h is in squared units of z = L^-1 x. Left to warmup, it is the step at which a Metropolis test would
    accept 95 % of the proposals (warmup runs MALA). A step that ends at a non-finite density or score is not taken
    and is counted as diverging. Roberts and Tweedie 1996, https://doi.org/10.2307/3318418.

    step_size, inverse_mass_matrix, metric: C = L L', and what leaves either to warmup, as of `PreconditionedKernel`, as
    well as the errors raised.

        >>> draws = samplers.ULA(0.1).sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0)
        >>> draws.cost.score, bool((draws.stats["acceptance_rate"] == 1).all())
        (84, True)
    """

    reversible: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    order: ClassVar[int | None] = 1

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        return always(state, self.propose(target, state, noise_like(state.x, generator)))

    def propose(self, target: Target, state: State, noise: Tensor) -> State:
        """Where a step with that noise xi leads."""
        x = torch.add(state.x, self.to_x(self.pull(state)), alpha=self.h)
        x.add_(self.to_x(noise), alpha=math.sqrt(2 * self.h))
        del noise  # a million chains in a hundred dimensions are 400 MB
        return evaluate(target, x)

    def log_ratio(self, old: State, new: State) -> Tensor:
        # a chain that was held back has moved with probability one in both directions
        moved = (new.x != old.x).any(-1)
        ratio = new.log_prob.double() - old.log_prob.double() + self._log_q(new, old) - self._log_q(old, new)
        return torch.where(moved, ratio, 0.0)

    def _log_q(self, source: State, destination: State) -> Tensor:
        """log q(destination | source) up to what is the same both ways."""
        drift = torch.add(source.x, self.to_x(self.pull(source)), alpha=self.h)
        return self.whiten(destination.x - drift).double().square().sum(-1) / (-4 * self.h)

    def warmup_form(self) -> MALA:
        return CautiousMALA(self.step_size, self.inverse_mass_matrix, metric=self.metric)
