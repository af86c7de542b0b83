"""The table of a comparison as text."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

from samplers.compare.columns import COLUMNS, LAST, Column
from samplers.draws import html
from samplers.draws.wording import WIDTH

if TYPE_CHECKING:
    import pandas as pd

GAP = "  "
LONGEST_NAME = 24  # in one line
WHOLE, LONG, SHORT = "whole", "long titles", "short titles"

Cell = list[str]  # of lines


def shown_columns(table: pd.DataFrame, *, brief: bool) -> dict[str, Column]:
    """The columns that say something in this table."""
    return {
        name: column
        for name, column in COLUMNS.items()
        if name in table and (column.brief or not brief) and _says_something(table[name])
    }


def _says_something(values: pd.Series) -> bool:
    return not (values.isna() | (values == "")).all()


def format_table(table: pd.DataFrame, *, width: int | None = WIDTH) -> str:
    """The table as text, aligned, with a dash for what is not known and without columns that say nothing.

    width: characters that a line may take. What matters most is shown, and a last line names what is left out; long
    names go on in the next line, and of errors the kind is shown. None: every column, in lines as long as that takes.
    """
    if width is None:
        every = shown_columns(table, brief=False)
        return "\n".join(_lines([_cells(name, column, table, WHOLE) for name, column in every.items()]))
    cells, note = _fitting(table, width)
    return "\n".join(_lines(list(cells.values()))) + ("\n" + textwrap.fill(note, width) if note else "")


def as_html(table: pd.DataFrame) -> str:
    """The table for a notebook, with the columns that stand in one of WIDTH characters."""
    cells, note = _fitting(table, WIDTH)
    columns = [COLUMNS[name] for name in cells]
    texts = [_texts(column.name, column, table, LONG) for column in columns]
    rows = list(zip(*texts, strict=True))
    words = [column.words for column in columns]
    return html.table([column.title for column in columns], rows, words) + html.paragraph(note)


def _fitting(table: pd.DataFrame, width: int) -> tuple[dict[str, list[Cell]], str]:
    """The columns that there is room for, and what is left out, in words."""
    columns = shown_columns(table, brief=True)
    if table["seed"].nunique() == 1:
        del columns["seed"]
    plain = {name: _cells(name, column, table, LONG) for name, column in columns.items()}
    if _room(plain.values()) <= width:
        return plain, ""
    cells = {name: _cells(name, column, table, SHORT) for name, column in columns.items()}
    chosen = {name for name, column in columns.items() if column.room == 0}
    for group in _turns(columns):
        wider = chosen | group
        if _room([cells[name] for name in wider]) <= width:
            chosen = wider
    left_out = [column.title for name, column in columns.items() if name not in chosen]
    note = f"Not shown: {', '.join(left_out)} (`--columns all` of the command, `.table` in Python)"
    return {name: cells[name] for name in columns if name in chosen}, note if left_out else ""


def _turns(columns: Mapping[str, Column]) -> Iterator[set[str]]:
    """In which order columns are given room: what belongs together comes together, and at last each by itself."""
    for room in sorted({column.room for column in columns.values()} - {LAST}):
        yield {name for name, column in columns.items() if column.room == room}
    yield from ({name} for name in columns)


def _cells(name: str, column: Column, table: pd.DataFrame, form: str) -> list[Cell]:
    """The title, then every row's text; words on the left, numbers on the right."""
    texts = _texts(name, column, table, form)
    named = column.words and form != WHOLE
    rows = [(textwrap.wrap(text, LONGEST_NAME) or [""]) if named else [text] for text in texts]
    title = [column.title]
    if form == SHORT:
        least = max(len(line) for row in rows for line in row)
        title = textwrap.wrap(column.title, max(least, *map(len, column.title.split())))
        if len(title) > 2:
            title = textwrap.wrap(column.title, -(-len(column.title) // 2) + 2)
    cells = [title, *rows]
    return [[line.ljust(_width(cells)) for line in cell] for cell in cells] if column.words else cells


def _texts(name: str, column: Column, table: pd.DataFrame, form: str) -> list[str]:
    texts = [column.show(value) for value in table[name]]
    return [text.partition(":")[0] for text in texts] if name == "error" and form != WHOLE else texts


def _room(columns: Collection[list[Cell]]) -> int:
    """Characters of a line."""
    return sum(map(_width, columns)) + len(GAP) * (len(columns) - 1)


def _width(cells: list[Cell]) -> int:
    return max(len(line) for cell in cells for line in cell)


def _lines(columns: list[list[Cell]]) -> list[str]:
    """The lines of the title, one of dashes, and those of the rows."""
    widths = [_width(cells) for cells in columns]
    titles, *rows = zip(*columns, strict=True)
    # titles stand on the line below them, rows hang from their first
    above = list(zip_longest(*(title[::-1] for title in titles), fillvalue=""))[::-1]
    below = [line for row in rows for line in zip_longest(*row, fillvalue="")]
    found = [GAP.join(map(str.rjust, line, widths)) for line in [*above, *below]]
    found.insert(len(above), "-" * len(found[0]))
    return [line.rstrip() for line in found]
