"""What is said of one run of the calibration benchmark: whether it misses, and whether its alarm is false."""

from __future__ import annotations

import math

from _machine import Row

TRUSTED_K, LEAST, MANY, FEW = 0.7, 0.1, 5.0, 3.0


def error(row: Row) -> float:
    """log Z less its exact value; NaN where the run stated none or what is not a number."""
    return math.nan if row.get("log_z") is None else row["log_z"] - row["log_z_true"]


def stated(row: Row) -> float:
    """The standard error that was stated; 0 where that is no number, so that nothing is excused by it."""
    value = row.get("log_z_se")
    return value if value is not None and math.isfinite(value) else 0.0


def missed(row: Row) -> bool:
    """Whether |error| is over max(5 stated errors, 0.1)."""
    return not abs(error(row)) <= max(MANY * stated(row), LEAST)


def silent_miss(row: Row) -> bool:
    return missed(row) and not row["warnings"]


def false_alarm(row: Row) -> bool:
    """A warning on a run whose error is within 3 stated errors and whose k-hat is below 0.7, or that has none."""
    return bool(row["warnings"]) and abs(error(row)) <= FEW * stated(row) and trusted(row)


def covered(row: Row) -> bool:
    """Whether the certificate's interval holds the exact log Z."""
    return row["certificate_lower"] <= row["log_z_true"] <= row["certificate_upper"]


def trusted(row: Row) -> bool:
    k = row.get("pareto_k")
    return k is None or k < TRUSTED_K


def warned_of_draws(row: Row) -> bool:
    """Of means and modes also what a summary of the draws says counts."""
    return bool(row["warnings"] or row.get("summary_warnings"))


def mean_missed(row: Row) -> bool:
    """Whether the worst mean is off by more than max(5 standard errors, 0.1 sd)."""
    return row["mean_error_se"] > MANY and abs(row["mean_error_sd"]) > LEAST


def modes_missed(row: Row) -> bool:
    """Whether the worst mode is off by more than 5 standard errors, and over 0.1 of the mass is in a wrong mode."""
    return row["mode_error_se"] > MANY and row["mode_error"] > LEAST


def cause(row: Row) -> str:
    """What the run itself shows of the reason of a miss."""
    if row.get("mode_weights") is not None:
        pairs = list(zip(row["mode_weights"], row["mode_weights_true"], strict=True))
        lost = [true for share, true in pairs if share < 0.5 * true]
        if lost:
            return f"{len(lost)} of {len(pairs)} modes lost, of mass {sum(lost):.3f}"
    if not trusted(row):
        return f"tail of the weights, k-hat {row['pareto_k']:.2f}"
    if error(row) < 0:
        return "too low: mass not reached"
    return "too high"
