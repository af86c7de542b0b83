"""The ladder of temperatures: a pilot run for a first one and for starts; warmup moves it to equal rejection.

L(b) = sum over swaps below b of their rejection,    b_k such that L(b_k) = k L(1) / K
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from samplers.adaptation.mass_matrix import weighted_covariance
from samplers.adaptation.warmup import Warmup
from samplers.annealing.annealer import Run
from samplers.annealing.cloud import take
from samplers.annealing.pilot import find_base
from samplers.annealing.resampling import multinomial
from samplers.annealing.smc import SMC
from samplers.annealing.swaps import swap
from samplers.annealing.tails import reaching
from samplers.annealing.tuning import MOST_LEAPFROGS, TRAJECTORY
from samplers.draws import Cost
from samplers.kernels import HMC, Kernel, RegionalHMC
from samplers.kernels.noncentring import NonCentring
from targets import GaussianMixture, Target
from targets.counting import Counted, Tally

if TYPE_CHECKING:
    from samplers.annealing.parallel_tempering import ParallelTempering
    from samplers.kernels import State

FEWEST, MOST = 4, 64  # temperatures, where their number is not given
POINTS, CONDITIONAL_ESS, MOVES = 500, 0.8, 3  # of the pilot
PILOT_SEED = 3_000_017
ROUNDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # shares of the warmup after which the temperatures move


@dataclass(frozen=True)
class Clouds:
    """What a pilot run of SMC met on its way: points (n, dim) at each of its temperatures, equally weighted."""

    betas: tuple[float, ...]
    points: tuple[Tensor, ...]

    def at(self, beta: float) -> Tensor:
        """The points at the last temperature not beyond b: what lies at b lies within them."""
        return self.points[bisect_right(self.betas, beta) - 1]

    def starts(self, betas: Sequence[float], n: int, generator: Generator) -> Tensor:
        """Points for n replicas at each temperature, (n, levels, dim)."""
        drawn = []
        for beta in betas:
            points = self.at(beta)
            drawn.append(points[torch.randint(len(points), (n,), generator=generator, device=points.device)])
        return torch.stack(drawn, 1)


@torch.no_grad()
def pilot(sampler: ParallelTempering, target: Target, seed: int) -> tuple[ParallelTempering, Cost]:
    """The sampler with base, first temperatures and starts, and what it took to find those that were not given."""
    began, tally = time.perf_counter(), Tally()
    generator = Generator(target.device).manual_seed(seed + PILOT_SEED)
    sampler = _short(sampler, target)
    kernel = sampler.kernel_for(target)
    base, regions, coordinates = sampler.route(target)[0], None, None
    if base is None:
        prior = target.prior if "prior" in target.known else None
        counted = Counted(target, tally)
        found = reaching(find_base(SMC(kernel), counted, prior, generator), counted)
        base, regions, coordinates = found.density, found.regions, found.coordinates
        kernels = _by_region(sampler.kernel, kernel, regions, coordinates)
        sampler = replace(sampler, base=base, kernel=kernels, piloted=True)
    if sampler.temperatures is None or isinstance(sampler.temperatures, int):
        annealer = SMC(kernel, path=sampler.path, conditional_ess=CONDITIONAL_ESS, moves=MOVES)
        path = annealer.make_path(target, base)
        clouds, barrier = _barrier(Run(annealer, target, path, POINTS, generator, regions, coordinates), generator)
        tally.log_probs += path.tally.log_probs
        tally.scores += path.tally.scores
        number = sampler.temperatures or min(MOST, max(FEWEST, math.ceil(2 * barrier[-1]) + 1))
        spaced = equal_increments(clouds.betas, barrier, number)
        sampler = replace(sampler, temperatures=spaced, adapt=sampler.adapt is not False, clouds=clouds, piloted=True)
    return sampler, Cost(tally.log_probs, tally.scores, time.perf_counter() - began)


def _short(sampler: ParallelTempering, target: Target) -> ParallelTempering:
    """With no more than 32 leapfrogs a move where HMC's are left open: far ways are those of the swaps."""

    def short(kernel: Kernel) -> Kernel:
        if not isinstance(kernel, HMC) or not (kernel.step_size is kernel.trajectory_length is kernel.steps is None):
            return kernel
        return replace(kernel, max_steps=min(MOST_LEAPFROGS, kernel.max_steps))

    if isinstance(sampler.kernel, tuple):
        return replace(sampler, kernel=tuple(short(kernel) for kernel in sampler.kernel))
    return replace(sampler, kernel=short(sampler.kernel_for(target)))


def _by_region(
    given: Kernel | Sequence[Kernel] | None,
    kernel: Kernel,
    regions: GaussianMixture | None,
    coordinates: NonCentring | None,
) -> Kernel | Sequence[Kernel] | None:
    """The kernel, or in place of an HMC that leaves all open one with the mass matrices of the pilot's regions."""
    if regions is None or type(kernel) is not HMC or isinstance(given, Sequence) or kernel.step_size is not None:
        return given
    if not isinstance(kernel.inverse_mass_matrix, str) or kernel.inverse_mass_matrix != "auto":
        return given
    length = TRAJECTORY if kernel.steps is None and kernel.trajectory_length is None else kernel.trajectory_length
    most = min(MOST_LEAPFROGS, kernel.max_steps)
    return RegionalHMC(
        inverse_mass_matrix="identity",
        trajectory_length=length,
        steps=kernel.steps,
        max_steps=most,
        regions=regions,
        coordinates=coordinates,
    )


