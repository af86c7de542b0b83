"""Draws in two variables: over the density of a target in the plane, or over exact draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.compare.report.diverged import Diverged
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene, named
from samplers.compare.report.style import INK, MUTED, TRUTH, png, small_multiples

POINTS, HEIGHT = 800, 4.2  # of a panel as high as the figure is wide
LEVELS = [-8, -5, -3, -1.5, -0.5, 0]  # of log p - max log p
BLUE, ORANGE = "#0b5394", "#D55E00"
EXACT = "exact draws"


def plane(scene: Scene) -> Picture | None:
    """Draws of each sampler over the exact density; only for targets in the plane."""
    grid = scene.facts.plane
    if grid is None or len(scene.runs[0].values) != 2:
        return None
    x, y, value = grid
    names = list(scene.runs[0].values)
    shown = [(run.sampler, run.picked(POINTS, *names)) for run in scene.runs]
    if all(name in scene.facts.exact for name in names):
        shown.insert(0, (EXACT, [scene.facts.exact[name][:POINTS] for name in names]))

    def density(ax: Any) -> None:
        ax.contourf(x, y, value, levels=LEVELS, cmap="Greys", vmin=-9, vmax=16)

    return Picture(
        "density",
        "Density and draws",
        f"Grey: the exact density, lines at {', '.join(f'{-level:g}' for level in LEVELS[:-1])} below the largest log "
        f"density. Dots: {POINTS} draws, by weight where there are weights. Empty grey is mass that a sampler misses."
        f"{_in_words(scene)}",
        f"Exact density of {scene.facts.name} with draws of {named(scene.runs)}.",
        _small_multiples(scene, shown, names, density, (x[0], x[-1]), (y[0], y[-1])),
    )


def pairs(scene: Scene) -> Picture | None:
    """Draws of the two variables that matter most over exact draws; for targets in more than two dimensions."""
    if scene.facts.plane is not None or scene.facts.discrete or len(scene.variables) < 2:
        return None
    names = sorted(scene.variables[:2], key=list(scene.runs[0].values).index)
    known = all(name in scene.facts.exact for name in names)

    def truth(ax: Any) -> None:
        if known:
            ax.plot(*map(scene.facts.exact.get, names), ".", color=TRUTH, markersize=3.2, markeredgewidth=0)

    shown = [(run.sampler, run.picked(POINTS, *names)) for run in scene.runs]
    return Picture(
        "pair",
        f"Draws of {names[0]} and {names[1]}",
        f"The two variables on which the samplers are furthest {'off' if known else 'apart'}. "
        + (f"Grey: exact draws. Blue: {POINTS} draws." if known else f"{POINTS} draws of each.")
        + _in_words(scene),
        f"Scatter of {names[0]} against {names[1]} for {named(scene.runs)}.",
        _small_multiples(scene, shown, names, truth, scene.span(names[0]), scene.span(names[1])),
    )


def _in_words(scene: Scene) -> str:
    """What a caption says of divergent steps; nothing where there are none."""
    found = {run.sampler: run.diverged for run in scene.runs if run.diverged is not None}
    if not found:
        return ""
    drawn = {name: len(next(iter(steps.start.values()), ())) for name, steps in found.items()}
    counts = ", ".join(
        f"{name} {drawn[name]:,}" + (f" of {drawn[name] + steps.more:,}" if steps.more else "")
        for name, steps in found.items()
    )
    return (
        " Orange crosses: where divergent steps began, with a line to where each would have ended, if that is within "
        f"the axes ({counts})."
        + (" Those of draws that came without their target are not drawn." if 0 in drawn.values() else "")
    )


def _divergent(ax: Any, steps: Diverged, names: list[str], along: tuple[float, float], up: tuple[float, float]) -> None:
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(list(steps.lines(names, along, up)), colors=ORANGE, linewidths=0.4, alpha=0.5))
    ax.plot(*map(steps.start.get, names), "x", color=ORANGE, markersize=2.8, markeredgewidth=0.7)


def _small_multiples(
    scene: Scene,
    shown: list[tuple[str, list[np.ndarray]]],
    names: list[str],
    background: Any,
    along: tuple[float, float],
    up: tuple[float, float],
) -> bytes:
    diverged = {run.sampler: run.diverged for run in scene.runs if run.diverged is not None and run.diverged.start}
    figure, axes = small_multiples([name for name, _ in shown], HEIGHT, square=True)
    for ax, (name, points) in zip(axes, shown, strict=True):
        background(ax)
        ax.plot(*points, ".", color=BLUE, markersize=2.3, alpha=0.6, markeredgewidth=0)
        if name in diverged:
            _divergent(ax, diverged[name], names, along, up)
        ax.title.set_color(MUTED if name == EXACT else INK)
        ax.set(xlim=along, ylim=up)
    figure.supxlabel(names[0], fontsize=8.5)
    figure.supylabel(names[1], fontsize=8.5)
    return png(figure)
