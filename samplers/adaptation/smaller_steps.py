"""Whether smaller leapfrog steps help: where a density jumps, or its gradient is wrong, they do not.

A trajectory of one length T, in steps of e, ends with an energy error of O(e^2) on a smooth density and of O(e) across
a kink. Across a jump or a wall, or along a gradient that is not the density's, an error stays however small e is: the
acceptance never reaches what tuning aims at, and e falls until T / e meets the limit of leapfrogs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Generator

from samplers.runs.state import each

MANY = 128  # leapfrogs in a trajectory from which on it is asked
FEW = 32  # of the present step size, in the trajectories that it is asked of
SIXTEENTH = 4  # they are run at this times the step size, and at the step size over this
ROWS = 64  # trajectories
AS_OFTEN = 0.8  # of the rejections must stay at a sixteenth of the step size


def do_not_help(kernel: Any, target: Any, state: Any, least: float) -> bool | None:
    """Whether the same trajectories are rejected as often at a sixteenth of the step size.

    Trajectories start where the chains are, with the same momenta in both step sizes, and have 32 steps of the kernel's
    size in length. Costs 136 scores a trajectory. None where fewer than `least` are rejected at the longer steps or
    fewer than `least` accepted at the shorter ones, which tells nothing.
    """
    index = torch.arange(ROWS, device=state.x.device)
    index = index % len(state.x) if len(state.x) < ROWS else index * len(state.x) // ROWS
    rows = each(state, lambda value: value[index])
    coarse, fine = (
        _rejected(kernel, target, rows, kernel.h * factor, round(FEW / factor)) for factor in (SIXTEENTH, 1 / SIXTEENTH)
    )
    return None if coarse < least or fine > 1 - least else fine > AS_OFTEN * coarse


def _rejected(kernel: Any, target: Any, state: Any, step_size: float, steps: int) -> float:
    """The mean probability of rejection, by their energy errors, of trajectories with these many steps of this size."""
    fixed = replace(kernel, step_size=step_size, steps=steps, trajectory_length=None)
    _, info = fixed.step(target, state, Generator(state.x.device).manual_seed(0))
    return 1 - float(info.by_step_size.mean())
