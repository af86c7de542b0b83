"""The shape of each variable's distribution, by shares of draws that no heavy tail can spoil.

Four events of a variable x with quantiles q at LEVELS: x < q.05, x < q.5, x outside [q.25, q.75], x > q.95. The share
of the draws in each has a standard error that is known, sqrt(p (1 - p) / ESS), where means and standard deviations of a
funnel's variables have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplers.draws import Draws, estimates
from samplers.draws.moments import ROWS
from samplers.draws.names import label
from samplers.draws.ties import ULPS, precision, slack, tied
from samplers.draws.weighted import families_of, mean_and_error

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST = 200_000  # draws that quantiles are taken of
LOG_DENSITY = "target_log_prob"


@dataclass(frozen=True)
class Event:
    """words: of the finding where the share is too large, and where it is too small."""

    too_large: str
    too_small: str
    where: str


EVENTS = (
    Event("its lower tail of {} is too heavy", "its lower tail of {} is too light", "below the 5 % point"),
    Event("its {} lies too low", "its {} lies too high", "below the median"),
    Event("its spread of {} is too large", "its spread of {} is too small", "outside the middle half"),
    Event("its upper tail of {} is too heavy", "its upper tail of {} is too light", "above the 95 % point"),
)

Thresholds = Mapping[str, Tensor]  # of each variable, (levels, *shape)


@dataclass(frozen=True)
class Shares:
    """Share of the draws in each event, and its standard error, (events, *shape)."""

    share: Tensor
    error: Tensor


def scalars(draws: Draws) -> dict[str, Tensor]:
    """The variables of every point, which go with the weights, and the target's log-density where the draws carry it:
    it sees what no variable sees alone.
    """
    found = dict(draws.constrained_points)
    if LOG_DENSITY in draws.stats:
        found["the log-density"] = draws.stats[LOG_DENSITY]
    return found


def with_log_density(draws: Draws) -> Draws:
    """Put log p of every draw among the statistics; the sampler's own `lp` may be that of another density."""
    if draws.target is not None:
        parts = draws.x.reshape(-1, draws.x.shape[-1]).split(ROWS)
        with torch.no_grad():
            values = torch.cat([draws.target.log_prob(part) for part in parts])
        draws.stats[LOG_DENSITY] = values.reshape(draws.x.shape[:2])
    return draws


def thresholds(draws: Sequence[Draws]) -> dict[str, Tensor]:
    """Quantiles at LEVELS of all draws together, each of `draws` with the same weight."""
    every = [scalars(one.unweighted()) for one in draws]
    return {
        name: torch.stack([_quantiles(one[name]) for one in every]).mean(0)
        for name in every[0]
        if all(name in one for one in every)
    }


def _quantiles(value: Tensor) -> Tensor:
    flat = value.double().flatten(0, 1).cpu()
    flat = flat[:: max(1, len(flat) // MOST)]
    # torch.quantile stops at 16 million numbers
    return torch.from_numpy(np.quantile(flat.numpy(), LEVELS, axis=0))


def shares(draws: Draws, at: Thresholds) -> dict[str, Shares]:
    """Of every variable. The ESS is that of the event in chains; of weighted draws see `samplers.draws.weighted`."""
    inside = {name: _events(value.cpu(), at[name]) for name, value in scalars(draws).items() if name in at}
    if draws.log_weights is not None:
        weights, families = weights_of(draws), families_of(draws)
        every = {name: events.flatten(1, 2).movedim(0, 1) for name, events in inside.items()}
        return {name: Shares(*mean_and_error(weights, events, families)) for name, events in every.items()}
    found = {}
    for name, events in inside.items():
        share = events.mean((1, 2))
        found[name] = Shares(share, (share * (1 - share) / _effective(events)).sqrt())
    return found


def weights_of(draws: Draws) -> Tensor:
    """Normalised, (chains * draws,) on the CPU."""
    if draws.log_weights is None:
        return torch.full((draws.x[..., 0].numel(),), 1 / draws.x[..., 0].numel(), dtype=torch.float64)
    return draws.log_weights.double().reshape(-1).softmax(0).cpu()


def _events(value: Tensor, at: Tensor) -> Tensor:
    """(events, chains, draws, *shape) of zeros and ones, and of halves for draws that are equal to a quantile, as
    atoms are, but for rounding.
    """
    low, quarter, middle, three_quarters, high = at
    every = slack(value.flatten(0, 1).movedim(0, -1)).movedim(-1, 0).reshape(value.shape)
    value = value.double()

    def below(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(tied(a, b, every), 0.5, (a < b).double())

    outside = below(value, quarter) + below(three_quarters, value)
    return torch.stack([below(value, low), below(value, middle), outside, below(high, value)])


def _effective(events: Tensor) -> Tensor:
    """ESS of each event, (events, *shape)."""
    return torch.as_tensor(estimates.ess({"events": events.movedim(0, 2)}, "mean")["events"], dtype=torch.float64)


def in_standard_errors(a: Tensor, b: Tensor, error: Tensor) -> Tensor:
    """|a - b| / error: zero where they are equal but for rounding, infinite where only the error is zero, NaN where it
    is not known.
    """
    difference = (a - b).abs()
    return torch.where(difference <= ULPS * precision(a) * (a.abs() + b.abs()), 0.0, difference / error)


@dataclass(frozen=True)
class Discrepancy:
    """Where two sets of shares differ by the most standard errors, NaN where none is known, and among how many tests.

    index: the event, then that of the scalar. shares: what the two have there.
    """

    standard_errors: float
    variable: str
    index: tuple[int, ...]
    tests: int
    shares: tuple[float, float]

    @property
    def event(self) -> Event:
        """In which they differ."""
        return EVENTS[self.index[0]]

    @property
    def scalar(self) -> str:
        """What it is an event of."""
        return label(self.variable, self.index[1:])

    def __str__(self) -> str:
        """Of own shares beside the true ones."""
        share, truth = self.shares
        said = (self.event.too_large if share > truth else self.event.too_small).format(self.scalar)
        said = said.replace("its the ", "its ")
        return f"{said}: {share:.1%} of its draws are {self.event.where}, {truth:.1%} should be"


def largest_discrepancy(
    here: Mapping[str, Shares], there: Mapping[str, Shares], error: Callable[[Shares, Shares], Tensor]
) -> Discrepancy:
    """Over the variables that both have; error: the standard error of the difference of two shares."""
    known = []
    for name in (name for name in here if name in there):
        far = in_standard_errors(here[name].share, there[name].share, error(here[name], there[name]))
        every = ((float(far[index]), name, index) for index in np.ndindex(*far.shape))
        known += [one for one in every if not math.isnan(one[0])]
    if not known:
        return Discrepancy(math.nan, "", (), 0, (math.nan, math.nan))
    z, name, index = max(known, key=lambda one: one[0])
    at = float(here[name].share[index]), float(there[name].share[index])
    return Discrepancy(z, name, index, len(known), at)


def misfit(own: Mapping[str, Shares], truth: Mapping[str, Shares], effective: float) -> Discrepancy:
    """Own shares beside the true ones: where they are furthest apart.

    effective: the ESS of the draws. Where it gives the true share a larger error than the draws give theirs, that one
    counts: few draws in a tail make its error look small.
    """

    def error(here: Shares, there: Shares) -> Tensor:
        at_truth = (there.share * (1 - there.share) / max(effective, 1.0)).sqrt()
        return torch.hypot(torch.maximum(here.error, at_truth), there.error)

    return largest_discrepancy(own, truth, error)
