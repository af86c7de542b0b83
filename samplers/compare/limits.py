"""When a measure is beyond chance: limits that draws without a fault exceed once in 1 / FALSE_ALARM rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from samplers.draws.summary import HIGHEST_R_HAT

FALSE_ALARM = 1e-4
MANY_DIVERGENCES = 0.01  # of the draws
FEW = 100  # effective draws below which errors must be twice as large to be believed

Row = Mapping[str, Any]


def number(row: Row, name: str) -> float:
    """A measure, NaN where the row has none."""
    value = row.get(name)
    return math.nan if value is None or value == "" else float(value)


def limit(tests: int) -> float:
    """Standard errors that the largest of so many normal errors exceeds with probability FALSE_ALARM."""
    from scipy.stats import norm

    return float(norm.isf(FALSE_ALARM / (2 * max(tests, 1))))


def log_z_limit(row: Row) -> float:
    """The same for log Z, whose standard error is from as many replicates as the row says, or from one run."""
    from scipy.stats import t

    replicates = number(row, "log_z_replicates")
    return float(t.isf(FALSE_ALARM / 2, replicates - 1)) if replicates > 1 else limit(1)


def r_hat_limit(row: Row) -> float:
    """The largest R-hat to expect of independent chains that are as short as these, at least 1.01.

    Of 2 m halves of n / 2 draws, R-hat^2 is about 1 + (F - 1) / (n / 2) with F ~ chi^2 / (2 m - 1) where the draws are
    independent; the largest is over variables, and over ranks and folded ranks.
    """
    from scipy.stats import chi2

    halves, draws = 2 * int(row["chains"]), row["draws"] / (2 * row["chains"])
    largest = chi2.isf(FALSE_ALARM / (2 * max(row["variables"], 1)), halves - 1) / (halves - 1)
    return max(HIGHEST_R_HAT, math.sqrt(1 + max(largest - 1, 0.0) / max(draws, 1.0)))


def divergences_limit(row: Row) -> float:
    """The most divergences, as a share of the draws, that are no fault: of some samplers many are usual."""
    usual = number(row, "usual_divergences")
    return MANY_DIVERGENCES if math.isnan(usual) else max(MANY_DIVERGENCES, usual)


def beyond(row: Row, name: str, tests: int) -> bool:
    """Whether an error in standard errors is more than chance; of few effective draws, twice as much is asked for."""
    strict = 1 if number(row, "ess_bulk") >= FEW else 2
    return number(row, name) > strict * limit(tests)
