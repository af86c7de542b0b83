"""The chain of measurements as sequential Monte Carlo: weighted draws and log Z.

    gamma_k(y_1 .. y_k) = integral of gamma(x) prod_t N(y_t; x, C) dx,    every one of which integrates to Z
    y_1 ~ r_1,   y_k ~ r_k(. | y_1 .. y_{k-1}),   log w += log gamma_k - log gamma_{k-1} - log r_k(y_k)
    r_k: the mean over the denoiser's particles x_j of X given ybar_{k-1} of N(y; x_j, C)

Where gamma_k is an estimate, as good as unbiased, that stays with its particle, the weights are as exact as with
gamma_k itself (random weights: Fearnhead, Papaspiliopoulos, Roberts and Stuart 2010; Chopin, Jacob and Papaspiliopoulos
2013), and E[Z-hat] = Z. With an exact denoiser y_k is drawn from its own law: all weight is in y_1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.annealing import evidence
from samplers.annealing.cloud import Cloud
from samplers.draws import Draws, largest_pareto_k
from samplers.runs.state import State
from samplers.smoothing.jump import Jump, jumped
from samplers.smoothing.measurements import Noisy
from targets import Target

ESS_THRESHOLD = 0.5
LEAST_ESS = 0.1


@dataclass(frozen=True, eq=False)
class ChainState(State):
    """x: the running mean; log_prob: the estimate of phi there; memory: particles of X given it, (n, k, dim)."""

    memory: Tensor | None = None


class Weights:
    """Particles that carry a chain of measurements each, with weights; its methods are those of `Walks`.

    base: the law of X that the first measurements come from.
    """

    cloud: Cloud
    worst_ess = 1.0

    def __init__(self, base: Target, law: Noisy, jump: Jump) -> None:
        self.noise, self.jump_by = law.noise, jump
        self.base = base.to(law.device, law.dtype).smoothed(law.noise)
        if not law.denoiser.density:
            raise ValueError(
                f"denoiser: {law.denoiser.describe()} does not give the density of measurements, from which weights "
                "are made; expected an exact one, or 'smc'"
            )

    def starts(self, n: int, target: Target, generator: Generator) -> Tensor:
        return self.base.sample(n, generator=generator)

    def first(self, x: Tensor, law: Noisy) -> Tensor:
        state = self._denoised(x, law)
        self.cloud = Cloud.start(state, 1, 0.0)
        return self._reweighted(state.log_prob.double() - self.base.log_prob(x).double() + self.base.log_z, law)

    def _denoised(self, y: Tensor, law: Noisy) -> ChainState:
        found = law.denoise(y, remember=False)
        assert found.log_density is not None
        if found.memory is None and not law.denoiser.exact:
            raise ValueError(
                f"denoiser: {law.denoiser.describe()} keeps no particles to draw the next measurement from; expected "
                "an exact one, or one such as 'smc'"
            )
        return ChainState(y, found.log_density, None, found.memory)

    def _reweighted(self, increment: Tensor, law: Noisy) -> Tensor:
        """New weights, and ancestors where these ask for it; the running means of these."""
        cloud, n = self.cloud, len(increment)
        cloud.reweight(increment[None])
        if not bool(cloud.log_z.isfinite().all()):
            raise ValueError(
                f"all weights are zero: none of the {n} first measurements is where {law.target.name} has mass. "
                "Give a base= that covers it"
            )
        ess = float(cloud.ess.min())
        self.worst_ess = min(self.worst_ess, ess / n)
        if ess < ESS_THRESHOLD * n:
            cloud.resample("systematic", torch.ones_like(cloud.log_z, dtype=torch.bool), law.generator)
        return cloud.state.x

    def advance(self, level: int, mean: Tensor, law: Noisy) -> Tensor:
        state, noise, k = self._state, self.noise, level + 1
        x = law.draw(mean) if state.memory is None else self._particle(state.memory, law)
        y = x + noise.sample_like(x, law.generator)
        mean = torch.lerp(state.x, y, 1 / k)
        if state.memory is None:
            # drawn from its own law, which leaves the weight as it is: phi need not be known
            self.cloud.state = replace(state, x=mean)
            return mean
        following = law.at(noise.scaled(1 / k))
        new = self._denoised(mean, following)
        # log gamma_k - log gamma_{k-1} but for phi: the constants of the joint law, and its spread around the mean
        before, one, after = (c.log_normaliser(law.dim) for c in (law.noise, noise, following.noise))
        apart = 0.5 * (1 - 1 / k) * noise.square(y - state.x)
        increment = new.log_prob.double() - state.log_prob.double() + (-one + after - before)
        increment = increment - apart.double() - self._log_proposal(y, state.memory)
        self.cloud.state = new
        return self._reweighted(increment, law)

    def jump(self, mean: Tensor, law: Noisy) -> Tensor:
        memory = law.asked.memory = self._state.memory
        if memory is not None and self.jump_by == "posterior":
            # one of those by which phi was estimated: with their weights it has the law of the target
            return self._particle(memory, law)
        return jumped(self.jump_by, law, mean)

    @property
    def _state(self) -> ChainState:
        assert isinstance(self.cloud.state, ChainState)
        return self.cloud.state

    @staticmethod
    def _particle(x: Tensor, law: Noisy) -> Tensor:
        """One of the particles (n, k, dim) of each row, (n, dim)."""
        which = torch.randint(x.shape[1], (len(x), 1, 1), generator=law.generator, device=x.device)
        return x.gather(1, which.expand(-1, 1, x.shape[2]))[:, 0]

    def _log_proposal(self, y: Tensor, x: Tensor) -> Tensor:
        """log of the mean over particles x (n, k, dim) of N(y; x, C), (n,) in float64."""
        log_kernel = -0.5 * self.noise.square(y[:, None] - x).double()
        return log_kernel.logsumexp(1) - math.log(x.shape[1]) - self.noise.log_normaliser(y.shape[1])

    # What a run asks for

    def finished(self, draws: Draws) -> Draws:
        cloud, n = self.cloud, self.cloud.shape[1]
        draws.log_weights = cloud.log_weights + cloud.log_z[:, None] + math.log(n)
        draws.log_z = evidence.estimate(cloud)
        draws.stats |= cloud.families
        draws.attrs["ess"] = float(cloud.ess.min()) / n
        return draws

    def complaints(self) -> Iterator[str]:
        if self.worst_ess < LEAST_ESS:
            k = largest_pareto_k(self.cloud.log_weights)
            yield (
                f"the weights are not to be trusted: at the worst level their effective number is "
                f"{self.worst_ess:.1%} of the draws (Pareto k-hat at the end {k:.2f}). Take more measurements, a "
                "denoiser with more particles, or a law of the starts that is closer to the target"
            )

    def state_dict(self) -> dict[str, Any]:
        state = self._state
        found = {"cloud": self.cloud.kept(), "phi": state.log_prob, "particles": state.memory}
        return found | {"worst_ess": self.worst_ess}

    def load_state_dict(self, saved: dict[str, Any], mean: Tensor) -> None:
        memory, phi = saved["particles"], saved["phi"]
        memory = None if memory is None else memory.to(mean.device)
        self.cloud = Cloud.start(ChainState(mean, phi.to(mean.device), None, memory), 1, 0.0)
        self.cloud.take_back(saved["cloud"])
        self.worst_ess = saved["worst_ess"]
