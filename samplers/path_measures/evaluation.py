"""What weights tell of a learned sampler, from both sides.

    forward paths:   ELBO = mean log w,   log Z-hat = log mean w,   ESS = (sum w)^2 / (n sum w^2)
    backward paths from draws of the target:   EUBO = mean log w,   forward ESS = 1 / (mean w  mean 1/w)

E[ELBO] <= log Z <= E[EUBO]. The ESS of forward paths cannot see a mode that the sampler never visits; backward paths
from draws that do visit it can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samplers.annealing.evidence import log_mean_exp
from samplers.draws import LogZ, largest_pareto_k
from samplers.draws.weighted import HIGHEST_PARETO_K

SELDOM = 100.0  # a place that the sampler visits this many times too rarely is one that it misses
MOST_MISSED = 0.02
LOW_ESS = 0.05
WORSE = 1.0  # nats by which the bound must have fallen to be worth a warning: single paths move it by tenths


@dataclass(frozen=True)
class Evaluation:
    """Of `draws` forward paths: elbo, log_z, standard errors of both, ess, pareto_k; lost: paths without finite weight.

    eubo, forward_ess and missed are of backward paths from `witnesses` draws of the target, None without any. missed:
    the share of these draws that lie where the sampler goes at least a hundred times too rarely.

    log_z, standard_error, elbo, elbo_standard_error: in nats. ess, forward_ess: as shares of the paths.

        >>> fitted = samplers.DDS(steps=4, prior="gaussian").fit(targets.Gaussian([0.0, 0.0]), iterations=0)
        >>> found = fitted.evaluate(500)
        >>> found.draws, found.elbo <= found.log_z
        (500, True)
    """

    draws: int
    elbo: float
    log_z: float
    standard_error: float
    ess: float
    pareto_k: float
    lost: int = 0
    witnesses: int = 0
    eubo: float | None = None
    forward_ess: float | None = None
    missed: float | None = None
    elbo_standard_error: float = math.nan

    def __str__(self) -> str:
        text = (
            f"log Z {self.log_z:.4f} +- {self.standard_error:.2g}, ELBO {self.elbo:.4f}, ESS {self.ess:.1%} of "
            f"{self.draws} paths, Pareto k-hat {self.pareto_k:.2f}"
        )
        if self.eubo is not None:
            text += (
                f"; from {self.witnesses} draws of the target: EUBO {self.eubo:.4f}, forward ESS "
                f"{self.forward_ess:.1%}, missed {self.missed:.1%}"
            )
        return text

    def complaints(
        self, untrained: Evaluation | None = None, advice: str = "take more steps, or correct='smc'"
    ) -> list[str]:
        """What a reader must know before believing draws and log Z; untrained: the same before training.

        advice: what else helps against bad weights than training longer.
        """
        found = []
        if untrained is not None and not self.elbo > untrained.elbo - WORSE:
            found.append(
                f"training lowered the bound, from {untrained.elbo:.4g} to {self.elbo:.4g}: iterations=0 is the better "
                "sampler. Train longer, or with a lower Training(learning_rate=)"
            )
        if self.lost:
            found.append(f"{self.lost} of {self.draws} paths ended where the log-density is not finite; no weight")
        if not (self.pareto_k <= HIGHEST_PARETO_K and self.ess >= LOW_ESS):
            found.append(
                f"the weights are not to be trusted: their Pareto k-hat is {self.pareto_k:.2f} (at most "
                f"{HIGHEST_PARETO_K}), the effective sample size {self.ess:.1%} of the draws. log Z is probably too "
                f"low. Train longer, {advice}"
            )
        if self.missed is not None and self.missed > MOST_MISSED:
            found.append(
                f"modes are missed: {self.missed:.0%} of {self.witnesses} draws of another sampler lie where this one "
                f"goes at least {SELDOM:.0f} times too rarely. Its own weights cannot see that. Train by LogVariance "
                "with exploration= or replay=, or start from a wider prior or prior='mixture'"
            )
        return found


def weigh(log_w: Tensor) -> LogZ:
    """log Z from independent log weights (n,), its standard error, and the ELBO as the lower bound."""
    n, ess = len(log_w), effective_share(log_w)
    error = math.sqrt(max(0.0, 1 / ess - 1) / (n - 1)) if n > 1 and ess > 0 else math.nan
    return LogZ(log_mean_exp(log_w), error, lower=lower_bound(log_w))


def effective_share(log_w: Tensor) -> float:
    """ESS / n of log weights (n,)."""
    return float(torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))) / len(log_w)


def lower_bound(log_w: Tensor) -> float:
    """The ELBO of log weights (n,): their mean, and log of the share of finite ones where there are others.

    E[log w | finite] <= log E[w | finite] = log Z - log P(finite): without the second term it would bound nothing.
    """
    good = log_w[log_w.isfinite()]
    return float(good.mean()) + math.log(len(good) / len(log_w)) if len(good) else -math.inf


def lower_bound_error(log_w: Tensor) -> float:
    """The standard error of `lower_bound`, of both its terms; NaN for fewer than two finite weights."""
    good = log_w[log_w.isfinite()]
    n, m = len(log_w), len(good)
    return math.sqrt(float(good.var()) / m + (n - m) / (n * m)) if m > 1 else math.nan


def evaluate_weights(log_w: Tensor, backward: Tensor | None = None) -> Evaluation:
    """From log w of forward paths (n,), and of backward ones (m,) where there are any."""
    defined = torch.where(log_w < torch.inf, log_w, -torch.inf)  # NaN too
    good = defined[defined.isfinite()]
    lost = len(log_w) - len(good)
    if len(good) == 0:
        return Evaluation(len(log_w), -math.inf, -math.inf, math.nan, 0.0, math.inf, lost)
    log_z = weigh(defined)
    found = Evaluation(
        draws=len(log_w),
        elbo=lower_bound(log_w),
        log_z=log_z.value,
        standard_error=log_z.standard_error,
        ess=effective_share(defined),
        pareto_k=largest_pareto_k(good[None]) if len(good) >= 25 else math.inf,
        lost=lost,
        elbo_standard_error=lower_bound_error(log_w),
    )
    if backward is None:
        return found
    back = backward[backward.isfinite()]
    missed = float((~(backward - log_z.value <= math.log(SELDOM))).double().mean())  # those that are not finite too
    eubo, forward_ess = math.inf, 0.0
    if len(back):
        eubo = float(back.mean())
        forward_ess = math.exp(2 * math.log(len(back)) - float(back.logsumexp(0) + (-back).logsumexp(0)))
    return replace(found, witnesses=len(backward), eubo=eubo, forward_ess=forward_ess, missed=missed)
