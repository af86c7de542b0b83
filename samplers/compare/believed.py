"""The log Z to believe of a target: all runs of the samplers without a fault together.

    log Z = sum_r w_r v_r / sum_r w_r,   w_r = 1 / s_r^2
    error^2 = max(1, sum_r w_r (v_r - log Z)^2 / (R - 1)) / sum_r w_r

v_r and s_r: what the certificate of run r says (`samplers.draws.certificate`), for chains by bridge sampling or the
mass of regions. Where the R runs spread more than they state, the spread counts, with the quantile of Student's t for
R - 1 degrees of freedom (Birge 1932); else that of a normal. Runs that state no error count only where none does: then
it is the mean, with Student's interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samplers.compare.rows import Row, joined, number
from samplers.draws.certificate import STANDARD_ERRORS
from samplers.draws.wording import digits, in_words, plus_minus

COVERED = 0.95


@dataclass(frozen=True)
class Stated:
    """log Z as one run states it, and its standard error, NaN where it states none; hidden: by how much mass that was
    not found may raise it.
    """

    value: float
    error: float
    hidden: float = 0.0


@dataclass(frozen=True)
class Believed:
    """value and its standard_error, with the interval (lower, upper) that covers log Z with probability COVERED; NaN
    where nothing tells these.

    samplers: by name, how many of their runs stand behind it. independent: how many of the samplers share no pilot.
    """

    value: float
    lower: float
    upper: float
    samplers: Mapping[str, int]
    independent: int
    standard_error: float = math.nan

    @property
    def estimates(self) -> int:
        """How many independent ones stand behind it."""
        return sum(self.samplers.values())

    def _shared(self) -> str:
        """How few samplers these are, where some start from the same pilot."""
        if self.independent == len(self.samplers):
            return ""
        return (
            ", which start from one pilot" if self.independent == 1 else f", which count as {self.independent} samplers"
        )

    def __str__(self) -> str:
        runs = [f"{name} ({count} runs)" if count > 1 else name for name, count in self.samplers.items()]
        many = "one estimate" if self.estimates == 1 else f"{in_words(self.estimates)} independent estimates"
        many += f", by {joined(runs)}{self._shared()}"
        if math.isnan(self.lower):
            return f"log Z to believe: {self.value:.4g}, of unknown error, from {many}"
        low, high = (digits(end, self.standard_error) for end in (self.lower, self.upper))
        said = f"log Z to believe: {plus_minus(self.value, self.standard_error)}, from {many}"
        return f"{said}; between {low} and {high} in {COVERED:.0%} of cases"


def stated(row: Row) -> Stated | None:
    """What the certificate of a run says of log Z; None where it says nothing."""
    value, error, high = (number(row, name) for name in ("believed_log_z", "believed_log_z_se", "log_z_high"))
    if not math.isfinite(value):
        return None
    if not error > 0:
        return Stated(value, math.nan)
    return Stated(value, error, max(0.0, high - value - STANDARD_ERRORS * error) if math.isfinite(high) else 0.0)


def believed(runs: Mapping[str, Sequence[Row]], pilots: Mapping[str, str]) -> Believed | None:
    """Of runs by sampler; pilots: as of `pilots_of`. None where no run states log Z."""
    found = [(name, one) for name, rows in runs.items() for row in rows if (one := stated(row)) is not None]
    # those of unknown error only where there are no others
    pairs = [(name, one) for name, one in found if one.error > 0] or found
    if not pairs:
        return None
    value, error, half = _together(np.array([one.value for _, one in pairs]), np.array([one.error for _, one in pairs]))
    counts = Counter(name for name, _ in pairs)
    above = float(np.median([one.hidden for _, one in pairs]))
    different = len({pilots[name] for name in counts})
    return Believed(value, value - half, value + half + above, counts, different, error)


def _together(values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """The mean, its standard error, and half the width of its interval."""
    from scipy.stats import norm, t

    n = len(values)
    if not (errors > 0).all():
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        return float(values.mean()), error, float(t.isf((1 - COVERED) / 2, n - 1)) * error
    weights = 1 / errors**2
    mean = float(weights @ values / weights.sum())
    error = 1 / math.sqrt(weights.sum())
    excess = float(weights @ (values - mean) ** 2) / (n - 1) if n > 1 else 0.0
    if excess <= 1:
        return mean, error, float(norm.isf((1 - COVERED) / 2)) * error
    error *= math.sqrt(excess)
    return mean, error, float(t.isf((1 - COVERED) / 2, n - 1)) * error
