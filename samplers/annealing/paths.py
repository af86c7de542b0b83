"""Paths of densities, from one that can be drawn from to the one that is wanted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from samplers.kernels import Kernel, State
from samplers.runs.state import StatefulTarget
from targets import Target
from targets.counting import Counted, Tally
from targets.discrete import as_discrete


class Path(ABC):
    """Unnormalised densities pi_b, 0 <= b <= 1: pi_0 is `base`, of known log Z and with exact draws, pi_1 the target.

    Evaluations of the target are counted in `tally`.

    base: a normalised Target with exact draws. ValueError for one that lacks its log_z or its draws.

        >>> from samplers.annealing import GeometricPath
        >>> path = GeometricPath(targets.Gaussian([0.0]), targets.Gaussian([4.0], scale=0.5))
        >>> path.base.log_z, path.at(1.0).log_prob(torch.zeros(1)).item() == path.target.log_prob(torch.zeros(1)).item()
        (0.0, True)
    """

    def __init__(self, base: Target) -> None:
        missing = {"log_z", "sample"} - base.known
        if missing:
            raise ValueError(
                f"base: {base.name} has no {' and no '.join(sorted(missing))}, expected a normalised density with "
                "exact draws, such as targets.Gaussian(mean, covariance=...)"
            )
        if not math.isfinite(base.log_z):
            raise ValueError(f"base: {base.name} has log_z {base.log_z}, expected a density that can be normalised")
        self.base = base
        self.tally = Tally()

    @abstractmethod
    def at(self, beta: float) -> Target:
        """pi_b as a target."""

    @abstractmethod
    def increments(self, state: State, beta: float) -> Callable[[float], Tensor]:
        """b -> log pi_b(x) - log pi_beta(x) at each point of a state of `at(beta)`, (n,) in float64."""

    def moved(self, state: State, beta: float, kernel: Kernel, generator: Generator) -> State:
        """The same points as a state of `at(beta)`."""
        return kernel.init(self.at(beta), state.x, generator)


@dataclass(frozen=True, eq=False)
class BridgeState(State):
    """Also the log-densities and scores of both ends, so that a change of temperature evaluates nothing."""

    base_log_prob: Tensor
    target_log_prob: Tensor
    base_score: Tensor | None
    target_score: Tensor | None


class Bridge(StatefulTarget):
    """log pi_b = (1 - b) log q + b log gamma."""

    def __init__(self, base: Target, target: Target, beta: float) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=f"{target.name} at {beta:.3g}")
        self.base, self.target, self.beta = base, target, float(beta)

    def mix(self, base: Tensor, target: Tensor) -> Tensor:
        """(1 - b) base + b target; an end of weight zero has no say even where it is infinite."""
        if self.beta == 0:
            return base
        if self.beta == 1:
            return target
        return ((1 - self.beta) * base).add_(target, alpha=self.beta)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.mix(self.base.log_prob(x), self.target.log_prob(x))

    def evaluate_state(self, x: Tensor, score: bool = True) -> BridgeState:
        """The state at x, with what both ends say there."""
        if not score:
            base, target = self.base.log_prob(x), self.target.log_prob(x)
            return BridgeState(x, self.mix(base, target), None, base, target, None, None)
        base, base_score = self.base.log_prob_and_score(x)
        target, target_score = self.target.log_prob_and_score(x)
        mixed = self.mix(base, target), self.mix(base_score, target_score)
        return BridgeState(x, *mixed, base, target, base_score, target_score)


class GeometricPath(Path):
    """pi_b = q^(1-b) gamma^b. From the prior of a posterior this is prior x likelihood^b.

    base: q, a normalised Target with exact draws. target: gamma, of the same dim, else ValueError.

        >>> from samplers.annealing import GeometricPath
        >>> halfway = GeometricPath(targets.Gaussian([0.0]), targets.Gaussian([4.0])).at(0.5)
        >>> halfway.score(torch.tensor([2.0]))
        tensor([0.])
    """

    def __init__(self, base: Target, target: Target) -> None:
        super().__init__(base)
        if base.dim != target.dim:
            raise ValueError(f"base: got dim {base.dim}, expected {target.dim} like {target.name}")
        self.target = Counted(target, self.tally)

    def at(self, beta: float) -> Bridge:
        return Bridge(self.base, self.target, beta)

    def increments(self, state: State, beta: float) -> Callable[[float], Tensor]:
        if isinstance(state, BridgeState):
            base, target = state.base_log_prob, state.target_log_prob
        else:
            base, target = self.base.log_prob(state.x), self.target.log_prob(state.x)
        ratio = target.double() - base.double()
        return lambda new: (new - beta) * ratio

    def moved(self, state: State, beta: float, kernel: Kernel, generator: Generator) -> State:
        if not isinstance(state, BridgeState) or (kernel.needs_score and state.score is None):
            return super().moved(state, beta, kernel, generator)
        bridge, score = self.at(beta), None
        if state.base_score is not None and state.target_score is not None:
            score = bridge.mix(state.base_score, state.target_score)
        return replace(state, log_prob=bridge.mix(state.base_log_prob, state.target_log_prob), score=score)


class Tilted(Bridge):
    """log pi_b = log prior + b log likelihood: the target's end of the bridge is the likelihood alone."""

    def mix(self, base: Tensor, target: Tensor) -> Tensor:
        """base + b target."""
        return base if self.beta == 0 else torch.add(base, target, alpha=self.beta)


