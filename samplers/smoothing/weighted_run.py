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
from torch import Tensor

from samplers.annealing import evidence
from samplers.annealing.cloud import Cloud
from samplers.denoisers import Auto, Denoiser, InnerSMC
from samplers.draws import Draws, largest_pareto_k
from samplers.runs.state import State
from samplers.smoothing.chain_run import ChainRun
from samplers.smoothing.measurement_chain import gaussian_of
from targets import Noise, Target

ESS_THRESHOLD = 0.5
HIGHEST_PARETO_K = 0.7
LEAST_ESS = 0.1


@dataclass(frozen=True, eq=False)
class ChainState(State):
    """x: the running mean; log_prob: the estimate of phi there; memory: particles of X given it, (n, k, dim)."""

    memory: Tensor | None = None


class WeightedRun(ChainRun):
    """Particles that carry a chain of measurements each, with weights."""

    cloud: Cloud
    worst_ess = 1.0

    def __init__(self, sampler: Any, **arguments: Any) -> None:
        self.base: Target | None = sampler.base
        super().__init__(sampler, **arguments)
        if not self.denoiser.density:
            raise ValueError(
                f"denoiser: {self.denoiser.describe()} does not give the density of measurements, from which weights "
                "are made; expected an exact one, or 'smc'"
            )

    def _chosen(self) -> Denoiser:
        """As of a walk, but for Auto, which keeps no particles to draw the next measurement from."""
        found = super()._chosen()
        return InnerSMC() if isinstance(found, Auto) and self.sampler.denoiser == "auto" else found

    def begin(self) -> Tensor:
        if self.base is None:
            assert self.plan is not None
            self.base = gaussian_of(self.plan, self.target)
        self.start = self._measured_base().sample(self.n, generator=self.generator)
        return self.start

    def _measured_base(self) -> Target:
        assert self.base is not None
        return self.base.to(self.target.device, self.target.dtype).smoothed(self.noises[0])

    def _first(self) -> Tensor:
        noise, base, y = self.noises[0], self._measured_base(), self.start
        assert y is not None
        state = self._denoised(y, noise)
        self.cloud = Cloud.start(state, 1, 0.0)
        self._reweight(state.log_prob.double() - base.log_prob(y).double() + base.log_z)
        return self.cloud.state.x

    def _denoised(self, y: Tensor, noise: Noise) -> ChainState:
        law = self.measured(noise)
        law.memory = None
        found = law.denoise(y, noise)
        self.take(law)
        assert found.log_density is not None
        if found.memory is None and not self.denoiser.exact:
            raise ValueError(
                f"denoiser: {self.denoiser.describe()} keeps no particles to draw the next measurement from; expected "
                "an exact one, or one such as 'smc'"
            )
        return ChainState(y, found.log_density, None, found.memory)

    def _reweight(self, increment: Tensor) -> None:
        cloud = self.cloud
        cloud.reweight(increment[None])
        if not bool(cloud.log_z.isfinite().all()):
            raise ValueError(
                f"all weights are zero: none of the {self.n} first measurements is where {self.target.name} has mass. "
                "Give a base= that covers it"
            )
        self.worst_ess = min(self.worst_ess, float(cloud.ess.min()) / self.n)
        if float(cloud.ess.min()) < ESS_THRESHOLD * self.n:
            cloud.resample("systematic", torch.ones_like(cloud.log_z, dtype=torch.bool), self.generator)

    def next_level(self) -> Tensor:
        """The running means with one measurement more, weighted anew."""
        state, k = self.cloud.state, self.done + 1
        assert isinstance(state, ChainState)
        past, noise = state.x, self.noise
        if state.memory is None:
            x = self.denoiser.draw(self.counted, past, self.noises[k - 2], self.generator, None)
            mean = torch.lerp(past, x + noise.sample_like(x, self.generator), 1 / k)
            # drawn from its own law, which leaves the weight as it is: phi need not be known
            self.cloud.state = replace(state, x=mean)
            return mean
        x = state.memory
        chosen = self._particle(x)
        y = chosen + noise.sample_like(chosen, self.generator)
        log_q = self._proposal(y, x)
        mean = torch.lerp(past, y, 1 / k)
        new = self._denoised(mean, self.noises[k - 1])
        dim = self.target.dim
        # log gamma_k - log gamma_{k-1} but for phi: the constants of the joint law, and its spread around the mean
        constant = (
            -noise.log_normaliser(dim) + self.noises[k - 1].log_normaliser(dim) - self.noises[k - 2].log_normaliser(dim)
        )
        apart = 0.5 * (1 - 1 / k) * noise.square(y - past)
        increment = new.log_prob.double() - state.log_prob.double() + constant - apart.double() - log_q
        self.cloud.state = new
        self._reweight(increment)
        return self.cloud.state.x

    def jump(self) -> Tensor:
        state = self.cloud.state
        assert isinstance(state, ChainState)
        if state.memory is not None and self.sampler.jump == "posterior":
            # one of those by which phi was estimated: with their weights it has the law of the target
            return self._particle(state.memory)
        return super().jump()

    def _particle(self, x: Tensor) -> Tensor:
        """One of the particles (n, k, dim) of each row, (n, dim)."""
        which = torch.randint(x.shape[1], (len(x), 1, 1), generator=self.generator, device=x.device)
        return x.gather(1, which.expand(-1, 1, x.shape[2]))[:, 0]

    def _proposal(self, y: Tensor, x: Tensor) -> Tensor:
        """log of the mean over particles x (n, k, dim) of N(y; x, C), (n,) in float64."""
        log_kernel = -0.5 * self.noise.square(y[:, None] - x).double()
        return log_kernel.logsumexp(1) - math.log(x.shape[1]) - self.noise.log_normaliser(self.target.dim)

    def _result(self) -> Draws:
        state = self.cloud.state
        assert isinstance(state, ChainState)
        self.mean, self.memory = state.x, state.memory
        draws = super()._result()
        draws.log_weights = self.cloud.log_weights + self.cloud.log_z[:, None] + math.log(self.n)
        draws.log_z = evidence.estimate(self.cloud)
        draws.stats |= self.cloud.families
        draws.attrs["ess"] = float(self.cloud.ess.min()) / self.n
        return draws

    def complaints(self) -> Iterator[str]:
        yield from super().complaints()
        if self.worst_ess < LEAST_ESS:
            k = largest_pareto_k(self.cloud.log_weights)
            yield (
                f"the weights are not to be trusted: at the worst level their effective number is "
                f"{self.worst_ess:.1%} of the draws (Pareto k-hat at the end {k:.2f}). Take more measurements, a "
                "denoiser with more particles, or a law of the starts that is closer to the target"
            )

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        if self.done == 0:
            return super().state_dict()
        state = self.cloud.state
        assert isinstance(state, ChainState)
        own = {
            "cloud": self.cloud.kept(),
            "phi": state.log_prob,
            "particles": state.memory,
            "worst_ess": self.worst_ess,
        }
        return super().state_dict() | own

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        super().load_state_dict(saved)
        if self.mean is None:
            return
        device = self.mean.device
        memory, phi = saved["particles"], saved["phi"]
        state = ChainState(self.mean, phi.to(device), None, None if memory is None else memory.to(device))
        self.cloud = Cloud.start(state, 1, 0.0)
        self.cloud.take_back(saved["cloud"])
        self.worst_ess = saved["worst_ess"]
