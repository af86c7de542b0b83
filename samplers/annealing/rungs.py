"""The densities of a ladder of temperatures, and what is remembered at a point so that a swap evaluates nothing.

pi_b = q^(1-b) gamma^b,     log pi_b'(x) - log pi_b(x) = (b' - b) (log gamma(x) - log q(x))
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor

from samplers.annealing.paths import Bridge, BridgeState
from samplers.kernels import Kernel, State
from samplers.runs.state import evaluate
from targets import Target
from targets.counting import counted_like
from targets.discrete import as_discrete


@dataclass(frozen=True)
class Ends:
    """log q and log gamma at points (chains, levels), and their scores (chains, levels, dim); None where not kept."""

    base_log_prob: Tensor | None = None
    target_log_prob: Tensor | None = None
    base_score: Tensor | None = None
    target_score: Tensor | None = None


class Rungs(ABC):
    """The densities pi_b of several b, level 0 the base and the last the target."""

    def __init__(self, base: Target, target: Target, betas: Sequence[float]) -> None:
        self.base, self.target, self.betas = base, target, tuple(betas)
        self.densities: list[Target] = [self._density(beta) for beta in self.betas]

    @abstractmethod
    def _density(self, beta: float) -> Target:
        """pi_b."""

    def at_base(self, x: Tensor, scores: bool) -> State:
        """The state of level 0 at fresh draws of the base."""
        return evaluate(self.densities[0], x, scores)

    @abstractmethod
    def recall(self, k: int, x: Tensor, ends: Ends, kernel: Kernel, generator: Generator) -> State:
        """The state of level k at the points that lie there, (chains, dim)."""

    @abstractmethod
    def ends(self, states: Sequence[State]) -> Ends:
        """What to remember of the states of all levels."""

    @abstractmethod
    def ratios(self, states: Sequence[State], ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
        """log pi_{k+1} - log pi_k at the points of level k and of level k + 1, each (chains, levels - 1) in float64.

        Third the target's log-density at the points of the last level but one, (chains,).
        """

    def at_once(self, state: State, levels: int) -> Ends:
        """What `ends` gives where all levels lie at the points of a state of the target."""
        kept = vars(self.ends([state])).values()
        return Ends(*(None if v is None else v.expand(-1, levels, *v.shape[2:]).contiguous() for v in kept))


class GeometricRungs(Rungs):
    """pi_b = q^(1-b) gamma^b; both ends are remembered, with scores where all levels' kernels keep them."""

    def _density(self, beta: float) -> Target:
        return Bridge(self.base, self.target, beta)

    def recall(self, k: int, x: Tensor, ends: Ends, kernel: Kernel, generator: Generator) -> State:
        bridge = self.densities[k]
        assert isinstance(bridge, Bridge)
        if ends.base_score is None and kernel.needs_score:
            return kernel.init(bridge, x, generator)
        assert ends.base_log_prob is not None
        assert ends.target_log_prob is not None
        base, target = ends.base_log_prob[:, k], ends.target_log_prob[:, k]
        if ends.base_score is None or ends.target_score is None:
            return BridgeState(x, bridge.mix(base, target), None, base, target, None, None)
        scores = ends.base_score[:, k], ends.target_score[:, k]
        return BridgeState(x, bridge.mix(base, target), bridge.mix(*scores), base, target, *scores)

    def ends(self, states: Sequence[State]) -> Ends:
        values = [self._values(state) for state in states]
        base, target = (torch.stack([value[i] for value in values], 1) for i in (0, 1))
        scores = [(s.base_score, s.target_score) if isinstance(s, BridgeState) else (None, None) for s in states]
        if any(a is None or b is None for a, b in scores):
            return Ends(base, target)
        return Ends(base, target, *(torch.stack([pair[i] for pair in scores], 1) for i in (0, 1)))  # type: ignore[misc]

    def _values(self, state: State) -> tuple[Tensor, Tensor]:
        if isinstance(state, BridgeState):
            return state.base_log_prob, state.target_log_prob
        return self.base.log_prob(state.x), self.target.log_prob(state.x)

    def ratios(self, states: Sequence[State], ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
        base, target = ends.base_log_prob, ends.target_log_prob
        assert base is not None
        assert target is not None
        steps = torch.tensor([b - a for a, b in pairwise(self.betas)], dtype=torch.float64, device=target.device)
        difference = target.double() - base.double()
        return steps * difference[:, :-1], steps * difference[:, 1:], target[:, -2]


class DiscreteRungs(GeometricRungs):
    """pi_b = gamma^b on configurations: the geometric path from the uniform law, whose log-density is a constant."""

    def __init__(self, target: Target, betas: Sequence[float]) -> None:
        self._uniform = -target.dim * math.log(len(as_discrete(target).values))
        super().__init__(target.prior, target, betas)

    def _density(self, beta: float) -> Target:
        return as_discrete(self.target).annealed(beta)

    def at_base(self, x: Tensor, scores: bool) -> State:
        return BridgeState(x, self._constant(x), None, self._constant(x), self.target.log_prob(x), None, None)

    def recall(self, k: int, x: Tensor, ends: Ends, kernel: Kernel, generator: Generator) -> State:
        if kernel.needs_score:
            return kernel.init(self.densities[k], x, generator)
        assert ends.target_log_prob is not None
        return State(x, self.betas[k] * ends.target_log_prob[:, k], None)

    def ends(self, states: Sequence[State]) -> Ends:
        target = [self._values(states[0])[1]]
        target += [state.log_prob / beta for state, beta in zip(states[1:], self.betas[1:], strict=True)]
        return Ends(torch.stack([self._constant(state.x) for state in states], 1), torch.stack(target, 1))

    def at_once(self, state: State, levels: int) -> Ends:
        both = self._constant(state.x), state.log_prob
        return Ends(*(value[:, None].expand(-1, levels).contiguous() for value in both))

    def _constant(self, x: Tensor) -> Tensor:
        return x.new_full(x.shape[:-1], self._uniform)


class FunctionRungs(Rungs):
    """pi_b = function(b): each level evaluates anew, at its own points to move, at its neighbours' to swap."""

    def __init__(
        self, function: Callable[[float], Target], base: Target, target: Target, betas: Sequence[float]
    ) -> None:
        self._function = function
        super().__init__(base, target, betas)

    def _density(self, beta: float) -> Target:
        if beta == 1:
            return self.target
        if beta == 0:
            return self.base
        return counted_like(self.target, self._function(beta).to(self.target.device, self.target.dtype))

    def recall(self, k: int, x: Tensor, ends: Ends, kernel: Kernel, generator: Generator) -> State:
        return kernel.init(self.densities[k], x, generator)

    def ends(self, states: Sequence[State]) -> Ends:
        return Ends()

    def ratios(self, states: Sequence[State], ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
        here, there = [], []
        above = states[-1].log_prob
        for (low, pi_low), (high, pi_high) in pairwise(zip(states, self.densities, strict=True)):
            above = pi_high.log_prob(low.x)
            here.append(above.double() - low.log_prob.double())
            there.append(high.log_prob.double() - pi_low.log_prob(high.x).double())
        return torch.stack(here, 1), torch.stack(there, 1), above
