"""What a run has cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Evaluations of the target, counted per point, and wall-clock seconds, warmup included."""

    log_prob: int = 0
    score: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.log_prob + other.log_prob, self.score + other.score, self.seconds + other.seconds)
