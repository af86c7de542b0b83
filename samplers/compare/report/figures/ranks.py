"""Rank plots of the variable that mixes worst (Vehtari et al. 2021), which ArviZ 1.x no longer draws as bars."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene, named
from samplers.compare.report.style import MUTED, png, small_multiples

CHAINS, BINS = 4, 16
APART = 0.6  # height of the line of a flat histogram, where chains are one apart
SHADES = ("#0072B2", "#5b8fb5", "#0072B2", "#5b8fb5")


def ranks(scene: Scene) -> Picture | None:
    """Of the chains of each sampler; None where there are no chains."""
    runs = [run for run in scene.chains if len(run.values[scene.slowest]) > 1]
    if not runs:
        return None
    figure, axes = small_multiples([run.sampler for run in runs], 1.5, sharey=False)
    for ax, run in zip(axes, runs, strict=True):
        values = run.values[scene.slowest]
        which = np.linspace(0, len(values) - 1, min(CHAINS, len(values))).round().astype(int)
        _plot(ax, values[which])
    figure.supxlabel(f"rank of {scene.slowest} among these chains, from least to largest", fontsize=8.5)
    return Picture(
        "ranks",
        f"Rank plots of {scene.slowest}",
        f"The variable that mixes worst, in {CHAINS} chains of each sampler, spread over all. Flat: a chain visits "
        "all parts alike; slopes and gaps: it does not.",
        f"Rank plots of {scene.slowest} for {named(runs)}.",
        png(figure),
    )


def _plot(ax: Any, values: np.ndarray) -> None:
    """A histogram of ranks for each chain, one above the other, about the line that they would all reach if flat."""
    from scipy.stats import rankdata

    ranks = rankdata(values).reshape(values.shape)
    edges = np.linspace(0, values.size, BINS + 1)
    flat = values.shape[1] / BINS
    for row, (own, shade) in enumerate(zip(ranks, SHADES, strict=False)):
        count = np.histogram(own, edges)[0] / flat
        ax.bar(edges[:-1], APART * count, np.diff(edges), bottom=row, color=shade, align="edge", linewidth=0)
        ax.axhline(row + APART, color=MUTED, linewidth=0.7)
    ax.set(xticks=[], ylabel="chain")
    ax.set_yticks(np.arange(len(values)), [str(row) for row in range(len(values))])
