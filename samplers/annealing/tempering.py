"""Replicas at several temperatures, which change places: the transition of parallel tempering.

    prod_k pi_k,   pi_k = q^(1-b_k) gamma^(b_k),   0 = b_0 < ... < b_K = 1
    a step:  x_0 ~ q,   x_k moves by a kernel that keeps pi_k,
             x_k and x_{k+1} change places with probability min(1, exp(w_k(x_k) - w_k(x_{k+1})))

w_k(x) = log pi_{k+1}(x) - log pi_k(x) = (b_{k+1} - b_k) (log gamma(x) - log q(x)),   k even and k odd in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.annealing.clouds import Clouds
from samplers.annealing.evidence import MANY_DIVERGENCES
from samplers.annealing.given import as_tuple, checked_kernels, kernel_for, rising
from samplers.annealing.paths import DiscretePath, FunctionPath, GeometricPath, Path
from samplers.annealing.rungs import DiscreteRungs, FunctionRungs, GeometricRungs, Rungs
from samplers.annealing.swaps import swap
from samplers.annealing.tempering_record import TemperingState
from samplers.kernels import Info, Kernel, State, _choices
from samplers.runs.transition import one_step
from targets import Target
from targets.arguments import check_integer, shown
from targets.counting import Counted


@dataclass(frozen=True, eq=False)
class TemperingInfo(Info):
    """Also what warmup learns from: each level's move from and to where and how it went, and the rejection of swaps.

    moves: for the levels above the base (state after, state before, info). rejection: (chains, levels - 1).
    """

    moves: tuple[tuple[State, State, Info], ...] = ()
    rejection: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Tempering(Kernel):
    """The fields of `ParallelTempering`, and its step."""

    kernel: Kernel | Sequence[Kernel] | None = None
    base: Target | None = None
    path: Path | Callable[[float], Target] | None = None
    temperatures: int | Sequence[float] | None = None
    adapt: bool | None = None
    swaps_every: int = 1
    clouds: Clouds | None = field(default=None, repr=False, kw_only=True)  # of the pilot, which sets it
    piloted: bool = field(default=False, repr=False, kw_only=True)  # whether base or starts come from a pilot; likewise

    reversible: ClassVar[bool] = False
    exact: ClassVar[bool] = True
    needs_score: ClassVar[bool] = False  # chains start at base draws: no Pathfinder start
    usual_divergences: ClassVar[float] = MANY_DIVERGENCES

    def __post_init__(self) -> None:
        check_integer(self.swaps_every, "swaps_every")
        if self.temperatures is not None and not isinstance(self.temperatures, int):
            object.__setattr__(self, "temperatures", rising(self.temperatures, "temperatures"))
        elif self.temperatures is not None and (isinstance(self.temperatures, bool) or self.temperatures < 2):
            raise ValueError(
                f"temperatures: got {shown(self.temperatures)}, expected at least 2, or rising values 0 .. 1"
            )
        expected = None if self.temperatures is None else self.levels - 1
        kernels = checked_kernels(self.kernel, expected, "temperatures= with one more than kernels")
        object.__setattr__(self, "kernel", kernels)
        for kernel in as_tuple(kernels):
            if not kernel.exact:
                raise ValueError(
                    f"kernel: {type(kernel).__name__} leaves its target only approximately invariant, and swaps of "
                    "replicas would not keep theirs; expected an exact kernel such as HMC or MALA"
                )

    # What there is

    @property
    def levels(self) -> int:
        """Number of temperatures, base and target included."""
        if self.temperatures is None:
            raise ValueError("temperatures: left to `sample`, which finds them; give them to use init and step alone")
        return self.temperatures if isinstance(self.temperatures, int) else len(self.temperatures)

    @property
    def betas(self) -> tuple[float, ...]:
        """The temperatures, equally spaced where only their number is given."""
        if self.temperatures is None or isinstance(self.temperatures, int):
            return tuple(k / (self.levels - 1) for k in range(self.levels))
        return tuple(self.temperatures)

    @property
    def adapts(self) -> bool:
        """Whether warmup moves the temperatures."""
        given = self.temperatures is not None and not isinstance(self.temperatures, int)
        return not given if self.adapt is None else self.adapt

    def kernel_for(self, target: Target) -> Kernel:
        """The kernel, or the first of several."""
        return kernel_for(self.kernel, target)

    def kernels_for(self, target: Target) -> tuple[Kernel, ...]:
        """One kernel for each temperature above the base."""
        if isinstance(self.kernel, tuple):
            return self.kernel
        return (self.kernel_for(target),) * (self.levels - 1)

    def check_target(self, target: Target) -> None:
        for kernel in as_tuple(self.kernel) or (self.kernel_for(target),):
            kernel.check_target(target)
        if target.discrete and self.base is not None:
            raise ValueError(f"base: {target.name} is discrete, and tempering starts from its uniform law; give none")
        if self.base is not None and self.path is not None:
            raise ValueError("base, path: got both; a path starts at its own base, path(0.0)")

    def route(self, target: Target) -> tuple[Target | None, Callable[[float], Target] | None]:
        """The base, None where it is to be found, and b -> pi_b for other paths than the geometric one."""
        path = FunctionPath(self.path, target) if callable(self.path) else self.path
        if isinstance(path, (GeometricPath, DiscretePath)):
            return path.base, None
        if path is not None:
            return path.base, path.at
        base = target.prior if self.base is None and "prior" in target.known else self.base
        return (None if base is None else GeometricPath(base.to(target.device, target.dtype), target).base), None

    def rungs(self, target: Target) -> Rungs:
        """The densities of all levels; made once for a target."""
        key = (target, target.tally if isinstance(target, Counted) else None)
        kept = self.__dict__.get("_rungs")
        if kept is not None and all(a is b for a, b in zip(kept[0], key, strict=True)):
            return kept[1]
        base, function = self.route(target)
        if base is None:
            raise ValueError(
                f"base: none is given and {target.name} has no prior; give a normalised density with exact draws, or "
                "use `sample`, which finds one"
            )
        rungs: Rungs
        if function is not None:
            rungs = FunctionRungs(function, base, target, self.betas)
        elif target.discrete:
            rungs = DiscreteRungs(target, self.betas)
        else:
            rungs = GeometricRungs(base, target, self.betas)
        self.__dict__["_rungs"] = (key, rungs)
        return rungs

    # The kernel

    def init(self, target: Target, x: Tensor, generator: Generator) -> TemperingState:
        rungs = self.rungs(target)
        kernels = self.kernels_for(target)
        last = kernels[-1].init(rungs.densities[-1], x, generator)
        if self.clouds is not None:
            every = self.clouds.starts(self.betas, len(x), generator).to(x)
            every[:, -1] = x
            inner = [k.init(rungs.densities[i], every[:, i], generator) for i, k in enumerate(kernels[:-1], start=1)]
            states = [rungs.at_base(every[:, 0], scores=kernels[0].needs_score), *inner, last]
            return TemperingState.start(every, last.log_prob, rungs.ends(states))
        ends = rungs.at_once(last, self.levels)
        every = x[:, None].expand(-1, self.levels, -1).contiguous()
        return TemperingState.start(every, last.log_prob, ends)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[TemperingState, TemperingInfo]:
        assert isinstance(state, TemperingState)
        rungs = self.rungs(target)
        states, moves = self._move(rungs, self.kernels_for(target), state, generator)
        ends = rungs.ends(states)
        here, there, top = rungs.ratios(states, ends)
        undefined = ~(here[:, 0] < torch.inf)  # fresh base draws where the target is no density
        here, there, acceptance = swap(here, there)
        pair = torch.arange(self.levels - 1, device=here.device)
        active = (pair + state.steps[:, None]) % 2 == 0
        swapped = _choices.coin(torch.where(active, acceptance, 0.0), generator)
        positions_ = torch.stack([s.x for s in states], 1)
        new = state.swapped(swapped, positions_, ends)
        new = replace(new, log_prob=torch.where(swapped[:, -1], top, states[-1].log_prob))
        diverging = torch.stack([undefined, *(info.diverging for *_, info in moves)], 1)
        rates = torch.stack([torch.ones_like(acceptance[:, 0]), *(info.acceptance_rate for *_, info in moves)], 1)
        new = new.recorded(here, there, 1 - acceptance, diverging, rates)
        cold = moves[-1][2]
        one = self.swaps_every == 1  # else the last move began elsewhere than the step
        return new, TemperingInfo(
            cold.acceptance_rate,
            cold.diverging,
            proposal=cold.proposal if one else None,
            start_momentum=cold.start_momentum if one else None,
            energy_error=cold.energy_error if one else None,
            moves=moves,
            rejection=1 - acceptance,
        )

    def _move(
        self, rungs: Rungs, kernels: Sequence[Kernel], state: TemperingState, generator: Generator
    ) -> tuple[list[State], tuple[tuple[State, State, Info], ...]]:
        fresh = self.base_draws(rungs, len(state.x), generator)
        states = [rungs.at_base(fresh, scores=state.ends.base_score is not None)]
        moves = []
        for k, kernel in enumerate(kernels, start=1):
            here = rungs.recall(k, state.positions[:, k], state.ends, kernel, generator)
            for _ in range(self.swaps_every):
                before = here
                here, info = one_step(kernel, rungs.densities[k], before, generator)
            states.append(here)
            moves.append((here, before, info))
        return states, tuple(moves)

    def base_draws(self, rungs: Rungs, n: int, generator: Generator) -> Tensor:
        """Exact draws of the base, (n, dim)."""
        return rungs.base.sample(n, generator=generator)

    def frozen(self, generator: Generator) -> Kernel:
        if not isinstance(self.kernel, tuple):
            return self if self.kernel is None else replace(self, kernel=self.kernel.frozen(generator))  # type: ignore[union-attr]
        return replace(self, kernel=tuple(kernel.frozen(generator) for kernel in self.kernel))

    def placed(self, target: Target) -> Self:
        kernels = tuple(kernel.placed(target) for kernel in self.kernels_for(target))
        base = self.route(target)[0] if self.path is None and not target.discrete else None
        return replace(self, kernel=kernels, base=base)
