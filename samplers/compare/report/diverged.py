"""Divergent steps of a run in the scalars that the figures show."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplers.draws import Draws
from samplers.draws.names import scalars

SHOWN = 200  # of a run; more are one blot


@dataclass(frozen=True, eq=False)
class Diverged:
    """start, end: {scalar: (k,)}, where steps began and would have led, NaN where that is not finite or not known.

    more: divergent steps of the run that are not shown. Both are empty without a target to name coordinates by.
    """

    start: Mapping[str, np.ndarray]
    end: Mapping[str, np.ndarray]
    more: int

    def lines(self, names: list[str], along: tuple[float, float], up: tuple[float, float]) -> np.ndarray:
        """From start to end in two scalars, (lines, 2, 2): of those steps whose end lies within the axes."""
        ends = np.stack([self.end[name] for name in names], -1)
        low, high = np.array([along, up]).T
        within = ((ends >= low) & (ends <= high)).all(-1)  # which a NaN is not
        starts = np.stack([self.start[name] for name in names], -1)
        return np.stack([starts, ends], 1)[within]


def diverged(draws: Draws, names: Collection[str]) -> Diverged | None:
    """At most SHOWN of those that a run has kept, spread over them, in these scalars; None where it has kept none."""
    steps = draws.divergent_steps
    if steps is None:
        return None
    if draws.target is None and draws.constrained_points.keys() != {"x"}:
        return Diverged({}, {}, len(steps) + steps.more)
    which = torch.linspace(0, len(steps) - 1, min(SHOWN, len(steps)), dtype=torch.float64).long()
    end = torch.full_like(steps.start, torch.nan) if steps.end is None else steps.end
    start, led = (_named(draws, x[which.to(x.device)], names) for x in (steps.start, end))
    return Diverged(start, led, len(steps) + steps.more - len(which))


def _named(draws: Draws, x: Tensor, names: Collection[str]) -> dict[str, np.ndarray]:
    """The scalars at x, (k, dim), which need not be finite."""
    usable = x.isfinite().all(-1)
    with torch.no_grad():
        kept = x[usable][None]
        found = {"x": kept} if draws.target is None else draws.target.constrain(kept)
    every = {}
    for name, value in scalars(found):
        if name in names:
            every[name] = np.full(len(x), np.nan)
            every[name][usable.cpu().numpy()] = value[0]
    return every
