"""Discrete Langevin proposal: all sites are changed at once, each by a law that the gradient tilts.

    x_i' ~ softmax_v( d_i(v) / 2 - (v - x_i)^2 / (2a) )   independently,      d = local_differences, a the step size

For spins: s_i turns with probability sigmoid(-s_i (J s + b)_i - 2/a). With the Metropolis test (DMALA)

    min(1, p(x') q(x' -> x) / (p(x) q(x -> x')))

p is invariant; without it (DULA) p is met as a -> 0, where log_prob is at most quadratic in each coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Generator, Tensor

from samplers.kernels import _choices
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import always, metropolis
from samplers.runs.state import Info, State, evaluate
from targets import Target
from targets.arguments import positive
from targets.discrete import as_discrete

FLAT = 1e3


@dataclass(frozen=True, eq=False)
class DiscreteLangevin(Kernel):
    """Discrete Langevin: x_i' ~ softmax_v(d_i(v)/2 - (v - x_i)^2 / (2a)) for all sites at once, d to first order.

    `adjusted=True` accepts by Metropolis-Hastings: the target is invariant, the kernel reversible. `adjusted=False`
    always accepts: where log_prob is at most quadratic in each coordinate (pairwise models) or the differences are
    exact, the bias is O(exp(-D^2 / 2a)) for values that are D apart, so it vanishes as a -> 0, and so does the motion;
    elsewhere a part of it stays.

    step_size a: in squared units of x. Warmup tunes it to an acceptance of 0.574 (0.95 of the adjusted kernel for the
    unadjusted one); a kernel that never saw warmup uses 0.2 times the squared distance of the nearest values. A step
    costs one log-density and two gradients, without the test one. Raises ValueError for a step size that is not
    positive. Zhang, Liu and Liu 2022, https://arxiv.org/abs/2206.09914.

        >>> ising = targets.Ising((4, 4), coupling=0.2)
        >>> kernel = samplers.DiscreteLangevin(step_size=1.0, adjusted=False)
        >>> kernel.sample(ising, chains=4, draws=20, warmup=0, seed=0).x.unique()
        tensor([-1.,  1.])
    """

    step_size: float | None = None
    adjusted: bool = True

    discrete: ClassVar[bool] = True
    default_step_size: ClassVar[float] = 0.2

    def __post_init__(self) -> None:
        if self.step_size is not None:
            object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))

    @property
    def reversible(self) -> bool:
        """Detailed balance with respect to the target holds with the Metropolis test only."""
        return self.adjusted

    @property
    def exact(self) -> bool:
        """The target is invariant with the Metropolis test only."""
        return self.adjusted

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        values = as_discrete(target).values
        forward = self.log_proposal(target, state.x)
        chosen = _choices.category(forward, generator)
        proposal = evaluate(target, values[chosen], score=False)
        if not self.adjusted:
            return always(state, proposal)
        here = (values == state.x[..., None]).long().argmax(-1)
        hastings = _at(self.log_proposal(target, proposal.x), here) - _at(forward, chosen)
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + hastings
        return metropolis(state, proposal, log_ratio, generator)

    def log_proposal(self, target: Target, x: Tensor) -> Tensor:
        """log q of each value at each site, (chains, dim, q)."""
        law = as_discrete(target)
        values, differences = law.values, law.local_differences(x)
        distance = (values - x[..., None]).double().square()
        return (differences.double() / 2 - distance / (2 * self._scale(values))).log_softmax(-1)

    def _scale(self, values: Tensor) -> Tensor | float:
        if self.step_size is not None:
            return self.step_size
        return self.default_step_size * values.double().sort().values.diff().min().square()

    def warmup_form(self) -> Tuning:
        return Tuning(self.step_size, acceptance=0.574 if self.adjusted else 0.95)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, Tuning)
        return self if self.step_size is not None else replace(self, step_size=warm.step_size)


@dataclass(frozen=True, eq=False)
class Tuning(DiscreteLangevin):
    """The kernel during warmup. Step sizes beyond which nothing changes any more are not called too small."""

    acceptance: float = 0.574

    @property
    def target_acceptance(self) -> float:
        """The acceptance that the step size is tuned to."""
        return self.acceptance

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        state, info = super().step(target, state, generator)
        values = as_discrete(target).values
        if self.step_size is not None and self.step_size > FLAT * float(values.max() - values.min()) ** 2:
            info = replace(info, acceptance_rate=info.acceptance_rate.clamp_max(self.acceptance))
        return state, info


def _at(log_q: Tensor, chosen: Tensor) -> Tensor:
    return log_q.gather(-1, chosen[..., None])[..., 0].sum(-1)
