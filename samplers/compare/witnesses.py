"""Points from elsewhere that speak for a target: do the draws of each run reach the mass around them?

They are looked at after the cells, from the draws on disk: no run depends on them, and other witnesses leave stored
runs as they are. What was found stands in the list of cells, as a record for JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.compare.rows import counted
from samplers.draws import Draws
from samplers.draws.certificate import MOST_MISSED
from samplers.scouts.certify import certify
from samplers.scouts.from_points import from_points
from samplers.scouts.search import both, search
from samplers.scouts.unseen import brief
from targets import Target
from targets.arguments import shown

SEED = 271_828


@dataclass(frozen=True)
class Missed:
    """ratio: the mass that is lacking over that of the draws; regions: in how many; at: the centre of the largest."""

    ratio: float
    regions: int
    at: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of all the mass."""
        return self.ratio / (1 + self.ratio)


@dataclass(frozen=True)
class Examined:
    """What came of a target's witnesses.

    points, regions: how many there were, and in how many regions they lie. missed: by sampler and seed, where a run
    lacks something. untold: likewise, why nothing can be said. error: why nothing could be measured at all.
    """

    points: int
    regions: int = 0
    missed: Mapping[tuple[str, int], Missed] = field(default_factory=dict)
    untold: Mapping[tuple[str, int], str] = field(default_factory=dict)
    error: str = ""

    def faults(self, sampler: str) -> list[str]:
        """What is wrong with a sampler, in words."""
        own = [one for (name, _), one in self.missed.items() if name == sampler]
        if not own:
            return []
        worst = max(own, key=lambda one: one.share)
        where = "found" if worst.regions == 1 else f"found in {worst.regions} regions, most of it"
        return [
            f"it lacks at least {worst.share:.1%} of the mass, {where} around x = ({brief(worst.at)}), where a "
            "witness lies"
        ]

    def cautions(self, sampler: str) -> list[str]:
        """Why nothing can be said of a sampler."""
        said = dict.fromkeys(why for (name, _), why in self.untold.items() if name == sampler)
        return [f"what it lacks around the witnesses cannot be told: {why}" for why in said]

    def remark(self, samplers: Iterable[str]) -> str:
        """On the witnesses themselves."""
        many = counted(self.points, "witness")
        if self.error:
            return f"nothing could be measured around the {many}: {self.error}"
        free = not self.missed and not any(self.cautions(name) for name in samplers)
        return f"no run lacks what was found around the {many}" if free else ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        missed = [[*key, asdict(one)] for key, one in self.missed.items()]
        untold = [[*key, why] for key, why in self.untold.items()]
        return asdict(self) | {"missed": missed, "untold": untold}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Examined:
        """What JSON has made of it."""
        missed = {(name, seed): Missed(**one | {"at": tuple(one["at"])}) for name, seed, one in record["missed"]}
        untold = {(name, seed): why for name, seed, why in record["untold"]}
        return cls(record["points"], record["regions"], missed, untold, record["error"])


def checked(witnesses: Mapping[str, Any] | None, targets: Mapping[str, Target]) -> dict[str, Tensor]:
    """The points (n, dim) of each target in float64; ValueError that names what came."""
    witnesses = witnesses or {}
    if unknown := set(witnesses) - set(targets):
        raise ValueError(f"witnesses: got {sorted(unknown)}, expected names among the targets {sorted(targets)}")
    return {name: _points(name, given, targets[name]) for name, given in witnesses.items()}


def _points(name: str, given: Any, target: Target) -> Tensor:
    if target.discrete:
        raise ValueError(f"witnesses: {name!r} is discrete, expected a density in R^{target.dim}")
    if isinstance(given, Draws):
        given = given.unweighted().x.flatten(0, 1)
    x = torch.as_tensor(given).detach()
    if x.ndim != 2 or x.shape[1] != target.dim or len(x) == 0:
        raise ValueError(
            f"witnesses: got shape {tuple(x.shape)} for {name!r}, expected (n, {target.dim}): points times dim"
        )
    x = x.to(target.device, torch.float64)
    if not bool(x.isfinite().all()):
        first = int((~x.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"witnesses: got point {first} for {name!r} that is not finite, {shown(x[first].tolist())}")
    with torch.no_grad():
        if not bool(target.log_prob(x.to(target.dtype)).isfinite().any()):
            raise ValueError(
                f"witnesses: the density of {name!r} is not finite at any of the {len(x)} points that came"
            )
    return x


def examine(points: Tensor, target: Target, draws: Iterable[tuple[tuple[str, int], Draws]]) -> Examined:
    """What runs lack around points (n, dim); draws: of each run, by sampler and seed.

    Regions of scouts stand beside those of the points: draws without a log Z have it from regions that they enter.
    """
    generator = Generator(target.device).manual_seed(SEED)
    try:
        regions = from_points(target, points, generator)
        if regions is None:
            return Examined(len(points), error="no Gaussian near them has a finite bound, or the dimension is too high")
        scouted = search(target, target.prior if "prior" in target.known else None, generator)
    except Exception as error:  # the density's own
        return Examined(len(points), error=f"{type(error).__name__}: {error}")
    found = both(regions, scouted)
    lacking, untold = {}, {}
    for key, one in draws:
        told = certify(one, target, found)
        if told.missed > MOST_MISSED:
            lacking[key] = Missed(told.missed, told.missed_regions, told.missed_at)
        elif math.isnan(told.missed):
            untold[key] = told.searched or "none of its draws lie where a region was found, and it states no log Z"
        elif told.too_few:
            untold[key] = told.too_few[0]
    return Examined(len(points), len(regions), lacking, untold)
