"""What the draws of any sampler lack of the mass in regions that were found elsewhere, as around witnesses.

Draws with log Z are held against the regions as they are (`samplers.scouts.unseen`). For others Z is that of what they
reach (`samplers.scouts.bridge`): in a region where they are, mass / share = Z, so that regions of which this ratio is
larger lack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers import estimates
from samplers.draws import INDEPENDENT, PARTICLES, Draws
from samplers.scouts.bridge import FEWEST, bridge, effective
from samplers.scouts.regions import Regions, measured
from samplers.scouts.unseen import CERTAIN, FIRM, Unseen, missing, shares, unseen
from targets import Target

WHOLE = 0.9999  # of a Gaussian: the ellipsoids in which what is lacking is measured
LITTLE = 0.02  # of Z, that may be lacking
SURE = 0.5  # standard error of log Z from which on a sampler's own is not used


@dataclass(frozen=True)
class Missed:
    """ratio: the mass that is lacking over that of the draws, with its standard error; regions: in how many; at: the
    centre of the largest.
    """

    ratio: float
    error: float
    regions: int
    at: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of all the mass."""
        return self.ratio / (1 + self.ratio)

    @property
    def share_error(self) -> float:
        """Its standard error."""
        return self.error / (1 + self.ratio) ** 2


class Untold(ValueError):
    """Draws of which it cannot be told what they lack."""


@torch.no_grad()
def missed(regions: Regions, target: Target, draws: Draws, generator: Generator) -> Missed | None:
    """What draws lack in the regions; None where it is no more than LITTLE. Untold where nothing can be said."""
    x = draws.x.flatten(0, 1).to(target.device)
    log_weights = None if draws.log_weights is None else draws.log_weights.reshape(-1).to(target.device)
    log_z, error = evidence(draws, target, generator)
    worth = _worth(draws, regions)
    found = unseen(regions, target, x, log_weights, log_z, error, generator, worth)
    if found.total <= LITTLE:
        return None
    own = found.regions
    wide = measured(target, own.means, own.factors, own.captures, CERTAIN, generator, WHOLE)
    if float(wide.error.max()) < FIRM:
        share = shares(wide, x, log_weights)[0]
        found = Unseen(wide, missing(wide, share, log_z))
    own = found.regions
    _, share_error, _ = shares(own, x, log_weights, _worth(draws, own))
    expected = (own.log_mass - log_z).exp() * own.error
    error = math.hypot(float((expected.square() + share_error.square()).sum().sqrt()), found.total * error)
    return Missed(found.total, error, len(own), tuple(own.means[0].tolist()))


def evidence(draws: Draws, target: Target, generator: Generator) -> tuple[float, float]:
    """log Z of what the draws reach, and its standard error: the sampler's own, else by bridge sampling."""
    own = draws.log_z
    if own is not None and math.isfinite(own.value) and own.standard_error < SURE:
        return own.value, own.standard_error
    found = bridge(draws, target, generator)
    if found is None:
        raise Untold(
            f"it states no log Z of use, and bridge sampling gives none: fewer than {FEWEST} effective draws, or a "
            "shape that no Gaussians come near"
        )
    return found


def _worth(draws: Draws, regions: Regions) -> Tensor | None:
    """How many independent draws tell the share of each region (K,); None where the points are independent."""
    if draws.log_weights is not None or draws.attrs.get("kind") in (INDEPENDENT, PARTICLES):
        return None
    there: Any = regions.inside(draws.x.flatten(0, 1).to(regions.means.device)).reshape(*draws.x.shape[:2], -1)
    worth = torch.full((there.shape[2],), effective(draws, draws.x), dtype=torch.float64, device=there.device)
    moves = there.flatten(0, 1).any(0) & ~there.flatten(0, 1).all(0)
    if bool(moves.any()):
        found = estimates.ess({"there": there[..., moves].double()}, "mean")["there"]
        worth[moves] = torch.minimum(worth[moves], torch.as_tensor(found, dtype=torch.float64).to(worth))
    return worth
