"""What in a row is beyond the limits that the verdict is given by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from samplers.annealing.evidence import HIGHEST_PARETO_K
from samplers.compare.limits import Row, beyond, divergences_limit, log_z_limit, number, r_hat_limit
from samplers.compare.verdict import LOW_WEIGHT_ESS
from samplers.draws.certificate import MOST_MISSED
from samplers.draws.summary import LEAST_ESS


def fault(name: str, runs: Sequence[Row]) -> str:
    """What is wrong with a column's value in any of the runs, or nothing."""
    check = CHECKS.get(name)
    return "" if check is None else next((said for run in runs if (said := check(run))), "")


def _above(name: str, most: float, text: str) -> Callable[[Row], str]:
    return lambda row: f"{text}: {row[name]:.3g}, at most {most:g}" if number(row, name) > most else ""


def _below(name: str, least: float, text: str, form: str) -> Callable[[Row], str]:
    def check(row: Row) -> str:
        low = number(row, name) < least
        return f"{text}: {form.format(row[name])}, at least {form.format(least)}" if low else ""

    return check


def _r_hat(name: str, text: str) -> Callable[[Row], str]:
    def check(row: Row) -> str:
        most = r_hat_limit(row) if "chains" in row else math.inf
        return f"{text}: {row[name]:.3g}, at most {most:.3g}" if number(row, name) > most else ""

    return check


def _shape(row: Row) -> str:
    far = beyond(row, "shape_error_se", row.get("shape_tests", 1))
    return f"{row['shape_error']}, by more than chance allows" if far else ""


def _mean(row: Row) -> str:
    """Where no shape is known to compare with, as in the verdict."""
    far = math.isnan(number(row, "shape_error_se")) and beyond(row, "mean_error_se", row.get("variables", 1))
    return f"the mean of {row['mean_error_at']} is off by more than chance allows" if far else ""


def _mode(row: Row) -> str:
    far = beyond(row, "mode_error_se", len(row.get("mode_weights", ())))
    return f"off by {row['mode_error_se']:.1f} standard errors" if far else ""


def _log_z(row: Row) -> str:
    error = number(row, "log_z_se")
    far = abs(number(row, "log_z") - number(row, "log_z_true")) / error if error > 0 else math.nan
    return f"off by {far:.1f} times its standard error" if far > log_z_limit(row) else ""


def _divergences(row: Row) -> str:
    share = number(row, "divergences") / max(number(row, "draws"), 1)
    return f"{share:.1%} of the draws" if share > divergences_limit(row) else ""


CHECKS: Mapping[str, Callable[[Row], str]] = {
    "r_hat": _r_hat("r_hat", "the chains do not agree"),
    "mode_r_hat": _r_hat("mode_r_hat", "the chains do not mix between modes"),
    "ess_bulk": _below("ess_bulk", LEAST_ESS, "few effective draws", "{:.0f}"),
    "pareto_k": _above("pareto_k", HIGHEST_PARETO_K, "weights with too heavy tails"),
    "weight_ess": _below("weight_ess", LOW_WEIGHT_ESS, "few effective draws", "{:.1%}"),
    "shape_error_se": _shape,
    "mean_error_se": _mean,
    "worst_mode": _mode,
    "log_z": _log_z,
    "divergences": _divergences,
    "missed": _above("missed", MOST_MISSED, "scouts found mass that the draws lack"),
}
