"""A half-bridge that leads to an energy, learned from paths of the steps themselves, without draws of the energy.

    log w = log gamma(x_K) + sum_k [ log N(x_k; step behind at x_{k+1}) - log N(x_{k+1}; step ahead at x_k) ]

The half-bridge is the process whose reversal are the steps behind, from gamma / Z: among processes ahead, the closest
to it from wherever they start. Of its paths from one point x_0 all have the same log w, log Z plus the log-density that
gamma / Z leads to at x_0, which nobody need know: what is made small is the variance of log w among paths that share
their start. It is zero, with its gradient's noise, at the half-bridge, for paths of any law: the steps ahead that are
being learned, as numbers. Richter and Berner 2024, https://arxiv.org/abs/2307.01198; Vargas, Padhy, Blessing and Nusken
2024, https://arxiv.org/abs/2307.01050.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.simulation import paths
from samplers.generative.bridges.steps import BridgeSteps
from targets import Target

GROUP = 8  # paths that share their start


def log_variance(ahead: BridgeSteps, behind: BridgeSteps, energy: Target, x: Tensor, generator: Generator) -> Tensor:
    """The mean over starts x (n, dim) of the variance of log w of GROUP paths from each, over dim; a number."""
    states = paths(ahead, x.repeat_interleave(GROUP, 0), generator)
    k = torch.arange(ahead.steps, device=x.device)
    with torch.no_grad():
        log_w = energy.log_prob(states[-1]).double() + log_prob(behind, k.flip(0), states[1:], states[:-1]).sum(0)
    log_w = log_w - log_prob(ahead, k, states[:-1], states[1:]).sum(0)
    return log_w.unflatten(0, (len(x), GROUP)).var(1).mean() / ahead.dim


def log_prob(steps: BridgeSteps, k: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """log N(y; step k at x) but for the constant, (s, n) in float64, for states (s, n, dim)."""
    step = steps.step(k, x)
    noise = step.noise_of(y)
    return -0.5 * torch.linalg.vecdot(noise, noise).double() - step.log_det
