"""Paths of the steps of a bridge: run one way, with the exact log ratio of the two ways, and filled in between.

x_{k+1} ~ N(step k ahead at x_k),   log ratio = sum_k log N(x_k; step behind at x_{k+1}) - log N(x_{k+1}; step ahead)
X_t | X_s, X_r ~ N(lerp, eps (t - s) (r - t) / (r - s) I)                   s < t < r, as of Brownian motion
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.steps import BridgeSteps
from samplers.path_measures.base import draw, log_ratio

CHUNK = 1 << 17  # numbers in the states that are moved at a time


def in_parts(x: Tensor) -> tuple[Tensor, ...]:
    """Rows that are moved together."""
    return x.split(max(256, CHUNK // x.shape[1]))


@torch.no_grad()
def run(steps: BridgeSteps, x: Tensor, generator: Generator) -> Tensor:
    """Where paths from x (n, dim) end."""
    parts = []
    for part in in_parts(x):
        for _, state in _states(steps, part, generator):
            part = state
        parts.append(part)
    return torch.cat(parts)


@torch.no_grad()
def paths(steps: BridgeSteps, x: Tensor, generator: Generator) -> Tensor:
    """All states of paths from x (n, dim), (K + 1, n, dim)."""
    states, begin = x.new_empty(steps.steps + 1, *x.shape), 0
    for part in in_parts(x):
        states[0, begin : begin + len(part)] = part
        for k, state in _states(steps, part, generator):
            states[k, begin : begin + len(part)] = state
        begin += len(part)
    return states


@torch.no_grad()
def walk(ahead: BridgeSteps, behind: BridgeSteps, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Where paths from x (n, dim) end, and their log ratios (n,) in float64."""
    parts = []
    for part in in_parts(x):
        total = part.new_zeros(len(part), dtype=torch.float64)
        for k in range(ahead.steps):
            here, there = _index(k, x), _mirrored(k, x, behind.steps)
            step = ahead.step(here, part[None])
            new = draw(step, generator)
            total += log_ratio(step, new, behind.step(there, new), part[None])[0]
            part = new[0]
        parts.append((part, total))
    ends, ratios = (torch.cat(part) for part in zip(*parts, strict=True))
    return ends, ratios


def _states(steps: BridgeSteps, x: Tensor, generator: Generator) -> Iterator[tuple[int, Tensor]]:
    for k in range(steps.steps):
        x = draw(steps.step(_index(k, x), x[None]), generator)[0]
        yield k + 1, x


def _index(k: int, x: Tensor) -> Tensor:
    return torch.tensor([k], device=x.device)


def _mirrored(k: int, x: Tensor, steps: int) -> Tensor:
    """The step that leads back over step k."""
    return torch.tensor([steps - 1 - k], device=x.device)


def filled(states: Tensor, grid: Tensor, times: Tensor, noise: float, generator: Generator) -> Tensor:
    """States (len(times), n, dim) at increasing times in [0, 1], of paths (K + 1, n, dim) known on a grid."""
    known, found = grid.tolist(), []
    before, s, right = states[0], known[0], 0
    for t in times.tolist():
        while known[right] < t:
            before, s, right = states[right], known[right], right + 1
        if known[right] == t:
            before = states[right]
        else:
            share = (t - s) / (known[right] - s)
            fresh = torch.randn(before.shape, generator=generator, dtype=before.dtype, device=before.device)
            before = torch.lerp(before, states[right], share) + (noise * share * (known[right] - t)) ** 0.5 * fresh
        s = t
        found.append(before)
    return torch.stack(found)
