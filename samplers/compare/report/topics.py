"""The columns of the page by topic, so that no part of the table is wider than a page of paper."""

from __future__ import annotations

from collections.abc import Mapping

from samplers.compare.table import Column

TOPICS = {
    "Mixing": (
        "r_hat", "ess_bulk", "ess_tail", "autocorrelation", "acceptance", "mode_r_hat", "mode_ess", "divergences"
    ),
    "Errors": (
        "mean_error_se", "mean_error_sd", "sd_error_se", "sd_error", "shape_error_se", "truth", "worst_mode",
        "worst_mode_true",
    ),
    "Distances": (
        "sliced_w2", "sliced_w2_floor", "w2", "w2_floor", "sinkhorn", "sinkhorn_floor", "mmd", "mmd_highest",
        "sliced_ks", "sliced_ks_floor", "ksd", "ksd_highest",
    ),
    "Weights and log Z": (
        "weight_ess", "pareto_k", "log_z", "log_z_se", "log_z_true", "elbo", "eubo", "log_z_low", "log_z_high", "missed"
    ),
    "Cost": ("evaluations", "budget_share", "seconds", "ess_per_1000_evaluations", "ess_per_second"),
}  # fmt: skip
NEVER = ("target", "sampler", "seed", "error")  # they have places of their own


def topics(columns: Mapping[str, Column]) -> dict[str, list[str]]:
    """An overview of the columns that a text table has, then all by topic; topics without a column are left out."""
    names = [name for name in columns if name not in NEVER]
    grouped = {topic: [name for name in own if name in names] for topic, own in TOPICS.items()}
    placed = {name for own in grouped.values() for name in own}
    grouped["Other"] = [name for name in names if name not in placed]
    overview = [name for name in names if columns[name].brief and columns[name].title != "against"]
    return {"Overview": overview} | {topic: own for topic, own in grouped.items() if own}
