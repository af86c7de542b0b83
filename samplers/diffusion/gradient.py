"""What an objective is, and its gradient: by blocks of given states, or through the simulation."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.utils.checkpoint import checkpoint

from samplers.path_measures.base import PathMeasure, Points
from samplers.path_measures.simulation import Paths, evaluate, increments, simulate
from targets import Target

BLOCK = 4096  # states evaluated at a time with their graph: small enough for a CPU's cache
GPU_BLOCK = 1 << 17


class Objective(ABC):
    """A loss over C, (rows, n) in float64.

    through_paths: the gradient goes through the simulated states, which must come from the model itself.
    every_state: C has a row for every state, not just the ends. learns_log_z: `log_z` is learned beside the networks;
    learns_flow: so is a flow between the ends. from_witnesses: the paths run backwards from points that stand for the
    target.

    A subclass writes `__call__`.

        >>> from samplers.diffusion import VarGrad
        >>> potentials = torch.tensor([[0.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
        >>> VarGrad()(potentials, torch.zeros(()))
        tensor(1., dtype=torch.float64)
    """

    through_paths: ClassVar[bool] = False
    every_state: ClassVar[bool] = False
    learns_log_z: ClassVar[bool] = False
    learns_flow: ClassVar[bool] = False
    from_witnesses: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        """The loss, a number."""

    def gradient(self, measure: PathMeasure, paths: Paths, log_z: Tensor, weight: float = 1.0) -> tuple[float, Tensor]:
        """Add the gradient of weight * loss over these paths to that of the parameters; the loss, and log w (n,).

        Paths whose log w is not finite have no say in the loss; where none is left, nothing is added and the loss is
        NaN. The loss is first differentiated with respect to C, at the simulated values. Then each block of steps is
        evaluated with its graph and pulled back: memory is that of one block, and of the states.
        """
        c = potentials(measure, paths, self.every_state)
        good = c.isfinite().all(0)
        if not bool(good.all()):
            if int(good.sum()) < 2:
                return math.nan, paths.log_weights
            index = good.nonzero()[:, 0]
            paths = Paths(
                paths.points.of(index), paths.increments[:, index], paths.start[index], paths.end[index], paths.first
            )
            c = c[:, index]
        c.requires_grad_()
        loss = weight * self(c, log_z)
        slope, *rest = torch.autograd.grad(loss, [c, log_z] if self.learns_log_z else [c])
        if rest:
            log_z.grad = rest[0] if log_z.grad is None else log_z.grad + rest[0]
        steps, n = len(paths.points.x) - 1, paths.points.x.shape[1]
        # C_k holds the increments before it: an increment's coefficient is the sum of those of all later rows
        later = slope[1:].flip(0).cumsum(0).flip(0).expand(steps, n)
        block = max(1, (GPU_BLOCK if paths.points.x.is_cuda else BLOCK) // n)
        for begin in range(0, steps, block):
            end = min(steps, begin + block)
            found = increments(measure, paths.points[begin : end + 1], paths.first + begin)
            (found * later[begin:end]).sum().backward()
        rows = range(steps + 1) if self.every_state else (0, steps)
        _densities(measure, paths, dict(zip(rows, slope, strict=True)))
        return float(loss.detach()), paths.log_weights

    def gradient_of_model(
        self, measure: PathMeasure, target: Target, n: int, generator: Generator, log_z: Tensor, weight: float = 1.0
    ) -> tuple[float, Tensor]:
        """The same over n paths of the model itself, simulated here."""
        return self.gradient(measure, simulate(measure, target, n, generator, keep=True), log_z, weight)


def potentials(measure: PathMeasure, paths: Paths, every_state: bool) -> Tensor:
    """C (rows, n) of `samplers.diffusion.objectives` at the simulated values: at every state, or at both ends."""
    if not every_state:
        return torch.stack([paths.start, paths.start + paths.log_weights])
    with torch.no_grad():
        k = torch.arange(len(paths.points.x), device=paths.points.x.device) + paths.first
        sums = torch.cat([torch.zeros_like(paths.increments[:1]), paths.increments.cumsum(0)])
        return measure.log_density(k, paths.points) + sums


def _densities(measure: PathMeasure, paths: Paths, slopes: dict[int, Tensor]) -> None:
    """The part of the gradient that comes from log pi_k, in those k whose coefficients (n,) are given."""
    rows = list(slopes)
    chunk = max(1, BLOCK // paths.points.x.shape[1])
    for i in range(0, len(rows), chunk):
        part = rows[i : i + chunk]
        k = torch.tensor(part, device=paths.points.x.device) + paths.first
        value = (measure.log_density(k, paths.points[part]) * torch.stack([slopes[row] for row in part])).sum()
        if value.requires_grad:
            value.backward()


def through_paths(
    measure: PathMeasure,
    target: Target,
    n: int,
    generator: Generator,
    *,
    landing: bool,
    memory: str,
    weight: float = 1.0,
) -> tuple[float, Tensor]:
    """Simulate with the graph of all that happens, and add the gradient of weight * E[-log w]; as `Objective.gradient`.

    landing, memory: see `samplers.diffusion.objectives.KL`.
    """
    like = measure.prior.reference
    noise = torch.randn(measure.steps, n, measure.dim, generator=generator, dtype=like.dtype, device=like.device)
    fixed = copy.deepcopy(measure).requires_grad_(False) if landing else measure
    x = measure.prior.reparametrised(n, generator)
    log_w = _log_weights(measure, fixed, target, x, noise, memory)
    found = log_w.detach()
    good = found.isfinite()
    if not bool(good.any()):
        return math.nan, found
    if not bool(good.all()):  # again, without them: zero times a derivative that is not finite is not zero
        del log_w
        log_w = _log_weights(measure, fixed, target, x[good], noise[:, good], memory)
    loss = -weight * log_w.mean()
    loss.backward()
    return float(loss.detach()), found


def _log_weights(
    measure: PathMeasure, fixed: PathMeasure, target: Target, x: Tensor, noise: Tensor, memory: str
) -> Tensor:
    """log w (n,) of the paths from x (n, dim) with noise (steps, n, dim), and its graph."""
    start = evaluate(target, x if x.requires_grad else x.detach().requires_grad_())
    total = -fixed.log_density(torch.zeros(1, dtype=torch.int64, device=x.device), start)[0]
    state: tuple[Tensor, ...] = (start.x, start.log_prob, start.score, total)
    length = measure.steps if memory == "full" else math.ceil(math.sqrt(measure.steps))
    for begin in range(0, measure.steps, length):
        end = min(measure.steps, begin + length)

        def segment(*state: Tensor, begin: int = begin, end: int = end) -> tuple[Tensor, ...]:
            return _segment(measure, fixed, target, noise, begin, end, state)

        if memory == "full":
            state = segment(*state)
        else:
            # the kind that is not reentrant would run a segment again for every score in it, itself a derivative
            state = checkpoint(segment, *state, use_reentrant=True, preserve_rng_state=False)
    x, log_prob, score, total = state
    k = torch.full((1,), measure.steps, device=x.device)
    return total + measure.log_density(k, Points(x, log_prob, score))[0]


def _segment(
    measure: PathMeasure,
    fixed: PathMeasure,
    target: Target,
    noise: Tensor,
    begin: int,
    end: int,
    state: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    *parts, total = state
    at = Points(*parts)
    index = torch.arange(begin, end + 1, device=at.x.device)
    table, judging = measure.table(index), fixed.table(index)
    field = measure.field(table[:1], at)
    for j in range(end - begin):
        here, there = table[j : j + 1], table[j + 1 : j + 2]
        step = measure.forward(here, at, field)
        x = (step.mean + step.scale * noise[begin + j])[0]
        judged = step
        if fixed is not measure:  # the model's own density at its draw, with parameters that take no gradient
            row = judging[j : j + 1]
            judged = fixed.forward(row, at, fixed.field(row, at))
        new = evaluate(target, x)
        if measure.uses_field_backward or begin + j + 1 < measure.steps:
            field = measure.field(there, new)
        back = measure.backward(there, new, field if measure.uses_field_backward else None)
        total = total + measure.log_ratio(judged, new.x, back, at.x)[0]
        at = new
    return at.x, at.log_prob, at.score, total
