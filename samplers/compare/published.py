"""Figures of the literature, and ours beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """A figure that was published of a method on a target: which variant, and where.

    quantity: one of QUANTITIES. truth: log Z, where the target does not state it and a long run has found it.
    """

    target: str
    quantity: str
    value: float
    method: str
    variant: str
    source: str
    truth: float | None = None


@dataclass(frozen=True)
class Quantity:
    """What is compared: a title, the value that a row gives, and whether more of it is better."""

    title: str
    of: Callable[[Row, float | None], float]
    more_is_better: bool = False


def _log_z_error(row: Row, truth: float | None) -> float:
    known = row["log_z_true"]
    return abs(row["log_z"] - (truth if truth is not None and math.isnan(known) else known))


QUANTITIES = {
    "log_z_error": Quantity("|log Z - truth|", _log_z_error),
    "elbo": Quantity("ELBO", lambda row, _: row["elbo"], more_is_better=True),
    "mmd": Quantity("MMD², unbiased", lambda row, _: row["mmd"]),
    "sliced_ks": Quantity("sliced Kolmogorov", lambda row, _: row["sliced_ks"]),
    "mode_error": Quantity(
        "largest error of a mode's weight", lambda row, _: abs(row["worst_mode"] - row["worst_mode_true"])
    ),
}


@dataclass(frozen=True)
class Beside:
    """A published figure and our best: of which sampler, in the mean of how many runs."""

    published: Published
    sampler: str
    value: float
    runs: int

    @property
    def ahead(self) -> bool:
        """Whether ours is as good or better."""
        better = self.value >= self.published.value
        return better if QUANTITIES[self.published.quantity].more_is_better else self.value <= self.published.value

    def __str__(self) -> str:
        one = self.published
        title, place = QUANTITIES[one.quantity].title, "ahead" if self.ahead else "BEHIND"
        ours, theirs = f"{self.sampler} {self.value:.4g}", f"{one.method} {one.value:.4g}"
        return f"{one.target}, {title}: {ours}; {theirs} ({one.variant}; {one.source}): {place}"


def beside(rows: Sequence[Row], published: Iterable[Published]) -> list[Beside]:
    """Each published figure beside the best of our samplers in the mean of its seeds; figures that no row has an answer
    to are left out.
    """
    found = []
    for one in published:
        quantity = QUANTITIES[one.quantity]
        ours: dict[str, list[float]] = {}
        for row in rows:
            if row["target"] == one.target and not row["error"]:
                ours.setdefault(row["sampler"], []).append(quantity.of(row, one.truth))
        means = {name: fmean(values) for name, values in ours.items() if not any(map(math.isnan, values))}
        if means:
            best = (max if quantity.more_is_better else min)(means, key=lambda name: means[name])
            found.append(Beside(one, best, means[best], len(ours[best])))
    return found


def to_records(published: Iterable[Published]) -> list[dict[str, Any]]:
    """Plain values, for the comparison's own record."""
    return [asdict(one) for one in published]


def from_records(records: Iterable[Mapping[str, Any]]) -> list[Published]:
    """What `to_records` made."""
    return [Published(**record) for record in records]
