"""The sequential rule by which p-values pass or fail: a false alarm at most once in 100,000 runs, whatever the seed.

    At stage 1..k with level b:  q = (number of p-values) * (smallest of them)
    q <= b: fail.   q > g + b: pass.   Otherwise b <- b / g and fresh draws, after the first stage four times as many.
    b = a/k at first, g = b^(1/k), a the total level, k the number of stages.

A correct kernel passes at the first stage with probability about 0.85, and is rejected in all with probability at most
a; a wrong one that looks suspicious is looked at again with more draws. Gandy and Scott 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

POWER = 0.9
LEVEL = 1e-5
STAGES = 7
GROWTH = 4


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of a check: its name, stages used, the p-values of the last stage, and the smallest one's name.

    check: its name. passed: whether. stages: those used. draws: of the last one. p_values: by statistic. how_far: of a
    failure, in which direction and by how much what failed is off, in words. could_see: of a pass, which errors
    the check would have shown with probability .9, in words.

        >>> from samplers.testing import check_invariance
        >>> report = check_invariance(samplers.MALA(0.5), targets.Gaussian([0.0]), chains=500, seed=0)
        >>> report.passed, report.check
        (True, 'invariance of MALA on Gaussian')
        >>> repr(report).partition(": ")[0]
        'invariance of MALA on Gaussian passed at stage 1 of 7 with 500 draws'
    """

    check: str
    passed: bool
    stages: int
    draws: int
    p_values: dict[str, float]
    how_far: str = ""
    could_see: str = ""

    @property
    def worst(self) -> str:
        """The statistic with the smallest p-value."""
        return min(self.p_values, key=lambda name: self.p_values[name])

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        further = f". {self.how_far[:1].upper()}{self.how_far[1:]}" if self.how_far else ""
        if self.could_see:
            further += f". It would have shown {self.could_see}, with probability {POWER:g}"
        return (
            f"{self.check} {verdict} at stage {self.stages} of {STAGES} with {self.draws} draws: smallest p-value "
            f"{self.p_values[self.worst]:.2e} for {self.worst}, of {len(self.p_values)} statistics{further}"
        )


def sequential(
    check: str,
    draws: int,
    p_values: Callable[[int, int], dict[str, float]],
    level: float = LEVEL,
    how_far: Callable[[list[str]], str] | None = None,
    could_see: Callable[[float], str] | None = None,
) -> Report:
    """Run `p_values(stage, draws)` by the rule; returns the report, or raises AssertionError with it.

    how_far: says of the statistics that failed at the last stage, the worst first, how far they are off.
    could_see: says which error moves one statistic by so many standard errors at the first stage, of `least_seen`.
    """
    beta = level / STAGES
    gamma = beta ** (1 / STAGES)
    report, first = None, draws
    for stage in range(STAGES):
        # a statistic that is not a number is one that failed
        found = {name: 0.0 if math.isnan(value) else value for name, value in p_values(stage, draws).items()}
        q = len(found) * min(found.values())
        report = Report(check, q > beta, stage + 1, draws, found)
        if q <= beta:
            worst = sorted((name for name in found if len(found) * found[name] <= beta), key=found.__getitem__)
            raise AssertionError(str(report if how_far is None else replace(report, how_far=how_far(worst))))
        if q > gamma + beta:
            break
        beta /= gamma
        if stage == 0:
            draws *= GROWTH
    assert report is not None
    if could_see is None:
        return report
    return replace(report, could_see=could_see(least_seen(len(report.p_values), level) / math.sqrt(first)))


@cache
def least_seen(statistics: int, level: float = LEVEL) -> float:
    """By how many standard errors of the first stage one of so many statistics must be off to be found.

    Found: the rule rejects with probability .9. The statistic is normal and tested on both sides, the others are right.
    """
    low, high = 0.0, 100.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, statistics, level) >= POWER else (middle, high)
    return high


def _power(mean: float, statistics: int, level: float) -> float:
    """With what probability the rule rejects where one statistic has this mean at the first stage."""
    normal = NormalDist()

    def beyond(q: float) -> float:
        edge = -normal.inv_cdf(min(1.0, q / statistics) / 2)
        return normal.cdf(mean - edge) + normal.cdf(-mean - edge)

    beta = level / STAGES
    gamma = beta ** (1 / STAGES)
    open_, rejected = 1.0, 0.0
    for stage in range(STAGES):
        failed = beyond(beta)
        rejected += open_ * failed
        open_ *= max(0.0, beyond(gamma + beta) - failed)
        beta /= gamma
        if stage == 0:
            mean *= math.sqrt(GROWTH)
    return rejected
