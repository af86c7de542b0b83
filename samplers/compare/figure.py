"""One figure of a comparison: a row a target, a column a sampler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from samplers.draws import Draws
from targets import Target

if TYPE_CHECKING:
    from samplers.compare.grid import Comparison

POINTS, TRACES = 2000, 4
INK, PAPER = "#1f4e79", "#c8c8c8"


def draw(result: Comparison, path: Path) -> Path:
    """Write the figure: draws over the exact density's contours in the plane, traces of a variable elsewhere."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(result.table["target"])), list(dict.fromkeys(result.table["sampler"]))
    rows, columns = map(len, names)
    figure = Figure(figsize=(3.4 * columns + 0.6, 3.0 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    first = {(t, s): draws for (t, s, _), draws in reversed(result.draws.items())}
    for i, target in enumerate(names[0]):
        shared = [first[target, s] for s in names[1] if (target, s) in first]
        for j, sampler in enumerate(names[1]):
            ax = axes[i, j]
            ax.set_title(f"{sampler} on {target}", fontsize=10)
            ax.tick_params(labelsize=8)
            if (target, sampler) not in first:
                ax.text(0.5, 0.5, "failed: see the table", ha="center", va="center", transform=ax.transAxes, fontsize=9)
                ax.set_axis_off()
            elif first[target, sampler].x.shape[-1] == 2:
                _scatter(ax, first[target, sampler], shared)
            else:
                _traces(ax, first[target, sampler], shared)
    figure.savefig(path, dpi=130)
    return path


def _scatter(ax: Any, draws: Draws, shared: list[Draws]) -> None:
    assert draws.target is not None
    everything = np.concatenate([_points(other) for other in shared])
    low, high = everything.min(0), everything.max(0)
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    _contours(ax, draws.target, low, high)
    points = _points(draws)
    ax.plot(points[:, 0], points[:, 1], ".", color=INK, markersize=1.6, alpha=0.5, rasterized=True)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_xlabel("x[0]", fontsize=8)
    ax.set_ylabel("x[1]", fontsize=8)


def _points(draws: Draws) -> np.ndarray:
    flat = draws.x.reshape(-1, 2)
    which = torch.linspace(0, len(flat) - 1, min(POINTS, len(flat))).long()
    return flat[which].double().cpu().numpy()


def _contours(ax: Any, target: Target, low: np.ndarray, high: np.ndarray) -> None:
    x, y = np.meshgrid(np.linspace(low[0], high[0], 160), np.linspace(low[1], high[1], 160))
    grid = torch.as_tensor(np.stack([x, y], -1)).to(device=target.device, dtype=target.dtype)
    value = target.log_prob(grid).double().cpu().numpy()
    ax.contourf(x, y, value - value.max(), levels=[-8, -4, -2, -1, 0], cmap="Greys", alpha=0.5)


def _traces(ax: Any, draws: Draws, shared: list[Draws]) -> None:
    name, value = _first_scalar(draws)
    for chain in range(min(TRACES, len(value))):
        ax.plot(value[chain], linewidth=0.6, color=INK, alpha=0.35 + 0.6 * chain / TRACES)
    everything = np.concatenate([_first_scalar(other)[1].ravel() for other in shared])
    ax.set_ylim(np.quantile(everything, 0.0005), np.quantile(everything, 0.9995))
    ax.set_xlabel(f"draw ({min(TRACES, len(value))} of {len(value)} chains)", fontsize=8)
    ax.set_ylabel(name, fontsize=8)
    truth = draws.target.moments if draws.target is not None and "moments" in draws.target.known else {}
    key = name.partition("[")[0]
    if key in truth:
        mean, sd = (float(part.reshape(-1)[0]) for part in (truth[key].mean, truth[key].sd))
        ax.axhspan(mean - sd, mean + sd, color=PAPER, alpha=0.5, zorder=0)
        ax.axhline(mean, color="black", linewidth=0.8)


def _first_scalar(draws: Draws) -> tuple[str, np.ndarray]:
    """The variable that mixes worst in most models is a scale: tau where there is one, else the first."""
    values = draws.constrained
    name = "tau" if "tau" in values else next(iter(values))
    value = values[name].double().cpu().numpy()
    return (name, value) if value.ndim == 2 else (f"{name}[0]", value.reshape(*value.shape[:2], -1)[..., 0])
