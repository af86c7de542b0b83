"""Microcanonical Langevin Monte Carlo, unadjusted: an isokinetic step, then noise in the direction alone.

    B(h/2),   x += h sqrt(d) L u,   B(h/2),   u <- (u + a xi) / |u + a xi|,     a^2 = (exp(2 h / l) - 1) / d

B(t) turns u by the score for a time t (`samplers.kernels.isokinetic`); l is the time in which a direction is forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Generator, Tensor

from samplers.adaptation.microcanonical import MicrocanonicalWarmup
from samplers.kernels import isokinetic
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import always
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target
from targets.arguments import positive


@dataclass(frozen=True, eq=False)
class DirectedState(State):
    """Position x and direction u of unit length, (chains, dim)."""

    direction: Tensor


@dataclass(frozen=True, eq=False)
class MCLMC(PreconditionedKernel):
    """Microcanonical Langevin Monte Carlo, unadjusted; the invariant law is the target's up to O(h^2), h the step size.

    Motion at constant speed in a direction u that the score turns: u <- (u + g (sinh r + c (cosh r - 1))) / w, with
    w = cosh r + c sinh r, g the direction of the score, c = g.u, and r = (h/2) sqrt(d) |L's| / (d - 1); then
    x += h sqrt(d) L u; u is turned again, and becomes (u + a xi) / |u + a xi| with a^2 = (exp(2 h / l) - 1) / d.
    Not reversible: the direction persists. One score evaluation a step, and nothing is rejected but a step to where
    the density or score is not finite, which is not taken, counted as diverging, and given a new direction.

    step_size h and decoherence_length l are times in z = L^-1 x at speed sqrt(d); in the papers, where the speed is
    one, they are sqrt(d) times as long. Warmup tunes h to where the energy error of a step has a mean square of
    `energy_variance` per dimension, which bounds the bias on Gaussians (https://arxiv.org/abs/2412.08876) and nowhere
    else. It tunes l to 0.8 times the integrated autocorrelation time of the coordinates. Robnik, De Luca, Silverstein
    and Seljak 2023, https://arxiv.org/abs/2212.08549; Robnik and Seljak 2024,
    https://proceedings.mlr.press/v253/robnik24a.html.

    inverse_mass_matrix, metric: C = L L', as of `PreconditionedKernel`; step_size, decoherence_length: None leaves them
    to warmup. ValueError for one that is not positive, and for a target with one dimension, where the sphere is two
    points.

        >>> kernel = samplers.MCLMC(step_size=0.4, decoherence_length=2.0)
        >>> kernel.sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 2])
    """

    decoherence_length: float | None = None
    energy_variance: float = 5e-4

    reversible: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    order: ClassVar[int | None] = 2
    default_step_size: ClassVar[float] = 0.2
    default_decoherence_length: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decoherence_length is not None:
            object.__setattr__(self, "decoherence_length", positive(self.decoherence_length, "decoherence_length"))
        object.__setattr__(self, "energy_variance", positive(self.energy_variance, "energy_variance"))

    def check_target(self, target: Target) -> None:
        super().check_target(target)
        isokinetic.check_dim(target.dim, self)

    def init(self, target: Target, x: Tensor, generator: Generator) -> DirectedState:
        isokinetic.check_dim(target.dim, self)
        state = evaluate(target, x)
        return DirectedState(x, state.log_prob, state.score, isokinetic.directions(x, generator))

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        assert isinstance(state, DirectedState)
        end, u, gained = isokinetic.leapfrog(self, target, state, state.direction, 1)
        # K gained less log p gained, zero for a step that is exact
        error = gained - (end.log_prob.double() - state.log_prob.double())
        noise = noise_like(state.x, generator)
        moved = DirectedState(end.x, end.log_prob, end.score, isokinetic.unit(u + self._noise_scale(u) * noise))
        # the noise's own direction is uniform: the new one of a chain whose step is not taken
        new, info = always(replace(state, direction=isokinetic.unit(noise)), moved)
        return new, replace(info, start_momentum=state.direction, energy_error=error)

    def _noise_scale(self, u: Tensor) -> float:
        """a."""
        length = self.default_decoherence_length if self.decoherence_length is None else self.decoherence_length
        return math.sqrt(math.expm1(2 * self.h / length) / u.shape[-1])

    def make_warmup(self, steps: int, target: Target) -> MicrocanonicalWarmup:
        return MicrocanonicalWarmup(self, steps, target)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, MCLMC)
        given = self.decoherence_length
        return replace(super().tuned(warm), decoherence_length=warm.decoherence_length if given is None else given)
