"""What draws lack of the mass that scouts have found.

In region k the scouts found mass_k; the draws say that it is Z-hat times the share of them that lies there. A region
lacks where the scouts' is larger by more than both estimates, and Z-hat, leave to chance.

Of a region with the share p of the mass that no draw has entered there is an exact test: n independent draws all miss
it with probability (1 - p)^n. n is the number of effective draws, or of chains where there are more of these: chains
that have run long enough are one such draw each at least, however slowly they move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.scouts.regions import FIRM, UNSURE, Regions, measured
from samplers.scouts.sample import Sample
from targets import Target

SUSPECT, STANDARD_ERRORS = 1.5, 5.0  # for a second look, and for an answer
FEWEST = 10  # effective draws that a region should have had
FALSE_ALARM = 1e-4  # of calling a region missed that as many exact draws have not entered by chance, over all regions
LOOSE = 100.0  # times that for a second look
CERTAIN = 1024  # points of a second estimate of the masses that are lacking, on which the answer rests
NUMBERS, ROUNDING = 4, 1e-6  # of a place: so many numbers are shown
FEWEST_DRAWN = 10


@dataclass(frozen=True, eq=False)
class Unseen:
    """regions: those that lack, largest first, with masses measured anew. missing (K,): the share of Z-hat that each
    adds, without what lies in those before it. unvisited: the largest share of the mass in a region that no draw has
    entered, of those that so few draws may miss by chance.
    """

    regions: Regions
    missing: Tensor
    unvisited: float = 0.0

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
    alarm = FALSE_ALARM / len(regions)
    some = _lacks(regions, share, share_error, sample.effective, log_z, error, SUSPECT)
    some |= _never_entered(regions, share, sample, log_z, error, LOOSE * alarm)
    unvisited = _largest(regions.only((share == 0) & ~some), log_z)
    found = regions.only(some)
    if len(found) == 0:
        return Unseen(found, found.log_mass, unvisited)
    found = measured(target, found.means, found.factors, found.captures, CERTAIN, generator)
    share, share_error = share[some], share_error[some]
    again = _lacks(found, share, share_error, sample.effective, log_z, error, STANDARD_ERRORS)
    again |= _never_entered(found, share, sample, log_z, error, alarm)
    order = torch.where(again, found.log_mass, -torch.inf).argsort(descending=True)[: int(again.sum())]
    unvisited = max(unvisited, _largest(found.only((share == 0) & ~again), log_z))
    found, share = found.only(order), share[order]
    return Unseen(found, _missing(found, share, log_z), unvisited)


def _largest(regions: Regions, log_z: float) -> float:
    """The largest share of the mass in one of them that can be relied on, beside that of the draws; zero of none."""
    firm = regions.only(regions.error < FIRM)
    return float((firm.log_mass - log_z).max().sigmoid()) if len(firm) else 0.0


def visible(n: float) -> float:
    """The least share of the mass in a region that n independent draws show to be missed where none has entered it."""
    return 1.0 if n <= 0 else -math.expm1(math.log(FALSE_ALARM) / n)


def _never_entered(regions: Regions, share: Tensor, sample: Sample, log_z: float, error: float, alarm: float) -> Tensor:
    """Which regions, that no draw has entered, as many exact draws would miss with less than that chance."""
    sure = (1 - UNSURE * regions.error).clamp_min(0.0) * max(0.0, 1 - UNSURE * error)
    least = (regions.log_mass - log_z).exp() * sure
    n = max(sample.effective, float(sample.chains))
    return (share == 0) & (n * torch.log1p(-least / (1 + least)) < math.log(alarm))


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
