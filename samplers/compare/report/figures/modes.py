"""How much of the draws is in each mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Run, Scene, named
from samplers.compare.report.style import INK, MUTED, TRUTH, log_scale, new_figure, png, small_multiples, wrapped

MOST_BARS, MOST_NAMES, HEIGHT, LEAST = 64, 16, 0.5, 1e-5


def modes(scene: Scene) -> Picture | None:
    """Bars beside the true weights; of more than 64 modes found against true weights."""
    truth = np.array(scene.facts.mode_weights)
    runs = [run for run in scene.runs if len(run.modes) == len(truth)]
    if len(truth) < 2 or not runs:
        return None
    order = np.argsort(-truth, kind="stable")
    few = len(truth) <= MOST_BARS
    return Picture(
        "modes",
        "Mode occupancy",
        "Share of the draws in each mode, in the mean of the seeds. "
        + (
            "Grey: true weights. Bars: the sampler; where there is none, the mode was missed."
            if few
            else f"Each dot is a mode; on the line its share is right. Shares below {LEAST:g} are drawn at the bottom."
        ),
        f"Shares of {len(truth)} modes for {named(runs)}.",
        _bars(runs, truth, order) if few else _scatter(runs, truth),
    )


def _bars(runs: list[Run], truth: np.ndarray, order: np.ndarray) -> bytes:
    names = [wrapped(run.sampler) for run in runs]
    figure = new_figure(HEIGHT * len(runs) + 0.65)
    axes = figure.subplots(len(runs), 1, squeeze=False, sharex=True)[:, 0]
    place = np.arange(len(truth))
    top = min(max(*(run.modes.max() for run in runs), truth.max()), 3 * truth.max()) * 1.08
    for i, (ax, run, name) in enumerate(zip(axes, runs, names, strict=True)):
        ax.bar(place, truth[order], width=0.86, color=TRUTH)
        ax.bar(place, run.modes[order], width=0.4, color=run.look.colour)
        ax.set_ylim(0, top)
        ax.set_ylabel(name, rotation=0, ha="right", va="center", color=INK, labelpad=6)
        ax.set_yticks([0, truth.max()], ["0", f"{truth.max():.2g}"])
        ax.set_xticks([])
        ax.tick_params(axis="x", length=0, labelbottom=i == len(runs) - 1)
        if len(truth) <= MOST_NAMES:
            ax.set_xticks(place, [str(mode) for mode in order])
            _cut_off(ax, place, run.modes[order], top)
    axes[-1].set_xlabel("mode, heaviest first" if len(set(truth.round(6))) > 1 else "mode")
    return png(figure)


def _cut_off(ax: Any, place: np.ndarray, share: np.ndarray, top: float) -> None:
    """Bars that leave the picture say how high they are."""
    beside = {"xytext": (max(4, 60 / len(place)), 1), "textcoords": "offset points"}
    for x, value in zip(place, share, strict=True):
        if value > top:
            ax.annotate(f"{value:.2f} ↑", (x, top), **beside, va="top", fontsize=7, color=INK)


def _scatter(runs: list[Run], truth: np.ndarray) -> bytes:
    low = max(LEAST, min(truth.min() / 30, 0.3 * truth.min()))
    lost = [int((run.modes <= low).sum()) for run in runs]
    names = [f"{run.sampler} ({count} missed)" if count else run.sampler for run, count in zip(runs, lost, strict=True)]
    figure, axes = small_multiples(names, 1.7)
    line = np.array([low, 1.5 * truth.max()])
    for ax, run in zip(axes, runs, strict=True):
        ax.plot(line, line, color=TRUTH, linewidth=1.5, zorder=0)
        ax.plot(truth, np.maximum(run.modes, low), run.look.marker, color=run.look.colour, markersize=3.5, alpha=0.7)
        log_scale(ax.xaxis)
        log_scale(ax.yaxis)
    figure.supxlabel("true weight", fontsize=8.5, color=MUTED)
    figure.supylabel("share of the draws", fontsize=8.5, color=MUTED)
    return png(figure)
