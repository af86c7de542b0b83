"""Time two things alternately, so that a drift of the machine's speed falls on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Times:
    """Seconds of each repetition."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def alternate(runs: list[Callable[[], Any]], repetitions: int) -> list[Times]:
    """One untimed call of each, then repetitions of all in turn; nothing else should run meanwhile."""
    for run in runs:
        run()
    rounds = [[timed(run)[1] for run in runs] for _ in range(repetitions)]
    return [Times(list(seconds)) for seconds in zip(*rounds, strict=True)]
