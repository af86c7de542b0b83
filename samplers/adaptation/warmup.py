"""Warmup: step size, mass matrix and trajectory length learned from all chains at once, then frozen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from torch import Generator, Tensor

from samplers.adaptation import pathfinder, smaller_steps
from samplers.adaptation.left_open import LeftOpen
from samplers.adaptation.mass_matrix import is_positive_definite
from samplers.adaptation.metrics import LowRank, from_kept, kept
from samplers.adaptation.step_size import DualAveraging
from samplers.adaptation.trajectory_length import TrajectoryLength
from samplers.adaptation.windows import window_for
from samplers.runs.starts import finite_starts
from samplers.runs.state import State
from targets import Target

EARLY_STEPS = 32  # leapfrogs at most while the mass matrix is still rough
ASKED_EVERY = 5  # steps of dual averaging, at most: whether smaller steps help
LEAST_RATE, LEAST_CAUTIOUS = 1e-2, 1e-3  # an acceptance counts as this at least in a harmonic mean
MANY_RATES = 64  # in a harmonic mean: of one rate it is the rate itself, and heeds none
OFTEN = 0.65  # an acceptance asked for below which low ones are what is asked for
FEW_LEFT = 20  # steps, in fewer of which a step size must first follow the last matrix, and a harmonic mean only swings
LEAST_SHARE = 0.7  # of the step size with the mean acceptance asked for, whatever the harmonic mean says


class Warmup:
    """Tunes the fields that a kernel leaves open (None, or a mass matrix given as a word) while it runs.

    The mass matrix is the covariance of all chains over a window, or what their draws and scores say together where the
    kernel names a `metric` (`samplers.adaptation.fisher`); windows grow from 10 steps by a half each time, so that
    scales that are off by many orders of magnitude are found geometrically. Within a window the step size
    follows dual averaging (Nesterov 2009; Hoffman and Gelman 2014) of the acceptance; in the first quarter of the
    steps its mean over the chains is harmonic, so that a chain in a tight spot is not outvoted. The trajectory
    length follows the ChEES criterion (Hoffman, Radul and Sountsov 2021). The last tenth of the steps settles step size
    and length alone; there the mean of kernels with trajectories is harmonic too, aimed at what the target acceptance
    is for Gaussian energy errors, and the step size is smaller where few trajectories have large ones (they become
    unstable in a tail), down to 0.7 of what the plain mean gave.

    Where the step size has fallen so far that a trajectory takes 128 leapfrogs, it is asked whether smaller steps help
    at all (`samplers.adaptation.smaller_steps`). Where they do not, `jumps` is true: trajectories are held to 32
    leapfrogs, so that the step size that is then found is that of the distance which the density lets through; a
    trajectory length that was given stays, and the step size is held where it is. Each window of the mass matrix asks
    again.
    """

    jumps = False
    _cautious, _inverse = False, 1.0

    def __init__(self, kernel: Any, steps: int, target: Target) -> None:
        self.kernel = kernel
        self._steps, self._device = steps, target.device
        left = LeftOpen.of(kernel)
        self._window = None if left.mass is None and left.metric is None else window_for(left, target)
        self._most_steps = getattr(kernel, "max_steps", None)
        self._step = DualAveraging(target.dim**-0.25, kernel.target_acceptance) if left.step_size else None
        self._length = TrajectoryLength() if left.trajectory_length else None
        self._next_asked = math.inf  # the largest step size of which it is still to be asked whether smaller ones help
        self._least_step = 0.0
        self._ends = window_ends(steps)
        self._apply()

    def uphill(self, target: Target, state: State, generator: Generator) -> Tensor | None:
        """Starts (chains, dim) uphill from a state, and from them a first guess of the target's covariance.

        None where there is no warmup or no score, where a chain has no finite density, or dense matrices do not fit.
        """
        possible = self._steps > 0 and self.kernel.needs_score and target.dim <= pathfinder.MOST_DIM
        if not (possible and bool(finite_starts(state).all())):
            return None
        found = pathfinder.local_gaussians(target, state.x, generator).without_far_behind(target, generator)
        self.begin(found.covariance.mean(0).to(state.x.dtype))
        return found.draw.to(state.x.dtype)

    def begin(self, matrix: Tensor) -> None:
        """Take a first guess of the target's covariance, (dim, dim)."""
        if self._window is not None and is_positive_definite(matrix):
            self.kernel = with_matrix(self.kernel, self._window.first(matrix))

    def update(self, t: int, state: State, before: State, info: Any, target: Target) -> None:
        """Learn from step number t (from 0) that led from `before` to `state`; `target` is what the kernel moves on."""
        if self._length is not None and t >= self._steps // 3 and not self.jumps:
            self._length.update(self.kernel.whiten(before.x), self.kernel.whiten(info.proposal), info)
        if self._step is not None:
            rate = info.by_step_size
            # a chain still on its way in, or in a tight spot, must not be outvoted by the others
            if self.jumps or not (t < self._steps // 4 or self._cautious):
                mean = float(rate.mean())
            elif self._cautious:
                mean = self._harmonic_of_many(rate)
            else:
                mean = float(1 / (1 / rate.clamp_min(LEAST_RATE)).mean())
            self._step.update(mean)
            if self._trajectory is not None and self._step.t % ASKED_EVERY == 0:
                self._ask(self._trajectory, state, target)
        if self._window is not None:
            self._window.update(state)
            if t + 1 in self._ends:
                self._end_window()
        if t + 1 == (9 * self._steps) // 10:
            self._turn_cautious(t + 1)
        if t + 1 == self._steps:
            self._settle()
        self._apply(early=t < self._steps // 3)

    def _harmonic_of_many(self, rate: Tensor) -> float:
        """The harmonic mean of the chains' acceptance; of fewer than 64, of those of the steps before too."""
        share = min(1.0, len(rate) / MANY_RATES)
        self._inverse += share * (float((1 / rate.clamp_min(LEAST_CAUTIOUS)).mean()) - self._inverse)
        return 1 / self._inverse

    @property
    def _trajectory(self) -> float | None:
        """The length of trajectories whose number of steps follows from it, None where there are none."""
        if self._length is not None:
            return self._length.value
        free = getattr(self.kernel, "steps", 1) is None
        return self.kernel.trajectory_length if free else None

    def _ask(self, length: float, state: State, target: Target) -> None:
        """Whether smaller steps help, where so many are needed that it matters, or where before they did not.

        Asked first of the step size that takes 128 leapfrogs, then of a quarter of it and so on down to that in use.
        """
        assert self._step is not None
        in_use = math.exp(self._step.log_average)
        step = max(in_use, min(length / smaller_steps.MANY, self._next_asked))
        again = self.jumps and self._next_asked == math.inf
        if not again and (self.jumps or length < smaller_steps.MANY * in_use or in_use > self._next_asked):
            return
        self._next_asked = step / 4
        kernel = replace(self.kernel, step_size=step)
        answer = smaller_steps.do_not_help(kernel, target, state, 0.5 * (1 - kernel.target_acceptance))
        if answer is None:
            return
        if answer and not self.jumps:
            self._step.restart(step)
        self.jumps = answer
        self._least_step = step if answer and self._length is None else 0.0

    def _turn_cautious(self, t: int) -> None:
        """Heed the worst chains from here on, where a step is a trajectory that may become unstable on its way."""
        if self._step is None or self.jumps or not hasattr(self.kernel, "trajectory_length"):
            return
        self._cautious = self.kernel.target_acceptance >= OFTEN and self._steps - t >= FEW_LEFT
        if self._cautious:
            self._step.turn_cautious(LEAST_SHARE)
            self._inverse = 1 / self._step.target

    def _end_window(self) -> None:
        assert self._window is not None
        matrix = self._window.estimate()
        if matrix is not None:
            self.kernel = with_matrix(self.kernel, matrix)
            if self._step is not None:
                self._step.restart()
                self._next_asked, self._least_step = math.inf, 0.0  # in the units of the matrix that was
        self._window.restart()

    def _apply(self, early: bool = True) -> None:
        changes: dict[str, Any] = {}
        if self._step is not None:
            changes["step_size"] = max(self._step.value, self._least_step)
        if self._length is not None:
            changes["trajectory_length"] = self._length.value
            if self.jumps:
                held = smaller_steps.FEW * changes["step_size"]
                changes["trajectory_length"] = min(self._length.value, held)
            changes["max_steps"] = (
                min(self._most_steps, EARLY_STEPS) if early and self._most_steps else self._most_steps
            )
        if changes:
            self.kernel = with_factor_of(self.kernel, **changes)

    def _settle(self) -> None:
        if self._step is not None:
            self._step.settle()
        if self._length is not None:
            self._length.settle()

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue."""
        mass = getattr(self.kernel, "inverse_mass_matrix", None)
        return {
            "mass": kept(mass) if isinstance(mass, (Tensor, LowRank)) else None,
            "window": None if self._window is None else self._window.state_dict(),
            "step": None if self._step is None else dict(self._step.__dict__),
            "length": None if self._length is None else dict(self._length.__dict__),
            "most_steps": getattr(self.kernel, "max_steps", None),
            "cautious": (self._cautious, self._inverse),
            "smaller": (self.jumps, self._next_asked, self._least_step),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        if state["mass"] is not None:
            self.kernel = with_matrix(self.kernel, from_kept(state["mass"], self._device))
        if self._window is not None:
            self._window.load_state_dict(state["window"])
        for part, saved in ((self._step, state["step"]), (self._length, state["length"])):
            if part is not None:
                part.__dict__.update(saved)
        self.jumps, self._next_asked, self._least_step = state["smaller"]
        self._cautious, self._inverse = state["cautious"]
        self._apply()
        if self._length is not None:
            self.kernel = replace(self.kernel, max_steps=state["most_steps"])


def with_factor_of(kernel: Any, **changes: Any) -> Any:
    """The kernel with changes other than of its mass matrix, whose Cholesky factor is then not taken anew."""
    factor, changed = kernel.__dict__.get("factor", ...), replace(kernel, **changes)
    if factor is not ...:
        changed.__dict__["factor"] = factor
    return changed


def with_matrix(kernel: Any, matrix: Tensor | LowRank) -> Any:
    """The kernel with an inverse mass matrix that was found, as its `metric` asked for or otherwise."""
    found = {"metric": None} if getattr(kernel, "metric", None) is not None else {}
    return replace(kernel, inverse_mass_matrix=matrix, **found)


def window_ends(steps: int) -> frozenset[int]:
    """Steps after which the mass matrix is renewed: windows of 10, 15, 22 ... up to nine tenths of the warmup."""
    last, ends, length, end = (9 * steps) // 10, [], 10.0, 10
    while end <= last:
        ends.append(end)
        length *= 1.5
        end += int(length)
    if ends:
        ends[-1] = last  # the last window takes in what is left
    return frozenset(ends)
