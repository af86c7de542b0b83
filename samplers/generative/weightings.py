"""Weights lambda(t) of a loss over times that are drawn with the density p(t).

    "uniform"       1
    "likelihood"    g^2: the explicit loss then bounds KL(data | model), up to that of the ends (Song et al. 2021)
    "noise level"   v^k for derivatives of order k of the log-density, k = 1 for the score: each in units of the noise
    "output"        p / k^2: the network's output F is regressed on F*, and every time that is drawn counts alike

The k of the last is the gain of the parametrisation. Ho et al. 2020 train by "output" on the noise, Karras et al. 2022
on theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from samplers.generative.noisy_state import NoisyState
from samplers.generative.parametrisation import Parametrisation
from targets.arguments import shown

Weighting = Literal["uniform", "likelihood", "noise level", "output"] | Callable[[Tensor], Tensor]
NAMES = ("uniform", "likelihood", "noise level", "output")


def check_weighting(weighting: Weighting, order: int = 1) -> None:
    """ValueError for what is no weighting of a loss of this order."""
    if not callable(weighting) and weighting not in NAMES:
        names = ", ".join(map(repr, NAMES))
        raise ValueError(f"weighting: got {shown(weighting)}, expected {names} or a function of t")
    if weighting == "output" and order > 1:
        raise ValueError("weighting: got 'output', expected another: derivatives of the score are no network's output")


def weight(
    weighting: Weighting, state: NoisyState, density: Tensor, parametrisation: Parametrisation, order: int = 1
) -> Tensor:
    """lambda / p at the times of the state, (n,) in float64; density: p there, (n,).

    ValueError for a function's values that are no weights.
    """
    if weighting == "output":
        return 1 / parametrisation.gain(state).square()
    return _lambda(weighting, state, order) / density


def _lambda(weighting: Weighting, state: NoisyState, order: int) -> Tensor:
    if weighting == "uniform":
        return torch.ones_like(state.t)
    if weighting == "likelihood":
        return state.g.square()
    if weighting == "noise level":
        return state.s.pow(2 * order)
    assert callable(weighting)
    found = torch.as_tensor(weighting(state.t), dtype=torch.float64, device=state.t.device)
    if found.shape not in ((), state.t.shape):
        raise ValueError(f"weighting: returned shape {tuple(found.shape)}, expected {tuple(state.t.shape)}, that of t")
    if not found.is_meta and not bool((found.isfinite() & (found >= 0)).all()):
        raise ValueError("weighting: returned a weight that is negative or not finite")
    return found
