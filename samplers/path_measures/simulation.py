"""Paths of a pair of path measures: simulated from either end, with their exact log ratio, and evaluated again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.path_measures.base import PathMeasure, Points, draw
from targets import Target


@dataclass(frozen=True, eq=False)
class Paths:
    """n paths from state `first` to state `last`.

    points: all states, (last - first + 1, n, dim), or only the last one where they were not kept.
    increments: (last - first, n) in float64, the log ratio of each step; without the states their sum, (1, n).
    start, end: log pi of the first and the last state, (n,) in float64 (`PathMeasure.log_density`).
    """

    points: Points
    increments: Tensor
    start: Tensor
    end: Tensor
    first: int = 0

    @property
    def log_weights(self) -> Tensor:
        """log w, (n,): log pi_last(x_last) - log pi_first(x_first) + the sum of the increments."""
        return self.end - self.start + self.increments.sum(0)

    @property
    def last_point(self) -> Points:
        """The last state, (1, n, dim)."""
        return self.points[-1:]


def evaluate(target: Target, x: Tensor) -> Points:
    """The target at states (n, dim), as points of one step.

    Where gradients are recorded through x, the score is differentiable too; else it comes from the target's own form.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        value = target.log_prob(x)
        (score,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return Points(x[None], value[None], score[None])
    value, score = target.log_prob_and_score(x)
    return Points(x[None], value[None], score[None])


def simulate(
    measure: PathMeasure,
    target: Target,
    n: int,
    generator: Generator,
    *,
    start: Points | None = None,
    first: int = 0,
    last: int | None = None,
    noise_scale: float = 1.0,
    keep: bool = False,
) -> Paths:
    """Paths of the forward measure, from the prior or from `start`; no gradient is recorded.

    noise_scale: the noise is wider by it than the forward measure's; the log ratios are still those of the measures.
    """
    with torch.no_grad():
        last = measure.steps if last is None else last
        if start is None:
            start = evaluate(target, measure.prior.sample(n, generator))
        return _walk(measure, target, start, first, last, generator, noise_scale, keep, ahead=True)


def simulate_backward(
    measure: PathMeasure,
    target: Target,
    x: Tensor,
    generator: Generator,
    *,
    keep: bool = False,
) -> Paths:
    """Paths of the backward measure from the points x (n, dim); the states of `points` are in forward order."""
    with torch.no_grad():
        return _walk(measure, target, evaluate(target, x), measure.steps, 0, generator, 1.0, keep, ahead=False)


def _walk(
    measure: PathMeasure,
    target: Target,
    start: Points,
    begin: int,
    end: int,
    generator: Generator,
    noise_scale: float,
    keep: bool,
    ahead: bool,
) -> Paths:
    at, device = start, start.x.device
    count = abs(end - begin)
    shared = measure.uses_field_backward
    move, judge = (measure.forward, measure.backward) if ahead else (measure.backward, measure.forward)
    states = None
    if keep:
        states = Points(*(at.x.new_empty(count + 1, *value.shape[1:]) for value in (at.x, at.log_prob, at.score)))
        _put(states, 0 if ahead else count, at)
    increments = torch.zeros((count if keep else 1), at.x.shape[1], dtype=torch.float64, device=device)
    index = torch.arange(measure.steps + 1, device=device)
    first, last = min(begin, end), max(begin, end)
    table = measure.table(index[first : last + 1])
    here = table[begin - first : begin - first + 1]
    field = measure.field(here, at) if ahead or shared else None
    for j in range(count):
        row = j + 1 if ahead else count - 1 - j
        there = table[row : row + 1]
        step = move(here, at, field)  # type: ignore[arg-type]
        new = evaluate(target, draw(step, generator, noise_scale)[0])
        new_field = measure.field(there, new) if (not ahead or shared or j + 1 < count) else None
        other = judge(there, new, new_field)  # type: ignore[arg-type]
        ratio = measure.log_ratio(step, new.x, other, at.x) if ahead else measure.log_ratio(other, at.x, step, new.x)
        at, field, here = new, new_field, there
        if states is None:
            increments += ratio
        else:
            increments[j if ahead else row] = ratio[0]
            _put(states, row, at)
    low, high = (start, at) if ahead else (at, start)
    return Paths(
        points=at if states is None else states,
        increments=increments,
        start=measure.log_density(index[first : first + 1], low)[0],
        end=measure.log_density(index[last : last + 1], high)[0],
        first=first,
    )


def _put(states: Points, row: int, at: Points) -> None:
    states.x[row], states.log_prob[row], states.score[row] = at.x[0], at.log_prob[0], at.score[0]


def joined(one: Paths, other: Paths) -> Paths:
    """The paths of both, all of whose states were kept."""
    a, b = one.points, other.points
    points = Points(torch.cat([a.x, b.x], 1), torch.cat([a.log_prob, b.log_prob], 1), torch.cat([a.score, b.score], 1))
    return Paths(
        points,
        torch.cat([one.increments, other.increments], 1),
        torch.cat([one.start, other.start]),
        torch.cat([one.end, other.end]),
        one.first,
    )


def increments(measure: PathMeasure, points: Points, first: int) -> Tensor:
    """The log ratios of the steps between given states, (s, n) for s + 1 states: all steps in one batch."""
    steps = len(points.x) - 1
    table = measure.table(torch.arange(first, first + steps + 1, device=points.x.device))
    before, after = points[:-1], points[1:]
    shared = measure.uses_field_backward
    field = measure.field(table, points) if shared else measure.field(table[:-1], before)
    forward = measure.forward(table[:-1], before, field[:steps])
    backward = measure.backward(table[1:], after, field[1:] if shared else None)
    return measure.log_ratio(forward, after.x, backward, before.x)
