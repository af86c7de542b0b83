"""Rank plots of the variable that mixes worst, by ArviZ."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers import records
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene
from samplers.compare.report.style import MUTED, across, heading, new_figure, panels, png

CHAINS, BINS = 4, 16
SHADES = ("#0072B2", "#5b8fb5", "#0072B2", "#5b8fb5")


def ranks(scene: Scene) -> Picture | None:
    """Of the chains of each sampler; None where there are no chains, and with ArviZ 1.x, whose rank plots differ."""
    runs = [run for run in scene.chains if len(run.values[scene.slowest]) > 1]
    if not runs or records.arviz_1():
        return None
    arviz = records.import_arviz()
    columns = across(len(runs))
    figure = new_figure(1.5 * -(-len(runs) // columns) + 0.4)
    for ax, run in zip(panels(figure, len(runs), columns, sharey=False), runs, strict=True):
        values = run.values[scene.slowest]
        which = np.linspace(0, len(values) - 1, min(CHAINS, len(values))).round().astype(int)
        _plot(arviz, ax, values[which])
        ax.set_title(heading(run.sampler, columns))
    figure.supxlabel(f"rank of {scene.slowest} among these chains, from least to largest", fontsize=8.5)
    return Picture(
        "ranks",
        f"Rank plots of {scene.slowest}",
        f"The variable that mixes worst, in {CHAINS} chains of each sampler, spread over all. Flat: a chain visits "
        "all parts alike; slopes and gaps: it does not.",
        f"Rank plots of {scene.slowest} for {', '.join(run.sampler for run in runs)}.",
        png(figure),
    )


def _plot(arviz: Any, ax: Any, values: np.ndarray) -> None:
    arviz.plot_rank(
        {"x": values},
        kind="bars",
        bins=BINS,
        colors=list(SHADES[: len(values)]),
        labels=False,
        ax=np.array([ax]),
        ref_line_kwargs={"color": MUTED, "linewidth": 0.7},
        show=False,
    )
    ax.set_title("")
    ax.set_xticks([])
