"""Kernels that propose a Gaussian around a mean that x determines: random walk, MALA, and ULA without a test.

x's and y's proposals are coupled by reflection, maximally: they are the same point as often as their laws overlap. One
uniform serves both tests. Jacob, O'Leary and Atchade 2020; Wang, O'Leary and Jacob 2021.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling, accepted_together, couples, taken_together
from samplers.diagnostics.couplings.gaussians import langevin_gap, reflection_maximal
from samplers.diagnostics.couplings.states import both
from samplers.kernels import MALA, ULA, RandomWalkMetropolis, State
from samplers.runs.state import Info
from targets import Target

R = TypeVar("R", bound=RandomWalkMetropolis | MALA)


class Reflected(Coupling[R]):
    """Gaussian proposals and a Metropolis test. A subclass writes `gap`."""

    @abstractmethod
    def gap(self, x: State, y: State) -> Tensor:
        """(m(x) - m(y)) / s in z = L^-1 x, of proposals of mean m and standard deviation s, (pairs, dim)."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        xi, eta, same = reflection_maximal(self.gap(x, y), generator)
        proposal, log_ratio = self.kernel.propose(target, both(x, y), torch.cat([xi, eta]))
        return accepted_together(x, y, proposal, log_ratio, same, generator)


@couples(RandomWalkMetropolis)
@dataclass(frozen=True, eq=False)
class CoupledRandomWalk(Reflected[RandomWalkMetropolis]):
    """Means x and y, standard deviation h."""

    def gap(self, x: State, y: State) -> Tensor:
        """(x - y) / h in z."""
        return self.kernel.whiten(x.x - y.x) / self.kernel.h


@couples(MALA)
@dataclass(frozen=True, eq=False)
class CoupledMALA(Reflected[MALA]):
    """Means x + h C s(x) and y + h C s(y), standard deviation sqrt(2h)."""

    def gap(self, x: State, y: State) -> Tensor:
        """That of Langevin steps."""
        return langevin_gap(self.kernel, x, y, self.kernel.h)


@couples(ULA)
@dataclass(frozen=True, eq=False)
class CoupledULA(Coupling[ULA]):
    """As MALA, every finite proposal taken. Meeting times bound the distance to ULA's own invariant law."""

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        xi, eta, same = reflection_maximal(langevin_gap(self.kernel, x, y, self.kernel.h), generator)
        proposal = self.kernel.propose(target, both(x, y), torch.cat([xi, eta]))
        return taken_together(x, y, proposal, same)
