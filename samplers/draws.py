"""What every sampler returns: draws, the normalising constant, the cost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, Tensor

from samplers import records
from samplers.moments import RunningMoments
from samplers.ties import slack, tied
from targets import Target, Variable
from targets.sampling_warning import SamplingWarning as SamplingWarning

if TYPE_CHECKING:
    import pandas as pd


# attrs["kind"] where the one chain is no Markov chain
INDEPENDENT, PARTICLES = "independent draws", "interacting particles"


@dataclass(frozen=True)
class Cost:
    """Evaluations of the target, counted per point, and wall-clock seconds, warmup included."""

    log_prob: int = 0
    score: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z with its standard error and, where the method gives them, stochastic bounds.

    E[lower] <= log Z <= E[upper]; each is beyond log Z by more than b nats with probability at most exp(-b).
    estimates: those of independent replicates, where there were several; value is the log of their mean Z.
    """

    value: float
    standard_error: float
    lower: float | None = None
    upper: float | None = None
    estimates: tuple[float, ...] | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> LogZ:
        """From what JSON has made of the fields."""
        estimates = record.get("estimates")
        return cls(**record | {"estimates": None if estimates is None else tuple(estimates)})


@dataclass(eq=False)
class Draws:
    """Draws of a sampler.

    x: (chains, draws, dim) in unconstrained coordinates; independent or weighted draws have chains == 1.
    stats: (chains, draws) tensors under ArviZ's sample_stats names. log_weights: (chains, draws), unnormalised, or
    None. log_z: None where the method gives none. kernel: as frozen after warmup. moments: with keep="moments" or a
    stream, the running moments of x. divergences: rejected non-finite proposals per chain over all sampling steps.
    """

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

    @property
    def variables(self) -> dict[str, Variable]:
        """The named variables of `constrained`."""
        return {"x": Variable((self.x.shape[-1],))} if self.target is None else self.target.variables

    @cached_property
    def constrained(self) -> dict[str, Tensor]:
        """Named, constrained draws, {name: (chains, draws, *shape)}."""
        with torch.no_grad():
            return {"x": self.x} if self.target is None else self.target.constrain(self.x)

    @cached_property
    def pareto_k(self) -> float | None:
        """Pareto k-hat of the weights by ArviZ's PSIS: above 0.7 they are not to be trusted. None without weights."""
        return None if self.log_weights is None else largest_pareto_k(self.log_weights)

    def unweighted(self) -> Draws:
        """These draws; where they have weights, as many drawn in proportion to them, always the same ones."""
        if self.log_weights is None:
            return self
        generator = Generator(self.x.device).manual_seed(0)
        which = self._drawn(self.log_weights.numel(), generator)
        made = Draws(self._flat[which][None], log_z=self.log_z, cost=self.cost, target=self.target, attrs=self.attrs)
        if self.target is None:  # read from a file: the constrained values are those of the file
            made.__dict__["constrained"] = {
                name: value.flatten(0, 1)[which.to(value.device)][None] for name, value in self.constrained.items()
            }
        return made

    def resample(self, n: int, *, generator: Generator) -> Tensor:
        """n equally weighted points (n, dim), drawn with replacement in proportion to the weights."""
        return self._flat[self._drawn(n, generator)]

    @property
    def _flat(self) -> Tensor:
        return self.x.reshape(-1, self.x.shape[-1])

    def _drawn(self, n: int, generator: Generator) -> Tensor:
        """Which points `resample` takes."""
        count, device = len(self._flat), self.x.device
        if self.log_weights is None:
            return torch.randint(count, (n,), generator=generator, device=device)
        # by inverse distribution function: multinomial() stops at 2^24 categories
        weights = self.log_weights.reshape(-1).double().softmax(0).cumsum(0)
        uniform = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
        return torch.searchsorted(weights, uniform * weights[-1]).clamp_max(count - 1)

    def to_arviz(self) -> Any:
        """The draws as ArviZ reads them: InferenceData on ArviZ 0.x, an xarray DataTree on 1.x.

        Groups: posterior (named, constrained variables with dims and coords), sample_stats, unconstrained_posterior
        (x), with the attributes that reproduce the run.
        """
        return records.to_arviz(self._datasets())

    def summary(self, **kwargs: Any) -> pd.DataFrame:
        """ArviZ's summary of every variable; a SamplingWarning says where R-hat, ESS or divergences are bad."""
        from samplers.summary import summarise

        return summarise(self, **kwargs)

    def save(self, path: str | Path) -> Path:
        """Write a netCDF file that `Draws.load` and ArviZ read; returns its path."""
        return records.write(Path(path), self._datasets())

    @classmethod
    def load(cls, path: str | Path, target: Target | None = None) -> Draws:
        """Read what `save` wrote, or the folder of a streamed run; `target` gives the names back their meaning."""
        path = Path(path)
        if path.is_dir():
            from samplers.stream import open_stream

            return open_stream(path, target)
        return cls._from_datasets(records.read(path), target)

    def _datasets(self) -> dict[str, Any]:
        attrs = self.attrs | {
            "cost": {"log_prob": self.cost.log_prob, "score": self.cost.score, "seconds": self.cost.seconds}
        }
        if self.log_z is not None:
            attrs["log_z"] = dict(self.log_z.__dict__)
        stats = dict(self.stats)
        if self.log_weights is not None:
            stats["log_weight"] = self.log_weights
        return {
            "posterior": records.dataset(self.constrained, self.variables, attrs),
            "sample_stats": records.dataset(stats, {}, attrs),
            "unconstrained_posterior": records.dataset({"x": self.x}, {}, attrs),
        }

    @classmethod
    def _from_datasets(cls, groups: dict[str, Any], target: Target | None) -> Draws:
        attrs = records.attributes(groups["posterior"])
        stats = {str(name): torch.from_numpy(array.values) for name, array in groups["sample_stats"].items()}
        log_weights = stats.pop("log_weight", None)
        log_z = attrs.pop("log_z", None)
        draws = cls(
            x=torch.from_numpy(groups["unconstrained_posterior"]["x"].values),
            stats=stats,
            log_weights=log_weights,
            log_z=None if log_z is None else LogZ.from_record(log_z),
            cost=Cost(**attrs.pop("cost")),
            target=target,
            attrs=attrs,
        )
        if target is None:
            # without the target the constrained values are those of the file
            posterior = groups["posterior"]
            draws.__dict__["constrained"] = {str(k): torch.from_numpy(v.values) for k, v in posterior.items()}
        return draws


class Sampler(Protocol):
    """Anything with the verb `sample(target, ...)`."""

    @property
    def sample(self) -> Callable[..., Draws]:
        """Draw from a target."""


def largest_pareto_k(log_weights: Tensor) -> float:
    """The largest Pareto k-hat over the rows of (rows, n); minus infinity where all weights of every row are equal.

    Weights that differ by rounding alone are: a tail fitted to it would be any.
    """
    varied = [row for row in log_weights if not bool(tied(row, row[0], slack(row)).all())]
    return max((records.pareto_k(row) for row in varied), default=-math.inf)


def warn(message: str) -> None:
    """Say it as a SamplingWarning, at the line that called the sampler."""
    warnings.warn(message, SamplingWarning, stacklevel=4)
