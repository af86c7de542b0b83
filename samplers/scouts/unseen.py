"""What draws lack of the mass that scouts have found.

In region k the scouts found mass_k; the draws say that it is Z-hat times the share of them that lies there. A region
lacks where the scouts' is larger by more than both estimates, and Z-hat, leave to chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.scouts.regions import Regions, measured
from targets import Target

SUSPECT, STANDARD_ERRORS = 1.5, 5.0  # for a second look, and for an answer
FEWEST = 10  # effective draws that a region should have had
CERTAIN = 1024  # points of a second estimate of the masses that are lacking, on which the answer rests
MOST_NUMBERS = 4
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
        at = ", ".join(f"{value:.3g}" for value in self.regions.means[0][:MOST_NUMBERS].tolist())
        more = ", ..." if self.regions.means.shape[1] > MOST_NUMBERS else ""
        where = "one region" if len(self) == 1 else f"{len(self)} regions"
        return (
            f"mass is missed: a search that shares nothing with this run found {self.total:.2g} of Z more in {where} "
            f"that it hardly enters, most of it around x = ({at}{more}). log Z is at least "
            f"{log_z + math.log1p(self.total):.4g}, not {log_z:.4g}. Give a base= that covers them, or more draws"
        )

    def draws(self, n: int, generator: Generator) -> Tensor:
        """About n points (m, dim) of what is missing, at least FEWEST_DRAWN of each region."""
        counts = (n * self.missing / self.missing.sum()).ceil().clamp_min(FEWEST_DRAWN).long().tolist()
        return torch.cat([self.regions.draws(k, count, generator) for k, count in enumerate(counts)])

    def __len__(self) -> int:
        return len(self.regions)


@torch.no_grad()
def unseen(
    regions: Regions,
    target: Target,
    x: Tensor,
    log_weights: Tensor | None,
    log_z: float,
    error: float,
    generator: Generator,
    worth: Tensor | None = None,
) -> Unseen:
    """What points x (n, dim), with log weights (n,) or equal ones, lack; log_z with its relative error.

    worth (K,): how many independent points tell the share of each region, where these are correlated.
    """
    share, share_error, effective = shares(regions, x, log_weights, worth)
    first = _lacks(regions, share, share_error, effective, log_z, error, SUSPECT)
    found = regions.only(first)
    if len(found) == 0:
        return Unseen(found, found.log_mass)
    found = measured(target, found.means, found.factors, found.captures, CERTAIN, generator)
    share, share_error, effective = share[first], share_error[first], effective[first]
    again = _lacks(found, share, share_error, effective, log_z, error, STANDARD_ERRORS)
    order = torch.where(again, found.log_mass, -torch.inf).argsort(descending=True)[: int(again.sum())]
    found, share = found.only(order), share[order]
    return Unseen(found, missing(found, share, log_z))


def shares(
    regions: Regions, x: Tensor, log_weights: Tensor | None, worth: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each region the share of the points, its standard error, and how many effective points tell it."""
    n = len(x)
    weights = x.new_full((n,), 1 / n, dtype=torch.float64) if log_weights is None else log_weights.double().softmax(0)
    there = regions.inside(x).double()
    share = weights @ there
    if worth is not None:
        return share, (share * (1 - share) / worth).clamp_min(0).sqrt(), worth
    error = (weights.square() @ (there - share).square()).sqrt()
    return share, error, (1 / weights.square().sum()).expand(len(regions))


def _lacks(
    regions: Regions, share: Tensor, share_error: Tensor, effective: Tensor, log_z: float, error: float, most: float
) -> Tensor:
    """Where the scouts' mass is larger by more than `most` standard errors."""
    expected = (regions.log_mass - log_z).exp()
    # no region's share is known better than that of a few draws
    chance = torch.sqrt(share_error.square() + expected / effective)
    spread = torch.sqrt(chance.square() + (expected * regions.error).square() + (share * error).square())
    firm = (regions.error < FIRM) & (expected * effective >= FEWEST)
    return firm & (expected - share > most * spread)


def missing(regions: Regions, share: Tensor, log_z: float) -> Tensor:
    """(expected - share) of each region, without the part of it that lies in an earlier one."""
    added = []
    for k in range(len(regions)):
        alone = ~regions.only(torch.arange(k)).inside(regions.points[k]).any(1)
        part = float(regions.log_weights[k].softmax(0) @ alone.double())
        added.append((math.exp(float(regions.log_mass[k]) - log_z) - float(share[k])) * part)
    return share.new_tensor(added)
