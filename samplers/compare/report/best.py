"""Which samplers are best on a target in one column, and which are tied with the best by the standard errors.

Every column becomes a score, of which less is better. Two are tied where they differ by at most two standard errors of
their difference: errors between seeds where there are three or more, else what a single run states of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samplers.annealing.evidence import HIGHEST_PARETO_K
from samplers.compare.limits import Row, number
from samplers.compare.table import COLUMNS
from samplers.draws.certificate import MOST_MISSED
from samplers.draws.summary import HIGHEST_R_HAT

FEW_SEEDS, STANDARD_ERRORS, SHARE = 3, 2.0, 0.05
GOOD_ENOUGH = {
    "r_hat": HIGHEST_R_HAT,
    "mode_r_hat": HIGHEST_R_HAT,
    "pareto_k": HIGHEST_PARETO_K,
    "missed": MOST_MISSED,
}
IN_PROPORTION = (
    "ess_bulk", "ess_tail", "mode_ess", "autocorrelation", "ess_per_1000_evaluations", "ess_per_second", "weight_ess",
    "log_z_se", "seconds",
)  # fmt: skip
DISTANCES = ("sliced_w2", "w2", "sinkhorn", "mmd", "sliced_ks", "ksd")
SIGNED = {"mean_error_sd": "mean_error_se", "sd_error": "sd_error_se"}  # and the same in standard errors
OPEN_TO_ALL = ("mean_error_se", "sd_error_se", "shape_error_se", "log_z", "elbo", "eubo", *SIGNED, *DISTANCES)
JUDGED = (*(name for name, column in COLUMNS.items() if column.best), "log_z")


@dataclass(frozen=True)
class Score:
    """The mean over seeds, less is better, and its standard error."""

    value: float
    error: float


def best(name: str, runs: Mapping[str, Sequence[Row]], faultless: set[str]) -> set[str]:
    """The samplers that are best in a column, and those tied with them; none where all are, which says nothing.

    runs: those that did not fail, by sampler. Samplers with a fault do not count, unless all have one; then all count
    where the column is of errors, and none elsewhere.
    """
    if name not in JUDGED:
        return set()
    every = {sampler: score(name, own) for sampler, own in runs.items()}
    every = {sampler: one for sampler, one in every.items() if not math.isnan(one.value)}
    able = {s: one for s, one in every.items() if s in faultless} if faultless else dict(every)
    if not able or (not faultless and name not in OPEN_TO_ALL):
        return set()
    first = min(able.values(), key=lambda one: one.value)
    few = min(len(own) for own in runs.values()) < FEW_SEEDS
    found = {sampler for sampler, one in able.items() if _tied(name, one, first, few=few)}
    return set() if len(found) == len(every) else found


def score(name: str, runs: Sequence[Row]) -> Score:
    """Of a sampler in one column, NaN where it has no value."""
    values = np.array([_score(name, run) for run in runs])
    known = ~np.isnan(values)
    if not known.any():
        return Score(math.nan, math.nan)
    mean = float(values[known].mean())
    if known.sum() >= FEW_SEEDS and np.isfinite(values[known]).all():
        return Score(mean, float(values[known].std(ddof=1) / math.sqrt(known.sum())))
    own = [_own_error(name, run) for run, kept in zip(runs, known, strict=True) if kept]
    return Score(mean, math.hypot(*own) / len(own))


def _tied(name: str, one: Score, first: Score, *, few: bool) -> bool:
    if one.value == first.value:
        return True
    if few and name in IN_PROPORTION:
        return abs(one.value - first.value) <= SHARE * abs(first.value)
    return one.value - first.value <= STANDARD_ERRORS * math.hypot(one.error, first.error)


def _score(name: str, row: Row) -> float:
    value = number(row, name)
    if name == "log_z":
        return abs(value - number(row, "log_z_true"))
    if name in DISTANCES:
        floor = number(row, f"{name}_floor")
        return value - (0.0 if math.isnan(floor) else floor)
    if name in SIGNED:
        return abs(value)
    if name in GOOD_ENOUGH and not math.isnan(value):
        return max(value, GOOD_ENOUGH[name])
    return -value if COLUMNS[name].best == "high" else value


def _own_error(name: str, row: Row) -> float:
    """What a run tells of the standard error of its score; zero where it tells nothing."""
    if name == "log_z":
        found = number(row, "log_z_se")
    elif name in SIGNED:
        found = abs(number(row, name)) / (number(row, SIGNED[name]) or math.nan)
    elif name.endswith("_error_se"):
        found = 1.0
    elif name in DISTANCES:  # the largest of four is about one deviation above the mean
        found = number(row, f"{name}_highest") - number(row, f"{name}_floor")
    else:
        found = 0.0
    return found if math.isfinite(found) else 0.0
