"""How unequal the weights of weighted draws are."""

from __future__ import annotations

import numpy as np

from samplers.compare.columns import COLUMNS
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene, named
from samplers.compare.report.style import MUTED, legend, log_scale, new_figure, png
from samplers.draws.weighted import HIGHEST_PARETO_K

POINTS = 200


def weights(scene: Scene) -> Picture | None:
    """The share of all weight on the heaviest draws; None where all weights are equal."""
    shares = {run: np.sort(run.weights.reshape(-1))[::-1].cumsum() for run in scene.runs if run.weights is not None}
    if not shares:
        return None
    figure = new_figure(2.7 + 0.19 * len(shares))
    ax = figure.subplots()
    lines = {}
    for place, (run, share) in enumerate(shares.items()):
        at = np.unique(np.geomspace(1, len(share), POINTS).astype(int))
        k, ess = (COLUMNS[name].typeset(run.row[name]) for name in ("pareto_k", "weight_ess"))
        (line,) = ax.plot(at / len(share), share[at - 1], **run.look.line(len(at), place))
        lines[f"{run.sampler}  (k-hat {k}, ESS {ess})"] = line
    least = min(1 / len(share) for share in shares.values())
    equal = np.geomspace(least, 1, POINTS)
    (lines["equal weights"],) = ax.plot(equal, equal, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    ax.set(xlim=(least, 1), ylim=(0, 1.02))
    ax.set(xlabel="share of the draws, heaviest first", ylabel="their share of the weight")
    log_scale(ax.xaxis)
    legend(figure, lines, most=1)
    return Picture(
        "weights",
        "Weights",
        "How much of all weight the heaviest draws hold: the further above the grey line, the fewer draws count. A "
        f"k-hat above {HIGHEST_PARETO_K} says that heavier ones are still to come.",
        f"Cumulative share of the weights for {named(shares)}.",
        png(figure),
    )
