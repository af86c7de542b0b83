"""Trial runs of one sampler under a budget, and what they have cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from samplers.compare.lengths import Lengths
from samplers.draws import Cost, Draws
from samplers.runs.ending import Ending, UsedUp, ending_at

Run = Callable[[Mapping[str, Any]], Draws]


@dataclass(frozen=True)
class Tried:
    """A run with these options; draws: None where it used up the budget before the first. share: of the budget that
    it used; ending: what it has met of the end that was set to it.
    """

    options: Mapping[str, int]
    draws: Draws | None
    cost: Cost
    share: float
    ending: Ending


@dataclass
class Trials:
    """run: makes one; given: options that stay as they are; share: of the budget that a cost is; every: run so far."""

    run: Run
    given: Mapping[str, Any]
    lengths: Lengths
    share: Callable[[Cost], float]
    every: list[Tried] = field(default_factory=list)

    def of_size(self, size: int) -> Tried:
        """A run of that size; without what a sampler with `**options` was only guessed to take, if it fails by that."""
        try:
            found = self.of(self.lengths.options(size))
        except Exception as error:
            if not self.lengths.without_guess(error):
                raise
            return self.of_size(size)
        self.lengths.guessed.clear()  # it does take it
        return found

    def of(self, options: Mapping[str, int]) -> Tried:
        """A run with these options, which ends where the budget does if it heeds an end."""
        with ending_at(self.share) as ending:
            draws: Draws | None = None
            try:
                draws = self.run(dict(self.given) | dict(options))
                cost = draws.cost
            except UsedUp as end:
                cost = end.cost
        found = Tried(options, draws, cost, self.share(cost), ending)
        self.every.append(found)
        return found

    def besides(self, one: Tried) -> Cost:
        """What all others have cost."""
        return sum((tried.cost for tried in self.every if tried is not one), Cost())
