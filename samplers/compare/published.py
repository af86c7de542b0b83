"""Figures of the literature, and ours beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from samplers.compare.limits import Row, number


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


def _none(row: Row) -> float:
    del row
    return 0.0


@dataclass(frozen=True)
class Quantity:
    """What is compared: a title, the value that a row gives, what it states of its error; whether more is better."""

    title: str
    of: Callable[[Row, float | None], float]
    error: Callable[[Row], float] = _none
    more_is_better: bool = False


def _log_z_error(row: Row, truth: float | None) -> float:
    known = row["log_z_true"]
    return abs(row["log_z"] - (truth if truth is not None and math.isnan(known) else known))


def _stated(name: str) -> Callable[[Row], float]:
    return lambda row: 0.0 if math.isnan(number(row, name)) else row[name]


QUANTITIES = {
    "log_z_error": Quantity("|log Z - truth|", _log_z_error, _stated("log_z_se")),
    "elbo": Quantity("ELBO", lambda row, _: row["elbo"], _stated("elbo_se"), more_is_better=True),
    "mmd": Quantity("MMD², unbiased", lambda row, _: row["mmd"], lambda row: row["mmd_highest"] - row["mmd_floor"]),
    "mode_error": Quantity(
        "error of the weight of the worst mode", lambda row, _: abs(row["worst_mode"] - row["worst_mode_true"])
    ),
}


@dataclass(frozen=True)
class Beside:
    """A published figure and our best: of which sampler, in the mean of how many runs, with the standard error of it.

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

    def __str__(self) -> str:
        one = self.published
        title, runs = QUANTITIES[one.quantity].title, f"{self.runs} run{'s' if self.runs > 1 else ''}"
        ours, theirs = f"{self.sampler} {self.value:.4g} +- {self.error:.2g}, {runs}", f"{one.method} {one.value:.4g}"
        return f"{one.target}, {title}: {ours}; {theirs} ({one.variant}; {one.source}): {self.place.upper()}"


def beside(rows: Sequence[Row], published: Iterable[Published], *, peers: Collection[str] = ()) -> list[Beside]:
    """Each published figure beside the best of our samplers in the mean of its seeds; figures that no row has an answer
    to are left out, and rows of peers, which are not ours. The standard error is that between seeds; of one run, what
    it states itself, if it does; with that of the truth, where a long run has found it.
    """
    rows = [row for row in rows if row["sampler"] not in peers]
    found = []
    for one in published:
        quantity = QUANTITIES[one.quantity]
        ours: dict[str, list[float]] = {}
        stated: dict[str, float] = {}
        truth_error = 0.0
        for row in rows:
            if row["target"] == one.target and not row["error"] and not row.get("not_finite"):
                ours.setdefault(row["sampler"], []).append(quantity.of(row, one.truth))
                stated[row["sampler"]] = quantity.error(row)
                truth_error = one.truth_error if math.isnan(number(row, "log_z_true")) else 0.0
        means = {name: fmean(values) for name, values in ours.items() if not any(map(math.isnan, values))}
        if means:
            best = (max if quantity.more_is_better else min)(means, key=lambda name: means[name])
            runs = len(ours[best])
            error = stdev(ours[best]) / math.sqrt(runs) if runs > 1 else stated[best]
            found.append(Beside(one, best, means[best], math.hypot(error, truth_error), runs))
    return found


def to_records(published: Iterable[Published]) -> list[dict[str, Any]]:
    """Plain values, for the comparison's own record."""
    return [asdict(one) for one in published]


def from_records(records: Iterable[Mapping[str, Any]]) -> list[Published]:
    """What `to_records` made."""
    return [Published(**record) for record in records]
