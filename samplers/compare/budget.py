"""Runs of a length that uses up a budget of evaluations or seconds, so that rows are comparable.

A run of size s costs c(s), and c grows nearly in a straight line. From a short run on, the size that the line through
the last two runs gives is tried, at most GROWTH times the last one, until a run uses at least ENOUGH of the budget
and not more than all of it. That run is the result; the ones before it took about 1 / GROWTH as much, and cost nothing
that a reader pays: what is compared is the run of that length.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from samplers.draws import Cost, Draws, Sampler
from targets.arguments import check_integer, positive

FIRST, GROWTH, TRIALS = 16, 8, 12
ENOUGH, AIM = 0.8, 0.93


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


def spend(
    run: Callable[[Mapping[str, Any]], Draws], sampler: Sampler, given: Mapping[str, Any], budget: Budget
) -> Draws:
    """The longest of the trial runs that the budget allows; `run(options)` makes one.

    given: options that stay as they are. OverBudget where the shortest run costs more.
    """
    sizes = _Sizes(sampler, given)
    tried: dict[int, float] = {}
    best: Draws | None = None
    size = FIRST
    for _ in range(TRIALS):
        draws = run(dict(given) | sizes.options(size))
        tried[size] = share = budget.share(draws.cost)
        if share <= 1 and size == max(s for s, c in tried.items() if c <= 1):
            best = draws
        if ENOUGH <= share <= 1:
            break
        size = _next(tried)
        if size in tried:
            break
    if best is None:
        least = min(tried)
        raise OverBudget(
            f"the shortest run ({', '.join(f'{k}={v}' for k, v in sizes.options(least).items())}) took "
            f"{tried[least]:.2g} times the budget of {budget}"
        )
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


class _Sizes:
    """What the length of a run is for a sampler: iterations where it learns or moves particles, else draws.

    A third of a chain's steps are warmup.
    """

    def __init__(self, sampler: Sampler, given: Mapping[str, Any]) -> None:
        known = inspect.signature(sampler.sample).parameters
        wanted = ("iterations",) if "iterations" in known else ("draws", "warmup")
        self.free = [name for name in wanted if name in known and name not in given]
        if not self.free or self.free == ["warmup"]:
            raise ValueError(
                f"{wanted[0]}: given beside a budget, expected to be left open: it is what the budget decides"
            )

    def options(self, size: int) -> dict[str, int]:
        found = {name: size for name in self.free}
        if "warmup" in found:
            found["warmup"] = max(1, size // 2)
        return found
