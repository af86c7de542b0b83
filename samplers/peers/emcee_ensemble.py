"""The affine-invariant ensemble of emcee."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from samplers.peers.base import ChainPeer, ChainRun
from samplers.peers.bridge import as_tensor, from_numpy, to_numpy
from samplers.runs.plan import Plan
from targets import Target
from targets.arguments import shown
from targets.counting import Counted


@dataclass(frozen=True)
class Emcee(ChainPeer):
    """The stretch move of emcee, which needs no score; needs the package emcee.

        y = x_j + z (x_i - x_j),   z with density ~ 1 / sqrt(z) on [1/a, a],
        accepted with probability min(1, z^(dim-1) p(y) / p(x_i))

    for every walker i of one half of the ensemble, j drawn from the other half; a is `stretch`. Leaves the product of
    the target over all walkers invariant. The walkers are the chains: an even number, at least 2 dim, by default at
    least 32. They move by one another and are not independent, so that R-hat and ESS over them, which take them for
    independent, flatter somewhat. Warmup steps are dropped; nothing is tuned. One log-density a walker and step.

    A density that is not finite rejects the move; such moves are counted in `divergences`, for all walkers together.
    Raises ValueError for an odd or too small number of walkers, and for starts in a subspace, which they never leave.
    Goodman and Weare 2010, https://doi.org/10.2140/camcos.2010.5.65; Foreman-Mackey et al. 2013,
    https://arxiv.org/abs/1202.3665.

        >>> from samplers.peers import Emcee
        >>> Emcee(stretch=3.0)
        Emcee(stretch=3.0)
    """

    stretch: float = 2.0

    packages: ClassVar = ("emcee",)
    needs_score: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.stretch > 1:
            raise ValueError(f"stretch: got {shown(self.stretch)}, expected a number above 1")

    def default_chains(self, target: Target) -> int:
        """32, or four a dimension where that is more."""
        return max(32, 4 * target.dim)

    def check_chains(self, chains: int, target: Target) -> None:
        """ValueError unless even and at least 2 dim."""
        if chains % 2 or chains < 2 * target.dim:
            raise ValueError(
                f"chains: got {chains}, expected an even number of at least {2 * target.dim}, twice the dim of "
                f"{target.name}: they are the walkers of one ensemble, whose halves move by one another"
            )

    def run(self, target: Counted, x: Tensor, plan: Plan) -> ChainRun:
        """Warmup, then the steps that are kept."""
        import emcee

        start = to_numpy(x, np.float64)
        if not emcee.walkers_independent(start):
            raise ValueError("init: the walkers lie in a subspace, or nearly so, which they never leave; spread them")
        refused = 0

        def log_prob(points: np.ndarray) -> np.ndarray:
            nonlocal refused
            value = to_numpy(target.log_prob(from_numpy(points, target)), np.float64)
            finite = np.isfinite(value)
            refused += int((~finite).sum())
            return np.where(finite, value, -np.inf)

        ensemble = emcee.EnsembleSampler(
            plan.chains, target.dim, log_prob, moves=emcee.moves.StretchMove(a=self.stretch), vectorize=True
        )
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(plan.seed)))
        state = emcee.State(start, random_state=random.get_state())
        steps = plan.draws * plan.thin
        if plan.warmup:
            state = ensemble.run_mcmc(state, plan.warmup, store=False, skip_initial_state_check=True)
        before, refused = np.array(state.coords), 0
        ensemble.run_mcmc(state, steps, skip_initial_state_check=True)
        walk = np.concatenate([before[None], ensemble.get_chain()])
        moved = (walk[1:] != walk[:-1]).any(-1).T
        return ChainRun(
            from_numpy(walk[1:].swapaxes(0, 1), target),
            {
                "lp": as_tensor(ensemble.get_log_prob().T, target),
                "acceptance_rate": as_tensor(moved.astype(np.float64), target),
            },
            torch.tensor([refused]),
            {},
        )
