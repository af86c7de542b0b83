"""The accept-reject step that every Metropolised kernel shares, and the guard of those that always accept."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from samplers.runs.state import Info, State

S = TypeVar("S", bound=State)


def metropolis(
    state: S, proposal: S, log_ratio: Tensor, generator: Generator, diverging: Tensor | None = None
) -> tuple[S, Info]:
    """Accept each chain's proposal with probability min(1, exp(log_ratio)); log_ratio (chains,) in float64.

    A proposal whose log-density is NaN or +infinity, or whose score is not finite, is rejected and counted as
    diverging; a log-density of -infinity is a point of no mass, rejected by its ratio. Every field of the state
    moves together. ValueError for a log_ratio of another shape than log_prob.
    """
    probability, bad = acceptance(proposal, log_ratio, diverging)
    uniform = torch.rand(probability.shape, generator=generator, dtype=probability.dtype, device=probability.device)
    return select(uniform < probability, proposal, state), Info(probability, bad, proposal=proposal.x)


def acceptance(proposal: State, log_ratio: Tensor, diverging: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """With what probability each proposal is accepted, and which are diverging, (chains,) both; see `metropolis`."""
    if log_ratio.shape != proposal.log_prob.shape:
        raise ValueError(
            f"log_ratio: got shape {tuple(log_ratio.shape)}, expected {tuple(proposal.log_prob.shape)} as the "
            "proposal's log_prob, (chains,)"
        )
    probability = log_ratio.clamp_max(0.0).exp_()
    if diverging is None and _surely_finite(proposal, log_ratio):
        return probability, torch.zeros_like(log_ratio, dtype=torch.bool)
    bad = ~finite(proposal) & (proposal.log_prob != -torch.inf)
    if diverging is not None:
        bad = bad | diverging
    return torch.where(bad | log_ratio.isnan(), 0.0, probability), bad


def lazy(log_ratio: Tensor, stays: float) -> Tensor:
    """The log ratio of a kernel that keeps each chain in place with probability `stays`, whatever is proposed.

    A test that accepts everything makes a walk that alternates between two halves of its states (spins changed one at a
    time: between even and odd numbers of them up), and every second state is then of one half for ever.
    """
    return log_ratio.clamp_max(0.0) + math.log1p(-stays)


def always(state: S, proposal: S) -> tuple[S, Info]:
    """Accept every finite proposal; one that is not finite leaves its chain in place and is counted as diverging."""
    if _surely_finite(proposal):
        rate = torch.ones_like(proposal.log_prob, dtype=torch.float64)
        return proposal, Info(rate, torch.zeros_like(rate, dtype=torch.bool), proposal=proposal.x)
    good = finite(proposal)
    return select(good, proposal, state), Info(good.to(torch.float64), ~good, proposal=proposal.x)


def _surely_finite(state: State, *others: Tensor) -> bool:
    """Whether all is finite, read from one sum. On a GPU the answer would have to be waited for: there it is False."""
    if state.log_prob.device.type != "cpu":
        return False
    tensors = (state.log_prob, *others) if state.score is None else (state.log_prob, state.score, *others)
    return all(math.isfinite(tensor.sum().item()) for tensor in tensors)


def finite(state: State) -> Tensor:
    """Which chains have a finite log-density and score, (chains,)."""
    # one reduction instead of three: a sum is finite only if its terms are
    total = state.log_prob if state.score is None else state.log_prob + state.score.sum(-1)
    return total.isfinite()


def select(mask: Tensor, yes: S, no: S) -> S:
    """The fields of `yes` where mask (chains,) holds, of `no` elsewhere."""
    chosen: dict[str, Any] = {}
    for field in fields(yes):
        a, b = getattr(yes, field.name), getattr(no, field.name)
        chosen[field.name] = None if a is None else torch.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b)
    return type(yes)(**chosen)
