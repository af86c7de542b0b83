"""Twisted diffusion: sequential Monte Carlo for the model times exp(-E), which guidance steers and weights correct.

    psi_k(x) = exp(-E(D(x, t_k))),   psi_0 = exp(-E)     the twist: what E will say, told by the denoised state
    x_K ~ prior,   w = psi_K(x_K)
    x_{k-1} ~ N(m + V' C grad log psi_k(x_k), V' C)      m = keep x_k + pull C s(x_k, t_k), the model's own mean
    w *= N(x_{k-1}; m, V' C) psi_{k-1}(x_{k-1}) / (N(x_{k-1}; m + V' C grad log psi_k(x_k), V' C) psi_k(x_k))

and ancestors are drawn in proportion to w where the effective sample size is low.

The twists cancel along a path: the weights are for the law of the reverse steps (`samplers.generative.reverse_step`)
times exp(-E), whatever the twist. Hence, for the model p that those steps are,

    E[Z-hat] = Z = E_p[exp(-E)] for any number of particles, and averages tend to those under p exp(-E) / Z as it grows.

Against the law behind an exact score the steps' own error remains, which shrinks as the steps do. Wu, Trippe,
Naesseth, Blei and Cunningham 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.annealing.cloud import Cloud
from samplers.generative.guidance.energy import Energy, denoised_twist, log_twist
from samplers.generative.reverse_step import ReverseSteps
from samplers.generative.score import Score, check_score, noise_of
from samplers.kernels import State
from samplers.processes.base import Process
from targets import Target
from targets.arguments import check_integer, not_negative


@dataclass(frozen=True, eq=False)
class TwistedDraws:
    """n weighted draws of the model times exp(-E).

    x: (n, dim). log_weights: normalised, (n,). log_z: log of the unbiased estimate of Z = E[exp(-E)]. ess: of the last
    weights, as a share of n. resamplings: how many times ancestors were drawn.

        >>> from samplers.generative.guidance import TwistedDraws
        >>> found = TwistedDraws(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25, 0.75]).log(), 0.0, 0.8, 0)
        >>> found.expectation(found.x)
        tensor([0.7500])
    """

    x: Tensor
    log_weights: Tensor
    log_z: float
    ess: float
    resamplings: int

    def expectation(self, values: Tensor) -> Tensor:
        """The weighted mean of values (n, ...) at x."""
        return torch.tensordot(self.log_weights.exp().to(values), values, 1)


@dataclass(frozen=True, eq=False)
class TwistedDiffusion:
    """See the module.

    score: (x (n, dim), t) -> (n, dim), differentiable in x unless `twist` is given. process, grid: (K + 1,) times, the
    last the horizon. prior: of x there, a normalised Target with exact draws. data_variance: w of the steps' variance,
    above 0 on a grid from 0. twist: log psi, (x (n, dim), t) -> (n,); any serves, the nearer to
    log E[exp(-E(X)) | x_t] the better; by default -E at the denoised state. At the first time of the grid it is -E
    itself in any case. ess_threshold: a share of the particles. ValueError for a score or energy of another shape.
    https://arxiv.org/abs/2306.17775

        >>> from samplers.generative import as_score, noise_law
        >>> from samplers.generative.guidance import TwistedDiffusion
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0])
        >>> score = as_score(samplers.denoisers.ClosedForm(), process, law)
        >>> twisted = TwistedDiffusion(score, process, samplers.processes.grids.uniform(20), noise_law(process, 1))
        >>> found = twisted.sample(lambda x: 0.5 * x.square().sum(-1), 500, generator=torch.Generator())
        >>> bool(abs(found.log_z + 0.3466) < 0.05)  # Z = 1 / sqrt(2)
        True
    """

    score: Score
    process: Process
    grid: Tensor
    prior: Target
    data_variance: float = 1.0
    twist: Callable[[Tensor, float], Tensor] | None = None
    ess_threshold: float = 0.5

    def __post_init__(self) -> None:
        not_negative(self.ess_threshold, "ess_threshold")
        steps = ReverseSteps.of(self.process, self.grid, self.data_variance)
        if not bool((steps.variance > 0).all()):
            raise ValueError(f"data_variance: got {self.data_variance:.6g}, with which the last step cannot be weighed")
        noise_of(self.process).check(self.prior.dim)

    def sample(self, energy: Energy, draws: int, *, generator: Generator) -> TwistedDraws:
        """Particles with their weights, and Z-hat; energy: (n, dim) -> (n,)."""
        check_integer(draws, "draws", 2)
        steps = ReverseSteps.of(self.process, self.grid, self.data_variance)
        times = [*steps.time.tolist(), float(self.grid[0])]
        noise = noise_of(self.process)
        x = self.prior.sample(draws, generator=generator)
        log_psi, slope = self._twist_at(x, times[0], energy, last=False)
        cloud = Cloud.start(State(x, log_psi, slope), 1, 0.0)
        cloud.reweight(log_psi.double()[None])
        for k, (keep, pull, variance) in enumerate(torch.stack([steps.keep, steps.pull, steps.variance], -1).tolist()):
            needed = cloud.ess < self.ess_threshold * draws
            if bool(needed.any()):
                cloud.resample("systematic", needed, generator)
            state = cloud.state
            assert state.score is not None
            x, log_psi, slope = state.x, state.log_prob, state.score
            with torch.no_grad():
                mean = keep * x + pull * noise.times(check_score(self.score(x, times[k]), x))
                white = noise.sample_like(x, generator)
                new = mean + variance * noise.times(slope) + math.sqrt(variance) * white
            # |new - mean|^2 - |new - proposed|^2 in the metric of V' C, without a difference of squares
            shift = torch.linalg.vecdot(slope, math.sqrt(variance) * white + 0.5 * variance * noise.times(slope))
            after, ahead = self._twist_at(new, times[k + 1], energy, last=k + 2 == len(times))
            cloud.state = State(new, after, ahead)
            cloud.reweight((after.double() - log_psi.double() - shift.double())[None])
        return TwistedDraws(
            cloud.state.x,
            cloud.log_weights[0],
            float(cloud.log_z),
            float(cloud.ess) / draws,
            cloud.resamplings,
        )

    def _twist_at(self, x: Tensor, t: float, energy: Energy, last: bool) -> tuple[Tensor, Tensor]:
        if last:
            return log_twist(lambda u, _: -energy(u), x, t)
        twist = denoised_twist(self.score, energy, self.process) if self.twist is None else self.twist
        return log_twist(twist, x, t)
