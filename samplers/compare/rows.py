"""The rows of a table: how their numbers are read, and which of them belong together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


def number(row: Row, name: str) -> float:
    """A measure, NaN where the row has none."""
    value = row.get(name)
    return math.nan if value is None or value == "" else float(value)


def value(name: str) -> Callable[[Row], float]:
    """`number` as a function of the row."""
    return lambda row: number(row, name)


def has(row: Row, name: str) -> bool:
    """Whether a row has a measure, infinite or not."""
    return not math.isnan(number(row, name))


def log_z_off_by(row: Row) -> float:
    """The error of log Z, NaN where its truth is not known."""
    return number(row, "log_z") - number(row, "log_z_true")


def by(name: str, rows: Iterable[Row]) -> dict[Any, list[Row]]:
    """Rows by what they have under a name, in the order in which it comes first."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def answers(rows: Iterable[Row]) -> list[Row]:
    """Those that did not fail."""
    return [row for row in rows if not row["error"]]


def joined(names: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, what: str) -> str:
    """1 run, 2 runs; 1 witness, 2 witnesses."""
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"
