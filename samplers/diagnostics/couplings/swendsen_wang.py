"""Swendsen-Wang: the same coins open the bonds of both chains, and clusters with the same first site are coupled.

Every site draws the value that its cluster would take were it the first of it, by a maximal coupling of both chains'
laws; a cluster takes that of its first site. Where the bonds come out the same, so do the configurations, as far as
the fields of the clusters agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling, couples, taken_together
from samplers.diagnostics.couplings.categories import maximal
from samplers.diagnostics.couplings.states import both
from samplers.kernels import State, SwendsenWang, _choices, evaluate
from samplers.kernels.swendsen_wang import as_graph
from samplers.runs.state import Info
from targets import Target


@couples(SwendsenWang)
@dataclass(frozen=True, eq=False)
class CoupledSwendsenWang(Coupling[SwendsenWang]):
    """Spins and Potts, with fields."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        kernel, values = self.kernel, as_graph(target).values
        coins = _choices.coin(kernel.graph(target).probability.expand(len(x.x), -1), generator)
        labels_x, labels_y = (kernel.joined(target, state.x, coins) for state in (x, y))
        of_x, of_y = self._site_logits(target, x.x, labels_x), self._site_logits(target, y.x, labels_y)
        chosen_x, chosen_y = maximal(of_x, of_y, generator)
        a = self._spread(target, x.x, labels_x, values[chosen_x])
        b = self._spread(target, y.x, labels_y, values[chosen_y])
        proposal = both(evaluate(target, a, score=False), evaluate(target, b, score=False))
        return taken_together(x, y, proposal, (a == b).all(-1))

    def _site_logits(self, target: Target, x: Tensor, labels: Tensor) -> Tensor:
        """log-law of the value that each site takes with its cluster, (pairs, n, q)."""
        of_clusters = self.kernel.cluster_logits(target, x, labels)
        at_sites = of_clusters.gather(1, labels[..., None].expand(-1, -1, of_clusters.shape[-1]))
        if as_graph(target).fields.ndim == 2:
            return at_sites
        # those of spins are of a turn by -1 or +1, which is the new value where the old one is +1
        return torch.where(x[..., None] > 0, at_sites, at_sites.flip(-1))

    def _spread(self, target: Target, x: Tensor, labels: Tensor, value: Tensor) -> Tensor:
        """x with each cluster at the value of its first site."""
        sites = torch.arange(x.shape[1], device=x.device).expand_as(labels)
        first = torch.full_like(labels, x.shape[1]).scatter_reduce_(1, labels, sites, "amin").gather(1, labels)
        new = value.gather(1, first)
        return new if as_graph(target).fields.ndim == 2 else new * x.gather(1, first) * x
