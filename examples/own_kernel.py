"""A kernel of your own on `State`, and the test that it is right: Barker's proposal, and a version with a lost term.

    y_i = x_i + b_i z_i,     z ~ N(0, h^2),     b_i = +1 with probability sigmoid(z_i s_i(x)), else -1

Steps lean uphill, and the Metropolis ratio corrects for it. The broken version leaves that correction out: its chains
look healthy, and `check_invariance` rejects it. Livingstone and Zanella 2022.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import softplus

import targets
from samplers.kernels import PreconditionedKernel, evaluate, metropolis, noise_like
from samplers.testing import check_invariance, check_moves, check_reversible


@dataclass(frozen=True, eq=False)
class Barker(PreconditionedKernel):
    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    target_acceptance: ClassVar[float] = 0.4  # step_size=None: warmup tunes the step to this

    def step(self, target, state, generator):
        z = self.h * noise_like(state.x, generator)
        uniform = torch.rand(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        uphill = uniform < torch.sigmoid(z * state.score)
        proposal = evaluate(target, state.x + torch.where(uphill, z, -z))
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + self.log_q(state, proposal).double()
        return metropolis(state, proposal, log_ratio, generator)

    def log_q(self, state, proposal):
        """Log q(x | y) - log q(y | x), (chains,)."""
        move = proposal.x - state.x
        return (softplus(-move * state.score) - softplus(move * proposal.score)).sum(-1)


class BarkerWithoutCorrection(Barker):
    def log_q(self, state, proposal):
        return torch.zeros_like(state.log_prob)


def main():
    # skewed on purpose: some mistakes cancel on symmetric targets
    target = targets.Product(targets.Gaussian(torch.zeros(1)), targets.LogExponential(1), name="skewed")
    print(check_invariance(Barker(1.0, "identity"), target, chains=10_000))
    print(check_reversible(Barker(1.0, "identity"), target, chains=5_000))
    print(f"gap to the target after a far start: {check_moves(Barker(1.0, 'identity'), target, steps=200):.2f}")
    try:
        check_invariance(BarkerWithoutCorrection(1.0, "identity"), target, chains=10_000)
    except AssertionError as error:
        print(error)


if __name__ == "__main__":
    main()
