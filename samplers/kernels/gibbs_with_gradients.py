"""Gibbs with gradients: the gradient of the log-density chooses which site is changed, and to what.

    d_i(v) = log p(x with x_i = v) - log p(x)   to first order in the change (exact for pairwise models)
    (i, v) ~ softmax(d / 2) over all changes v != x_i,
    accepted with probability n / (n + 1) min(1, p(x') q(x' -> x) / (p(x) q(x -> x'))),   n the number of sites

A locally balanced proposal (Zanella 2020): the square root of the density ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.kernels import _choices
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import lazy, metropolis
from samplers.runs.state import Info, State, evaluate
from targets import Target
from targets.arguments import check_integer
from targets.discrete import as_discrete


@dataclass(frozen=True, eq=False)
class GibbsWithGradients(Kernel):
    """Gibbs with gradients: x' changes one site, (i, v) ~ softmax(d(x) / 2) over v != x_i, with a Metropolis test.

    d = `target.local_differences`, and the test is by log_prob itself: the target is invariant and the kernel
    reversible whatever d is worth. One change in n + 1 is left out by chance: where all are accepted (uncoupled spins),
    every flip would change the parity of the spins that are up, and draws two flips apart would all have the same.
    flips: changes proposed one after another in a step, each with its test; acceptance_rate is their mean. A step costs
    one log-density a flip and one gradient more than flips. Any number of values a site.

    Raises ValueError for a number of flips below 1. Grathwohl et al. 2021, https://arxiv.org/abs/2102.04509.

        >>> ising = targets.Ising((4, 4), coupling=0.3)
        >>> samplers.GibbsWithGradients(flips=4).sample(ising, chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 16])
    """

    flips: int = 1

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer(self.flips, "flips")

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        log_q = self.log_proposal(target, state.x)
        rates, diverging = [], torch.zeros_like(state.log_prob, dtype=torch.bool)
        for _ in range(self.flips):
            state, log_q, info = self.flip(target, state, log_q, generator)
            rates.append(info.acceptance_rate)
            diverging = diverging | info.diverging
        return state, Info(torch.stack(rates).mean(0), diverging)

    def flip(self, target: Target, state: State, log_q: Tensor, generator: Generator) -> tuple[State, Tensor, Info]:
        """One proposal and its test, with the proposal's law before and after."""
        values = as_discrete(target).values
        q = len(values)
        chosen = _choices.category(log_q, generator)[:, None]
        site = chosen // q
        proposal = evaluate(target, state.x.scatter(1, site, values[chosen % q]), score=False)
        back = site * q + (values == state.x.gather(1, site)).long().argmax(-1, keepdim=True)
        log_q_there = self.log_proposal(target, proposal.x)
        hastings = (log_q_there.gather(1, back) - log_q.gather(1, chosen))[:, 0]
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + hastings
        new, info = metropolis(state, proposal, lazy(log_ratio, 1 / (target.dim + 1)), generator)
        moved = (new.x != state.x).any(-1, keepdim=True)
        return new, torch.where(moved, log_q_there, log_q), info

    def log_proposal(self, target: Target, x: Tensor) -> Tensor:
        """log q of every change, site by site and value by value; -inf for no change. (chains, dim q)."""
        law = as_discrete(target)
        differences = law.local_differences(x).double()
        logits = torch.where(law.values == x[..., None], -torch.inf, differences / 2)
        return logits.flatten(1).log_softmax(-1)
