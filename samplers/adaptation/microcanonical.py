"""Warmup of microcanonical Langevin Monte Carlo: a step size by energy errors, a decoherence length by autocorrelation.

    h = (v / m)^(1/6),   m = the running mean of E[dE^2] / (d h^6)        v asked for, and dE^2 goes by h^6
    l = 0.8 t,           t = h + 2 sum_k h_k rho_k                        rho over the chains, until it is below 0.05

Robnik, De Luca, Silverstein and Seljak 2023 tune so, by means over one chain's times in place of those over all chains,
and with half of this l, which takes 5 to 20 % more gradients an effective draw on four of our targets.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import Averaged
from samplers.adaptation.warmup import Warmup, with_factor_of
from samplers.runs.state import State
from targets import Target

POWER = 6  # of the step size in the mean square of the energy error
MEMORY = 0.9  # of the running mean, at most
MOST = 1e4  # times the mean square asked for that an error counts as, so that one of them is soon forgotten
SHARE = 0.8  # of the autocorrelation time
NEGLIGIBLE = 0.05  # correlation
LEAST_CHAINS = 8  # whose correlation says something


class EnergyErrors(Averaged):
    """The step size at which energy errors have a mean square of `target` per dimension; settles at its average."""

    kappa = 0.75

    def __init__(self, start: float, target: float, dim: int) -> None:
        self.target, self.dim = target, dim
        self.log_value = self.log_average = math.log(start)
        self.restart()

    def restart(self) -> None:
        """Forget the errors; go on from the present step size."""
        self.t = 0
        self.mean = 0.0

    def update(self, errors: Tensor) -> None:
        """Take in the errors (chains,) of one step of the present size."""
        self.t += 1
        squares = errors.double().square() / (self.dim * self.target)
        square = float(torch.where(squares < MOST, squares, MOST).mean())  # NaN too counts as the most
        share = max(1 - MEMORY, 1 / self.t)
        self.mean += share * (square * math.exp(-POWER * self.log_value) - self.mean)
        if self.mean > 0:
            # at most doubled: where all errors are zero to rounding, nothing is known of longer steps
            self.log_value = min(-math.log(self.mean) / POWER, self.log_value + math.log(2.0))
        self.average(self.t**-self.kappa)


class DecoherenceLength:
    """0.8 times the integrated autocorrelation time, averaged over the coordinates, in units of time.

    The correlation of where the chains are with where they were is taken over the chains at every lag; once it is
    negligible, they are looked at afresh, and times are averaged.
    """

    def __init__(self) -> None:
        self.start: Tensor | None = None
        self.present = self.total = 0.0  # of the time that is being measured, and of those that were
        self.times = 0

    def update(self, x: Tensor, step_size: float) -> None:
        """Take in the chains (chains, dim) after one step."""
        if len(x) < LEAST_CHAINS:
            return
        if self.start is None:
            self.start, self.present = x.clone(), step_size
            return
        now, then = x.double() - x.double().mean(0), self.start.double() - self.start.double().mean(0)
        correlation = (now * then).sum(0) / (now.square().sum(0) * then.square().sum(0)).sqrt()
        mean = float(correlation.nanmean())  # a coordinate that does not move has none
        self.present += 2 * step_size * max(mean, 0.0)
        if not mean > NEGLIGIBLE:
            self.total, self.times, self.start = self.total + self.present, self.times + 1, None

    @property
    def value(self) -> float | None:
        """What was found, by a time still under way where there is no other; None where there were too few chains."""
        if self.times:
            return SHARE * self.total / self.times
        return None if self.start is None else SHARE * self.present


class MicrocanonicalWarmup:
    """The mass matrix as in every warmup, the step size by energy errors, and in the last third the decoherence length.

    With fewer than eight chains the decoherence length stays as it was.
    """

    jumps = False  # never asked: without trajectories, nothing waits for steps to become small

    def __init__(self, kernel: Any, steps: int, target: Target) -> None:
        self.kernel, self._steps = kernel, steps
        self._matrix = Warmup(kernel, steps, target)
        self._errors: EnergyErrors | None = None
        if kernel.step_size is None:
            self._errors = EnergyErrors(target.dim**-0.25, kernel.energy_variance, target.dim)
        self._memory = DecoherenceLength() if kernel.decoherence_length is None else None
        self._apply()

    def uphill(self, target: Target, state: State, generator: Generator) -> Tensor | None:
        """Starts (chains, dim) and a first mass matrix, as of `Warmup`."""
        found = self._matrix.uphill(target, state, generator)
        self._apply()
        return found

    def update(self, t: int, state: State, before: State, info: Any, target: Target) -> None:
        """Learn from step number t (from 0) that led from `before` to `state`."""
        matrix = self.kernel.inverse_mass_matrix
        if self._memory is not None and t >= 2 * self._steps // 3:
            self._memory.update(state.x, self.kernel.h)
        self._matrix.update(t, state, before, info, target)
        if self._errors is not None:
            self._errors.update(info.energy_error)
            if self.kernel.inverse_mass_matrix is not matrix:
                self._errors.restart()
        if t + 1 == self._steps:
            self._settle()
        self._apply()

    def _settle(self) -> None:
        if self._errors is not None:
            self._errors.settle()
        if self._memory is not None and self._memory.value is not None:
            self._apply(decoherence_length=self._memory.value)

    def _apply(self, **changes: Any) -> None:
        if self._errors is not None:
            changes["step_size"] = self._errors.value
        self.kernel = self._matrix.kernel = with_factor_of(self._matrix.kernel, **changes)

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue."""
        return {
            "matrix": self._matrix.state_dict(),
            "errors": None if self._errors is None else dict(self._errors.__dict__),
            "memory": None if self._memory is None else dict(self._memory.__dict__),
            "decoherence_length": self.kernel.decoherence_length,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self._matrix.load_state_dict(state["matrix"])
        for part, saved in ((self._errors, state["errors"]), (self._memory, state["memory"])):
            if part is not None:
                part.__dict__.update(saved)
        self._apply(decoherence_length=state["decoherence_length"])
