"""Step sizes of controlled Langevin samplers before any training: the best of a few, by the bound they give."""

from __future__ import annotations

import math

import torch
from torch import Generator

from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.path_measures.evaluation import lower_bound
from samplers.path_measures.simulation import simulate
from targets import Target

PATHS = 256
SIZES = tuple(10 ** (-4.5 + 0.5 * j) for j in range(8))  # h in units of the target's spread
FALLS = (4.0, 16.0)  # from the prior to the target; tried after none


def tune_steps(measure: LangevinMeasure, target: Target, generator: Generator) -> None:
    """Set log h_k = log size + (1 - b_k) log fall, the pair with the largest mean log w over PATHS paths."""
    b = measure.temperature(torch.arange(measure.steps, device=target.device)).detach()
    bounds: dict[tuple[float, float], float] = {}

    def place(size: float, fall: float) -> None:
        measure.log_steps.data.copy_(math.log(size) + (1 - b) * math.log(fall))

    def attempt(size: float, fall: float) -> None:
        place(size, fall)
        bounds[size, fall] = lower_bound(simulate(measure, target, PATHS, generator).log_weights)

    for trial in SIZES:
        attempt(trial, 1.0)
    size, _ = max(bounds, key=bounds.__getitem__)
    for fall in FALLS:
        for last in (size, size / 2):
            attempt(last, fall)
    place(*max(bounds, key=bounds.__getitem__))
