"""Kernels that propose a Gaussian around a mean that x determines: random walk, MALA, and ULA without a test.

x's and y's proposals are coupled by reflection, maximally: they are the same point as often as their laws overlap. One
uniform serves both tests. Jacob, O'Leary and Atchade 2020; Wang, O'Leary and Jacob 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling, accepted_together, couples, taken_together
from samplers.diagnostics.couplings.gaussians import reflection_maximal
from samplers.diagnostics.couplings.states import both
from samplers.kernels import MALA, ULA, RandomWalkMetropolis, State
from samplers.runs.state import Info
from targets import Target


@couples(RandomWalkMetropolis)
@dataclass(frozen=True, eq=False)
class CoupledRandomWalk(Coupling[RandomWalkMetropolis]):
    """Means x and y, standard deviation h."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        xi, eta, same = reflection_maximal(self.kernel.whiten(x.x - y.x) / self.kernel.h, generator)
        proposal, log_ratio = self.kernel.propose(target, both(x, y), torch.cat([xi, eta]))
        return accepted_together(x, y, proposal, log_ratio, same, generator)


@couples(MALA)
@dataclass(frozen=True, eq=False)
class CoupledMALA(Coupling[MALA]):
    """Means x + h C s(x) and y + h C s(y), standard deviation sqrt(2h)."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        xi, eta, same = reflection_maximal(langevin_gap(self.kernel, x, y), generator)
        proposal, log_ratio = self.kernel.propose(target, both(x, y), torch.cat([xi, eta]))
        return accepted_together(x, y, proposal, log_ratio, same, generator)


@couples(ULA)
@dataclass(frozen=True, eq=False)
class CoupledULA(Coupling[ULA]):
    """As MALA, every finite proposal taken. Meeting times bound the distance to ULA's own invariant law."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        xi, eta, same = reflection_maximal(langevin_gap(self.kernel, x, y), generator)
        proposal = self.kernel.propose(target, both(x, y), torch.cat([xi, eta]))
        return taken_together(x, y, proposal, same)


def langevin_gap(kernel: Any, x: State, y: State) -> Tensor:
    """(m(x) - m(y)) / sqrt(2h) in z = L^-1 x, of the means x + h C s(x), (pairs, dim)."""
    assert x.score is not None
    assert y.score is not None
    drift = kernel.to_z(x.score - y.score)
    return torch.add(kernel.whiten(x.x - y.x), drift, alpha=kernel.h) / math.sqrt(2 * kernel.h)
