"""Draws as scouts look at them: points, their shares, and how many of them are effective."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samplers.draws import estimates
from samplers.draws.points import INDEPENDENT, PARTICLES, PointSet
from samplers.draws.weighted import FAMILY, mean_and_error


@dataclass(frozen=True, eq=False)
class Sample:
    """x (n, dim); shares (n,), their weights, of sum one, in float64; effective: how many independent points of equal
    weight they are worth. families (n,): which share an ancestor; None where none do. chains: how many Markov chains
    they come from, one of what comes from none.
    """

    x: Tensor
    shares: Tensor
    effective: float
    families: Tensor | None = None
    chains: int = 1

    @classmethod
    def of(
        cls,
        x: Tensor,
        log_weights: Tensor | None = None,
        effective: float = math.inf,
        families: Tensor | None = None,
    ) -> Sample:
        """Points (n, dim) with weights (n,), or equal ones, of which no more than `effective` are so."""
        if log_weights is None:
            shares = torch.full((len(x),), 1 / len(x), dtype=torch.float64, device=x.device)
        else:
            shares = log_weights.double().softmax(0)
        sizes = (
            shares if families is None else shares.new_zeros(int(families.max()) + 1).index_add_(0, families, shares)
        )
        return cls(x, shares, min(effective, float(1 / sizes.square().sum())), families)

    @classmethod
    def of_draws(cls, draws: PointSet) -> Sample:
        """The points of draws by their weights; those of Markov chains count as the least effective scalar says."""
        x = draws.x.reshape(-1, draws.x.shape[-1])
        step = -(-len(x) // estimates.MOST_DRAWS)
        families = draws.stats[FAMILY].reshape(-1)[::step] if FAMILY in draws.stats else None
        if draws.log_weights is not None:
            return cls.of(x[::step], draws.log_weights.reshape(-1)[::step], families=families)
        if draws.attrs.get("kind") in (INDEPENDENT, PARTICLES):
            return cls.of(x[::step], families=families)
        values = draws.x[..., : estimates.SCALARS]
        if "lp" in draws.stats:
            values = torch.cat([values, draws.stats["lp"][..., None].to(values)], -1)
        return replace(cls.of(x[::step], None, effective(draws, values)), chains=len(draws.x))

    def share(self, there: Tensor) -> tuple[Tensor, Tensor]:
        """Of events (n, K) the share of the points, and its standard error, each (K,)."""
        share, error = mean_and_error(self.shares, there.double(), self.families)
        if self.families is not None:
            return share, error
        loss = float(1 / self.shares.square().sum()) / self.effective  # by dependence
        return share, error * math.sqrt(max(1.0, loss))


def effective(draws: PointSet, values: Tensor) -> float:
    """How many independent draws values (chains, draws, ...) of some of them are worth.

    The least bulk ESS over scalars, and no more than the weights leave; of chains too short to tell how many there are.
    """
    n = float(values.shape[0] * values.shape[1])
    if draws.weight_ess is not None and draws.log_weights is not None:
        return n * draws.weight_ess / draws.log_weights.numel()
    if draws.attrs.get("kind") in (INDEPENDENT, PARTICLES):
        return n
    found = estimates.least_ess(values)
    return float(len(values)) if math.isnan(found) else min(n, found)
