"""The distribution of the log density of the draws."""

from __future__ import annotations

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.figures.rows import Marginal, histogram_rows
from samplers.compare.report.scene import Scene, named, span


def energy(scene: Scene) -> Picture | None:
    """Log densities of the draws beside those of exact draws; None where no run kept them."""
    kept = {run: run.log_density for run in scene.runs if run.log_density is not None}
    if not kept:
        return None
    values, exact = list(kept.values()), scene.facts.exact_lp
    column = Marginal("log density, unnormalised", span(values, exact), exact, values)
    without = [run.sampler for run in scene.runs if run.log_density is None]
    return Picture(
        "energy",
        "Energy",
        ("Grey: log density of exact draws. " if exact is not None else "Log density of the draws. ")
        + "A sampler too far right stays near the peaks, one too far left is too hot."
        + (f" Not kept by {', '.join(without)}." if without else ""),
        f"Histograms of the log density of draws for {named(kept)}.",
        histogram_rows(list(kept), [column]),
    )
