"""Paths in subtrajectories: weights, ancestors and Markov moves between one and the next.

    log W_i += log pi_b(x_b) - log pi_a(x_a) + the log ratios of the steps from a to b
    log Z += log sum_i W_i exp(increment_i);   where ESS < threshold n: ancestors in proportion to W, equal weights
    x_i moves by a kernel that leaves pi_b invariant

With everything fixed this is sequential Monte Carlo: E[Z-hat] = Z, for any densities pi between the ends.
Del Moral, Doucet and Jasra 2006; Chen, Richter, Berner, Blessing, Neumann and Anandkumar 2024 (SCLD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Generator, Tensor

from samplers.annealing.cloud import Cloud
from samplers.annealing.paths import BridgeState
from samplers.kernels import HMC, State
from samplers.path_measures.base import PathMeasure, Points
from samplers.path_measures.simulation import Paths, evaluate, simulate
from samplers.runs.state import StatefulTarget
from targets import Target
from targets.base import differentiate

SUBTRAJECTORIES = 8


@dataclass(frozen=True)
class Resampling:
    """How particles are resampled on their way.

    subtrajectories: into how many a path is cut. ess_threshold: share of the particles below which the effective sample
    size leads to resampling. moves, leapfrogs: HMC after each subtrajectory, that many moves of that many steps.
    """

    subtrajectories: int = SUBTRAJECTORIES
    ess_threshold: float = 0.5
    moves: int = 0
    leapfrogs: int = 5

    @classmethod
    def within(cls, steps: int) -> Self:
        """As many subtrajectories as usual, of at least one step each."""
        return cls(min(SUBTRAJECTORIES, steps))


@dataclass(eq=False)
class Ensemble:
    """Particles at the end of their paths: `cloud` holds them, their weights, families and log Z-hat.

    acceptance: of the moves after each subtrajectory. paths: the subtrajectories, where they were kept.
    """

    cloud: Cloud
    acceptance: list[float] = field(default_factory=list)
    paths: list[Paths] = field(default_factory=list)

    @property
    def x(self) -> Tensor:
        """(n, dim)."""
        return self.cloud.state.x

    @property
    def log_prob(self) -> Tensor:
        """log gamma at x, (n,)."""
        return self.cloud.state.log_prob

    @property
    def log_weights(self) -> Tensor:
        """Normalised, (n,)."""
        return self.cloud.log_weights[0]

    @property
    def log_z(self) -> float:
        """log Z-hat."""
        return float(self.cloud.log_z)

    @property
    def log_w(self) -> Tensor:
        """Unnormalised log weights (n,), of which Z-hat is the mean."""
        return self.log_weights + self.log_z + math.log(len(self.x))


@torch.no_grad()
def simulate_subtrajectories(
    measure: PathMeasure,
    target: Target,
    n: int,
    generator: Generator,
    *,
    resampling: Resampling,
    step_sizes: Tensor | None = None,
    keep: bool = False,
) -> Ensemble:
    """n particles along subtrajectories of as many steps as possible each; no resampling after the last one.

    step_sizes: of HMC after each subtrajectory, (subtrajectories,), in the sampler's coordinates; None moves nothing.
    """
    count = resampling.subtrajectories
    ends = [round(measure.steps * (j + 1) / count) for j in range(count)]
    at = evaluate(target, measure.prior.sample(n, generator))
    ensemble = Ensemble(Cloud.start(_state(at), 1, 0.0))
    cloud, begin = ensemble.cloud, 0
    for j, end in enumerate(ends):
        paths = simulate(measure, target, n, generator, start=_points(cloud.state), first=begin, last=end, keep=keep)
        if keep:
            ensemble.paths.append(paths)
        increment = paths.log_weights
        cloud.state = _state(paths.last_point)
        # NaN and plus infinity cannot be weighed
        cloud.reweight(torch.where(increment < torch.inf, increment, -torch.inf)[None])
        begin = end
        if end == measure.steps or not math.isfinite(ensemble.log_z):
            continue
        needed = cloud.ess < resampling.ess_threshold * n
        if bool(needed.any()):
            cloud.resample("systematic", needed, generator)
        if resampling.moves and step_sizes is not None:
            density = Between(measure, target, end)
            cloud.state, rate = _moved(density, cloud.state, resampling, float(step_sizes[j]), generator)
            ensemble.acceptance.append(rate)
    return ensemble


def _state(at: Points) -> State:
    return State(at.x[0], at.log_prob[0], at.score[0])


def _points(state: State) -> Points:
    assert state.score is not None
    return Points(state.x[None], state.log_prob[None], state.score[None])


class Between(StatefulTarget):
    """pi_k of a path measure, as a target: (1 - b_k) log prior + b_k log gamma (+ the flow)."""

    def __init__(self, measure: PathMeasure, target: Target, k: int) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=f"{target.name} after {k} steps")
        self._measure, self._target = measure, target
        self._k = torch.full((1,), k, device=target.device)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density, (*batch,)."""
        return self.log_prob_and_score(x)[0]

    def evaluate_state(self, x: Tensor, score: bool = True) -> BridgeState:
        """The state at x, with what the target says there."""
        del score
        return self.state(x, *self._target.log_prob_and_score(x))

    def state(self, x: Tensor, value: Tensor, score: Tensor) -> BridgeState:
        """The state at x, where the target's log-density and score are known."""
        b = self._measure.temperature(self._k)
        prior, flow = self._measure.prior, self._measure.flow
        base, base_score = prior.log_prob(x), prior.score(x)
        mixed, mixed_score = torch.lerp(base, value, b), torch.lerp(base_score, score, b)
        if flow is not None:
            time = self._measure.time(self._k)
            more, slope = differentiate(lambda u: (b * (1 - b)) * flow(time, u[None])[0], x, self.name)
            mixed, mixed_score = mixed + more, mixed_score + slope
        return BridgeState(x, mixed, mixed_score, base, value, base_score, score)


def _moved(
    density: Between, at: State, resampling: Resampling, step_size: float, generator: Generator
) -> tuple[State, float]:
    """The states after HMC on `density`, as states of the target, and the mean acceptance."""
    assert at.score is not None
    kernel = HMC(step_size=step_size, steps=resampling.leapfrogs)
    state: State = density.state(at.x, at.log_prob, at.score)
    rates = []
    for _ in range(resampling.moves):
        state, info = kernel.step(density, state, generator)
        rates.append(float(info.acceptance_rate.mean()))
    assert isinstance(state, BridgeState)
    return State(state.x, state.target_log_prob, state.target_score), math.fsum(rates) / len(rates)
