"""The table of a comparison: its columns, their titles, and as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

WIDTH, GAP = 120, "  "
LONGEST_NAME = 24  # in one line
WHOLE, LONG, SHORT = "whole", "long titles", "short titles"
WORDS = ("target", "sampler", "truth", "error")
# what the text table has room for first; what belongs together comes together
FIRST = (
    ("target", "sampler", "seed"),
    ("error",),
    ("r_hat",),
    ("ess_bulk",),
    ("shape_error_se",),
    ("log_z", "log_z_se", "log_z_true"),
    ("worst_mode", "worst_mode_true"),
    ("mode_r_hat",),
    ("seconds",),
    ("pareto_k",),
    ("divergences",),
    ("mean_error_se",),
    ("ess_per_1000_evaluations",),
)


@dataclass(frozen=True)
class Column:
    """title, and how a value is written; best: which end of the scale is better, where one is; hint: what it means."""

    title: str
    form: str
    hint: str = ""
    best: Literal["high", "low", "zero", ""] = ""
    brief: bool = True  # whether it stands in the text table too
    lowest: str = ""  # what stands for minus infinity, where that has a meaning

    def show(self, value: Any) -> str:
        """The value, or a dash for what is not known."""
        if value is None or value != value or value == "":
            return "-"
        return self.lowest if self.lowest and value == -math.inf else self.form.format(value)


COLUMNS = {
    "target": Column("target", "{}"),
    "sampler": Column("sampler", "{}"),
    "seed": Column("seed", "{}"),
    "r_hat": Column("R-hat", "{:.3f}", "largest over variables; above 1.01 the chains do not agree", "low"),
    "ess_bulk": Column("ESS", "{:.0f}", "least bulk ESS over variables; of weights where there are some", "high"),
    "ess_tail": Column("tail ESS", "{:.0f}", "least tail ESS over variables", "high", brief=False),
    "autocorrelation": Column("draws / ESS", "{:.1f}", "draws that an effective one takes", "low", brief=False),
    "acceptance": Column("acceptance", "{:.2f}", "mean acceptance probability", brief=False),
    "mode_r_hat": Column("R-hat of modes", "{:.3f}", "largest R-hat of being in a mode", "low"),
    "mode_ess": Column("ESS of modes", "{:.0f}", "least ESS of being in a mode", "high"),
    "ess_per_1000_evaluations": Column("ESS / 1000 ev.", "{:.2f}", "ESS per 1000 evaluations of the target", "high"),
    "ess_per_second": Column("ESS / s", "{:.0f}", "ESS per second, warmup and training included", "high"),
    "mean_error_se": Column("mean off by (s.e.)", "{:.1f}", "largest error of a mean in standard errors", "low"),
    "mean_error_sd": Column("mean off by (sd)", "{:.3f}", "the same in standard deviations", "low", brief=False),
    "sd_error_se": Column(
        "sd off by (s.e.)",
        "{:.1f}",
        "largest error of a deviation in standard errors; without variables whose tails are so heavy that exact draws "
        "do not tell it",
        "low",
    ),
    "sd_error": Column("sd off by", "{:+.1%}", "the same, relative", "zero"),
    "shape_error_se": Column(
        "shape off by (s.e.)",
        "{:.1f}",
        "largest error, in standard errors, of the share of draws below, between and above quantiles; no heavy tail "
        "spoils it",
        "low",
    ),
    "truth": Column("against", "{}", "where the truth comes from"),
    "worst_mode": Column("worst mode", "{:.3f}", "weight of the mode that is most wrong"),
    "worst_mode_true": Column("its truth", "{:.3f}", "the true weight of that mode"),
    "weight_ess": Column("ESS of weights", "{:.1%}", "effective share of weighted draws", "high", brief=False),
    "pareto_k": Column(
        "k-hat", "{:.2f}", "Pareto k-hat of the weights; above 0.7 not to be trusted", "low", lowest="equal"
    ),
    "log_z": Column("log Z", "{:.3f}", "estimate of the log of the normalising constant"),
    "log_z_se": Column("s.e.", "{:.3f}", "its standard error", "low"),
    "log_z_true": Column("its truth", "{:.3f}", "the exact log Z"),
    "log_z_low": Column("at least", "{:.3f}", "log Z is above it in 97 of 100 cases, by the certificate", brief=False),
    "log_z_high": Column(
        "at most", "{:.3f}", "and below this, with what was missed and what may be hidden", brief=False
    ),
    "missed": Column("missed", "{:.1%}", "mass that scouts found and the draws lack, over Z by the draws", "low"),
    "elbo": Column("ELBO", "{:.3f}", "lower bound on log Z", "high", brief=False),
    "eubo": Column(
        "EUBO",
        "{:.3f}",
        "upper bound on log Z; of learned samplers, from the pilot's points run backwards",
        "low",
        brief=False,
    ),
    "sliced_w2": Column("sliced W2", "{:.3g}", "beside it, of as many exact draws", "low", brief=False),
    "sliced_w2_floor": Column("floor", "{:.3g}", "mean of exact draws", brief=False),
    "w2": Column("W2", "{:.3g}", "exact transport; beside it, of as many exact draws", "low", brief=False),
    "w2_floor": Column("floor", "{:.3g}", "mean of exact draws", brief=False),
    "sinkhorn": Column("Sinkhorn", "{:.3g}", "divergence; beside it, of as many exact draws", "low", brief=False),
    "sinkhorn_floor": Column("floor", "{:.3g}", "mean of exact draws", brief=False),
    "mmd": Column("MMD²", "{:.3g}", "unbiased; exact draws have mean zero", "low", brief=False),
    "mmd_highest": Column("exact at most", "{:.3g}", "largest of four sets of exact draws", brief=False),
    "sliced_ks": Column("sliced KS", "{:.3g}", "beside it, of as many exact draws", "low", brief=False),
    "sliced_ks_floor": Column("floor", "{:.3g}", "mean of exact draws", brief=False),
    "ksd": Column("KSD²", "{:.3g}", "blind to the weights of modes that are far apart", "low", brief=False),
    "ksd_highest": Column("exact at most", "{:.3g}", "largest of four sets of exact draws", brief=False),
    "divergences": Column("div.", "{:.0f}", "proposals rejected as not finite", "low"),
    "evaluations": Column(
        "evaluations", "{:,.0f}", "of the target, the larger of log-densities and scores", brief=False
    ),
    "budget_share": Column("of budget", "{:.0%}", "share of the budget that was used", brief=False),
    "seconds": Column("s", "{:.1f}", "seconds of the run", "low"),
    "error": Column("error", "{}"),
}


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
    columns = shown_columns(table, brief=True)
    if table["seed"].nunique() == 1:
        del columns["seed"]
    plain = {name: _cells(name, column, table, LONG) for name, column in columns.items()}
    if _room(plain.values()) <= width:
        return "\n".join(_lines(list(plain.values())))
    cells = {name: _cells(name, column, table, SHORT) for name, column in columns.items()}
    chosen: set[str] = set()
    for group in (*FIRST, *((name,) for name in columns)):
        wider = chosen | set(group) & columns.keys()
        if _room([cells[name] for name in wider]) <= width:
            chosen = wider
    text = "\n".join(_lines([cells[name] for name in columns if name in chosen]))
    left_out = [column.title for name, column in columns.items() if name not in chosen]
    note = f"Not shown: {', '.join(left_out)} (`--columns all` of the command, `.table` in Python)"
    return text + ("\n" + textwrap.fill(note, width) if left_out else "")


Cell = list[str]  # of lines


def _cells(name: str, column: Column, table: pd.DataFrame, form: str) -> list[Cell]:
    """The title, then every row's text; words on the left, numbers on the right."""
    texts = [column.show(value) for value in table[name]]
    if name == "error" and form != WHOLE:
        texts = [text.partition(":")[0] for text in texts]
    named = name in WORDS and form != WHOLE
    rows = [(textwrap.wrap(text, LONGEST_NAME) or [""]) if named else [text] for text in texts]
    title = [column.title]
    if form == SHORT:
        least = max(len(line) for row in rows for line in row)
        title = textwrap.wrap(column.title, max(least, *map(len, column.title.split())))
        if len(title) > 2:
            title = textwrap.wrap(column.title, -(-len(column.title) // 2) + 2)
    cells = [title, *rows]
    return [[line.ljust(_width(cells)) for line in cell] for cell in cells] if name in WORDS else cells


def _room(columns: Collection[list[Cell]]) -> int:
    """Characters of a line."""
    return sum(map(_width, columns)) + len(GAP) * (len(columns) - 1)


def _width(cells: list[Cell]) -> int:
    return max(len(line) for cell in cells for line in cell)


def _lines(columns: list[list[Cell]]) -> list[str]:
    """The lines of the title, one of dashes, and those of the rows."""
    widths = [_width(cells) for cells in columns]
    found = []
    for place, row in enumerate(zip(*columns, strict=True)):
        height = max(map(len, row))
        # titles stand on the line below them, rows hang from their first
        full = [
            [""] * (height - len(cell)) + cell if place == 0 else cell + [""] * (height - len(cell)) for cell in row
        ]
        found += [
            GAP.join(part.rjust(w) for part, w in zip(line, widths, strict=True)) for line in zip(*full, strict=True)
        ]
        if place == 0:
            found.append("-" * len(found[-1]))
    return [line.rstrip() for line in found]
