"""What in a row is beyond the limits that the verdict is given by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from samplers.annealing.evidence import HIGHEST_PARETO_K
from samplers.compare.verdict import FEW, LOW_WEIGHT_ESS, MANY_DIVERGENCES, limit
from samplers.summary import HIGHEST_R_HAT, LEAST_ESS

Row = Mapping[str, Any]


def fault(name: str, runs: Sequence[Row]) -> str:
    """What is wrong with a column's value in any of the runs, or nothing."""
    check = CHECKS.get(name)
    return "" if check is None else next((said for run in runs if (said := check(run))), "")


def _above(name: str, most: float, text: str) -> Callable[[Row], str]:
    return lambda row: f"{text}: {row[name]:.3g}, at most {most:g}" if _number(row, name) > most else ""


def _below(name: str, least: float, text: str, form: str) -> Callable[[Row], str]:
    def check(row: Row) -> str:
        low = _number(row, name) < least
        return f"{text}: {form.format(row[name])}, at least {form.format(least)}" if low else ""

    return check


def _shape(row: Row) -> str:
    most = limit(row.get("shape_tests", 1))
    far = _number(row, "ess_bulk") >= FEW and _number(row, "shape_error_se") > most
    return f"{row['shape_error']}, by more than chance allows ({most:.1f} s.e.)" if far else ""


def _mean(row: Row) -> str:
    """Where no shape is known to compare with, as in the verdict."""
    most = limit(row.get("variables", 1))
    judged = _number(row, "ess_bulk") >= FEW and math.isnan(_number(row, "shape_error_se"))
    far = judged and _number(row, "mean_error_se") > most
    return f"the mean of {row['mean_error_at']} is off by more than chance allows ({most:.1f} s.e.)" if far else ""


def _mode(row: Row) -> str:
    most = limit(len(row.get("mode_weights", ())))
    return f"off by {row['mode_error_se']:.1f} standard errors" if _number(row, "mode_error_se") > most else ""


def _log_z(row: Row) -> str:
    error = _number(row, "log_z_se")
    far = abs(_number(row, "log_z") - _number(row, "log_z_true")) / error if error > 0 else math.nan
    return f"off by {far:.1f} times its standard error" if far > limit(1) else ""


def _divergences(row: Row) -> str:
    share = _number(row, "divergences") / max(_number(row, "draws"), 1)
    return f"{share:.1%} of the draws" if share > MANY_DIVERGENCES else ""


def _number(row: Row, name: str) -> float:
    value = row.get(name)
    return math.nan if value is None or value == "" else float(value)


CHECKS: Mapping[str, Callable[[Row], str]] = {
    "r_hat": _above("r_hat", HIGHEST_R_HAT, "the chains do not agree"),
    "mode_r_hat": _above("mode_r_hat", HIGHEST_R_HAT, "the chains do not mix between modes"),
    "ess_bulk": _below("ess_bulk", LEAST_ESS, "few effective draws", "{:.0f}"),
    "pareto_k": _above("pareto_k", HIGHEST_PARETO_K, "weights with too heavy tails"),
    "weight_ess": _below("weight_ess", LOW_WEIGHT_ESS, "few effective draws", "{:.1%}"),
    "shape_error_se": _shape,
    "mean_error_se": _mean,
    "worst_mode": _mode,
    "log_z": _log_z,
    "divergences": _divergences,
}
