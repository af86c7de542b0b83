"""The Barker proposal.

    z = L^-1 x,   g = L' s(x),   w ~ N(0, h^2 I),   y_i = z_i + w_i with probability sigmoid(w_i g_i(x)), else z_i - w_i

accepted with probability min(1, p(y) q(x|y) / (p(x) q(y|x))), in which, with d = y - z,

    q(x|y) / q(y|x) = prod_i sigmoid(-d_i g_i(y)) / sigmoid(d_i g_i(x))

The score chooses the side, never the length: a step stays of size h however steep the density is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator
from torch.nn.functional import logsigmoid

from samplers.kernels._choices import coin
from samplers.kernels.metropolis import metropolis
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target


@dataclass(frozen=True, eq=False)
class Barker(PreconditionedKernel):
    """Barker proposal: y = x + L (b * w), w ~ N(0, h^2 I), b_i = 1 with probability sigmoid(w_i (L's)_i), else -1.

    Accepted by Metropolis-Hastings with the product of the sigmoids of both ways: leaves the target invariant and is
    reversible. One score evaluation a step. To first order it is Langevin with a step of h^2 / 2; unlike MALA's its
    steps do not grow with the score, so that it comes in from tails lighter than a Gaussian's, and loses little where
    the step size is too long for some coordinates. Livingstone and Zanella 2022, https://doi.org/10.1111/rssb.12482.

    step_size: h, the standard deviation of a coordinate's move in units of z = L^-1 x; None leaves it to warmup, which
        tunes it to an acceptance of `target_acceptance`, 0.574, best for every proposal of this class as the number of
        dimensions grows (Vogrinc, Livingstone and Zanella 2023, https://arxiv.org/abs/2201.01123); 0.5 without a
        warmup.
    inverse_mass_matrix, metric: C = L L', as of `PreconditionedKernel`.

    States and draws are (chains, dim) and (chains, draws, dim). Raises ValueError for a step size that is not positive
    and for a matrix that is not positive definite or of another shape.

        >>> target = targets.Gaussian(torch.zeros(2))
        >>> draws = samplers.Barker().sample(target, chains=8, draws=50, warmup=100, seed=0)
        >>> draws.x.shape
        torch.Size([8, 50, 2])
    """

    target_acceptance: float = 0.574

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    default_step_size: ClassVar[float] = 0.5

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        noise = self.h * noise_like(state.x, generator)
        pull = self.pull(state)
        move = torch.where(coin((noise * pull).sigmoid(), generator), noise, -noise)
        proposal = evaluate(target, state.x + self.to_x(move))
        log_q = logsigmoid(-move * self.pull(proposal)) - logsigmoid(move * pull)
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + log_q.sum(-1, dtype=torch.float64)
        return metropolis(state, proposal, log_ratio, generator)
