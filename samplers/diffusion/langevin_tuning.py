"""Step sizes of controlled Langevin samplers before any training: the best of a few, by the bound they give."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.path_measures.evaluation import lower_bound
from samplers.path_measures.simulation import simulate
from targets import Target

PATHS = 256
SIZES = tuple(10 ** (-4.5 + 0.5 * j) for j in range(8))  # h in units of the target's spread
FALLS = (1.0, 4.0, 16.0)  # from the prior to the target


def tune_steps(measure: LangevinMeasure, target: Target, generator: Generator) -> None:
    """Set log h_k = log size + (1 - b_k) log fall, the pair with the largest mean log w over PATHS paths."""
    best = -math.inf
    b = measure.temperature(torch.arange(measure.steps, device=target.device)).detach()
    chosen: Tensor | None = None
    size = SIZES[0]

    def attempt(value: Tensor) -> float:
        measure.log_steps.data.copy_(value)
        return lower_bound(simulate(measure, target, PATHS, generator).log_weights)

    for trial in SIZES:
        value = torch.full_like(b, math.log(trial))
        found = attempt(value)
        if found > best or chosen is None:
            best, chosen, size = found, value, trial
    for fall in FALLS[1:]:
        for last in (size, size / 2):
            value = math.log(last) + (1 - b) * math.log(fall)
            found = attempt(value)
            if found > best:
                best, chosen = found, value
    assert chosen is not None
    measure.log_steps.data.copy_(chosen)
