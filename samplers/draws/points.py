"""Points with weights, and what belongs to them: all of `Draws` but what is said of them and where they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import torch
from torch import Generator, Tensor

from samplers.draws.cost import Cost
from samplers.draws.divergent_steps import DivergentSteps
from samplers.draws.log_z import LogZ
from samplers.draws.moments import RunningMoments
from samplers.draws.weighted import in_proportion, largest_pareto_k
from samplers.draws.wording import with_warnings
from targets import Target, Variable

# attrs["kind"] where the one chain is no Markov chain
INDEPENDENT, PARTICLES = "independent draws", "interacting particles"
LOAD = "load them with their target: Draws.load(path, target)"  # where draws from a file have come without it
WARNINGS = "warnings"  # in attrs: what the run has warned of


@dataclass(eq=False)
class PointSet:
    """Points of a sampler, weighted or not; the fields are those of `samplers.Draws`."""

    x: Tensor
    stats: dict[str, Tensor] = field(default_factory=dict)
    log_weights: Tensor | None = None
    log_z: LogZ | None = None
    cost: Cost = field(default_factory=Cost)
    target: Target | None = None
    kernel: Any = None
    attrs: dict[str, Any] = field(default_factory=dict)
    moments: RunningMoments | None = None
    divergences: Tensor | None = None
    divergent_steps: DivergentSteps | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the run has warned of; files and folders keep it, and `summary` says it again."""
        return tuple(self.attrs.get(WARNINGS, ()))

    def remember(self, said: Iterable[str]) -> Self:
        """Keep what was said of these draws, beside what was before."""
        if every := with_warnings(self.warnings, said):
            self.attrs[WARNINGS] = every
        return self

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Chains, draws of each, and dimensions."""
        chains, draws, dim = self.x.shape
        return chains, draws, dim

    @property
    def variables(self) -> dict[str, Variable]:
        """The named variables of `constrained`."""
        return {"x": Variable((self.sizes[-1],))} if self.target is None else self.target.variables

    @cached_property
    def constrained_points(self) -> dict[str, Tensor]:
        """Named, constrained values of every point of x, {name: (chains, draws, *shape)}; to be taken by the weights,
        where there are some.
        """
        with torch.no_grad():
            return {"x": self.x} if self.target is None else self.target.constrain(self.x)

    @cached_property
    def constrained(self) -> dict[str, Tensor]:
        """Named, constrained draws, {name: (chains, draws, *shape)}, equally weighted: those of `unweighted()`."""
        return self.unweighted().constrained_points

    def part(self, which: slice) -> Tensor:
        """x of some draws of every chain, (chains, some, dim)."""
        return self.x[:, which]

    def thinned(self, thin: int) -> PointSet:
        """Every thin-th draw of each chain, with its statistics, from the first on; without weights."""
        every = slice(None, None, thin)
        made = PointSet(
            self.part(every),
            stats={name: value[:, every] for name, value in self.stats.items()},
            target=self.target,
            attrs=self.attrs | {"thinned": f"every {thin}th of {self.sizes[1]} draws of each chain"},
            divergent_steps=None if self.divergent_steps is None else self.divergent_steps.thinned(thin),
        )
        if "constrained_points" in self.__dict__:
            made.__dict__["constrained_points"] = {n: value[:, every] for n, value in self.constrained_points.items()}
        return made

    @cached_property
    def pareto_k(self) -> float | None:
        """Pareto k-hat of the weights by ArviZ's PSIS: above 0.7 they are not to be trusted. None without weights."""
        return None if self.log_weights is None else largest_pareto_k(self.log_weights)

    @property
    def weight_ess(self) -> float | None:
        """The effective number of weighted points, (sum w)^2 / sum w^2, NaN where no weight is finite; None without."""
        if self.log_weights is None:
            return None
        return float(1 / self.log_weights.reshape(-1).double().softmax(0).square().sum())

    def unweighted(self) -> Self:
        """These draws; where they have weights, as many in proportion to them, always the same ones.

        Each point is taken n w times, rounded up or down at random (systematic resampling; Kitagawa 1996), and its
        copies follow one another: the ESS of the draws as one chain is then about that of the weights. With equal
        weights they are the points themselves. ValueError where no weight is finite.
        """
        if self.log_weights is None:
            return self
        share = self._shares()
        n = len(share)
        start = torch.rand((), generator=Generator().manual_seed(0), dtype=torch.float64)
        copies = (share.cumsum(0) * n - start).ceil().clamp_(0, n).long().diff(prepend=share.new_zeros(1).long())
        copies[int(share.argmax())] += n - int(copies.sum())  # what rounding of the sum has left over
        which = torch.arange(n, device=share.device).repeat_interleave(copies)

        def taken(value: Tensor) -> Tensor:
            return value.flatten(0, 1)[which.to(value.device)][None]

        said = f"equally weighted: {n} draws in proportion to the weights of as many points"
        made = type(self)(
            taken(self.x),
            stats={name: taken(value) for name, value in self.stats.items()},
            log_z=self.log_z,
            cost=self.cost,
            target=self.target,
            kernel=self.kernel,
            attrs=self.attrs | {"resampled": said, "weight_ess": self.weight_ess},
            divergences=self.divergences,
        )
        if "certificate" in self.__dict__:
            made.__dict__["certificate"] = self.__dict__["certificate"]
        made.__dict__["constrained_points"] = {name: taken(v) for name, v in self.constrained_points.items()}
        return made

    def resample(self, n: int, *, generator: Generator) -> Tensor:
        """n equally weighted points (n, dim), drawn with replacement in proportion to the weights."""
        x = self.x.reshape(-1, self.x.shape[-1])
        if self.log_weights is None:
            return x[torch.randint(len(x), (n,), generator=generator, device=x.device)]
        return x[in_proportion(self._shares().cumsum(0), n, generator)]

    def _shares(self) -> Tensor:
        """The normalised weights of all points, in float64."""
        assert self.log_weights is not None
        share = self.log_weights.reshape(-1).double().softmax(0)
        if not bool(share.isfinite().all()):
            raise ValueError(
                "log_weights: got weights of which none is above zero, or one is infinite or not a number; nothing can "
                "be drawn in proportion to them"
            )
        return share
