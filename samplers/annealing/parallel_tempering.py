"""Parallel tempering: replicas at several temperatures, which change places.

    prod_k pi_k,   pi_k = q^(1-b_k) gamma^(b_k),   0 = b_0 < ... < b_K = 1
    a step:  x_0 ~ q,   x_k moves by a kernel that keeps pi_k,
             x_k and x_{k+1} change places with probability min(1, exp(w_k(x_k) - w_k(x_{k+1})))

w_k(x) = log pi_{k+1}(x) - log pi_k(x) = (b_{k+1} - b_k) (log gamma(x) - log q(x)),   k even and k odd in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.annealing.evidence import MANY_DIVERGENCES
from samplers.annealing.ladder import Clouds, LadderWarmup, pilot
from samplers.annealing.paths import DiscretePath, FunctionPath, GeometricPath, Path
from samplers.annealing.pilot import PILOT
from samplers.annealing.rungs import DiscreteRungs, FunctionRungs, GeometricRungs, Rungs
from samplers.annealing.swaps import swap
from samplers.annealing.tempering_record import TemperingState, findings
from samplers.draws import Cost
from samplers.kernels import HMC, Gibbs, Info, Kernel, State, _choices
from samplers.kernels.base import check_kernel
from samplers.runs.starts import Init, positions
from samplers.runs.state import Findings
from targets import Target
from targets.arguments import check_integer
from targets.counting import Counted


@dataclass(frozen=True, eq=False)
class TemperingInfo(Info):
    """Also what warmup learns from: each level's move from and to where and how it went, and the rejection of swaps.

    moves: for the levels above the base (state after, state before, info). rejection: (chains, levels - 1).
    """

    moves: tuple[tuple[State, State, Info], ...] = ()
    rejection: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ParallelTempering(Kernel):
    """Parallel tempering; leaves prod_k pi_k invariant, so that the last replica's law is the target. Not reversible.

    kernel: any exact kernel, or one for each temperature above the base; None is HMC, or Gibbs on discrete targets.
    Fields that it leaves open are found in warmup at each temperature by itself; where a pilot run finds the base as a
    mixture, HMC that leaves all open takes the mass matrices of its components (RegionalHMC).
    base: q, a normalised Target with exact draws; None takes the target's prior, else a mixture from a pilot run. On
    discrete targets it is the uniform law.
    path: a function b -> Target, or a Path, in place of the geometric one. Its densities are evaluated anew for swaps.
    temperatures: the b_k from 0 to 1, or their number, or None: the number is then ceil(2 L) + 1, from 4 to 64, for the
    barrier L = sum_k (rejection of swap k) that a pilot run of SMC estimates, whence about half of all swaps pass. The
    number is fixed before the run.
    adapt: warmup moves the temperatures to equal rejection, at a sixteenth, an eighth, a quarter and a half of its
    steps; None does so unless temperatures are given one by one. After warmup all is frozen.
    swaps_every: moves of each replica in a step, which ends with one attempt to swap.

    Chains are independent ladders. Where that pilot run finds the temperatures, replicas start at its particles at
    theirs, with the covariance found there as a first mass matrix, and `init` places those at b = 1; elsewhere every
    replica starts where its chain does: at base draws for init=None. HMC whose step size, length and number of steps
    are left open makes at most 32 leapfrogs a move. The state holds all replicas; its x is the one at b = 1. Draws
    carry `log_z` by the geometric bridge between neighbours,

        Z_{k+1} / Z_k = E_k[exp(w_k / 2)] / E_{k+1}[exp(-w_k / 2)]

    with a standard error by the jackknife over chains, wider where a coordinate mixes more slowly than the energy
    (`samplers.draws.slow`), and attrs["tempering"]: betas, rejection of each swap, barrier,
    round trips from base to target and back (in all; per 1000 steps and chain), acceptance and divergences by level.
    One evaluation a step at the base, and those of the kernel at each other temperature. The pilot's are counted too;
    a run continued from a checkpoint goes through the pilot again.

    Raises ValueError for inexact kernels, bases without exact draws and temperatures that do not rise from 0 to 1.
    Swendsen and Wang 1986, https://doi.org/10.1103/PhysRevLett.57.2607; Geyer 1991; Syed, Bouchard-Cote, Deligiannidis
    and Doucet 2022 (even-odd swaps, barrier), https://arxiv.org/abs/1905.02939; Meng and Wong 1996 (bridge).

    clouds, piloted: what the pilot has found, and whether it ran; `sample` sets them.

        >>> base = targets.Gaussian([0.0], scale=5.0)
        >>> modes = targets.GaussianMixture([[-4.0], [4.0]], scales=0.5)
        >>> tempering = samplers.ParallelTempering(samplers.MALA(0.1), base=base, temperatures=(0.0, 0.3, 1.0))
        >>> draws = tempering.sample(modes, chains=8, draws=100, warmup=20, seed=0)
        >>> len(draws.attrs["tempering"]["rejection"]), abs(draws.log_z.value) < 4 * draws.log_z.standard_error
        (2, True)
    """

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
    needs_score: ClassVar[bool] = False  # chains start at base draws; warmup seeks no way uphill from there
    usual_divergences: ClassVar[float] = MANY_DIVERGENCES

    def __post_init__(self) -> None:
        check_integer(self.swaps_every, "swaps_every")
        if self.temperatures is not None and not isinstance(self.temperatures, int):
            object.__setattr__(self, "temperatures", rising(self.temperatures))
        elif self.temperatures is not None and (isinstance(self.temperatures, bool) or self.temperatures < 2):
            raise ValueError(f"temperatures: got {self.temperatures!r}, expected at least 2, or rising values 0 .. 1")
        if self.kernel is None:
            return
        kernels = (self.kernel,) if isinstance(self.kernel, Kernel) else tuple(self.kernel)
        for kernel in kernels:
            check_kernel(kernel)
            if not kernel.exact:
                raise ValueError(
                    f"kernel: {type(kernel).__name__} leaves its target only approximately invariant, and swaps of "
                    "replicas would not keep theirs; expected an exact kernel such as HMC or MALA"
                )
        if not isinstance(self.kernel, Kernel):
            object.__setattr__(self, "kernel", kernels)
            if self.temperatures is None or len(kernels) != self.levels - 1:
                raise ValueError("kernel: a sequence of kernels needs temperatures= with one more than kernels")

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
        if self.kernel is None:
            return Gibbs() if target.discrete else HMC()
        return self.kernel if isinstance(self.kernel, Kernel) else self.kernel[0]

    def kernels_for(self, target: Target) -> tuple[Kernel, ...]:
        """One kernel for each temperature above the base."""
        if isinstance(self.kernel, tuple):
            return self.kernel
        return (self.kernel_for(target),) * (self.levels - 1)

    def check_target(self, target: Target) -> None:
        kernels = self.kernel if isinstance(self.kernel, tuple) else (self.kernel_for(target),)
        for kernel in kernels:
            kernel.check_target(target)
        if target.discrete and self.base is not None:
            raise ValueError(f"base: {target.name} is discrete, and tempering starts from its uniform law; give none")
        if self.base is not None and self.path is not None:
            raise ValueError("base, path: got both; a path starts at its own base, path(0.0)")

    def route(self, target: Target) -> tuple[Target | None, Callable[[float], Target] | None]:
        """The base, None where it is to be found, and b -> pi_b for other paths than the geometric one."""
        if isinstance(target, Counted):
            target = target.inner
        path = FunctionPath(self.path, target) if callable(self.path) else self.path
        if isinstance(path, (GeometricPath, DiscretePath)):
            return path.base, None
        if path is not None:
            return path.base, path.at
        if target.discrete:
            return target.prior, None
        base = self.base
        if base is None:
            base = target.prior if "prior" in target.known else None
        return (None if base is None else GeometricPath(base.to(target.device, target.dtype), target).base), None

    def rungs(self, target: Target) -> Rungs:
        """The densities of all levels; made once for a target."""
        key = (target, getattr(target, "tally", None))
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
        return new, TemperingInfo(cold.acceptance_rate, cold.diverging, moves=moves, rejection=1 - acceptance)

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
                here, info = kernel.step(rungs.densities[k], before, generator)
            states.append(here)
            moves.append((here, before, info))
        return states, tuple(moves)

    def base_draws(self, rungs: Rungs, n: int, generator: Generator) -> Tensor:
        """Exact draws of the base, (n, dim)."""
        return rungs.base.sample(n, generator=generator)

    # The run

    def prepare(self, target: Target, seed: int) -> tuple[Kernel, Cost]:
        """With the base and the temperatures of a pilot run where they are not given."""
        return pilot(self, target, seed)

    def frozen(self, generator: Generator) -> Kernel:
        if not isinstance(self.kernel, tuple):
            return self if self.kernel is None else replace(self, kernel=self.kernel.frozen(generator))  # type: ignore[union-attr]
        return replace(self, kernel=tuple(kernel.frozen(generator) for kernel in self.kernel))

    def placed(self, target: Target) -> Self:
        kernels = tuple(kernel.placed(target) for kernel in self.kernels_for(target))
        base = self.route(target)[0] if self.path is None and not target.discrete else None
        return replace(self, kernel=kernels, base=base)

    def make_warmup(self, steps: int, target: Target) -> LadderWarmup:
        return LadderWarmup(self, steps, target)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, ParallelTempering)
        assert isinstance(self.kernel, tuple)
        assert isinstance(warm.kernel, tuple)
        kernels = tuple(given.tuned(found) for given, found in zip(self.kernel, warm.kernel, strict=True))
        return replace(self, kernel=kernels, temperatures=warm.betas, adapt=False)

    def starts(self, init: Init, n: int, target: Target, generator: Generator) -> Tensor:
        if init is None and self.clouds is not None:
            return self.clouds.starts((1.0,), n, generator)[:, 0].to(target.device, target.dtype)
        if init is None:
            return self.base_draws(self.rungs(target), n, generator)
        return positions(init, n, target, generator)

    def begin_sampling(self, state: State) -> TemperingState:
        assert isinstance(state, TemperingState)
        return state.emptied()

    def findings(self, target: Target, state: State) -> Findings:
        assert isinstance(state, TemperingState)
        found = findings(state, self.betas, self.rungs(target).base.log_z)
        return replace(found, attrs=found.attrs | {"pilot": PILOT}) if self.piloted else found

    def hyperparameters(self) -> dict[str, Any]:
        values = super().hyperparameters()
        del values["clouds"], values["piloted"]
        kernels = [self.kernel] if isinstance(self.kernel, Kernel) else self.kernel or []
        values["kernel"] = [_described(kernel) for kernel in kernels] or None
        values["base"] = None if self.base is None else self.base.name
        values["path"] = None if self.path is None else getattr(self.path, "__qualname__", type(self.path).__name__)
        values["temperatures"] = list(self.temperatures) if isinstance(self.temperatures, tuple) else self.temperatures
        return values


def rising(temperatures: Sequence[float]) -> tuple[float, ...]:
    """The b_k, checked to rise from 0 to 1."""
    values = [float(b) for b in temperatures]
    if len(values) < 2 or values[0] != 0 or values[-1] != 1 or not all(a < b for a, b in pairwise(values)):
        raise ValueError(f"temperatures: got {values[:3]} ... {values[-2:]}, expected values that rise from 0 to 1")
    return tuple(values)


def _described(kernel: Kernel) -> str:
    """The kernel's name and fields, tensors by their shape."""
    values = {field.name: getattr(kernel, field.name) for field in fields(kernel)}  # type: ignore[arg-type]
    shown = {name: f"tensor{tuple(v.shape)}" if isinstance(v, Tensor) else repr(v) for name, v in values.items()}
    return f"{type(kernel).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"
