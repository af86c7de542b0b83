"""Every column of `Comparison.table` in words: those of `samplers.compare.columns`, and those that stand beside them.

docs/columns.md is made of this (`python docs/hooks/columns.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from samplers.compare.columns import COLUMNS, COST, DISTANCES, ERRORS, EVIDENCE, MIXING, WAYS, Column
from samplers.compare.distances import NAMES, SETS

RUN, CERTIFICATE = "The run", "The certificate"
TOPICS = (RUN, MIXING, ERRORS, EVIDENCE, CERTIFICATE, DISTANCES, COST)


@dataclass(frozen=True)
class Described:
    """A column of the table. unit: what its numbers are counted or measured in, or their kind; best: which direction is
    better, empty where none is.
    """

    name: str
    topic: str
    unit: str
    meaning: str
    best: str = ""


# of the columns that the printed table and the page may show: unit, and meaning where more is to be said than there
_SHOWN = {
    "target": ("text", "name of the target"),
    "sampler": ("text", "name of the sampler"),
    "seed": ("number", "seed of the run"),
    "error": ("text", "what was raised where the run failed, else empty; a failed run has no other measures"),
    "r_hat": ("ratio", ""),
    "ess_bulk": ("draws", ""),
    "ess_bulk_at": ("text", ""),
    "ess_tail": ("draws", ""),
    "autocorrelation": ("draws", ""),
    "acceptance": ("probability", ""),
    "mode_r_hat": ("ratio", ""),
    "mode_ess": ("draws", ""),
    "divergences": ("count", ""),
    "ess_per_1000_evaluations": ("draws", ""),
    "ess_per_second": ("draws / s", ""),
    "mean_error_se": ("standard errors", ""),
    "mean_error_sd": ("standard deviations", "the same error in standard deviations of the variable"),
    "sd_error_se": ("standard errors", ""),
    "sd_error": ("share", "the same error, relative to the true deviation"),
    "shape_error_se": ("standard errors", ""),
    "truth": ("text", "where the true values come from: exact, or a long run"),
    "worst_mode": ("probability", ""),
    "worst_mode_true": ("probability", ""),
    "weight_ess": ("share", ""),
    "pareto_k": ("number", ""),
    "log_z": ("nats", "estimate of the log of the normalising constant, by the sampler"),
    "log_z_se": ("nats", "the standard error that the sampler states of it"),
    "log_z_true": ("nats", ""),
    "log_z_low": ("nats", ""),
    "log_z_high": ("nats", "log Z is below it in 97 of 100 cases, with what was missed and what may be hidden"),
    "missed": ("share", ""),
    "elbo": ("nats", ""),
    "eubo": ("nats", ""),
    "evaluations": ("count", "of the target by the run, warmup, pilot and training included: the larger of "
                             "log-densities and scores"),
    "budget_share": ("share", ""),
    "search_share": ("share", ""),
    "seconds": ("s", "wall time of the run, warmup, pilot and training included"),
}  # fmt: skip

_DISTANCES = {
    "sliced_w2": ("units of x", "sliced Wasserstein distance W2 from exact draws"),
    "w2": ("units of x", "Wasserstein distance W2 from exact draws, by exact transport"),
    "sinkhorn": ("units of x, squared", "Sinkhorn divergence from exact draws"),
    "mmd": ("number", "squared maximum mean discrepancy from exact draws, unbiased"),
    "sliced_ks": ("probability", "sliced Kolmogorov distance from exact draws"),
    "ksd": ("number", "squared kernel Stein discrepancy, which is blind to the weights of modes that are far apart"),
}
_CERTIFIED = ("missed", "log_z_low", "log_z_high")

_BESIDE = (
    Described("draws", RUN, "count", "draws of all chains together"),
    Described("chains", RUN, "count", "chains; 1 of independent or weighted draws"),
    Described("variables", RUN, "count", "scalars that are measured: all entries of all variables"),
    Described("not_finite", RUN, "count", "draws that are not finite; nothing else is measured where there are some",
              WAYS["low"]),
    Described("constants", RUN, "list of text", "scalars that are the same in all draws, and may be"),
    Described("stuck", RUN, "list of text", "scalars that are the same in all draws, and should move"),
    Described("pilot", RUN, "text", "the pilot that found the starts; samplers with the same pilot count as one"),
    Described("warnings", RUN, "list of text", "what the run has warned of, and measures that are not known and why"),
    Described("r_hat_by_chance", MIXING, "ratio",
              "the largest R-hat that chains which agree leave to chance; NaN where `r_hat` is not above 1.01"),
    Described("usual_divergences", MIXING, "share", "divergences per draw up to which they are no fault"),
    Described("mean_error_at", ERRORS, "text", "the variable of `mean_error_se`"),
    Described("sd_error_at", ERRORS, "text", "the variable of `sd_error_se`"),
    Described("shape_error", ERRORS, "text", "the share of the draws that `shape_error_se` is of, in words"),
    Described("shape_off", ERRORS, "share", "by how much that share of the draws is off", WAYS["low"]),
    Described("shape_tests", ERRORS, "count", "shares that were compared, of which it is the worst"),
    Described("mode_weights", ERRORS, "list of probabilities",
              "share of the draws in each mode, also of `LogDensity(modes=)`, where each belongs to the nearest"),
    Described("mode_error_se", ERRORS, "standard errors", "error of `worst_mode`", WAYS["low"]),
    Described("log_z_replicates", EVIDENCE, "count", "independent estimates behind `log_z_se`; 1 of a single run"),
    Described("elbo_se", EVIDENCE, "nats", "standard error of `elbo`", WAYS["low"]),
    Described("believed_log_z", CERTIFICATE, "nats", "log Z by the certificate of the run"),
    Described("believed_log_z_se", CERTIFICATE, "nats", "its standard error", WAYS["low"]),
    Described("doubts", CERTIFICATE, "list of text", "what the certificate holds against the draws"),
    Described("certificate", CERTIFICATE, "text", "the certificate in words"),
    Described("distance_points", DISTANCES, "count", "draws that distances were measured on"),
    Described("unmeasured", DISTANCES, "dict of text", "distances that could not be measured, and why"),
)  # fmt: skip


def described() -> dict[str, Described]:
    """All columns that a table can have, by name, in the order of TOPICS."""
    every = [*_of_shown(), *_BESIDE, *_of_exact_draws()]
    return {one.name: one for topic in TOPICS for one in every if one.topic == topic}


def _of_shown() -> list[Described]:
    found = []
    for name, column in COLUMNS.items():
        if name in _SHOWN:
            unit, meaning = _SHOWN[name]
            topic = CERTIFICATE if name in _CERTIFIED else column.topic or RUN
            found.append(Described(name, topic, unit, meaning or column.help, _best(column)))
        elif name in _DISTANCES:
            found.append(Described(name, DISTANCES, *_DISTANCES[name], _best(column)))
    return found


def _of_exact_draws() -> list[Described]:
    """What each distance is for exact draws."""
    return [
        Described(f"{name}_{end}", DISTANCES, _DISTANCES[name][0], f"{which} `{name}` of {SETS} sets of exact draws")
        for name in NAMES
        for end, which in (("floor", "mean"), ("highest", "largest"))
    ]


def _best(column: Column) -> str:
    """Which direction is better, in words."""
    if column.truth:
        return f"best near `{column.truth}`"
    if column.floor:
        return f"less is better, as little as `{column.floor}`"
    return WAYS.get(column.best, "")


def as_markdown() -> str:
    """A table for every topic."""
    lines: list[str] = []
    every = described().values()
    for topic in TOPICS:
        lines += [f"## {topic}", "", "| column | unit | best | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.unit} | {c.best} | {c.meaning} |" for c in every if c.topic == topic]
        lines.append("")
    return "\n".join(lines)
