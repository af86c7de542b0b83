"""Paths in pieces: weights, ancestors and Markov moves between one piece and the next.

    log W_i += log pi_b(x_b) - log pi_a(x_a) + the log ratios of the steps from a to b
    log Z += log sum_i W_i exp(increment_i);   where ESS < threshold n: ancestors in proportion to W, equal weights
    x_i moves by a kernel that leaves pi_b invariant

With everything fixed this is sequential Monte Carlo: E[Z-hat] = Z, for any densities pi between the ends.
Del Moral, Doucet and Jasra 2006; Chen, Richter, Berner, Blessing, Neumann and Anandkumar 2024 (SCLD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from samplers.annealing.resampling import systematic
from samplers.diffusion.path_measure import PathMeasure, Points
from samplers.diffusion.simulation import Paths, evaluate, simulate
from samplers.kernels import HMC
from targets import Target


@dataclass(frozen=True)
class Moves:
    """HMC between pieces: `count` moves of `leapfrogs` steps of the sizes (pieces,), in the sampler's coordinates."""

    step_sizes: Tensor
    count: int = 1
    leapfrogs: int = 5


@dataclass(eq=False)
class Cloud:
    """Particles at the end of a path, x (n, dim) with log_weights (n,), normalised, and log Z-hat.

    lost: how many had no finite weight. resampled: after how many pieces. paths: the pieces, where they were kept.
    """

    x: Tensor
    log_prob: Tensor
    log_weights: Tensor
    log_z: float
    lost: int = 0
    resampled: int = 0
    acceptance: list[float] = field(default_factory=list)
    paths: list[Paths] = field(default_factory=list)


@torch.no_grad()
def simulate_pieces(
    measure: PathMeasure,
    target: Target,
    n: int,
    generator: Generator,
    *,
    pieces: int,
    threshold: float,
    moves: Moves | None = None,
    keep: bool = False,
) -> Cloud:
    """n particles along `pieces` pieces of as many steps as possible each; no resampling after the last one."""
    ends = [round(measure.steps * (j + 1) / pieces) for j in range(pieces)]
    start = evaluate(target, measure.prior.sample(n, generator))
    log_weights = torch.full((n,), -math.log(n), dtype=torch.float64, device=start.x.device)
    cloud = Cloud(start.x[0], start.log_prob[0], log_weights, 0.0)
    begin = 0
    for j, end in enumerate(ends):
        paths = simulate(measure, target, n, generator, start=start, first=begin, last=end, keep=keep)
        if keep:
            cloud.paths.append(paths)
        increment = paths.log_weights
        undefined = ~(increment < torch.inf)  # NaN and plus infinity cannot be weighed
        cloud.lost += int((undefined | (increment == -torch.inf)).sum())
        log_weights = log_weights + torch.where(undefined, -torch.inf, increment)
        total = log_weights.logsumexp(0)
        cloud.log_z += float(total)
        log_weights = log_weights - total
        start = paths.last_point
        if not math.isfinite(cloud.log_z):
            break
        if end < measure.steps:
            if float(torch.exp(-torch.logsumexp(2 * log_weights, 0))) < threshold * n:
                ancestors = systematic(log_weights.exp()[None], n, generator)[0]
                start = Points(start.x[:, ancestors], start.log_prob[:, ancestors], start.score[:, ancestors])
                log_weights = torch.full_like(log_weights, -math.log(n))
                cloud.resampled += 1
            if moves is not None:
                start, rate = _moved(measure, target, end, start, moves, float(moves.step_sizes[j]), generator)
                cloud.acceptance.append(rate)
        begin = end
    cloud.x, cloud.log_prob, cloud.log_weights = start.x[0], start.log_prob[0], log_weights
    return cloud


class Between(Target):
    """pi_k of a path measure, as a target: (1 - b_k) log prior + b_k log gamma."""

    def __init__(self, measure: PathMeasure, target: Target, k: int) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=f"{target.name} after {k} steps")
        self._measure, self._target = measure, target
        self._k = torch.full((1,), k, device=target.device)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density, (*batch,)."""
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both ends at once."""
        b = self._measure.temperature(self._k)
        prior = self._measure.prior
        value, score = self._target.log_prob_and_score(x)
        return torch.lerp(prior.log_prob(x), value, b), torch.lerp(prior.score(x), score, b)


def _moved(
    measure: PathMeasure, target: Target, k: int, at: Points, moves: Moves, step_size: float, generator: Generator
) -> tuple[Points, float]:
    density = Between(measure, target, k)
    kernel = HMC(step_size=step_size, steps=moves.leapfrogs)
    state = kernel.init(density, at.x[0], generator)
    rates = []
    for _ in range(moves.count):
        state, info = kernel.step(density, state, generator)
        rates.append(float(info.acceptance_rate.mean()))
    return evaluate(target, state.x), math.fsum(rates) / len(rates)
