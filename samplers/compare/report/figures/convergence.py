"""The error of the means against evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.compare.report.convergence import Curve
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene, named
from samplers.compare.report.style import MUTED, legend, log_scale, new_figure, png


def convergence(scene: Scene) -> Picture | None:
    """A line for chains, a marker for other draws; None where no moments are known."""
    found = {run: joined(run.curves) for run in scene.runs if any(len(one.error) for one in run.curves)}
    if not found:
        return None
    figure = new_figure(2.9 + 0.16 * -(-len(found) // 3))
    ax = figure.subplots()
    lines = {}
    for place, (run, one) in enumerate(found.items()):
        style = run.look.line(len(one.error), place)
        if len(one.error) == 1:
            style |= {"linestyle": "none", "markersize": 7, "markevery": None}
        (lines[run.sampler],) = ax.plot(one.evaluations, one.error, **style)
    log_scale(ax.xaxis)
    log_scale(ax.yaxis)
    _guide(ax, list(found.values()))
    ax.set(xlabel="evaluations of the target", ylabel="error of the mean, in sd")
    legend(figure, lines)
    unknown = [run.sampler for run, one in found.items() if not one.prorated]
    return Picture(
        "convergence",
        "Convergence",
        "Root mean square over variables and seeds of the error of the mean. Lines: chains as they grow, after the "
        "evaluations of their warmup; single markers: draws that come at once. Grey: the slope of the square root law."
        + (f" What warmup cost is not known of {', '.join(unknown)}, and counted as none." if unknown else ""),
        f"Error of the mean against evaluations for {named(found)}.",
        png(figure),
    )


def joined(curves: list[Curve]) -> Curve:
    """The root mean square over seeds, of those as long as the first."""
    alike = [one for one in curves if len(one.error) == len(curves[0].error)]
    error = np.sqrt(np.mean([one.error**2 for one in alike], axis=0))
    return Curve(np.mean([one.evaluations for one in alike], axis=0), error, all(one.prorated for one in alike))


def _guide(ax: Any, curves: list[Curve]) -> None:
    """A line of slope -1/2 across the picture, through the middle of the last points."""
    x = np.array([one.evaluations[-1] for one in curves])
    y = np.array([one.error[-1] for one in curves])
    ends = np.array(ax.get_xlim())
    limits = ax.get_ylim()
    through = np.exp(np.median(np.log(y[y > 0]) + 0.5 * np.log(x[y > 0]))) if (y > 0).any() else 1.0
    ax.plot(ends, through / np.sqrt(ends), color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    ax.set(xlim=ends, ylim=limits)
