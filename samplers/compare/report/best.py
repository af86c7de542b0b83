"""Which samplers are best on a target in one column, and which are tied with the best by the standard errors.

Every column becomes a score, of which less is better. Two are tied where they differ by at most two standard errors of
their difference: errors between seeds where there are three or more, else what a single run states of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from samplers.compare.columns import COLUMNS, Column
from samplers.compare.rows import Row

FEW_SEEDS, STANDARD_ERRORS, SHARE = 3, 2.0, 0.05


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
    column = COLUMNS[name]
    if not column.best:
        return set()
    every = {sampler: _score(column, own) for sampler, own in runs.items()}
    every = {sampler: one for sampler, one in every.items() if not math.isnan(one.value)}
    able = {s: one for s, one in every.items() if s in faultless} if faultless else every
    if not able or (not faultless and not column.of_answer):
        return set()
    first = min(able.values(), key=lambda one: one.value)
    few = min(map(len, runs.values())) < FEW_SEEDS
    found = {sampler for sampler, one in able.items() if _tied(one, first, in_share=few and column.proportional)}
    return set() if len(found) == len(every) else found


def _score(column: Column, runs: Sequence[Row]) -> Score:
    """Of a sampler in one column, NaN where it has no value."""
    known = [(value, run) for run in runs if not math.isnan(value := column.score(run))]
    if not known:
        return Score(math.nan, math.nan)
    values = np.array([value for value, _ in known])
    if len(known) >= FEW_SEEDS and np.isfinite(values).all():
        return Score(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(known))))
    own = [column.score_error(run) for _, run in known]
    return Score(float(values.mean()), math.hypot(*own) / len(own))


def _tied(one: Score, first: Score, *, in_share: bool) -> bool:
    if one.value == first.value:
        return True
    if in_share:
        return abs(one.value - first.value) <= SHARE * abs(first.value)
    return one.value - first.value <= STANDARD_ERRORS * math.hypot(one.error, first.error)