class Likelihood(Target):
    """The likelihood of a posterior as a target of its own, for the end of a bridge."""

    def __init__(self, posterior: Target) -> None:
        super().__init__(posterior.dim, dtype=posterior.dtype, device=posterior.device, name=posterior.name)
        self._posterior = posterior

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-likelihood."""
        return self._posterior.log_likelihood(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-likelihood and its gradient."""
        return self._posterior.log_likelihood_and_score(x)


class PriorPath(GeometricPath):
    """pi_b = prior x likelihood^b: the geometric path from the prior, with the prior evaluated once."""

    def __init__(self, posterior: Target) -> None:
        if not posterior.has_likelihood:
            raise ValueError(f"target: {posterior.name} has no prior with a likelihood apart from it")
        super().__init__(posterior.prior, Likelihood(posterior))

    def at(self, beta: float) -> Bridge:
        return Tilted(self.base, self.target, beta)

    def increments(self, state: State, beta: float) -> Callable[[float], Tensor]:
        likelihood = state.target_log_prob if isinstance(state, BridgeState) else self.target.log_prob(state.x)
        ratio = likelihood.double()
        return lambda new: (new - beta) * ratio


class DiscretePath(Path):
    """pi_b = gamma^b on configurations, from the uniform law at b = 0."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.prior)
        self.target = as_discrete(Counted(target, self.tally))

    def at(self, beta: float) -> Target:
        return self.target.annealed(beta)

    def increments(self, state: State, beta: float) -> Callable[[float], Tensor]:
        ratio = self.target.log_prob(state.x).double()
        uniform = float(self.base.log_prob(state.x[:1]))  # of the normalised law at b = 0, where gamma^0 is 1

        def log_density(b: float) -> Tensor:
            return b * ratio if b > 0 else ratio.new_full((), uniform)

        here = log_density(beta)
        return lambda new: log_density(new) - here


class FunctionPath(Path):
    """pi_b = function(b), a Target for every 0 <= b <= 1 with function(0) normalised and with exact draws.

    function: of b in [0, 1]. target: what is to be sampled, function(1). TypeError where function gives no Target.

        >>> from samplers.annealing import FunctionPath
        >>> shrinking = FunctionPath(lambda b: targets.Gaussian([0.0], scale=4.0 - 3.0 * b), targets.Gaussian([0.0]))
        >>> shrinking.at(0.5).score(torch.tensor([2.5])).round(decimals=4)
        tensor([-0.4000])
    """

    def __init__(self, function: Callable[[float], Target], target: Target) -> None:
        base = function(0.0)
        if not isinstance(base, Target):
            raise TypeError(f"path: path(0.0) is a {type(base).__name__}, expected a targets.Target")
        super().__init__(base.to(target.device, target.dtype))
        self._function, self._end = function, target

    def at(self, beta: float) -> Target:
        found = self._end if beta == 1 else self._function(beta).to(self._end.device, self._end.dtype)
        return Counted(found, self.tally)

    def increments(self, state: State, beta: float) -> Callable[[float], Tensor]:
        here = self.at(beta).log_prob(state.x).double()
        return lambda new: self.at(new).log_prob(state.x).double() - here