def _barrier(run: Run, generator: Generator) -> tuple[Clouds, list[float]]:
    """Where an SMC run was at its temperatures, and the sum of rejections of swaps between them up to each."""
    barrier, points = [0.0], []
    while not run.done:
        old, state = run.betas[-1], _drawn(run, generator)
        raw = run.path.increments(state, old)
        run.step()
        new, there = run.betas[-1], _drawn(run, generator)
        *_, acceptance = swap(raw(new), run.path.increments(there, new)(old).neg())
        barrier.append(barrier[-1] + 1 - float(acceptance.mean()))
        points.append(state.x)
    return Clouds(tuple(run.betas), (*points, there.x)), barrier


def _drawn(run: Run, generator: Generator) -> State:
    """The cloud as equally weighted points in random order."""
    return take(run.cloud.state, multinomial(run.cloud.log_weights.exp(), POINTS, generator)[0])


def equal_increments(betas: Sequence[float], barrier: Sequence[float], number: int) -> tuple[float, ...]:
    """`number` temperatures between which the barrier, known at `betas`, grows by equal amounts.

    b as a function of the barrier is interpolated monotonically (PCHIP).
    """
    from scipy.interpolate import PchipInterpolator

    total = barrier[-1]
    if not total > 0:
        return tuple(k / (number - 1) for k in range(number))
    # swaps that never fail take up no room: a trace of it keeps the function single-valued
    rising = [value + 1e-9 * total * k for k, value in enumerate(barrier)]
    inverse = PchipInterpolator(rising, list(betas))
    inner = [float(inverse(rising[-1] * k / (number - 1))) for k in range(1, number - 1)]
    return (0.0, *inner, 1.0)


class LadderWarmup:
    """Tunes the kernel of each temperature by `Warmup`, and the temperatures in rounds that double in length.

    After each round they move to where the rejections it has seen, interpolated, would be equal: Syed et al. 2022,
    algorithm 2. The number of temperatures stays. The last half of the steps leaves them where they are.
    """

    def __init__(self, sampler: ParallelTempering, steps: int, target: Target) -> None:
        assert isinstance(sampler.kernel, tuple)
        place = (target.dim, target.device, target.dtype)
        self._levels = [Warmup(kernel.warmup_form(), steps, *place) for kernel in sampler.kernel]
        if sampler.clouds is not None and not target.discrete:
            for level, beta in zip(self._levels, sampler.betas[1:], strict=True):
                points = sampler.clouds.at(beta)
                equal = points.new_full((len(points),), 1 / len(points), dtype=torch.float64)
                level.begin(weighted_covariance(points, equal, dense=True).to(target.dtype))
        self.kernel: ParallelTempering = replace(sampler, temperatures=sampler.betas)
        self._ends = frozenset(round(share * steps) for share in ROUNDS if sampler.adapts)
        self._rejection = torch.zeros(sampler.levels - 1, dtype=torch.float64, device=target.device)
        self._seen = 0
        self._renew()

    @property
    def jumps(self) -> bool:
        """Whether the target was found to jump; the densities of other temperatures are not looked at."""
        return self._levels[-1].jumps

    def uphill(self, target: Target, state: State, generator: Generator) -> None:
        """Replicas stay where the pilot or the base has put them."""

    def update(self, t: int, state: State, before: State, info: Any, target: Target) -> None:
        densities = self.kernel.rungs(target).densities[1:]
        for level, density, (after, from_there, how) in zip(self._levels, densities, info.moves, strict=True):
            level.update(t, after, from_there, how, density)
        if self._ends:
            self._rejection = self._rejection + info.rejection.mean(0)
            self._seen += 1
        if t + 1 in self._ends:
            self._respace()
        self._renew()

    def _respace(self) -> None:
        barrier = [0.0]
        for rejection in (self._rejection / self._seen).tolist():
            barrier.append(barrier[-1] + rejection)
        spaced = equal_increments(self.kernel.betas, barrier, len(barrier))
        self.kernel = replace(self.kernel, temperatures=spaced)
        self._rejection, self._seen = torch.zeros_like(self._rejection), 0

    def _renew(self) -> None:
        kernels = tuple(level.kernel for level in self._levels)
        assert isinstance(self.kernel.kernel, tuple)
        if any(a is not b for a, b in zip(kernels, self.kernel.kernel, strict=True)):
            self.kernel = replace(self.kernel, kernel=kernels)

    def state_dict(self) -> dict[str, Any]:
        return {
            "levels": [level.state_dict() for level in self._levels],
            "betas": list(self.kernel.betas),
            "rejection": self._rejection,
            "seen": self._seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for level, saved in zip(self._levels, state["levels"], strict=True):
            level.load_state_dict(saved)
        self.kernel = replace(self.kernel, temperatures=tuple(state["betas"]))
        self._rejection, self._seen = state["rejection"].to(self._rejection.device), state["seen"]
        self._renew()
