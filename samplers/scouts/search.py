"""Fans of scouts, sent as long as the last ones say that further ones would find more.

A region that is entered c times on average is missed with chance exp(-c), so that regions like those that were found
still hide about sum_k mass_k exp(-captures_k / 2), a smoothed form of Good and Turing's estimate from what was found
once; by half, for paths of one fan that start near the same end are no independent captures.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Generator

from samplers.counting import Counted
from samplers.scouts.fan import fan, paths_for
from samplers.scouts.reach import reach
from samplers.scouts.regions import Regions
from targets import Target

FEWEST_FANS, MOST_FANS = 2, 20
LITTLE = 0.002  # share of the mass, for which no further fan is sent
MOST_EVALUATIONS = 400_000  # after which none is sent either


def search(
    target: Target,
    prior: Target | None,
    generator: Generator,
    log_z: float = -math.inf,
    fewest: int = FEWEST_FANS,
    most: int = MOST_FANS,
) -> Regions | None:
    """The regions of `fewest` fans or more; None where there are none or the dimension is too high.

    prior: where paths start, in place of Gaussians around the origin. log_z: what is known of the whole mass, if more
    than what the fans find.
    """
    if paths_for(target.dim) == 0:
        return None
    scale = 1.0 if prior is not None else reach(target, generator)
    found: Regions | None = None
    counted = Counted(target)
    for k in range(most):
        if k >= fewest and (
            found is None or _hidden(found, log_z) < LITTLE or counted.log_probs + counted.scores > MOST_EVALUATIONS
        ):
            break
        another = fan(counted, prior, scale, generator)
        found = another if found is None else _both(found, another)
    return found


def _hidden(found: Regions, log_z: float) -> float:
    """The share of the mass that is likely to lie in regions not yet found."""
    whole = max(log_z, float(found.log_mass.logsumexp(0)))
    return math.exp(float((found.log_mass - found.captures / 2).logsumexp(0)) - whole)


def _both(found: Regions, other: Regions | None) -> Regions:
    """The regions of two fans; the captures of the second's in a first one's are added to it."""
    if other is None:
        return found
    held = found.inside(other.means)
    new = ~held.any(1)
    captures = found.captures.clone()
    captures.index_add_(0, held[~new].double().argmax(1), other.captures[~new])
    return replace(found, captures=captures).joined(other.only(new))
