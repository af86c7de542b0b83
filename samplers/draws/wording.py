"""Numbers in words: values with their errors, counts, and lines that fit a terminal."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Iterable

WIDTH = 120  # characters of a line where no terminal says otherwise
MOST_WARNINGS = 20  # of a run that are kept
SAID = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def plus_minus(value: float, error: float) -> str:
    """A value with its error, in as many digits as the error tells."""
    return f"{digits(value, error)} +- {digits(error, error) if error > 0 else format(error, '.2g')}"


def digits(value: float, error: float) -> str:
    """A value in as many digits as its error tells."""
    if not error > 0 or math.isinf(error):
        return f"{value:.4g}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(error)))}f}"


def in_words(count: int) -> str:
    """Three for 3, and 13 for 13."""
    return SAID[count] if 0 <= count < len(SAID) else f"{count:,}"


def terminal_width() -> int:
    """Characters of a line: of the terminal, of the variable COLUMNS, else WIDTH."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def wrapped(text: str, width: int) -> str:
    """Every line of a text in lines no wider than that; what a line is indented by, its rest is, and two more."""
    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(line, width, subsequent_indent=indent + "  ", break_on_hyphens=False) or [""]
    return "\n".join(lines)


def with_warnings(before: Iterable[str], said: Iterable[str]) -> list[str]:
    """Each once; of more than MOST_WARNINGS, such as one of every step, the first and how many there were."""
    every = list(dict.fromkeys([*before, *said]))
    if len(every) <= MOST_WARNINGS:
        return every
    return [*every[: MOST_WARNINGS - 1], f"and {len(every) - MOST_WARNINGS + 1} more warnings of this run"]
