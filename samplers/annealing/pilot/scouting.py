"""What fans of scouts have found beside a pilot's particles, and points of it for clouds that lack it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor

from samplers.annealing.mixture_fit import Fit
from samplers.annealing.pilot.base import Base
from samplers.annealing.pilot.found import Found
from samplers.scouts.regions import Regions
from samplers.scouts.sample import Sample
from samplers.scouts.search import Search, hidden
from samplers.scouts.unseen import Unseen, unseen
from targets import Target

FEWEST_FANS, MOST_FANS = 2, 20
LITTLE = 0.0005  # share of the mass, for which no further fan is sent
BY_CHANCE = 1.5  # of what exact points lack on average, that says nothing
MOST_OF_SCOUTS = 0.15  # of the evaluations of the first clouds, after which none is sent either


class Scouts:
    """What fans of paths uphill have found, and points of it for clouds that lack it."""

    def __init__(self, target: Target, prior: Target | None, scale: float, generator: Generator) -> None:
        self._target, self._generator = target, generator
        self._search = Search(target, prior, generator, scale=scale)
        self._lent = False
        self.fit: Fit | None = None

    def look(self, cloud: Found, spent: int) -> None:
        """Send fans: two, and more as long as much is likely to be hidden from them and from the cloud.

        What scouts do not enter with chance h and annealing with chance m neither of them finds with chance h m.
        spent: the evaluations that the cloud took.
        """
        search = self._search
        while search.possible and search.fans < MOST_FANS and search.evaluations < MOST_OF_SCOUTS * spent:
            search.send()
            found = search.regions
            if found is None or search.fans < FEWEST_FANS:
                continue
            if hidden(found, cloud.log_z) * missed(found, cloud.x) < LITTLE:
                break
        if search.regions is not None:
            found = search.regions
            self.fit = Fit(found.log_mass.softmax(0), found.means, found.factors @ found.factors.mT)

    def _lacking(self, cloud: Found) -> Unseen:
        assert self._search.regions is not None
        error = math.sqrt(cloud.variance)
        return unseen(self._search.regions, self._target, Sample.of(cloud.x), cloud.log_z, error, self._generator)

    def added(self, cloud: Found) -> Found:
        """The cloud, with what the scouts found and it lacks."""
        if self._search.regions is None:
            return cloud
        lacking = self._lacking(cloud)
        if len(lacking) == 0:
            return cloud
        self._lent = True
        x, total, n = cloud.x, lacking.total, len(cloud.x)
        keep = torch.randperm(n, generator=self._generator, device=x.device)[: math.ceil(n / (1 + total))]
        more = lacking.draws(math.ceil(n * total / (1 + total)), self._generator).to(x)
        born = cloud.families.max() + 1 + torch.arange(len(more), device=x.device)
        return replace(
            cloud,
            x=torch.cat([x[keep], more]),
            families=torch.cat([cloud.families[keep], born]),
            log_prob=torch.cat([cloud.log_prob[keep], self._target.log_prob(more).double()]),
            log_z=cloud.log_z + math.log1p(total),
        )

    def apart(self, base: Base) -> Regions | None:
        """The regions, where neither a cloud nor the base was made from them: they can then judge what comes of it."""
        made = self.fit is not None and base.fit is not None and base.fit.means is self.fit.means
        return None if self._lent or made else self._search.regions


def missed(found: Regions, x: Tensor) -> float:
    """The share of the mass in regions that points (n, dim) miss, beyond what their number leaves to chance.

    It is asked where log Z is not yet known: what counts is how the mass is shared out among the regions alone. Exact
    points lack E[(p - k / n)_+] = sqrt(p / (2 pi n)) of a region with a share p, or all of it where they are few.
    """
    mass = torch.where(found.alone(), found.log_weights, -torch.inf).logsumexp(1).softmax(0)
    held = found.inside(x)
    inside = held.any(1)
    if not bool(inside.any()):
        return 1.0
    first = held[inside].double().argmax(1)
    share = torch.bincount(first, minlength=len(found)).double() / len(first)
    by_chance = torch.minimum(mass, (mass / (2 * math.pi * len(first))).sqrt())
    return max(0.0, float((mass - share).clamp_min(0).sum() - BY_CHANCE * by_chance.sum()))
