"""How unequal the weights of weighted draws are."""

from __future__ import annotations

import numpy as np

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene
from samplers.compare.report.style import MUTED, legend, log_scale, new_figure, png

POINTS = 200


def weights(scene: Scene) -> Picture | None:
    """The share of all weight on the heaviest draws; None where all weights are equal."""
    runs = [run for run in scene.runs if run.weights is not None]
    if not runs:
        return None
    figure = new_figure(2.7 + 0.19 * len(runs))
    ax = figure.subplots()
    lines = {}
    for place, run in enumerate(runs):
        assert run.weights is not None
        share = np.sort(run.weights.reshape(-1))[::-1].cumsum()
        at = np.unique(np.geomspace(1, len(share), POINTS).astype(int))
        told = f"k-hat {run.row['pareto_k']:.2f}, ESS {run.row['weight_ess']:.1%}".replace(
            "hat -", "hat \N{MINUS SIGN}"
        )
        name = f"{run.sampler}  ({told})"
        (lines[name],) = ax.plot(at / len(share), share[at - 1], **run.look.line(len(at), place))
    least = min(1 / run.weights.size for run in runs if run.weights is not None)
    equal = np.geomspace(least, 1, POINTS)
    (lines["equal weights"],) = ax.plot(equal, equal, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    ax.set_xlim(least, 1)
    log_scale(ax.xaxis)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("share of the draws, heaviest first")
    ax.set_ylabel("their share of the weight")
    legend(figure, lines, most=1)
    return Picture(
        "weights",
        "Weights",
        "How much of all weight the heaviest draws hold: the further above the grey line, the fewer draws count. A "
        "k-hat above 0.7 says that heavier ones are still to come.",
        f"Cumulative share of the weights for {', '.join(run.sampler for run in runs)}.",
        png(figure),
    )
