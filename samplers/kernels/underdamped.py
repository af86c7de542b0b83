"""Underdamped Langevin dynamics, ABOBA splitting with one score evaluation a step.

    z += (d/2) v;   g = L' s(x);   v += (d/2) g;   v = exp(-f d) v + (d/2) g + sqrt(1 - exp(-2 f d)) xi;   z += (d/2) v

z = L^-1 x, f the friction, v ~ N(0, I) in equilibrium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.kernels.metropolis import always
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.kernels.ula import CautiousMALA
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target
from targets.arguments import positive


@dataclass(frozen=True, eq=False)
class UnderdampedState(State):
    """Position x and velocity (chains, dim); log_prob and score are those at the middle of the step that led to x."""

    at_x: ClassVar[bool] = False

    velocity: Tensor


@dataclass(frozen=True, eq=False)
class UnderdampedLangevin(PreconditionedKernel):
    """Underdamped Langevin by the ABOBA splitting; the invariant law is the target's up to O(d^2), d the step size.

    On a Gaussian the law of x after a step is exact; elsewhere the error is of second order. Not reversible: the
    velocity persists. `friction` f is per unit of time, so that f d is the effective friction of a step; d below
    2 in units of z = L^-1 x keeps it stable. Left to warmup, d is sqrt(2 h) with h the step at which MALA accepts 95 %.
    The cached log_prob and score belong to the middle of the step, where the one evaluation takes place; draws
    therefore carry no `lp`. Sachs, Leimkuhler and Danos 2017, https://doi.org/10.3390/e19120647.

    step_size: d, a time; None leaves it to warmup. inverse_mass_matrix, metric: C = L L', as of `PreconditionedKernel`,
    as well as the errors raised.

        >>> kernel = samplers.UnderdampedLangevin(step_size=0.5, friction=2.0)
        >>> kernel.sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 2])
    """

    friction: float = 1.0

    reversible: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    order: ClassVar[int | None] = 2
    default_step_size: ClassVar[float] = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "friction", positive(self.friction, "friction"))

    def init(self, target: Target, x: Tensor, generator: Generator) -> UnderdampedState:
        state = evaluate(target, x)
        return UnderdampedState(x, state.log_prob, state.score, noise_like(x, generator))

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        assert isinstance(state, UnderdampedState)
        half = 0.5 * self.h
        middle = evaluate(target, torch.add(state.x, self.to_x(state.velocity), alpha=half))
        kick = half * self.pull(middle)
        noise = math.sqrt(-math.expm1(-2 * self.friction * self.h)) * noise_like(state.x, generator)
        velocity = math.exp(-self.friction * self.h) * (state.velocity + kick) + kick + noise
        x = torch.add(middle.x, self.to_x(velocity), alpha=half)
        return always(state, UnderdampedState(x, middle.log_prob, middle.score, velocity))

    def warmup_form(self) -> CautiousMALA:
        fixed = None if self.step_size is None else 0.5 * self.step_size**2
        return CautiousMALA(fixed, self.inverse_mass_matrix, metric=self.metric)

    def _step_size_from(self, warm: PreconditionedKernel) -> float | None:
        return None if warm.step_size is None else math.sqrt(2 * warm.step_size)
