"""Marginals of the variables that matter most."""

from __future__ import annotations

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.figures.rows import Marginal, histogram_rows
from samplers.compare.report.scene import Scene, named

MOST = 4


def marginals(scene: Scene) -> Picture | None:
    """Of at most four scalars, those first on which the samplers are furthest off."""
    order = list(scene.runs[0].values)
    names = sorted(scene.variables[:MOST], key=order.index)
    columns = [
        Marginal(name, scene.span(name), scene.facts.exact.get(name), [run.values[name] for run in scene.runs])
        for name in names
    ]
    known = all(column.exact is not None for column in columns)
    rest = len(order) - len(names)
    which = f" The {len(names)} of {len(order)} variables shown are those furthest off." if rest else ""
    return Picture(
        "marginals",
        "Marginals",
        ("Grey: exact. Line: the sampler. " if known else "Nothing exact is known to draw behind them. ")
        + "Rows of a column have one scale; peaks may be cut off."
        + which,
        f"Histograms of {', '.join(names)} for {named(scene.runs)}.",
        histogram_rows(scene.runs, columns),
    )
