"""HMC with steps of a random walk in between, by which two chains can meet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling, couples, no_info
from samplers.diagnostics.couplings.hmc import CoupledHMC
from samplers.diagnostics.couplings.proposals import CoupledRandomWalk
from samplers.diagnostics.couplings.states import rows, with_rows
from samplers.kernels import HMC, Kernel, RandomWalkMetropolis, State
from samplers.runs.state import Info
from targets import Target
from targets.arguments import positive, shown


@dataclass(frozen=True, eq=False)
class WithRandomWalk(Kernel):
    """HMC where each chain, with probability `share`, takes a step of random-walk Metropolis in its place.

        P = (1 - share) P_HMC + share P_RWM,     y = x + scale L xi  of the random walk

    Leaves the target invariant and is reversible. Common momenta bring two chains of HMC near to one another, a small
    random walk then has them meet. scale: small, such as a hundredth of the target's spread, in units of z = L^-1 x.
    kernel: HMC, whose `inverse_mass_matrix` L L' serves both. share: between 0 and 1.

    Warmup tunes nothing: give a kernel that is tuned, such as `draws.kernel` of a run. TypeError for another kernel,
    ValueError for a scale or share out of range. Heng and Jacob 2019, https://arxiv.org/abs/1709.00404.

        >>> kernel = samplers.diagnostics.couplings.WithRandomWalk(samplers.HMC(0.3, steps=5), scale=0.05)
        >>> kernel.sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 2])
    """

    kernel: HMC
    scale: float = field(kw_only=True)
    share: float = 0.1

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.kernel) is not HMC:
            raise TypeError(f"kernel: got {type(self.kernel).__name__}, expected samplers.HMC")
        object.__setattr__(self, "scale", positive(self.scale, "scale"))
        object.__setattr__(self, "share", _probability(self.share, "share"))

    @cached_property
    def walk(self) -> RandomWalkMetropolis:
        """The random walk."""
        return RandomWalkMetropolis(self.scale, self.kernel.inverse_mass_matrix)

    def placed(self, target: Target) -> Self:
        """This kernel with its matrix in the target's dtype and on its device."""
        return type(self)(self.kernel.placed(target), scale=self.scale, share=self.share)

    def hyperparameters(self) -> dict[str, Any]:
        """Those of HMC beside the walk's."""
        return self.kernel.hyperparameters() | {"scale": self.scale, "share": self.share}

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        """The state of chains at x, with scores."""
        return self.kernel.init(target, x, generator)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One step of every chain."""
        return CoupledWithRandomWalk(self).alone(target, state, generator)


@couples(WithRandomWalk)
@dataclass(frozen=True, eq=False)
class CoupledWithRandomWalk(Coupling[WithRandomWalk]):
    """Both chains of a pair walk, or both follow trajectories; each pair draws which."""

    @cached_property
    def _parts(self) -> tuple[CoupledHMC, CoupledRandomWalk]:
        return CoupledHMC(self.kernel.kernel), CoupledRandomWalk(self.kernel.walk)

    def alone(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One step of chains that are all independent."""
        all_info = no_info(len(state.x), state.x)
        for index, part in self._shared_out(state.x, generator):
            moved, info = part.alone(target, rows(state, index), generator)
            state = with_rows(state, index, moved)
            _put(all_info, index, info)
        return state, all_info

    def together(self, target: Target, x: State, y: State, generator: Generator) -> tuple[State, State, Info]:
        """One step of pairs that have not met."""
        all_info = no_info(2 * len(x.x), x.x)
        for index, part in self._shared_out(x.x, generator):
            new_x, new_y, info = part.together(target, rows(x, index), rows(y, index), generator)
            x, y = with_rows(x, index, new_x), with_rows(y, index, new_y)
            _put(all_info, torch.cat([index, index + len(x.x)]), info)
        return x, y, all_info

    def _shared_out(self, x: Tensor, generator: Generator) -> list[tuple[Tensor, CoupledHMC | CoupledRandomWalk]]:
        """The rows of each part, where it has any."""
        walks = torch.rand(len(x), generator=generator, device=x.device) < self.kernel.share
        hmc, walk = self._parts
        found: list[tuple[Tensor, CoupledHMC | CoupledRandomWalk]] = [
            ((~walks).nonzero()[:, 0], hmc),
            (walks.nonzero()[:, 0], walk),
        ]
        return [(index, part) for index, part in found if len(index)]


def _put(all_info: Info, index: Tensor, info: Info) -> None:
    all_info.acceptance_rate[index] = info.acceptance_rate
    all_info.diverging[index] = info.diverging


def _probability(value: float, argument: str) -> float:
    """A probability strictly between zero and one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1 or math.isnan(value):
        raise ValueError(f"{argument}: got {shown(value)}, expected a probability between 0 and 1")
    return float(value)
