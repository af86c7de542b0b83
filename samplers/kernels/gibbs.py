"""Gibbs sampling: one site after another is drawn from its law given all others.

x_i ~ p(x_i | x_j, j != i),     for spins P(x_i = 1 | the rest) = sigmoid(2 (J x + b)_i)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from samplers.kernels import _choices
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import always
from samplers.runs.state import Info, State, evaluate
from targets import DiscreteTarget, Target
from targets.arguments import check_choice
from targets.discrete import as_discrete
from targets.graph import GraphTarget

SCANS = ("colours", "sequential", "random")


@dataclass(frozen=True, eq=False)
class Gibbs(Kernel):
    """Heat bath on the configurations of any DiscreteTarget; a step is as many updates as there are sites.

    scan: "colours" draws all sites of one set of `target.colours` at once, which are independent given the others (on
    a lattice with even sides a checkerboard); "sequential" goes through the sites by number; "random" through as many
    sites drawn with replacement, each chain's its own. All leave the target invariant. The random scan is reversible;
    the sweeps are not, though each of their updates is.

    Counted are one log-density for a sweep and one for the state that it ends in; of a random scan the latter, and q
    for every site where the target states no neighbours. Raises ValueError for another scan. Glauber 1963,
    https://doi.org/10.1063/1.1703954; Geman and Geman 1984, https://doi.org/10.1109/TPAMI.1984.4767596.

        >>> ising = targets.Ising((4, 4), coupling=0.3)
        >>> samplers.Gibbs().sample(ising, chains=4, draws=20, warmup=0, seed=0).x.unique()
        tensor([-1.,  1.])
    """

    scan: Literal["colours", "sequential", "random"] = "colours"

    exact: ClassVar[bool] = True
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self.scan, "scan", SCANS)

    @property
    def reversible(self) -> bool:
        """Detailed balance holds for whole steps of the random scan only."""
        return self.scan == "random"

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        law, x = as_discrete(target), state.x.clone()
        if self.scan == "random":
            self._visit_at_random(law, x, generator)
        else:
            for sites in self.schedule(law):
                x.index_copy_(1, sites, _drawn(law, law.conditional_logits(x, sites), generator))
        return always(state, evaluate(law, x, score=False))

    def schedule(self, target: DiscreteTarget) -> tuple[Tensor, ...]:
        """The sets of sites that a sweep draws at once, one after another."""
        if self.scan == "colours":
            return target.colours
        return torch.arange(target.dim, device=target.device).split(1)

    def _visit_at_random(self, target: DiscreteTarget, x: Tensor, generator: Generator) -> None:
        visits = _choices.one_of(target.dim, (len(x), target.dim), generator, x.device)
        for sites in visits.mT:
            logits = logits_at_own_sites(target, x, sites)
            x.scatter_(1, sites[:, None], _drawn(target, logits, generator)[:, None])


def _drawn(target: DiscreteTarget, logits: Tensor, generator: Generator) -> Tensor:
    return target.values[_choices.category(logits, generator)]


def logits_at_own_sites(target: DiscreteTarget, x: Tensor, sites: Tensor) -> Tensor:
    """log p(x_i = value | the rest) up to a constant at one site i of each chain, sites (chains,) -> (chains, q)."""
    values = target.values
    if isinstance(target, GraphTarget):
        couplings, around = target.neighbour_couplings[sites], x.gather(1, target.neighbours[sites])
        fields = target.fields[sites]
        if fields.ndim == 2:
            return fields.scatter_add(1, around.long(), couplings)
        return (fields + (couplings * around).sum(-1))[:, None] * values
    moved = x[:, None].repeat(1, len(values), 1)
    moved.scatter_(2, sites[:, None, None].expand(-1, len(values), 1), values[:, None].expand(len(x), -1, 1))
    return target.log_prob(moved)
