"""Means of weighted points with their standard errors, where points of a family are not independent; k-hat.

    mean = sum_i W_i f_i,   error^2 = sum over families of (sum_{i in family} W_i (f_i - mean))^2

With a family for each point this is the usual error of a weighted mean. Particles that were resampled share ancestors;
where moves have made them independent since, their products cancel. Chan and Lai 2013; Lee and Whiteley 2018.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Generator, Tensor

from samplers.draws import records
from samplers.draws.ties import slack, tied

HIGHEST_PARETO_K = 0.7  # Vehtari et al. 2024
FAMILY = "family"  # in the statistics of draws: which of the first particles each descends from


class Recorded(Protocol):
    """What has statistics of its points, (chains, draws) each."""

    @property
    def stats(self) -> dict[str, Tensor]:
        """By name."""


def families_of(draws: Recorded) -> Tensor | None:
    """The families of all points of draws, (n,), on the CPU; None where each is its own."""
    return draws.stats[FAMILY].reshape(-1).long().cpu() if FAMILY in draws.stats else None


def mean_and_error(shares: Tensor, values: Tensor, families: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of values (n, *shape) with weights (n,) of sum one, in float64; families (n,), or None: each its own."""
    weights = shares.reshape(-1, *[1] * (values.ndim - 1))
    mean = (weights * values).sum(0)
    return mean, error_of(shares, values - mean, families)


def error_of(shares: Tensor, centred: Tensor, families: Tensor | None = None) -> Tensor:
    """The standard error of a weighted mean of `centred` (n, *shape), whose own mean is zero."""
    parts = shares.reshape(-1, *[1] * (centred.ndim - 1)) * centred
    if families is not None:
        parts = parts.new_zeros((int(families.max()) + 1, *parts.shape[1:])).index_add_(0, families, parts)
    return parts.square().sum(0).sqrt()


def largest_pareto_k(log_weights: Tensor) -> float:
    """The largest Pareto k-hat over the rows of (rows, n); minus infinity where all weights of every row are equal.

    Weights that differ by rounding alone are: a tail fitted to it would be any.
    """
    varied = [row for row in log_weights if not bool(tied(row, row[0], slack(row)).all())]
    return max((records.pareto_k(row) for row in varied), default=-math.inf)


def in_proportion(cumulative: Tensor, n: int, generator: Generator) -> Tensor:
    """Which points n draws with replacement take, (n,), by the sums of the weights up to each point.

    By inverse distribution function: multinomial() stops at 2^24 categories.
    """
    uniform = torch.rand(n, generator=generator, dtype=torch.float64, device=cumulative.device)
    return torch.searchsorted(cumulative, uniform * cumulative[-1], right=True).clamp_max(len(cumulative) - 1)
