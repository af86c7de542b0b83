"""Runs of a length that uses up a budget of evaluations or seconds, so that rows are comparable.

Chains end where the budget does (`samplers.compare.filled`). Of any other sampler a run of size s costs c(s), and c
grows nearly in a straight line. From a short run on, the size that the line through the last two runs gives is tried,
at most GROWTH times the last one, until a run uses at least ENOUGH of the budget and not more than all of it. What the
runs before it have cost is told beside the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samplers.compare.filled import ENOUGH, FEWEST, FIRST, filled
from samplers.compare.lengths import Lengths
from samplers.compare.trials import Run, Trials, Tried
from samplers.draws import Cost, Draws, Sampler
from targets.arguments import check_integer, positive

TRIALS, AIM, GROWTH = 12, 0.93, 64


class OverBudget(RuntimeError):
    """Even the shortest run costs more than the budget."""


@dataclass(frozen=True)
class Budget:
    """evaluations: of the target, warmup, pilot and training included, counted as `evaluations(cost)`; seconds: of one
    run. None is no limit.
    """

    evaluations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.evaluations is not None:
            check_integer(self.evaluations, "max_evaluations")
        if self.seconds is not None:
            positive(self.seconds, "max_seconds")

    def __bool__(self) -> bool:
        return self.evaluations is not None or self.seconds is not None

    def share(self, cost: Cost) -> float:
        """The part of the budget that is used up, the larger one of the two."""
        shares = [0.0]
        if self.evaluations is not None:
            shares.append(evaluations(cost) / self.evaluations)
        if self.seconds is not None:
            shares.append(cost.seconds / self.seconds)
        return max(shares)

    def __str__(self) -> str:
        parts = [f"{self.evaluations:,} evaluations"] if self.evaluations is not None else []
        return " and ".join(parts + ([f"{self.seconds:g} seconds"] if self.seconds is not None else []))


def evaluations(cost: Cost) -> int:
    """Points at which log-densities or scores were asked for: the larger count, since most calls give both."""
    return max(cost.log_prob, cost.score)


@dataclass(frozen=True)
class Spent:
    """draws: of the run that uses the budget; search: what the trial runs beside it have cost."""

    draws: Draws
    search: Cost


def spend(run: Run, sampler: Sampler, given: Mapping[str, Any], budget: Budget) -> Spent:
    """The longest of the trial runs that the budget allows; `run(options)` makes one.

    given: options that stay as they are. OverBudget where the shortest run costs more; ValueError where the sampler
    has no length that can be given by name, or it is given.
    """
    lengths = Lengths(sampler, given)
    trials = Trials(run, given, lengths, budget.share)
    few = None if lengths.most_chains is None else min(FEWEST, lengths.most_chains)
    first = trials.of_size(FIRST) if few is None else trials.of({**lengths.options(FIRST), "chains": few})
    if first.ending.taken:
        chains = few or (first.draws.x.shape[0] if first.draws is not None else 1)
        best = filled(trials, first, chains, lengths.most_chains)
    else:
        best = _searched(trials, trials.of_size(FIRST) if few is not None else first)
    if best is None or best.draws is None:
        least = min((one for one in trials.every), key=lambda one: one.share)
        asked = ", ".join(f"{name}={value}" for name, value in least.options.items())
        raise OverBudget(
            f"the shortest run ({asked}) took {least.share:.2g} times the budget of {budget}: "
            f"{evaluations(least.cost):,} evaluations and {least.cost.seconds:.3g} seconds, "
            "which a pilot, warmup or training takes beside the draws. Expected a larger budget; SMC, AIS and "
            "ParallelTempering need no pilot for their base with base="
        )
    return Spent(best.draws, trials.besides(best))


def _searched(trials: Trials, first: Tried) -> Tried | None:
    """By lines through what others have cost; None where even the shortest costs more than the budget.

    A run that costs nothing, as by exact draws, stays short: no length of it uses a budget.
    """
    tried, best = {FIRST: first.share}, first if first.share <= 1 else None
    while max(tried.values()) > 0 and len(tried) < TRIALS and not (best is not None and best.share >= ENOUGH):
        size = _next(tried)
        if size in tried:
            break
        one = trials.of_size(size)
        tried[size] = one.share
        if one.share <= 1 and (best is None or one.share > best.share):
            best = one
    return best


def _next(tried: Mapping[int, float]) -> int:
    """The size to try next, from what others cost; one that was tried where there is none between them."""
    within = [s for s, share in tried.items() if share <= 1]
    beyond = [s for s, share in tried.items() if share > 1]
    points = sorted(tried, key=lambda s: (abs(tried[s] - AIM), -s))[:2]
    if len(points) == 2:
        slope = (tried[points[1]] - tried[points[0]]) / (points[1] - points[0])
        wanted = points[0] + (AIM - tried[points[0]]) / slope if slope > 0 else GROWTH * max(points)
    else:
        wanted = points[0] * AIM / max(tried[points[0]], AIM / GROWTH)
    lowest = max(within) + 1 if within else 1
    highest = min(beyond) - 1 if beyond else GROWTH * max(within)
    if lowest > highest:
        return max(within) if within else min(beyond)
    return min(max(int(wanted), lowest), highest)
