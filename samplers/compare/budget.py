"""Runs of a length that uses up a budget of evaluations or seconds, so that rows are comparable.

A run of size s costs c(s), and c grows nearly in a straight line. From a short run on, the size that the line through
the last two runs gives is tried, at most GROWTH times the last one, until a run uses at least ENOUGH of the budget
and not more than all of it. That run is the result; the ones before it took about 1 / GROWTH as much, and cost nothing
that a reader pays: what is compared is the run of that length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from samplers.draws import Cost, Draws, Sampler
from samplers.draws.signature import taken_by
from targets.arguments import check_integer, positive

FIRST, GROWTH, TRIALS = 16, 8, 12
SAMPLES = 16  # of a teacher, for an iteration of what learns from them
ENOUGH, AIM = 0.8, 0.93
GIVEN = "{}: given beside a budget, expected to be left open: it is what the budget decides"


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

    given: options that stay as they are. OverBudget where the shortest run costs more; ValueError where the sampler
    has no length that can be given by name, or it is given.
    """
    sizes = _Sizes(sampler, given)
    tried: dict[int, float] = {}
    best: Draws | None = None
    size = FIRST
    for _ in range(TRIALS):
        draws = _tried(run, given, sizes, size)
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


def _tried(run: Callable[[Mapping[str, Any]], Draws], given: Mapping[str, Any], sizes: _Sizes, size: int) -> Draws:
    """A run of that size; without what a sampler with `**options` was only guessed to take, if that is why it fails."""
    try:
        draws = run(dict(given) | sizes.options(size))
    except Exception as error:
        if not sizes.without_guess(error):
            raise
        return _tried(run, given, sizes, size)
    sizes.guessed.clear()  # it does take it
    return draws


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

    A third of a chain's steps are warmup, and what learns from a teacher gets SAMPLES for each iteration. What stands
    behind `**options` is not known before it is tried: draws and warmup are, or iterations where draws are given.
    """

    def __init__(self, sampler: Sampler, given: Mapping[str, Any]) -> None:
        taken = taken_by(sampler)
        named = next((name for name in ("iterations", "draws") if name in taken.names), None)
        if named is None and not taken.others:
            raise ValueError(
                f"sampler: {type(sampler).__name__}.sample takes neither draws= nor iterations= by name, which is what "
                f"a budget decides; it takes {', '.join(sorted(taken.names)) or 'no options'}"
            )
        length = named or ("draws" if "draws" not in given else "iterations")
        if length in given:
            raise ValueError(GIVEN.format(length))
        beside, known = ("warmup", taken) if length == "draws" else ("samples", taken.names)
        self.free = [length] + [beside] * (beside in known and beside not in given)
        self.guessed = {name for name in self.free if name not in taken.names}

    def options(self, size: int) -> dict[str, int]:
        found = {name: size for name in self.free}
        if "warmup" in found:
            found["warmup"] = max(1, size // 2)
        if "samples" in found:
            found["samples"] = SAMPLES * size
        return found

    def without_guess(self, error: Exception) -> bool:
        """Whether there was a guess to give up; ValueError where a refused one was all there is."""
        if "warmup" in self.guessed:
            self.guessed.remove("warmup")
            self.free.remove("warmup")
            return True
        if isinstance(error, TypeError) and any(f"'{name}'" in str(error) for name in self.guessed):
            if "iterations" in self.guessed:
                raise ValueError(GIVEN.format("draws")) from error
            raise ValueError(
                f"sampler: what takes its **options refuses draws= ({error}); a budget decides draws= or iterations="
            ) from error
        return False
