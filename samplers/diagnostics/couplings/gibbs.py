"""Gibbs: both chains visit the same sites, and draw each from its law by a maximal coupling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator

from samplers.diagnostics.couplings.base import Coupling, couples, taken_together
from samplers.diagnostics.couplings.categories import maximal
from samplers.diagnostics.couplings.states import both
from samplers.kernels import Gibbs, State, _choices, evaluate
from samplers.kernels.gibbs import logits_at_own_sites
from samplers.runs.state import Info
from targets import Target
from targets.discrete import as_discrete


@couples(Gibbs)
@dataclass(frozen=True, eq=False)
class CoupledGibbs(Coupling[Gibbs]):
    """On spins with couplings of one sign, given the same uniforms, chains that are ordered stay so."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One sweep of pairs that have not met."""
        law, a, b = as_discrete(target), x.x.clone(), y.x.clone()
        if self.kernel.scan == "random":
            for sites in _choices.one_of(law.dim, (len(a), law.dim), generator, a.device).mT:
                of_x, of_y = (logits_at_own_sites(law, part, sites) for part in (a, b))
                for part, chosen in zip((a, b), maximal(of_x, of_y, generator), strict=True):
                    part.scatter_(1, sites[:, None], law.values[chosen][:, None])
        else:
            for sites in self.kernel.schedule(law):
                of_x, of_y = (law.conditional_logits(part, sites) for part in (a, b))
                for part, chosen in zip((a, b), maximal(of_x, of_y, generator), strict=True):
                    part.index_copy_(1, sites, law.values[chosen])
        proposal = both(evaluate(law, a, score=False), evaluate(law, b, score=False))
        return taken_together(x, y, proposal, (a == b).all(-1))
