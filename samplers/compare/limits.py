"""When a measure is beyond chance: limits that draws without a fault exceed once in 1 / FALSE_ALARM rows.

A fault is said in one sentence, which the verdict and the mark on the page share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samplers.compare.filled import ENOUGH
from samplers.compare.rows import Row, has, log_z_off_by, number, value
from samplers.draws.certificate import MOST_MISSED
from samplers.draws.estimates import r_hat_by_chance
from samplers.draws.objections import HIGHEST_R_HAT, LEAST_ESS
from samplers.draws.weighted import HIGHEST_PARETO_K

FALSE_ALARM = 1e-4
MANY_DIVERGENCES = 0.01  # of the draws
FEW = 100  # effective draws below which errors must be twice as large to be believed
LOW_WEIGHT_ESS = 0.05
LARGE = 0.1  # error of a share of the draws that is named where a run's own signs leave no standard error to trust
NATS = 1.0  # that log Z may be off by where it states no error


@dataclass(frozen=True)
class Limit:
    """What a measure may be at most, and what is said of a row in which it is more.

    of: the measure, NaN where it is not known; words: of a row that is beyond the limit.
    """

    of: Callable[[Row], float]
    most: Callable[[Row], float]
    words: Callable[[Row], str]

    def beyond(self, row: Row) -> bool:
        """Whether a row is at fault."""
        value = self.of(row)
        return not math.isnan(value) and value > self.most(row)

    def worst(self, runs: Sequence[Row]) -> list[Row]:
        """That of the runs that is furthest beyond it; nothing where none is."""
        faulty = [run for run in runs if self.beyond(run)]
        return [max(faulty, key=self.of)] if faulty else []

    def said(self, runs: Sequence[Row]) -> list[str]:
        """Of the worst of the runs that are beyond it; nothing where none is."""
        return [self.words(run) for run in self.worst(runs)]


def limit(tests: int) -> float:
    """Standard errors that the largest of so many normal errors exceeds with probability FALSE_ALARM."""
    from scipy.stats import norm

    return float(norm.isf(FALSE_ALARM / (2 * max(tests, 1))))


def log_z_limit(row: Row) -> float:
    """The same for log Z, whose standard error is from as many replicates as the row says, or from one run."""
    from scipy.stats import t

    replicates = number(row, "log_z_replicates")
    return float(t.isf(FALSE_ALARM / 2, replicates - 1)) if replicates > 1 else limit(1)


def r_hat_limit(row: Row) -> float:
    """The largest R-hat to expect of chains that agree, at least 1.01: as the certificate of the run has it
    (`samplers.draws.objections.left_to_chance`).
    """
    return max(HIGHEST_R_HAT, number(row, "r_hat_by_chance") if has(row, "r_hat_by_chance") else _of_independent(row))


def _of_independent(row: Row) -> float:
    """The largest R-hat to expect of chains of independent draws that are as short as these, at least 1.01."""
    half = row["draws"] / (2 * row["chains"])
    by_chance = r_hat_by_chance(int(row["chains"]), half, half, 2 * max(row["variables"], 1), FALSE_ALARM)
    return max(HIGHEST_R_HAT, by_chance)


def _divergences_limit(row: Row) -> float:
    """The most divergences, as a share of the draws, that are no fault: of some samplers many are usual."""
    return max(MANY_DIVERGENCES, number(row, "usual_divergences"))  # which NaN leaves as it is


def _of_many(tests: Callable[[Row], int]) -> Callable[[Row], float]:
    """Of the largest of so many errors; of few effective draws, twice as much is asked for."""
    return lambda row: (1 if number(row, "ess_bulk") >= FEW else 2) * limit(tests(row))


def _divergences(row: Row) -> float:
    return number(row, "divergences") / max(number(row, "draws"), 1)


def _many_diverged(row: Row) -> str:
    share = _divergences(row)
    return f"its proposals diverged, {f'{share:.1%} of' if share <= 1 else f'{share:.1f} for each of'} its draws"


def _between_modes(row: Row) -> str:
    torn = number(row, "mode_r_hat")
    modes = "one of them is never entered or left" if math.isinf(torn) else f"of modes {torn:.2f}"
    return f"its chains do not mix between modes (R-hat {number(row, 'r_hat'):.2f}; {modes})"


def mode_off(row: Row) -> float:
    """By how much the weight of the mode that is most wrong is off."""
    return abs(number(row, "worst_mode") - number(row, "worst_mode_true"))


def _mean_alone(row: Row) -> float:
    """Where no shape is known to compare with."""
    return math.nan if has(row, "shape_error_se") else number(row, "mean_error_se")


def _log_z_error(row: Row) -> float:
    """In standard errors, NaN where none is stated."""
    error = number(row, "log_z_se")
    return abs(log_z_off_by(row)) / error if error > 0 else math.nan


R_HAT = Limit(value("r_hat"), r_hat_limit, "its chains do not agree with one another (R-hat {r_hat:.3f})".format_map)
MODE_R_HAT = Limit(value("mode_r_hat"), r_hat_limit, _between_modes)
CHANCE_R_HAT = Limit(
    lambda row: math.nan if R_HAT.beyond(row) else number(row, "r_hat"),
    lambda _: HIGHEST_R_HAT,
    "R-hat {r_hat:.3f}, which chains of so few effective draws leave to chance".format_map,
)
ESS = Limit(
    lambda row: -number(row, "ess_bulk"),
    lambda _: -LEAST_ESS,
    f"few effective draws (ESS {{ess_bulk:.0f}}, below {LEAST_ESS:.0f})".format_map,
)
BUDGET = Limit(
    lambda row: -number(row, "budget_share"),
    lambda _: -ENOUGH,
    "it used only {budget_share:.0%} of its budget: no length was found that uses more".format_map,
)
PARETO_K = Limit(
    value("pareto_k"),
    lambda _: HIGHEST_PARETO_K,
    "its weights have tails too heavy to be trusted, as if their variance were infinite "
    f"(k-hat {{pareto_k:.2f}}, at most {HIGHEST_PARETO_K})".format_map,
)
WEIGHT_ESS = Limit(
    lambda row: -number(row, "weight_ess"),
    lambda _: -LOW_WEIGHT_ESS,
    "only {weight_ess:.1%} of its weighted draws are effective".format_map,
)
DIVERGENCES = Limit(_divergences, _divergences_limit, _many_diverged)
SHAPE = Limit(
    value("shape_error_se"),
    _of_many(lambda row: row["shape_tests"]),
    "{shape_error} ({shape_error_se:.1f} standard errors)".format_map,
)
MEAN = Limit(
    _mean_alone,
    _of_many(lambda row: row["variables"]),
    "its mean of {mean_error_at} is off by {mean_error_se:.1f} standard errors, {mean_error_sd:.2g} of a standard "
    "deviation".format_map,
)
MODE = Limit(
    value("mode_error_se"),
    _of_many(lambda row: len(row.get("mode_weights", ()))),
    "it gives a mode of weight {worst_mode_true:.3f} the weight {worst_mode:.3f} ({mode_error_se:.1f} standard "
    "errors)".format_map,
)
LARGE_SHAPE = Limit(value("shape_off"), lambda _: LARGE, "{shape_error}".format_map)
LARGE_MODE = Limit(
    mode_off,
    lambda _: LARGE,
    "it gives a mode of weight {worst_mode_true:.3f} the weight {worst_mode:.3f}".format_map,
)
LOG_Z = Limit(
    _log_z_error,
    log_z_limit,
    lambda row: f"its log Z is off by {log_z_off_by(row):+.3f}, {_log_z_error(row):.1f} times its stated error",
)
LOG_Z_WITHOUT_ERROR = Limit(
    lambda row: math.nan if number(row, "log_z_se") > 0 else abs(log_z_off_by(row)),
    lambda _: NATS,
    lambda row: f"its log Z is off by {log_z_off_by(row):+.3f}, and it states no error",
)
MISSED = Limit(
    value("missed"),
    lambda _: MOST_MISSED,
    "scouts found mass that its draws lack, {missed:.1%} of Z by the draws".format_map,
)
