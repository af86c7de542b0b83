"""Iterated sampling importance resampling for X given a measurement y.

    x_1 = x,   x_2 .. x_k ~ N(y, C);     x' = x_i with probability gamma(x_i) / sum_j gamma(x_j)

Candidates come from the law of X given y with gamma left out, so that their weights are gamma alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Generator, Tensor

from samplers.kernels import Info, Kernel, PreconditionedKernel, State, evaluate
from samplers.kernels.base import check_kernel
from samplers.kernels.metropolis import select
from samplers.smoothing.given import GivenMeasurements
from samplers.smoothing.walk import covariance_of
from targets import Target
from targets.arguments import check_integer
from targets.counting import counted_like, plain


@dataclass(frozen=True, eq=False)
class ResampledProposals(Kernel):
    """Candidates from N(y, C) beside the present point, one of which is chosen in proportion to gamma.

    Leaves X given y invariant, and is reversible; moves between modes however far apart they are, and is uniformly
    ergodic where gamma is bounded. It rarely moves where few of `candidates` (the present point is one of them) reach
    what gamma leaves of N(y, C): Info's acceptance_rate is the probability to leave. local: a kernel that makes
    `local_steps` steps after each choice, exact again if it is, but no longer reversible; None makes none. A MALA, HMC
    or random walk with a mass matrix left at "auto" is given the noise covariance C for it when the kernel is placed,
    so that its step size is in units of the noise.

    The target is a GivenMeasurements with y (dim,), or (chains, dim). candidates - 1 log-densities a step, and one
    log-density and score where `local` needs them. A candidate without a finite density is not chosen, and counted as
    diverging. Raises TypeError for other targets.
    Tjelmeland 2004; Andrieu, Lee and Vihola 2018, https://arxiv.org/abs/1312.6432; with local moves Ex2MCMC, Samsonov
    et al. 2022, https://arxiv.org/abs/2111.02702.

        >>> from samplers.smoothing import GivenMeasurements, ResampledProposals
        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> given = GivenMeasurements(modes, torch.tensor([1.0]), noise=3.0)
        >>> draws = ResampledProposals(candidates=16).sample(given, chains=4, draws=20, warmup=0, seed=0)
        >>> sorted(draws.x.sign().unique().tolist())
        [-1.0, 1.0]
    """

    candidates: int = 32
    local: Kernel | None = None
    local_steps: int = 1

    def __post_init__(self) -> None:
        for name, least in (("candidates", 2), ("local_steps", 1)):
            check_integer(getattr(self, name), name, least)
        if self.local is not None:
            check_kernel(self.local, "local")

    @property
    def reversible(self) -> bool:
        """A choice followed by local steps, run backwards, is local steps followed by a choice."""
        return self.local is None

    @property
    def exact(self) -> bool:
        """Whether the local steps are."""
        return self.local is None or self.local.exact

    @property
    def order(self) -> int | None:
        """That of the local steps."""
        return None if self.local is None else self.local.order

    @property
    def needs_score(self) -> bool:
        """Whether the local steps do."""
        return self.local is not None and self.local.needs_score

    def check_target(self, target: Target) -> None:
        super().check_target(target)
        _measured(target)

    def placed(self, target: Target) -> Self:
        local, measured = self.local, _measured(target)
        if local is None:
            return self
        if isinstance(local, PreconditionedKernel) and local.metric is not None:
            raise ValueError(
                f"local: got metric={local.metric!r}, which is found in a warmup that a local kernel has not; expected "
                "inverse_mass_matrix="
            )
        if isinstance(local, PreconditionedKernel) and local.inverse_mass_matrix == "auto":
            local = replace(local, inverse_mass_matrix=covariance_of(measured.noise, target.dim, 1))
        return replace(self, local=local.placed(target))

    def frozen(self, generator: Generator) -> Kernel:
        return self if self.local is None else replace(self, local=self.local.frozen(generator))

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        _measured(target)
        return evaluate(target, x, score=False) if self.local is None else self.local.init(target, x, generator)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        new, info = self._choose(target, state, generator)
        if self.local is None:
            return new, info
        diverging = info.diverging
        new = self.local.init(target, new.x, generator)
        for _ in range(self.local_steps):
            new, local = self.local.step(target, new, generator)
            diverging = diverging | local.diverging
        return new, Info(info.acceptance_rate, diverging)

    def _choose(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        measured = _measured(target)
        noise, x = measured.noise, state.x
        y = measured.y.expand_as(x)
        fresh = y[:, None] + noise.sample_like(y[:, None].expand(-1, self.candidates - 1, -1), generator)
        weights = counted_like(target, measured.target).log_prob(fresh).double()
        here = state.log_prob.double() + 0.5 * noise.square(x - y).double()
        undefined = weights.isnan() | (weights == torch.inf)
        weights = torch.cat([here[:, None], torch.where(undefined, -torch.inf, weights)], 1)
        nowhere = (weights == -torch.inf).all(1)
        weights[:, 0] = torch.where(nowhere, 0.0, weights[:, 0])  # no candidate has mass either: stay
        shares = weights.softmax(1)
        chosen = torch.multinomial(shares, 1, generator=generator)[:, 0]
        rows = torch.arange(len(x), device=x.device)
        picked = fresh[rows, (chosen - 1).clamp_min(0)]
        log_prob = weights[rows, chosen] - 0.5 * noise.square(picked - y).double()
        moved = select(chosen > 0, State(picked, log_prob.to(state.log_prob), None), state)
        return moved, Info(1 - shares[:, 0], undefined.any(1))


def _measured(target: Target) -> GivenMeasurements:
    """The posterior itself; TypeError for any other target."""
    bare = plain(target)
    if not isinstance(bare, GivenMeasurements):
        raise TypeError(f"target: got {target.name}, a {type(bare).__name__}, expected a GivenMeasurements: X given y")
    return bare
