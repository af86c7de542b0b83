"""The table of a comparison: its columns, their titles, and as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd


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
    "sd_error_se": Column("sd off by (s.e.)", "{:.1f}", "largest error of a deviation in standard errors", "low"),
    "sd_error": Column("sd off by", "{:+.1%}", "largest relative error of a standard deviation", "zero"),
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


def format_table(table: pd.DataFrame) -> str:
    """The table as text, aligned, with a dash for what is not known and without columns that say nothing."""
    columns = shown_columns(table, brief=True)
    cells = [[column.title, *map(column.show, table[name])] for name, column in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
