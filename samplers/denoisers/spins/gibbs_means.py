"""The denoiser of spins by short runs of heat baths at each measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate, Memory, check_memory
from samplers.denoisers.spins.posterior import SpinDenoiser, SpinPosterior, independent_spins
from targets import Noise, Target
from targets.arguments import check_integer
from targets.counting import counted_like


@dataclass(frozen=True, eq=False)
class GibbsMeans(SpinDenoiser):
    """E[s | y] as the average of tanh(local field) over the updates of `particles` chains at each measurement.

    Each chain makes `sweeps` sweeps over all sites (all sites of a colour at once), from where the last estimate left
    it; without memory it begins with spins independent in the fields b + P y, and its first `first` sweeps are not
    averaged. The sweeps leave the law given y invariant; the estimate is unbiased where the chains have forgotten
    where they came from, and its error is small where `error`, from the spread among them, says so. A draw is the
    first chain's state after `sweeps` more sweeps (`first`, without memory). `ess` counts the chains alone. Each sweep
    of each chain counts as one log-density. For any noise.

        >>> from samplers.denoisers.spins import GibbsMeans
        >>> ising, noise = targets.Ising((4, 4), coupling=0.3), targets.IsotropicNoise(0.5)
        >>> found = GibbsMeans().estimate(ising, torch.ones(1, 16), noise, torch.Generator().manual_seed(0))
        >>> bool((found.mean > 0.9).all()), found.error.shape
        (True, torch.Size([1, 16]))
    """

    particles: int = 16
    sweeps: int = 4
    first: int = 32

    persistent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in (("particles", 2), ("sweeps", 1), ("first", 0)):
            check_integer(getattr(self, name), name, least)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        if generator is None:
            raise ValueError(f"generator: got None, and {self.describe()} draws spins; expected a torch.Generator")
        posterior = self.found(target, noise)
        tilt = posterior.tilt(y).repeat_interleave(self.particles, 0)
        counted = counted_like(target, posterior.model)
        if memory is None:
            x = self._first(posterior, y.repeat_interleave(self.particles, 0), target, generator)
        else:
            check_memory(memory, (len(y), self.particles, target.dim))
            x = memory.flatten(0, 1).to(y)
        total = torch.zeros_like(x)
        for _ in range(self.sweeps):
            x, means = posterior.sweep(x, tilt, counted, generator)
            total += means
        chains = (total / self.sweeps).unflatten(0, (len(y), self.particles))
        error = chains.std(1) / self.particles**0.5
        ess = y.new_full((len(y),), float(self.particles))
        return Estimate(chains.mean(1), None, error, ess, x.unflatten(0, (len(y), self.particles)))

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        posterior = self.found(target, noise)
        if memory is None:
            return self._first(posterior, y, target, generator, 1)
        check_memory(memory, (len(y), self.particles, target.dim))
        return posterior.sweeps(memory[:, 0].to(y), y, target, self.sweeps, generator)

    def _first(
        self, posterior: SpinPosterior, y: Tensor, target: Target, generator: Generator, least: int = 0
    ) -> Tensor:
        start = independent_spins(posterior.tilt(y) + posterior.model.fields, generator)
        return posterior.sweeps(start, y, target, max(self.first, least), generator)
