"""Fans of scouts, sent as long as the last ones say that further ones would find more.

A region that is entered c times on average is missed with chance exp(-c), so that regions like those that were found
still hide about sum_k mass_k exp(-captures_k / 2), a smoothed form of Good and Turing's estimate from what was found
once; by half, for paths of one fan that start near the same end are no independent captures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor

from samplers.scouts.fan import fan, paths_for
from samplers.scouts.from_points import POINTS, from_points
from samplers.scouts.reach import reach
from samplers.scouts.regions import Regions, curvature, measured, overlooked
from targets import Target
from targets.counting import Counted


class Search:
    """What fans have found so far: `regions`, None before the first and where there are none; `fans`, how many.

    prior: where paths start. scale: in its place, that of the target around the origin, found where it is not given.
    """

    def __init__(
        self, target: Target, prior: Target | None, generator: Generator, *, scale: float | None = None
    ) -> None:
        self._target, self._prior, self._scale, self._generator = Counted(target), prior, scale, generator
        self.regions: Regions | None = None
        self.fans = 0

    @property
    def possible(self) -> bool:
        """Whether the dimension is not too high."""
        return paths_for(self._target.dim) > 0

    @property
    def evaluations(self) -> int:
        """Of density and score, by the fans."""
        return self._target.log_probs + self._target.scores

    def send(self) -> None:
        """One fan more."""
        if self._scale is None:
            self._scale = 1.0 if self._prior is not None else reach(self._target, self._generator)
        another = fan(self._target, self._prior, self._scale, self._generator)
        self.regions = another if self.regions is None else both(self.regions, another)
        self.fans += 1


def search(target: Target, prior: Target | None, generator: Generator, fans: int = 1) -> Regions | None:
    """The regions that so many fans find; None where there are none or the dimension is too high.

    Those around modes that the target states without their weights, as a user's `LogDensity(modes=)` does, are among
    them: paths may miss what its owner knows.
    """
    sent = Search(target, prior, generator)
    for _ in range(fans if sent.possible else 0):
        sent.send()
    if "modes" not in target.known or "mode_weights" in target.known:
        return sent.regions
    found = sent.regions
    for named in _named(target, target.modes.to(torch.float64), generator):
        found = named if found is None else both(found, named)
    return found


@torch.no_grad()
def _named(target: Target, modes: Tensor, generator: Generator) -> Iterator[Regions]:
    """Around modes that are exact, as wide as their curvature says, whence no path leads away; around ends of paths."""
    factors, peaked = curvature(target, modes, torch.ones_like(modes))
    if bool(peaked.any()):
        captures = torch.ones(int(peaked.sum()), dtype=torch.long, device=modes.device)
        yield measured(target, modes[peaked], factors[peaked], captures, POINTS, generator)
    around = from_points(target, modes, generator)
    if around is not None:
        yield around


def hidden(found: Regions, log_z: float = -math.inf) -> float:
    """The share of the mass that is likely to lie in regions like these that no path has entered.

    log_z: what is known of the whole mass, if more than what was found.
    """
    found = found.only(found.captures.argsort(descending=True))  # what overlaps with a surer region is no other one
    mass = torch.where(found.alone(), found.log_weights, -torch.inf).logsumexp(1) - math.log(found.points.shape[1])
    whole = max(log_z, float(mass.logsumexp(0)))
    return math.exp(float((mass - found.captures / 2).logsumexp(0)) - whole)


def both(found: Regions, other: Regions | None) -> Regions:
    """The regions of two fans; the captures of the second's in a first one's are added to it."""
    if other is None:
        return found
    held = found.inside(other.means)
    for first in held.any(0).nonzero()[:, 0].tolist():
        there = held[:, first].nonzero()[:, 0]
        held[there[overlooked(found, first, other, there)], first] = False
    new = ~held.any(1)
    captures = found.captures.clone()
    captures.index_add_(0, held[~new].double().argmax(1), other.captures[~new])
    return replace(found, captures=captures).joined(other.only(new))
