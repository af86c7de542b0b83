"""The columns of a comparison's table, each with all that is known of it.

A new column is a measure of a run (`samplers.compare.measures`) and a line here: the text table, the page with its
topics and its marks for the best and for faults, and the verdict read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from samplers.compare import limits
from samplers.compare.limits import Limit
from samplers.compare.rows import Row, has, number, value
from samplers.draws.certificate import MOST_MISSED
from samplers.draws.objections import HIGHEST_R_HAT
from samplers.draws.weighted import HIGHEST_PARETO_K

MIXING, ERRORS, DISTANCES = "Mixing", "Errors", "Distances"
EVIDENCE, COST = "Weights and log Z", "Cost"
TOPICS = (MIXING, ERRORS, DISTANCES, EVIDENCE, COST)  # in the order of the page
DASH, MINUS = "-", "\N{MINUS SIGN}"
LAST = 99

# which end of the scale is better, in words
WAYS = {"high": "more is better", "low": "less is better", "zero": "best near zero", "truth": "best near its truth"}


@dataclass(frozen=True)
class Column:
    """What is known of a column.

    name: of the measure in a row; title; topic: the page's part that it stands in, empty for those that name a line;
    form: how a value is written; help: what it means.
    best: which end of the scale is better, where one is. truth: the measure that a value best near its truth is held
    against; floor: the one that exact draws reach; enough: a value that is as good as any better one.
    error: the standard error of the value that a single run states, zero for none; proportional: single runs within
    5 % of the best are tied with it. of_answer: compared even where every sampler has a fault, as errors are.
    of_worst: the measure that tells of which of several runs the value is shown, instead of their mean.
    limits: beyond which it is a fault.
    brief: whether it stands in the short text table and in the page's overview; room: in which turn it is given room in
    a line of limited width, those of one number together. lowest: what stands for minus infinity, where it has a
    meaning.
    """

    name: str
    title: str
    topic: str
    form: str
    help: str = ""
    best: Literal["high", "low", "zero", "truth", ""] = ""
    truth: str = ""
    floor: str = ""
    enough: float = -math.inf
    error: Callable[[Row], float] = lambda _: 0.0
    proportional: bool = False
    of_answer: bool = False
    of_worst: str = ""
    limits: tuple[Limit, ...] = ()
    brief: bool = True
    room: int = LAST
    lowest: str = ""

    @property
    def words(self) -> bool:
        """Whether its values are words, not numbers."""
        return self.form == "{}"

    def show(self, value: Any) -> str:
        """The value, or a dash for what is not known."""
        if value is None or value != value or value == "":
            return DASH
        return self.lowest if self.lowest and value == -math.inf else self.form.format(value)

    def typeset(self, value: Any) -> str:
        """The same for the page and its figures."""
        return self.show(value).replace("inf", "∞").replace("-", MINUS)

    def score(self, row: Row) -> float:
        """The value of a row as one of which less is better, NaN where it is not known."""
        value = number(row, self.name)
        if self.truth:
            value -= number(row, self.truth)
        if self.floor and has(row, self.floor):
            value -= number(row, self.floor)
        if self.best in ("zero", "truth"):
            value = abs(value)
        value = -value if self.best == "high" else value
        return value if math.isnan(value) else max(value, self.enough)

    def score_error(self, row: Row) -> float:
        """What a run tells of the standard error of its score; zero where it tells nothing."""
        found = self.error(row)
        return found if math.isfinite(found) else 0.0


def _one(_: Row) -> float:
    """Of what is in standard errors."""
    return 1.0


def _as_in(name: str, name_se: str) -> Callable[[Row], float]:
    """Of a value that is also known in standard errors."""
    return lambda row: abs(number(row, name)) / (number(row, name_se) or math.nan)


def _distance(name: str, title: str, help: str, beside: str = "floor") -> Iterator[Column]:
    """A distance, and beside it that of exact draws: the mean ("floor") or the largest ("highest") of four sets."""
    floor, highest = f"{name}_floor", f"{name}_highest"

    def error(row: Row) -> float:  # the largest of four is about one deviation above the mean
        return number(row, highest) - number(row, floor)

    form = "{:.3g}"
    yield Column(name, title, DISTANCES, form, help, "low", floor=floor, error=error, of_answer=True, brief=False)
    if beside == "floor":
        yield Column(floor, "floor", DISTANCES, form, "mean of exact draws", brief=False)
    else:
        yield Column(highest, "exact at most", DISTANCES, form, "largest of four sets of exact draws", brief=False)


_COLUMNS = (
    Column("target", "target", "", "{}", room=0),
    Column("sampler", "sampler", "", "{}", room=0),
    Column("seed", "seed", "", "{:d}", room=0),
    Column("r_hat", "R-hat", MIXING, "{:.3f}", f"largest over variables; above {HIGHEST_R_HAT} the chains do not agree",
           "low", enough=HIGHEST_R_HAT, limits=(limits.R_HAT,), room=2),
    Column("ess_bulk", "ESS", MIXING, "{:.0f}", "least bulk ESS over variables; of weights where there are some",
           "high", proportional=True, limits=(limits.ESS,), room=3),
    Column("ess_bulk_at", "slowest", MIXING, "{}", "variable with the least bulk ESS", brief=False),
    Column("ess_tail", "tail ESS", MIXING, "{:.0f}", "least tail ESS over variables",
           "high", proportional=True, brief=False),
    Column("autocorrelation", "draws / ESS", MIXING, "{:.1f}", "draws that an effective one takes",
           "low", proportional=True, brief=False),
    Column("acceptance", "acceptance", MIXING, "{:.2f}", "mean acceptance probability", brief=False),
    Column("mode_r_hat", "R-hat of modes", MIXING, "{:.3f}", "largest R-hat of being in a mode",
           "low", enough=HIGHEST_R_HAT, limits=(limits.MODE_R_HAT,), room=8),
    Column("mode_ess", "ESS of modes", MIXING, "{:.0f}", "least ESS of being in a mode", "high", proportional=True),
    Column("ess_per_1000_evaluations", "ESS / 1000 ev.", COST, "{:.2f}", "ESS per 1000 evaluations of the target",
           "high", proportional=True, room=13),
    Column("ess_per_second", "ESS / s", COST, "{:.0f}", "ESS per second, warmup and training included",
           "high", proportional=True),
    Column("mean_error_se", "mean off by (s.e.)", ERRORS, "{:.1f}", "largest error of a mean in standard errors",
           "low", error=_one, of_answer=True, limits=(limits.MEAN,), room=12),
    Column("mean_error_sd", "mean off by (sd)", ERRORS, "{:.3f}", "the same in standard deviations",
           "zero", error=_as_in("mean_error_sd", "mean_error_se"), of_answer=True, brief=False),
    Column("sd_error_se", "sd off by (s.e.)", ERRORS, "{:.1f}",
           "largest error of a deviation in standard errors; without variables whose tails are so heavy that exact "
           "draws do not tell it", "low", error=_one, of_answer=True),
    Column("sd_error", "sd off by", ERRORS, "{:+.1%}", "the same, relative",
           "zero", error=_as_in("sd_error", "sd_error_se"), of_answer=True),
    Column("shape_error_se", "shape off by (s.e.)", ERRORS, "{:.1f}",
           "largest error, in standard errors, of the share of draws below, between and above quantiles; no heavy tail "
           "spoils it", "low", error=_one, of_answer=True, limits=(limits.SHAPE,), room=4),
    Column("truth", "against", ERRORS, "{}", "where the truth comes from"),
    Column("worst_mode", "worst mode", ERRORS, "{:.3f}", "weight of the mode that is most wrong",
           of_worst="mode_error_se", limits=(limits.MODE,), room=6),
    Column("worst_mode_true", "its truth", ERRORS, "{:.3f}", "the true weight of that mode",
           of_worst="mode_error_se", room=6),
    Column("weight_ess", "ESS of weights", EVIDENCE, "{:.1%}", "effective share of weighted draws",
           "high", proportional=True, limits=(limits.WEIGHT_ESS,), brief=False),
    Column("pareto_k", "k-hat", EVIDENCE, "{:.2f}",
           f"Pareto k-hat of the weights; above {HIGHEST_PARETO_K} not to be trusted",
           "low", enough=HIGHEST_PARETO_K, limits=(limits.PARETO_K,), lowest="equal", room=10),
    Column("log_z", "log Z", EVIDENCE, "{:.3f}", "estimate of the log of the normalising constant",
           "truth", truth="log_z_true", error=value("log_z_se"), of_answer=True,
           limits=(limits.LOG_Z, limits.LOG_Z_WITHOUT_ERROR), room=5),
    Column("log_z_se", "s.e.", EVIDENCE, "{:.3f}", "its standard error", "low", proportional=True, room=5),
    Column("log_z_true", "its truth", EVIDENCE, "{:.3f}", "the exact log Z", room=5),
    Column("log_z_low", "at least", EVIDENCE, "{:.3f}", "log Z is above it in 97 of 100 cases, by the certificate",
           brief=False),
    Column("log_z_high", "at most", EVIDENCE, "{:.3f}",
           "and below this, with what was missed and what may be hidden", brief=False),
    Column("missed", "missed", EVIDENCE, "{:.1%}", "mass that scouts found and the draws lack, over Z by the draws",
           "low", enough=MOST_MISSED, limits=(limits.MISSED,)),
    Column("elbo", "ELBO", EVIDENCE, "{:.3f}", "lower bound on log Z", "high", of_answer=True, brief=False),
    Column("eubo", "EUBO", EVIDENCE, "{:.3f}",
           "upper bound on log Z; of learned samplers, from the pilot's points run backwards",
           "low", of_answer=True, brief=False),
    *_distance("sliced_w2", "sliced W2", "beside it, of as many exact draws"),
    *_distance("w2", "W2", "exact transport; beside it, of as many exact draws"),
    *_distance("sinkhorn", "Sinkhorn", "divergence; beside it, of as many exact draws"),
    *_distance("mmd", "MMD²", "unbiased; exact draws have mean zero", beside="highest"),
    *_distance("sliced_ks", "sliced KS", "beside it, of as many exact draws"),
    *_distance("ksd", "KSD²", "blind to the weights of modes that are far apart", beside="highest"),
    Column("divergences", "div.", MIXING, "{:.0f}", "proposals rejected as not finite",
           "low", limits=(limits.DIVERGENCES,), room=11),
    Column("evaluations", "evaluations", COST, "{:,.0f}", "of the target, the larger of log-densities and scores",
           brief=False),
    Column("budget_share", "of budget", COST, "{:.0%}", "share of the budget that was used", limits=(limits.BUDGET,),
           room=7),
    Column("search_share", "search", COST, "{:.0%}", "share of the budget that the search for the run's length took "
           "beside it", "low", brief=False),
    Column("seconds", "s", COST, "{:.1f}", "seconds of the run", "low", proportional=True, room=9),
    Column("error", "error", "", "{}", room=1),
)  # fmt: skip
COLUMNS = {column.name: column for column in _COLUMNS}


def topics(columns: Mapping[str, Column]) -> dict[str, list[str]]:
    """An overview of the columns that have a topic and stand in the text table, then all by topic; topics without a
    column are left out.
    """
    found = {"Overview": [name for name, column in columns.items() if column.brief and not column.words]}
    found |= {topic: [name for name, column in columns.items() if column.topic == topic] for topic in TOPICS}
    return {topic: own for topic, own in found.items() if own or topic == "Overview"}
