"""Temperatures: given beforehand, or each as far from the last as the weights allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from samplers.annealing.given import rising
from targets.arguments import shown

MOST_TEMPERATURES = 5000
HALVINGS = 50


def conditional_ess(log_weights: Tensor, increment: Tensor) -> float:
    """(sum W u)^2 / sum W u^2 with u = exp(increment), mean over the rows of (rows, n): 1 for equal u, 0 for u = 0.

    W are the weights normalised within their row. Zhou, Johansen and Aston 2016.
    """
    first = torch.logsumexp(log_weights + increment, -1)
    second = torch.logsumexp(log_weights + 2 * increment, -1)
    return float(torch.where(first == -torch.inf, 0.0, (2 * first - second).exp()).mean())


def next_beta(log_weights: Tensor, increment: Callable[[float], Tensor], beta: float, target: float) -> float:
    """The largest b at most 1 whose conditional ESS from `beta` on is at least `target`, by bisection.

    `increment(b)` is log pi_b - log pi_beta at the particles, (rows, n).
    """
    if conditional_ess(log_weights, increment(1.0)) >= target:
        return 1.0
    # in log(b - beta): the first steps from a wide base may be of 1e-8
    low, high = -60.0, math.log(1.0 - beta)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if conditional_ess(log_weights, increment(beta + math.exp(middle))) >= target:
            low = middle
        else:
            high = middle
    return beta + math.exp(low)


def fixed_betas(betas: int | Sequence[float]) -> tuple[float, ...]:
    """Temperatures from 0 to 1: `betas` as given and checked, or that many equal steps."""
    if isinstance(betas, bool) or (isinstance(betas, int) and betas < 1):
        raise ValueError(
            f"betas: got {shown(betas)}, expected a positive number of steps or increasing values from 0 to 1"
        )
    return rising([k / betas for k in range(betas + 1)] if isinstance(betas, int) else betas, "betas")
