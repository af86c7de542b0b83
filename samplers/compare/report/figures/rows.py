"""Histograms in rows, one sampler each, over the exact distribution in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.compare.report.scene import Run
from samplers.compare.report.style import INK, TRUTH, new_figure, png, wrapped

BINS, HEIGHT, HIGHEST = 36, 0.42, 1.8  # highest: of a peak in the picture, in heights of the exact one


@dataclass(frozen=True)
class Marginal:
    """One variable: its range, exact draws if there are any, and the values of each run."""

    title: str
    span: tuple[float, float]
    exact: np.ndarray | None
    values: Sequence[np.ndarray]


def histogram_rows(runs: list[Run], columns: list[Marginal]) -> bytes:
    """Rows are samplers, columns variables; the scale of a column is the same in every row."""
    names = [wrapped(run.sampler) for run in runs]
    heights = [HEIGHT * max(1.0, 0.35 * (name.count("\n") + 1)) for name in names]
    figure = new_figure(sum(heights) + 0.65)
    axes = figure.subplots(len(runs), len(columns), squeeze=False, sharex="col", height_ratios=heights)
    for j, column in enumerate(columns):
        edges = np.linspace(*column.span, BINS + 1)
        exact = None if column.exact is None else _density(column.exact, None, edges)
        drawn = [_density(values, run.weights, edges) for run, values in zip(runs, column.values, strict=True)]
        top = max(one.max() for one in drawn)
        if exact is not None:
            top = min(max(top, exact.max()), HIGHEST * exact.max())
        for i, run in enumerate(runs):
            _panel(axes[i, j], edges, exact, drawn[i], run, top, last=i == len(runs) - 1)
        axes[0, j].set_title(wrapped(column.title, 56 // len(columns)))
    for i, name in enumerate(names):
        axes[i, 0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK, labelpad=6)
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.04)
    return png(figure)


def _density(values: np.ndarray, weights: np.ndarray | None, edges: np.ndarray) -> np.ndarray:
    """Mass in each bin by its width; what lies outside counts as mass elsewhere."""
    flat = values.reshape(-1)
    w = np.full(len(flat), 1 / len(flat)) if weights is None else weights.reshape(-1)
    return np.histogram(flat, edges, weights=w)[0] / np.diff(edges)


def _panel(
    ax: Any, edges: np.ndarray, exact: np.ndarray | None, own: np.ndarray, run: Run, top: float, *, last: bool
) -> None:
    if exact is not None:
        ax.stairs(exact, edges, fill=True, color=TRUTH, linewidth=0)
    ax.stairs(own, edges, color=run.look.colour, linewidth=1.1, baseline=None)
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.06 * top or 1), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="x", bottom=last, labelbottom=last)
    ax.locator_params(axis="x", nbins=4)
