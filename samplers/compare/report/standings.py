"""The page's table: a line for each target and sampler, the mean over seeds, with its spread and its marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.compare.columns import COLUMNS, DASH, MINUS, Column
from samplers.compare.report.best import best
from samplers.compare.rows import Row, answers, by, has
from samplers.compare.verdict import Verdict


@dataclass(frozen=True)
class Entry:
    """What stands in a cell: text, spread between seeds, marks; order: what it is sorted by, None at the end."""

    text: str
    spread: str = ""
    order: float | str | None = None
    best: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Line:
    """A sampler on a target. runs: those that gave an answer; error: of the others, and how many they are."""

    sampler: str
    entries: Mapping[str, Entry]
    runs: Sequence[Row]
    error: str


def standings(
    rows: Sequence[Row], columns: Mapping[str, Column], verdicts: Mapping[str, Verdict]
) -> dict[str, list[Line]]:
    """By target, in the order of the rows."""
    return {target: _lines(own, columns, verdicts[target]) for target, own in by("target", rows).items()}


def _lines(rows: Sequence[Row], columns: Mapping[str, Column], verdict: Verdict) -> list[Line]:
    every = by("sampler", rows)
    judged = {name: runs for name, own in every.items() if (runs := answers(own))}
    faultless = {name for name, said in verdict.faults.items() if not said}
    marked = {column: best(column, judged, faultless) for column in columns}
    return [_line(name, own, {column: name in marked[column] for column in columns}) for name, own in every.items()]


def single_runs(rows: Sequence[Row], columns: Mapping[str, Column]) -> dict[str, list[Line]]:
    """By target, a line for each run, without marks for the best."""
    unmarked = dict.fromkeys(columns, False)
    return {
        target: [_line(f"{row['sampler']}, seed {row['seed']}", [row], unmarked) for row in own]
        for target, own in by("target", rows).items()
    }


def _line(name: str, rows: Sequence[Row], marked: Mapping[str, bool]) -> Line:
    """marked: the columns, and whether it is among the best there."""
    runs = answers(rows)
    return Line(name, {column: entry(column, runs, best=mark) for column, mark in marked.items()}, runs, _error(rows))


def entry(name: str, runs: Sequence[Row], *, best: bool = False) -> Entry:
    """The value of a column over runs: mean and spread; of errors with a sign the mean size, signed if all agree."""
    column = COLUMNS[name]
    values = [row[name] for row in runs if column.show(row.get(name)) != DASH]
    if not values:
        return Entry("\N{EN DASH}")
    if column.words:
        text = ", ".join(dict.fromkeys(values))
        return Entry(text, order=text)
    wrong = "; ".join(said for limit in column.limits for said in limit.said(runs))
    worst = [row for row in runs if has(row, column.of_worst)]
    if worst:
        values = [max(worst, key=lambda row: row[column.of_worst])[name]]
    if column.best == "zero":
        size = float(np.mean(np.abs(values)))
        signs = {np.sign(value) for value in values if value != 0}
        sign = "+" if signs == {1.0} else MINUS if signs == {-1.0} else ""
        return Entry(sign + column.typeset(size).lstrip("+"), _spread(column, np.abs(values)), size, best, wrong)
    mean = float(np.mean(values))
    order = mean if math.isfinite(mean) else math.copysign(1e300, mean)
    return Entry(column.typeset(mean), _spread(column, values), order, best, wrong)


def _spread(column: Column, values: Any) -> str:
    """The standard deviation between seeds, where there is any."""
    if len(set(values)) < 2 or not np.isfinite(values).all():
        return ""
    return "± " + column.typeset(float(np.std(values, ddof=1))).lstrip("+")


def _error(runs: Sequence[Row]) -> str:
    failed = [row["error"] for row in runs if row["error"]]
    many = f"{len(failed)} of {len(runs)} runs failed: " if len(runs) > 1 else ""
    return many + "; ".join(dict.fromkeys(failed)) if failed else ""
