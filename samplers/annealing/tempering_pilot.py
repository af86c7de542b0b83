"""The pilot run of parallel tempering: a base, first temperatures, and starts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Generator

from samplers.adaptation.left_open import LeftOpen
from samplers.annealing.annealer import Run
from samplers.annealing.cloud import take
from samplers.annealing.clouds import Clouds
from samplers.annealing.ladder import equal_increments
from samplers.annealing.pilot import find_base
from samplers.annealing.resampling import multinomial
from samplers.annealing.smc import SMC
from samplers.annealing.swaps import swap
from samplers.annealing.tails import reaching
from samplers.annealing.tempering import Tempering
from samplers.annealing.tuning import MOST_LEAPFROGS, TRAJECTORY, by_region
from samplers.annealing.walk import Walk
from samplers.draws import Cost
from samplers.kernels import Kernel, RegionalHMC, State
from samplers.kernels.noncentring import NonCentring
from samplers.kernels.trajectories import TrajectoryKernel
from targets import GaussianMixture, Target
from targets.counting import Counted, Tally

FEWEST, MOST = 4, 64  # temperatures, where their number is not given
POINTS, CONDITIONAL_ESS, MOVES = 500, 0.8, 3  # of the pilot
PILOT_SEED = 3_000_017

T = TypeVar("T", bound=Tempering)


@torch.no_grad()
def pilot(sampler: T, target: Target, seed: int) -> tuple[T, Cost]:
    """The sampler with base, first temperatures and starts, and what it took to find those that were not given."""
    began, tally = time.perf_counter(), Tally()
    generator = Generator(target.device).manual_seed(seed + PILOT_SEED)
    sampler = _short(sampler, target)
    kernel = sampler.kernel_for(target)
    base, regions, coordinates = sampler.route(target)[0], None, None
    if base is None:
        counted = Counted(target, tally)
        found = reaching(find_base(SMC(kernel), counted, None, generator), counted)
        base, regions, coordinates = found.density, found.regions, found.coordinates
        sampler = replace(sampler, base=base, kernel=_by_region(sampler.kernel, regions, coordinates), piloted=True)
    if sampler.temperatures is None or isinstance(sampler.temperatures, int):
        annealer = SMC(kernel, path=sampler.path, conditional_ess=CONDITIONAL_ESS, moves=MOVES)
        path = annealer.make_path(target, base)
        clouds, barrier = _barrier(Walk(annealer, target, path, POINTS, generator, regions, coordinates), generator)
        tally.log_probs += path.tally.log_probs
        tally.scores += path.tally.scores
        number = sampler.temperatures or min(MOST, max(FEWEST, math.ceil(2 * barrier[-1]) + 1))
        spaced = equal_increments(clouds.betas, barrier, number)
        sampler = replace(sampler, temperatures=spaced, adapt=sampler.adapt is not False, clouds=clouds, piloted=True)
    return sampler, Cost(tally.log_probs, tally.scores, time.perf_counter() - began)


def _short(sampler: T, target: Target) -> T:
    """With no more than 32 leapfrogs a move where they are left open: far ways are those of the swaps."""

    def short(kernel: Kernel) -> Kernel:
        if not isinstance(kernel, TrajectoryKernel):
            return kernel
        if not (kernel.step_size is kernel.trajectory_length is kernel.steps is None):
            return kernel
        return replace(kernel, max_steps=min(MOST_LEAPFROGS, kernel.max_steps))

    if isinstance(sampler.kernel, tuple):
        return replace(sampler, kernel=tuple(short(kernel) for kernel in sampler.kernel))
    return replace(sampler, kernel=short(sampler.kernel_for(target)))


def _by_region(
    given: Kernel | Sequence[Kernel] | None, regions: GaussianMixture | None, coordinates: NonCentring | None
) -> Kernel | Sequence[Kernel] | None:
    """What is given, or in place of an HMC that leaves all open one with the mass matrices of the pilot's regions."""
    found = by_region(given, regions, coordinates) if isinstance(given, Kernel) else given
    if found is given or not isinstance(found, RegionalHMC):
        return given
    length = TRAJECTORY if LeftOpen.of(found).trajectory_length else found.trajectory_length
    most = min(MOST_LEAPFROGS, found.max_steps)
    return replace(found, inverse_mass_matrix="identity", trajectory_length=length, max_steps=most)


def _barrier(run: Run, generator: Generator) -> tuple[Clouds, list[float]]:
    """Where an SMC run was at its temperatures, and the sum of rejections of swaps between them up to each."""
    barrier, points = [0.0], []
    while not run.finished:
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
