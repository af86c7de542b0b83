"""What annealed importance sampling and SMC share: hyper-parameters, and the walk along a path of densities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.annealing.cloud import Cloud
from samplers.annealing.given import checked_kernels, kernel_for
from samplers.annealing.paths import DiscretePath, FunctionPath, GeometricPath, Path, PriorPath
from samplers.annealing.resampling import Scheme
from samplers.annealing.schedule import MOST_TEMPERATURES, fixed_betas, next_beta
from samplers.annealing.tuning import Tuner
from samplers.draws.brief import Brief
from samplers.kernels import Kernel
from samplers.kernels.noncentring import NonCentring
from samplers.runs.job import Job
from samplers.runs.transition import one_step
from targets import GaussianMixture, Target
from targets.arguments import check_integer, shown


@dataclass(frozen=True, eq=False)
class Annealer(Brief, ABC):
    """Particles that follow densities pi_b from a base at b = 0 to the target at b = 1; see AIS and SMC."""

    kernel: Kernel | Sequence[Kernel] | None = None
    base: Target | Literal["pilot"] | None = None
    path: Path | Callable[[float], Target] | None = None
    betas: int | Sequence[float] | None = None
    moves: int = 6
    conditional_ess: float = 0.95
    replicates: int = 1
    unbiased: bool = False
    bidirectional: bool = False

    def __post_init__(self) -> None:
        for name in ("moves", "replicates"):
            check_integer(getattr(self, name), name)
        if not 0 < self.conditional_ess < 1:
            raise ValueError(f"conditional_ess: got {shown(self.conditional_ess)}, expected a share between 0 and 1")
        if not (self.base is None or self.base == "pilot" or isinstance(self.base, Target)):
            raise TypeError(f"base: got {shown(self.base)}, expected a targets.Target, 'pilot' or None")
        if self.betas is not None:
            object.__setattr__(self, "betas", fixed_betas(self.betas))
        expected = len(self.betas) - 1 if isinstance(self.betas, tuple) else None
        kernels = checked_kernels(self.kernel, expected, "betas= with one temperature more than kernels")
        object.__setattr__(self, "kernel", kernels)

    @property
    @abstractmethod
    def resampling(self) -> Scheme:
        """How ancestors are drawn."""

    @property
    @abstractmethod
    def ess_threshold(self) -> float:
        """Share of the particles below which the effective sample size leads to resampling."""

    @property
    def waste_free(self) -> int | None:
        """The states of each ancestor's chain that are kept."""
        return None

    @property
    def tuned(self) -> bool:
        """Whether there is a schedule or a kernel to be found from particles."""
        if self.betas is None or self.kernel is None:
            return True
        return isinstance(self.kernel, Kernel) and Tuner.needed(self.kernel)

    @property
    def adaptive(self) -> bool:
        """Whether schedule or kernels are found from the particles themselves, so that Z is consistent, not unbiased.

        With `unbiased=True` they are found in a first run, whose particles the second does not use.
        """
        return self.tuned and not self.unbiased

    def kernel_for(self, target: Target) -> Kernel:
        """The kernel, or the first of several."""
        return kernel_for(self.kernel, target)

    def make_path(self, target: Target, base: Target) -> Path:
        """The path from the base to the target, with nothing counted yet."""
        if isinstance(self.path, Path):
            self.path.tally.clear()
            return self.path
        if self.path is not None:
            return FunctionPath(self.path, target)
        if target.discrete:
            return DiscretePath(target)
        if self.base is None and target.has_likelihood:
            return PriorPath(target)
        return GeometricPath(base, target)

    def frozen(self, run: Run) -> Self:
        """This sampler with what a run has found, and nothing left to find."""
        changes: dict[str, Any] = {"betas": tuple(run.betas), "kernel": tuple(run.kernels), "unbiased": False}
        if self.path is None and type(run.path) is GeometricPath:  # others bring their base with them
            changes["base"] = run.path.base
        return replace(self, **changes)


