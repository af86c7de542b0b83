"""The denoiser that keeps Markov chains on X given y running while y moves.

    x_c <- a step that leaves gamma(x) N(x; y, C) invariant,   c = 1 .. chains;     E[X | y] = mean of x + a z,
    z = grad log gamma(x) - P (x - y)

over all chains and the last half of the steps; a for each coordinate as in Stein's control variate, the same for all
rows, in which it is estimated together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate, Memory, blend, check_memory
from samplers.denoisers.inner_base import RowPosterior
from samplers.denoisers.inner_tuning import FisherTuner
from samplers.kernels import MALA, Kernel, PreconditionedKernel, State
from samplers.kernels.base import check_kernel
from targets import Noise, Target
from targets.arguments import check_integer, positive

ACCEPTANCE = 0.75
BLOCK = 8  # steps between changes of the mass matrix, in the half that is thrown away
SHRINK = (1.0, 0.3, 0.1)  # of the step size in turn on the way in, where a step that fits the end is rejected


@dataclass(frozen=True, eq=False)
class InnerChains(Denoiser):
    """E[X | y] and draws of X given y from `chains` persistent chains for each y, `steps` steps at every call.

    kernel: None is MALA; where its step size is left open it follows an acceptance of 0.75 over all rows, and its
    inverse mass matrix the scores at the points of all rows, both in the first half of the steps, which is thrown away.
    The memory is where the chains stand, (n, chains, dim). Without one they start from N(y, C), and run `first` times
    as many steps.

    No log-density phi. Consistent as the steps grow, where chains cross between the modes of X given y; where they do
    not, each stays in the mode that it came to from its start, with that mode's chance to catch it. `error` is the
    standard error between the chains' means, `ess` the variance of X over its square: of the order of `chains` where
    they stand in different modes. If all are in one, nothing tells of the others. floor: the ess from which on an
    estimate is trusted; None trusts all. `draw` is the last state of one of the chains.
    A log-density and a score for each chain and step. Huang et al. 2024 (RDMC), https://arxiv.org/abs/2307.02037;
    Grenioux et al. 2024 (SLIPS), https://arxiv.org/abs/2402.10758.

        >>> from samplers.denoisers import InnerChains
        >>> y, noise = torch.tensor([[2.0]]), targets.IsotropicNoise(1.0)
        >>> found = InnerChains(chains=16).estimate(targets.Gaussian([0.0]), y, noise, torch.Generator().manual_seed(0))
        >>> found.memory.shape, abs(found.mean.item() - 1.0) < 0.5
        (torch.Size([1, 16, 1]), True)
    """

    chains: int = 4
    steps: int = 32
    kernel: Kernel | None = None
    first: int = 50
    floor: float | None = None

    persistent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in (("chains", 2), ("steps", 2), ("first", 1)):
            check_integer(getattr(self, name), name, least)
        if self.kernel is not None:
            check_kernel(self.kernel)
        if self.floor is not None:
            positive(self.floor, "floor")

    def check(self, target: Target, noise: Noise) -> None:
        (MALA() if self.kernel is None else self.kernel).check_target(target)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Memory = None
    ) -> Estimate:
        assert generator is not None
        x, sums = self.run(target, y, noise, generator, memory)
        mean, error, ess = sums.estimate(noise)
        return Estimate(mean, None, error, ess, memory=x, trusted=None if self.floor is None else ess >= self.floor)

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        x, _ = self.run(target, y, noise, generator, memory)
        chosen = torch.randint(self.chains, (len(y),), generator=generator, device=y.device)
        return x[torch.arange(len(y), device=y.device), chosen]

    @torch.no_grad()
    def run(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None
    ) -> tuple[Tensor, Sums]:
        """Where the chains end, (n, chains, dim), and the sums over the half that is kept."""
        shape, steps = (len(y), self.chains, target.dim), self.steps
        if memory is None:
            steps *= self.first
            start = y[:, None] + noise.sample_like(y[:, None].expand(shape), generator)
        else:
            check_memory(memory, shape)
            start = memory
        posterior = RowPosterior(target, y, noise)
        given = (MALA() if self.kernel is None else self.kernel).placed(posterior)
        tuner = None
        if isinstance(given, PreconditionedKernel) and given.step_size is None:
            tuner = FisherTuner(given, target.dim, ACCEPTANCE if isinstance(given, MALA) else None)
        kernel: Kernel = given
        state = given.init(posterior, start.reshape(-1, target.dim), generator)
        sums = Sums(state, shape)
        thrown = steps // 2
        shrink = (1.0,) if memory is not None else SHRINK
        for t in range(steps):
            factor = shrink[t % len(shrink)] if t < thrown else 1.0
            if tuner is not None and t <= thrown:
                if t % BLOCK == 0 or t == thrown:
                    tuner.look(state.score)
                kernel = tuner.tuned(factor)
            state, info = kernel.step(posterior, state, generator)
            if t >= thrown:
                sums.add(state)
            elif tuner is not None and factor == 1:
                tuner.learn(float(info.acceptance_rate.mean()), 1 / math.sqrt(1 + t / len(shrink)))
        return state.x.reshape(shape), sums


class Sums:
    """Over the states of n rows of chains, x less where they stood at first: of x, z, x x, x z, z z, (n, chains, dim).

    Squares are taken from the mean of a row's chains, so that they do not cancel. z is 0 for kernels without a score.
    """

    def __init__(self, state: State, shape: tuple[int, int, int]) -> None:
        self.origin = state.x.reshape(shape).mean(1, keepdim=True)
        self.count, self.shape = 0, shape
        self.sums = torch.zeros(5, *shape, dtype=torch.float64, device=state.x.device)

    def add(self, state: State) -> None:
        """One more state of each chain."""
        x = (state.x.reshape(self.shape) - self.origin).double()
        z = torch.zeros_like(x) if state.score is None else state.score.reshape(self.shape).double()
        self.count += 1
        for total, value in zip(self.sums, (x, z, x.square(), x * z, z.square()), strict=True):
            total += value

    def estimate(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (n, dim), its standard error (n, dim), and the effective number of draws (n,)."""
        chains = self.shape[1]
        (x, z), (xx, xz, zz) = self.sums[:2] / self.count, self.sums[2:]

        def within(products: Tensor, a: Tensor, b: Tensor) -> Tensor:
            """The sum over all rows of covariances of all states of a row, (dim,)."""
            return (products.mean(1) / self.count - a.mean(1) * b.mean(1)).sum(0)

        # one slope for all rows, from all chains: z has no bound, and a chain that has stood still where it is large
        # then makes the slope small, not the correction large
        slope = blend(-within(xz, x, z), within(zz, z, z), noise)
        corrected = x + slope * z
        total = xx.mean(1) / self.count - x.mean(1).square()
        error = (corrected.var(1) / chains).sqrt()
        plain = x.var(1) / chains
        ratio = total.sum(-1) / plain.sum(-1)
        ess = torch.where(ratio.isnan(), 1.0, ratio).clamp(1.0, chains * self.count)  # chains that have not moved
        mean = self.origin[:, 0].double() + corrected.mean(1)
        return mean.to(self.origin), error.to(self.origin), ess
