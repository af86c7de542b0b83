"""The rounds of a pilot: particles and scouts find where the mass is.

1. `reach`: the scale of the target around the origin.
2. Particles annealed from Gaussians of several widths, or from a prior; each cloud counts by the Z it found. More moves
   at the target.
3. Scouts (`scouting`), and points of what they found where the particles lack it.
4. A base fitted to the particles (`base`).
5. Particles annealed from there, and again 3 and 4, until log Z stays the same. What the first particles say of log Z
   counts in this only where they are many enough: particles that all miss a narrow neck agree on it.

The run that follows uses fresh particles: given the base it is independent of the pilot's, and its Z stays unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator

from samplers.annealing.annealer import Annealer, Run
from samplers.annealing.pilot.base import Base, fitted_base
from samplers.annealing.pilot.found import Found, found
from samplers.annealing.pilot.scouting import Scouts
from samplers.annealing.resampling import Scheme
from samplers.annealing.walk import Walk
from samplers.scouts.reach import reach
from targets import Gaussian, Target

PILOT = "annealing"  # attrs["pilot"] of runs whose base, prior or starts come from here
WIDEST = 3.0  # of the radius that holds the mass: the first Gaussian in each coordinate
PARTICLES, CONDITIONAL_ESS, MOVES = 1000, 0.7, 3
MOST_ROUNDS, SETTLED = 8, 0.2
SURE = 0.15  # standard error of the difference of two log Z up to which the first cloud's can bear out a round's
FEWEST_FAMILIES = 20  # of equal weight, that a round must keep to be believed


@dataclass(frozen=True, eq=False)
class PilotSMC(Annealer):
    """SMC without its verb, which begins with a pilot itself."""

    resampling: ClassVar[Scheme] = "systematic"
    ess_threshold: ClassVar[float] = 1.0


def find_base(sampler: Annealer, target: Target, prior: Target | None, generator: Generator) -> Base:
    """The base that a pilot run finds; with a mixture the kernel's mass matrices go by its components."""
    scale = 1.0 if prior is not None else reach(target, generator)
    now, spent = _first_cloud(sampler, target, prior, scale, generator)
    scouts = Scouts(target, prior, scale, generator)
    if sampler.kernel_for(target).needs_score:
        scouts.look(now, spent)
    mixed, agreed, first = False, True, True
    for _ in range(MOST_ROUNDS):
        now = scouts.added(now)
        base = fitted_base(now.x, now.families, now.log_ratio, mixed, target, generator, scouts.fit)
        mixed = base.regions is not None
        run = _anneal(sampler, target, base, PARTICLES, generator)
        if float(run.cloud.family_share()) > 1 / FEWEST_FAMILIES:
            continue  # a few heavy particles have taken over: fit and anneal again
        before, now = now, found(run, generator)
        # a round that was annealed from a fit needs no such leave as the first
        sure = not first or before.variance + now.variance < SURE**2
        first = False
        if sure and abs(now.log_z - before.log_z) < SETTLED:
            # two rounds that agree are one larger sample
            now = before.joined(now)
            break
    else:
        agreed = False
    now = scouts.added(now)
    base = fitted_base(now.x, now.families, now.log_ratio, mixed, target, generator, scouts.fit)
    known = now.log_z, math.sqrt(now.variance)
    return replace(base, agreed=agreed, points=now.x, scouted=scouts.apart(base), log_z=known)


def _anneal(sampler: Annealer, target: Target, base: Base, n: int, generator: Generator) -> Run:
    pilot = PilotSMC(sampler.kernel_for(target), base.density, conditional_ess=CONDITIONAL_ESS, moves=MOVES)
    path = pilot.make_path(target, base.density)
    run = Walk(pilot, target, path, n, generator, base.regions, base.coordinates)
    run.through()
    return run


def _first_cloud(
    sampler: Annealer, target: Target, prior: Target | None, scale: float, generator: Generator
) -> tuple[Found, int]:
    """Particles from the prior, or from Gaussians of three widths, and how many evaluations they took."""
    starts: list[Target]
    if prior is not None:
        starts = [prior]
    else:
        zero = torch.zeros(target.dim, dtype=target.dtype, device=target.device)
        widths = torch.logspace(0, math.log10(WIDEST * math.sqrt(target.dim)), 3).tolist()
        starts = [Gaussian(zero, scale * width) for width in widths]
    runs = [_anneal(sampler, target, Base(start), PARTICLES // 2, generator) for start in starts]
    clouds = [found(run, generator) for run in runs]
    share = torch.tensor([one.log_z for one in clouds], dtype=torch.float64).softmax(0)
    parts = []
    for one, part in zip(clouds, share.tolist(), strict=True):
        n = len(one.x)
        keep = torch.randperm(n, generator=generator, device=one.x.device)[: math.ceil(part * n)]
        parts.append(replace(one, x=one.x[keep], families=one.families[keep], log_prob=one.log_prob[keep]))
    cloud = parts[0]
    for one in parts[1:]:
        cloud = cloud.joined(one)
    best = clouds[int(share.argmax())]
    spent = sum(run.path.tally.log_probs + run.path.tally.scores for run in runs)
    return replace(cloud, log_z=best.log_z, variance=best.variance), spent
