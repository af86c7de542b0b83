"""Figures of the literature, and ours beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from samplers.compare.columns import COLUMNS
from samplers.compare.rows import Row, answers, by, counted, has, log_z_off_by, number, value

MEAN_SIZE = math.sqrt(2 / math.pi)  # of a standard normal number, and the deviation of its size
SPREAD_OF_SIZE = math.sqrt(1 - MEAN_SIZE**2)


@dataclass(frozen=True)
class Published:
    """A figure that was published of a method on a target: which variant, and where.

    quantity: one of QUANTITIES. truth: log Z, where the target does not state it and a long run has found it, and the
    standard error of that.
    """

    target: str
    quantity: str
    value: float
    method: str
    variant: str
    source: str
    truth: float | None = None
    truth_error: float = 0.0


def _size(values: Sequence[float]) -> float:
    return abs(fmean(values))


@dataclass(frozen=True)
class Quantity:
    """What is compared: a title, the value that a row gives, the standard error that it states, NaN for none, how the
    values of several rows become one; whether more is better.
    """

    title: str
    of: Callable[[Row], float]
    error: Callable[[Row], float]
    over: Callable[[Sequence[float]], float] = fmean
    more_is_better: bool = False


def _typical_error(row: Row) -> float:
    """The error of a run or, where that is larger, what its standard error leads to in the mean: luck is no skill."""
    far, stated = abs(log_z_off_by(row)), MEAN_SIZE * number(row, "log_z_se")
    return stated if stated > far else far


def _mode_error(row: Row) -> float:
    return abs(number(row, "worst_mode") - number(row, "worst_mode_true"))


QUANTITIES = {
    "log_z_error": Quantity(
        "mean size of the error of log Z", _typical_error, lambda row: SPREAD_OF_SIZE * number(row, "log_z_se")
    ),
    "log_z_bias": Quantity("error of the mean of log Z", log_z_off_by, value("log_z_se"), _size),
    "elbo": Quantity("ELBO", value("elbo"), value("elbo_se"), more_is_better=True),
    "mmd": Quantity("MMD², unbiased", value("mmd"), COLUMNS["mmd"].error),
    "mode_error": Quantity(
        "error of the weight of the worst mode",
        _mode_error,
        lambda row: _mode_error(row) / (row["mode_error_se"] or 1.0),
    ),
}


@dataclass(frozen=True)
class AgainstPublished:
    """A published figure and our best: of which sampler, over how many runs, with the standard error of it.

    The best of several samplers is a lucky one: where ours is not ahead by two of its standard errors, it is level.
    """

    published: Published
    sampler: str
    value: float
    error: float
    runs: int

    @property
    def place(self) -> Literal["ahead", "level", "behind"]:
        """Whether ours is better or worse by more than two standard errors."""
        better = self.value - self.published.value
        better = better if QUANTITIES[self.published.quantity].more_is_better else -better
        return "ahead" if better > 2 * self.error else "behind" if better < -2 * self.error else "level"

    @property
    def here(self) -> str:
        """Ours with its standard error, to two digits of that."""
        digits = max(0, 1 - math.floor(math.log10(self.error))) if 0 < self.error < math.inf else 4
        return f"{self.value:.{digits}f} +- {self.error:.{digits}f}"

    def __str__(self) -> str:
        one = self.published
        ours, theirs = f"{self.sampler} {self.here}, {counted(self.runs, 'run')}", f"{one.method} {one.value:g}"
        title = QUANTITIES[one.quantity].title
        return f"{one.target}, {title}: {ours}; {theirs} ({one.variant}; {one.source}): {self.place.upper()}"


def against_published(
    rows: Sequence[Row], published: Iterable[Published], *, peers: Collection[str] = ()
) -> list[AgainstPublished]:
    """Each published figure beside the best of our samplers; figures that no row has an answer to are left out, and
    rows of peers, which are not ours. The standard error is that between seeds, of one run what it states itself; with
    that of the truth, where a long run has found it. Answers without one are left out too. Best is what is so with its
    standard error against it: of two that seem right the surer one.
    """
    able = [row for row in answers(rows) if row["sampler"] not in peers and not row.get("not_finite")]
    found = []
    for one in published:
        quantity = QUANTITIES[one.quantity]
        own = by("sampler", (row for row in able if row["target"] == one.target))
        ours = [_ours(one, quantity, sampler, runs) for sampler, runs in own.items()]
        known = [candidate for candidate in ours if not math.isnan(candidate.value + candidate.error)]
        if known:
            sign = -1 if quantity.more_is_better else 1
            found.append(min(known, key=lambda candidate: sign * candidate.value + candidate.error))
    return found


def _ours(one: Published, quantity: Quantity, sampler: str, runs: Sequence[Row]) -> AgainstPublished:
    truth_error = 0.0
    if one.truth is not None and not has(runs[0], "log_z_true"):
        runs, truth_error = [{**run, "log_z_true": one.truth} for run in runs], one.truth_error
    values = [quantity.of(row) for row in runs]
    if not all(map(math.isfinite, values)):
        return AgainstPublished(one, sampler, math.nan, math.nan, len(values))
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else quantity.error(runs[0])
    return AgainstPublished(one, sampler, quantity.over(values), math.hypot(error, truth_error), len(values))
