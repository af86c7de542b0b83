"""What a run has cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Evaluations of the target, counted per point, and wall-clock seconds, warmup included.

    log_prob, score: evaluations; a score counts as a log-density too. seconds: of wall-clock time.

        >>> samplers.Cost(log_prob=10, score=10) + samplers.Cost(log_prob=5, seconds=0.5)
        Cost(log_prob=15, score=10, seconds=0.5)
    """

    log_prob: int = 0
    score: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.log_prob + other.log_prob, self.score + other.score, self.seconds + other.seconds)