class Run(Job):
    """The walk of one cloud along a path; a step is a temperature. All that it depends on is in its fields.

    regions, coordinates: of a mixture that a pilot has fitted to the target, for the kernels' mass matrices.
    """

    unit, whole = "temperatures", False

    def __init__(
        self,
        sampler: Annealer,
        target: Target,
        path: Path,
        n: int,
        generator: Generator,
        regions: GaussianMixture | None = None,
        coordinates: NonCentring | None = None,
    ) -> None:
        total = len(sampler.betas) - 1 if isinstance(sampler.betas, tuple) else None
        super().__init__(type(sampler).__name__, target, generator, total, path.tally)
        self.sampler, self.path, self.n, self.rows = sampler, path, n, sampler.replicates
        self.given = sampler.kernel_for(target).placed(target)
        several = sampler.kernel if isinstance(sampler.kernel, tuple) else ()
        self.fixed = tuple(kernel.placed(target) for kernel in several)  # one for each temperature, if they are given
        self.tuner = Tuner(self.given, target.dim, regions, coordinates)
        self.betas: list[float] = [0.0]
        self.kernels: list[Kernel] = []
        self.ess: list[float] = []
        self.acceptance: list[float] = []
        self.divergences = self.undefined = 0
        self.worst_ess = 1.0
        with torch.no_grad():
            x = path.base.sample(self.rows * n, generator=generator)
            state = self.given.init(path.at(0.0), x, generator)
            self.cloud = Cloud.start(state, self.rows, path.base.log_z)
        self.worst_weights = self.cloud.log_weights[0]

    def begin(self) -> Tensor:
        return self.cloud.state.x

    @property
    def finished(self) -> bool:
        """Whether the target is reached."""
        return self.betas[-1] == 1.0

    def figures(self) -> str:
        return (
            f"b {self.betas[-1]:.3g}, ESS {self.ess[-1]:.2f}, acceptance {self.acceptance[-1]:.2f}, "
            f"log Z {float(self.cloud.log_z.mean()):.4g}"
        )

    def so_far(self) -> str:
        return f"at b = {self.betas[-1]:.3g}, before the target at b = 1"

    def through(self) -> Cloud:
        """All temperatures; returns the cloud at the target."""
        while not self.finished:
            self.step()
        return self.cloud

    @torch.no_grad()
    def step(self) -> None:
        """To the next temperature: weights, then ancestors where the weights ask for it, then moves."""
        self._reweight()
        cloud, sampler = self.cloud, self.sampler
        length = sampler.waste_free
        needed = cloud.ess < sampler.ess_threshold * self.n
        if length is not None:
            cloud.thin(max(1, self.n // length), sampler.resampling, self.generator)
        elif bool(needed.any()):
            cloud.resample(sampler.resampling, needed, self.generator)
        self._move(sampler.moves if length is None else length - 1, keep=length is not None)

    def _reweight(self) -> None:
        cloud, old = self.cloud, self.betas[-1]
        raw = self.path.increments(cloud.state, old)

        def increments(beta: float) -> Tensor:
            return self._checked(raw(beta)).reshape(self.rows, self.n)

        new = self._next(increments)
        increment = increments(new)
        cloud.reweight(increment)
        if not bool(cloud.log_z.isfinite().any()):
            raise ValueError(
                f"all weights are zero at b = {new:.3g}: none of the {self.n} particles is where {self.target.name} "
                "has mass. Give a base= that covers it"
            )
        self.betas.append(new)
        given = self.fixed[len(self.kernels)] if self.fixed else self.given
        cloud.state = self.path.moved(cloud.state, new, given, self.generator)
        share = float(cloud.ess.min()) / self.n
        self.ess.append(share)
        if share < self.worst_ess:
            self.worst_ess, self.worst_weights = share, cloud.log_weights[int(cloud.ess.argmin())]

    def _checked(self, values: Tensor) -> Tensor:
        """A point where the log-density is NaN or plus infinity has no weight, and is counted."""
        undefined = ~(values < torch.inf)
        count = int(undefined.sum())
        self.undefined = max(self.undefined, count)
        return torch.where(undefined, -torch.inf, values) if count else values

    def _next(self, increments: Callable[[float], Tensor]) -> float:
        if self.sampler.betas is not None:
            return self.sampler.betas[len(self.betas)]  # type: ignore[index]
        old = self.betas[-1]
        new = next_beta(self.cloud.log_weights, increments, old, self.sampler.conditional_ess)
        if len(self.betas) > MOST_TEMPERATURES or new == old:
            raise ValueError(
                f"the weights diverge: after {len(self.betas)} temperatures b is {old:.9g} and no further step keeps "
                f"their conditional ESS at {self.sampler.conditional_ess}. {self.target.name} looks improper (its "
                "integral infinite), or its tails are far heavier than those of the base"
            )
        return new

    def _move(self, moves: int, keep: bool) -> None:
        cloud, k = self.cloud, len(self.kernels)
        density = self.path.at(self.betas[-1])
        kernel = self.fixed[k] if self.fixed else self.tuner.kernel(cloud, density, self.generator)
        self.kernels.append(kernel)
        rates, states = [], [cloud.state]
        for _ in range(moves):
            old = cloud.state
            cloud.state, info = one_step(kernel, density, old, self.generator)
            rates.append(float(info.acceptance_rate.mean()))
            self.divergences += int(info.diverging.sum())
            if keep:
                states.append(cloud.state)
            elif not kernel.exact:
                # it weighs by what a Metropolis test would have asked of its move
                cloud.reweight(kernel.log_ratio(old, cloud.state).reshape(self.rows, self.n))
        if keep:
            cloud.spread(states)
        if rates:
            self.acceptance.append(math.fsum(rates) / len(rates))
            self.tuner.learn(self.acceptance[-1])
