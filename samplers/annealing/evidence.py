"""log Z from weights, how far it may be off, and when it must not be believed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from samplers.annealing.cloud import Cloud
from samplers.draws import LogZ, largest_pareto_k
from samplers.draws.weighted import HIGHEST_PARETO_K

if TYPE_CHECKING:
    from samplers.annealing.annealer import Run

LOW_ESS = 0.3  # share of the particles below which the tail of the weights is looked at
LEAST_ESS = 0.1  # share below which no k-hat reassures
NEARLY_ONE = 1e-4
MANY_DIVERGENCES = 0.1  # share of the moves; they are rejected, which biases nothing, and usual at steep walls
FEW_FAMILIES = 20


def log_mean_exp(values: Tensor) -> float:
    """log of the mean of exp(values), (n,)."""
    return float(values.logsumexp(0)) - math.log(len(values))


def estimate(cloud: Cloud) -> LogZ:
    """log Z with its standard error: from the replicates where there are several, else from the single run.

    The relative variance of one replicate's Z is estimated from the families of the first particles, as F - 1/n - N: F
    is the sum over first ancestors of their descendants' squared weight, N what chance in resampling adds to F. For
    multinomial resampling this is the estimator of Lee and Whiteley (2018) up to O(1/n^2); without resampling it is the
    ordinary variance of the mean weight. It is noisy: where it falls to zero or below, F - 1/n, which is too large,
    takes its place. No error is smaller than that of moves that draw every particle anew, the sum over temperatures of
    sum_i W_i^2 (w_i / sum_j W_j w_j - 1)^2: families of few particles all survive where weights hardly differ.
    """
    value = log_mean_exp(cloud.log_z)
    replicates = len(cloud.log_z)
    if replicates > 1:
        ratio = (cloud.log_z - value).exp()
        variance = max(float(ratio.var()), float(cloud.mixed.mean())) / replicates
        return LogZ(value, math.sqrt(variance), estimates=tuple(cloud.log_z.tolist()))
    if cloud.first == 1:
        return LogZ(value, math.nan)
    variance, most = relative_variance(cloud)
    return LogZ(value, math.sqrt(max(variance if variance > 0 else most, float(cloud.mixed))))


def relative_variance(cloud: Cloud) -> tuple[float, float]:
    """F - 1/n - N of `estimate`, which is right in the mean and may be negative, and F - 1/n, which is too large."""
    spread = (float(cloud.family_share()) - 1 / cloud.first) * cloud.first / (cloud.first - 1)
    return spread - float(cloud.noise[0]), spread


def complaints(run: Run, log_z: LogZ) -> Iterator[str]:
    """What a reader must know before believing log Z and the draws."""
    if run.undefined:
        yield (
            f"the log-density was NaN or plus infinity at up to {run.undefined} of {run.rows * run.n} particles at "
            "once; they were given no weight"
        )
    if 1 - run.betas[-2] < NEARLY_ONE:
        yield (
            f"the last temperature before the target is at b = 1 - {1 - run.betas[-2]:.1e}: the target's tails are far "
            f"heavier than those of the base, and if {run.target.name} is improper, as it may well be, there is no Z"
        )
    if run.worst_ess < LOW_ESS:
        k = largest_pareto_k(run.worst_weights[None])
        if not (k <= HIGHEST_PARETO_K and run.worst_ess > LEAST_ESS):
            yield (
                f"the weights are not to be trusted: their Pareto k-hat is {k:.2f} (at most {HIGHEST_PARETO_K}), at "
                f"the worst temperature the effective sample size is {run.worst_ess:.1%} of the particles. log Z is "
                "probably too low. Take more temperatures, more moves at each, or a wider base"
            )
    if run.rows == 1 and run.cloud.resamplings:
        families = int(run.cloud.eves.unique().numel())
        if families < FEW_FAMILIES:
            yield (
                f"all particles descend from {families} first ones: the standard error of log Z "
                f"({log_z.standard_error:.2g}) is itself uncertain. replicates= gives one that is not"
            )
    moves = len(run.kernels) * run.rows * run.n * run.sampler.moves
    if run.divergences > MANY_DIVERGENCES * moves:
        yield (
            f"{run.divergences} of {moves} moves diverged: proposals had a non-finite density or a large "
            "energy error and were rejected"
        )
