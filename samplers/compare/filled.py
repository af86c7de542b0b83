"""A run of chains that fills a budget: a short one tells what its parts cost, and the next ends where the budget does.

    share of n draws after w steps of warmup by c chains = s + b c + p c w + q c n

s: of finding the kernel, b of finding starts, p of a step of warmup, q of a draw; measured by a run of a few chains.
The warmup is half as long as the draws. Where the sampler was not told how many chains to run, there are fewer than
it would run by itself if their starts would take more than STARTS of the budget, or if they had fewer than STEPS steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from samplers.compare.trials import Trials, Tried

FIRST, GROWTH, ATTEMPTS = 16, 8, 6
FEWEST = 4  # chains, of which R-hat can still be told
STARTS, STEPS = 0.1, 150
SHORT = 0.04  # of the budget: a trial that takes less may tell more of what the parts cost
WARMUP = 0.2  # of what is left of the budget after the starts, at most, as far as a short trial tells
ROOM = 3  # times the draws that are expected, so that the budget ends the run and not their number
ENOUGH, LONGER = 0.8, 1.3


@dataclass(frozen=True)
class Parts:
    """s, b, p and q."""

    kernel: float
    start: float
    warm: float
    draw: float

    @classmethod
    def of(cls, tried: Tried, chains: int) -> Parts:
        """Of a run that was not cut before its first draw."""
        assert tried.draws is not None
        met, draws = tried.ending, tried.draws.x.shape[1]
        warmed = met.warm if math.isfinite(met.warm) else met.begun
        warmup = tried.options.get("warmup", 0)
        warm = (warmed - met.begun) / chains / warmup if warmup else 0.0
        drawn = max(tried.share - warmed, 1e-12) / chains / draws
        return cls(met.spent, (met.begun - met.spent) / chains, warm, drawn)

    def fixed(self, chains: int) -> float:
        """What no draw changes."""
        return self.kernel + self.start * chains

    def chains(self, most: int) -> int:
        """How many there should be, at most so many."""
        left = max(1 - self.kernel, 0.0)
        by_starts = STARTS * left / self.start if self.start > 0 else most
        by_steps = left / (self.start + STEPS * (self.warm + 2 * self.draw) / 3)
        return int(max(FEWEST, min(most, by_starts, by_steps)))

    def length(self, chains: int) -> int:
        """Draws that fill the budget, with half as many steps of warmup."""
        return max(1, int((1 - self.fixed(chains)) / chains / (self.warm / 2 + self.draw)))


def filled(trials: Trials, first: Tried, chains: int, most_chains: int | None) -> Tried | None:
    """The run that fills the budget; None where none gave a draw. first: a trial of so many chains."""
    run = first
    for size in (FIRST // 4, 1):
        if run.draws is None:
            run = trials.of({**first.options, **trials.lengths.options(size)})
    if run.draws is None or run.ending.cut:
        return run if run.draws is not None else None
    parts = Parts.of(run, chains)
    free = {} if most_chains is None else {"chains": parts.chains(most_chains)}
    chains = free.get("chains", chains)
    size = FIRST * GROWTH
    while parts.fixed(chains) + chains * size * (parts.warm / 2 + parts.draw) <= SHORT:
        run = trials.of({**trials.lengths.options(size), **free})
        if run.draws is None:
            break
        parts, size = Parts.of(run, chains), size * GROWTH
    return _whole(trials, parts, chains, free)


def _whole(trials: Trials, parts: Parts, chains: int, free: Mapping[str, int]) -> Tried | None:
    """Runs that end where the budget does, until one has used it; else the longest."""
    best: Tried | None = None
    draws = parts.length(chains)
    warmup = max(1, min(draws // 2, int(WARMUP * (1 - parts.fixed(chains)) / max(chains * parts.warm, 1e-12))))
    for _ in range(ATTEMPTS):
        options = trials.lengths.options(ROOM * draws) | dict(free)
        if "warmup" in options:
            options["warmup"] = warmup
        run = trials.of(options)
        if run.draws is None or run.share > 1:  # warmup took it, or its last step
            warmup, draws = max(1, warmup // 3), max(1, draws // 2)
            continue
        if best is None or run.share > best.share:
            best = run
        if run.share >= ENOUGH:
            break
        draws = max(draws + 1, int(LONGER * (1 - run.ending.warm) / chains / Parts.of(run, chains).draw / ROOM))
    return best
