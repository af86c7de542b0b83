"""All measurements at once against one after the other, at equal numbers of scores, and the figure of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from _machine import RESULTS
from _smoothing_metrics import (
    CELLS,
    diagonal,
    diagonal_density,
    diagonal_quantiles,
    diagonal_wasserstein,
    floors,
    light_share,
)
from _smoothing_modes import LIGHT, Pair
from _smoothing_published import SEED, Found
from _smoothing_run import Options, measured
from torch import Tensor

import samplers
import targets

DRAWS, FEWER = 4096, 1024  # the latter from MANY measurements on
MANY = 256
SETS = 16
UNDERDAMPED = "underdamped"
JUMPS = ("posterior", "mean")
JOINT, SEQUENTIAL, PAPER = "#b5542c", "#1f4e79", "#c8c8c8"
SHOWN = (1, 4, 16, 64)  # measurements whose histograms are drawn


@dataclass(frozen=True)
class Walk:
    """A kernel, the scores of one step, steps of the first measurement and of each other, and the m it is run for."""

    kernel: Any
    scores: int
    first_steps: int
    steps: int
    counts: tuple[int, ...]
    jumps: tuple[str, ...]


WALKS = {
    UNDERDAMPED: Walk(samplers.UnderdampedLangevin(step_size=0.5), 1, 128, 6, (1, 4, 16, 64, 256), JUMPS),
    "ULA": Walk(samplers.ULA(0.1), 1, 128, 6, (1, 4, 16, 64), ("posterior",)),
    "HMC": Walk(samplers.HMC(steps=4), 4, 32, 2, (1, 4, 16, 64), ("posterior",)),
}


@dataclass
class Curves:
    """What the figure shows: W2 against m, and draws along the diagonal."""

    target: targets.GaussianMixture
    points: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)  # (sampler, jump): {m: W2}
    bands: dict[int, tuple[float, float]] = field(default_factory=dict)  # m: least and greatest W2 of exact draws
    draws: dict[tuple[str, int], Tensor] = field(default_factory=dict)  # (sampler, m): along the diagonal


def joint(options: Options) -> Iterator[Found]:
    """W2 along the diagonal and the weights, against m."""
    target: Any = targets.benchmark("two-gaussians-unequal-d8")
    pair, curves = Pair("d = 8", target), Curves(target)
    exact: dict[int, tuple[Tensor, list[float]]] = {}  # by number of draws: quantiles, and W2 of exact draws
    for name, walk in WALKS.items():
        for m in walk.counts[: 3 if options.quick else None]:
            n = 128 if options.quick else FEWER if m >= MANY else DRAWS
            if n not in exact:
                exact[n] = exact_law(target, n)
            for jump in walk.jumps:
                scores = None
                for label in ("sequential", "joint"):
                    named = f"{name}, m = {m}, {jump}, {label}"
                    if not options.wants(named) or (label == "joint" and scores is None):
                        continue
                    sampler, arguments = chain(walk, pair, m, jump, n, scores)
                    cell = measured(sampler, target, seed=SEED, limit=options.limit, label=named, **arguments)
                    row = {"kernel": name, "jump": jump, "m": m, "sampler": label, "W2 along the diagonal": None}
                    row |= {"floor": fmean(exact[n][1]), "weight off by": None} | cell.cost
                    if cell.draws is not None:
                        x = cell.draws.x.flatten(0, 1)
                        scores = scores or round(cell.draws.cost.score / n)
                        row["W2 along the diagonal"] = found = diagonal_wasserstein(x, exact[n][0])
                        row["weight off by"] = light_share(x) - LIGHT
                        if name == UNDERDAMPED:
                            curves.points.setdefault((label, jump), {})[m] = found
                            curves.bands[m] = min(exact[n][1]), max(exact[n][1])
                            if jump == "posterior" and m in SHOWN:
                                curves.draws[label, m] = diagonal(x)
                    yield row, []
    if curves.points:
        figure(curves, RESULTS / f"smoothing_joint{'-quick' if options.quick else ''}.png")


def exact_law(target: targets.GaussianMixture, n: int) -> tuple[Tensor, list[float]]:
    """Quantiles along the diagonal, and W2 of 16 sets of n exact draws."""
    quantiles = diagonal_quantiles(target, CELLS * n)
    return quantiles, floors(
        lambda x: diagonal_wasserstein(x, quantiles), lambda g: target.sample(n, generator=g), SETS
    )


def chain(walk: Walk, pair: Pair, m: int, jump: Any, n: int, scores: int | None) -> tuple[Any, dict[str, Any]]:
    """The sequence, or the joint walk with as many scores a draw."""
    if scores is None:
        sequence = samplers.SequentialMultimeasurement(
            sigma=pair.sigma, m=m, kernel=walk.kernel, steps=walk.steps, first_steps=walk.first_steps, jump=jump
        )
        return sequence, {"draws": n, "init": pair.start}
    left = scores - 1 - (jump == "mean") * 1  # those of the start and of the jump
    together = samplers.JointMultimeasurement(
        sigma=pair.sigma, m=m, kernel=walk.kernel, steps=max(1, round(left / walk.scores)), jump=jump
    )
    return together, {"chains": n, "draws": 1, "warmup": 0, "init": pair.start}


NOTES = (
    "two-gaussians-unequal-d8 with the exact score, sigma^2 = 71; all chains start in the lighter mode, at +3. The "
    "joint walk takes as many scores a draw as the sequence.",
    f"underdamped: step 0.5; ULA: step 0.1; HMC: 4 leapfrogs, step 1.2 (m d)^(-1/4) for all m at once, 1.2 d^(-1/4) "
    f"for one. {', '.join(f'{name}: {w.first_steps} first steps, then {w.steps}' for name, w in WALKS.items())}.",
    "W2: of the coordinate along (1, .., 1) / sqrt(d), against quantiles of the exact law; floor: the same for as many "
    "exact draws, mean of 16 sets. Modes are 17 apart: it is for the most part the error of the weights.",
    "jump: posterior draws X given the measurements, mean takes E[X | ybar], the literature's.",
)


# The figure


def figure(curves: Curves, path: Path) -> None:
    """Left: W2 against m. Right: histograms along the diagonal, with the exact density."""
    from matplotlib.figure import Figure

    whole: Any = Figure(figsize=(11.6, 4.7), layout="constrained")
    left, right = whole.subfigures(1, 2, width_ratios=[1, 1.75], wspace=0.03)
    errors(left.subplots(), curves)
    counts = [m for m in SHOWN if ("sequential", m) in curves.draws]
    grid = right.subplots(2, len(counts), sharex=True, sharey=True, squeeze=False)
    for axes, label, colour in zip(grid, ("joint", "sequential"), (JOINT, SEQUENTIAL), strict=True):
        for ax, m in zip(axes, counts, strict=True):
            histogram(ax, curves, label, m, colour)
        axes[0].set_ylabel("all at once" if label == "joint" else "one after the other", color=colour, fontsize=10)
    for ax, m in zip(grid[0], counts, strict=True):
        ax.set_title(f"m = {m}", fontsize=10)
    right.supxlabel("coordinate from mode to mode", fontsize=10)
    whole.savefig(path, dpi=150)


def errors(ax: Any, curves: Curves) -> None:
    names = {"joint": "all at once", "sequential": "one after the other"}
    for label, colour in (("joint", JOINT), ("sequential", SEQUENTIAL)):
        for jump, style in (("posterior", "-"), ("mean", "--")):
            points = curves.points.get((label, jump), {})
            tail = "X drawn" if jump == "posterior" else "mean"
            ax.plot(
                points.keys(), points.values(), style, marker="o", ms=4, color=colour, label=f"{names[label]}, {tail}"
            )
    low, high = zip(*curves.bands.values(), strict=True)
    ax.fill_between(list(curves.bands), low, high, color=PAPER, alpha=0.6, lw=0, label="exact draws, 16 sets", zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    counts = sorted(curves.bands)
    ax.set_xticks(counts, [str(m) for m in counts])
    ax.set_xlabel("measurements m")
    ax.set_ylabel("W2 along the line of the modes")
    ax.set_title("equal scores a draw, all from one mode", fontsize=10)
    ax.grid(which="major", color=PAPER, linewidth=0.5, alpha=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, ncols=2, columnspacing=1.0, loc="upper center", bbox_to_anchor=(0.45, -0.17))


def histogram(ax: Any, curves: Curves, label: str, m: int, colour: str) -> None:
    reach = 3 * curves.target.dim**0.5 + 5
    at = torch.linspace(-reach, reach, 400, dtype=torch.float64)
    ax.hist(curves.draws[label, m].numpy(), bins=60, range=(-reach, reach), density=True, color=colour, alpha=0.55)
    ax.plot(at, diagonal_density(curves.target, at), color="black", lw=1.0)
    share = float((curves.draws[label, m] > 0).double().mean())
    ax.text(0.5, 0.95, f"{share:.0%} on\nthe right", transform=ax.transAxes, ha="center", va="top", fontsize=8.5)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
