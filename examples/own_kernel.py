"""A kernel of your own on `State`, and the test that it is right: tamed MALA, and a version with a lost term.

    y = x + b(x) + sqrt(2h) z,   b(x) = h s(x) / (1 + h |s(x)|),   s = grad log p
    accepted with probability min(1, p(y) q(x | y) / (p(x) q(y | x)))

The drift is never longer than one, so that a steep tail cannot throw a chain far away. The broken version leaves the
ratio of the q out: its chains look healthy, and `check_invariance` rejects it. Roberts and Tweedie 1996; Brosse et al.
2019.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

import targets
from samplers.kernels import PreconditionedKernel, evaluate, metropolis, noise_like
from samplers.testing import check_invariance, check_moves, check_reversible


@dataclass(frozen=True, eq=False)
class TamedMALA(PreconditionedKernel):
    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    target_acceptance: ClassVar[float] = 0.574  # step_size=None: warmup tunes the step to this

    def drifted(self, state):
        """x + b(x), (chains, dim)."""
        length = torch.linalg.vector_norm(state.score, dim=-1, keepdim=True)
        return state.x + self.h * state.score / (1 + self.h * length)

    def step(self, target, state, generator):
        noise = math.sqrt(2 * self.h) * noise_like(state.x, generator)
        proposal = evaluate(target, self.drifted(state) + noise)
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + self.log_q(state, proposal).double()
        return metropolis(state, proposal, log_ratio, generator)

    def log_q(self, state, proposal):
        """Log q(x | y) - log q(y | x), (chains,)."""
        ahead, back = proposal.x - self.drifted(state), state.x - self.drifted(proposal)
        return (ahead.square().sum(-1) - back.square().sum(-1)) / (4 * self.h)


class TamedMALAWithoutCorrection(TamedMALA):
    def log_q(self, state, proposal):
        return torch.zeros_like(state.log_prob)


def main():
    # skewed on purpose: some mistakes cancel on symmetric targets
    target = targets.Product(targets.Gaussian(torch.zeros(1)), targets.LogExponential(1), name="skewed")
    kernel, broken = TamedMALA(0.5, "identity"), TamedMALAWithoutCorrection(0.5, "identity")
    print(check_invariance(kernel, target, chains=10_000))
    print(check_reversible(kernel, target, chains=5_000))
    print(f"gap to the target after a far start: {check_moves(kernel, target, steps=200).gap:.2f}")
    try:
        check_invariance(broken, target, chains=10_000)
    except AssertionError as error:
        print(error)


if __name__ == "__main__":
    main()
