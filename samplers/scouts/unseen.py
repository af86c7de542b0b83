"""What draws lack of the mass that scouts have found.

In region k the scouts found mass_k; the draws say that it is Z-hat times the share of them that lies there. A region
lacks where the scouts' is larger by more than both estimates, and Z-hat, leave to chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.scouts.regions import Regions, measured
from samplers.scouts.sample import Sample
from targets import Target

SUSPECT, STANDARD_ERRORS = 1.5, 5.0  # for a second look, and for an answer
FEWEST = 10  # effective draws that a region should have had
CERTAIN = 1024  # points of a second estimate of the masses that are lacking, on which the answer rests
NUMBERS, ROUNDING = 4, 1e-6  # of a place: so many numbers are shown
FEWEST_DRAWN = 10
FIRM = 0.5  # relative standard error of a mass that can be relied on


@dataclass(frozen=True, eq=False)
class Unseen:
    """regions: those that lack, largest first, with masses measured anew. missing (K,): the share of Z-hat that each
    adds, without what lies in those before it.
    """

    regions: Regions
    missing: Tensor

    @property
    def total(self) -> float:
        """The mass that is missing, over Z-hat."""
        return float(self.missing.sum())

    def said(self, log_z: float) -> str:
        """In words."""
        at = brief(self.regions.means[0].tolist())
        where = "one region" if len(self) == 1 else f"{len(self)} regions"
        return (
            f"mass is missed: a search that shares nothing with this run found {self.total:.2g} of Z more in {where} "
            f"where it has too few draws, most of it around x = ({at}). log Z is at least "
            f"{log_z + math.log1p(self.total):.4g}, not {log_z:.4g}. Give a base=, prior=, init= or "
            "teacher= that covers them, or more draws"
        )

    def draws(self, n: int, generator: Generator) -> Tensor:
        """About n points (m, dim) of what is missing, at least FEWEST_DRAWN of each region."""
        counts = (n * self.missing / self.missing.sum()).ceil().clamp_min(FEWEST_DRAWN).long().tolist()
        return torch.cat([self.regions.draws(k, count, generator) for k, count in enumerate(counts)])

    def __len__(self) -> int:
        return len(self.regions)


@torch.no_grad()
def unseen(
    regions: Regions, target: Target, sample: Sample, log_z: float, error: float, generator: Generator
) -> Unseen:
    """What a sample lacks; log_z: its own, with its relative error."""
    share, share_error = sample.share(regions.inside(sample.x))
    first = _lacks(regions, share, share_error, sample.effective, log_z, error, SUSPECT)
    found = regions.only(first)
    if len(found) == 0:
        return Unseen(found, found.log_mass)
    found = measured(target, found.means, found.factors, found.captures, CERTAIN, generator)
    share, share_error = share[first], share_error[first]
    again = _lacks(found, share, share_error, sample.effective, log_z, error, STANDARD_ERRORS)
    order = torch.where(again, found.log_mass, -torch.inf).argsort(descending=True)[: int(again.sum())]
    found, share = found.only(order), share[order]
    return Unseen(found, _missing(found, share, log_z))


def _lacks(
    regions: Regions, share: Tensor, share_error: Tensor, effective: float, log_z: float, error: float, most: float
) -> Tensor:
    """Where the scouts' mass is larger by more than `most` standard errors."""
    expected = (regions.log_mass - log_z).exp()
    # no region's share is known better than that of a few draws
    chance = torch.sqrt(share_error.square() + expected / effective)
    spread = torch.sqrt(chance.square() + (expected * regions.error).square() + (share * error).square())
    firm = (regions.error < FIRM) & (expected * effective >= FEWEST)
    return firm & (expected - share > most * spread)


def _missing(regions: Regions, share: Tensor, log_z: float) -> Tensor:
    """(expected - share) of each region, without the part of it that lies in an earlier one."""
    part = (regions.log_weights.softmax(1) * regions.alone()).sum(1)
    return ((regions.log_mass - log_z).exp() - share) * part


def brief(at: Sequence[float]) -> str:
    """The first numbers of a place; zero for what is rounding beside the largest."""
    least = ROUNDING * max(abs(value) for value in at)
    shown = ", ".join(f"{value if abs(value) > least else 0.0:.3g}" for value in at[:NUMBERS])
    return f"{shown}, ..." if len(at) > NUMBERS else shown
