"""What every sampler returns: draws, the normalising constant, the cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, Tensor

from samplers.draws import records
from samplers.draws.certificate import Certificate
from samplers.draws.citations import cite
from samplers.draws.moments import RunningMoments
from samplers.draws.weighted import largest_pareto_k
from targets import Target, Variable
from targets.counting import Counted

if TYPE_CHECKING:
    import pandas as pd

    from samplers.scouts.regions import Regions


GROUPS = ("posterior", "sample_stats", "unconstrained_posterior")
MOMENTS = "running_moments"

# attrs["kind"] where the one chain is no Markov chain
INDEPENDENT, PARTICLES = "independent draws", "interacting particles"


@dataclass(frozen=True)
class Cost:
    """Evaluations of the target, counted per point, and wall-clock seconds, warmup included.

    log_prob, score: evaluations; a score counts as a log-density too. seconds: of wall-clock time.

        >>> samplers.Cost(log_prob=10, score=10) + samplers.Cost(log_prob=5, seconds=0.5)
        Cost(log_prob=15, score=10, seconds=0.5)
    """

    log_prob: int = 0
    score: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.log_prob + other.log_prob, self.score + other.score, self.seconds + other.seconds)


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z with its standard error and, where the method gives them, stochastic bounds.

    E[lower] <= log Z <= E[upper]; each is beyond log Z by more than b nats with probability at most exp(-b).
    estimates: those of independent replicates, where there were several; value is the log of their mean Z.

    value, standard_error: in nats. lower, upper: None where the method gives none.

        >>> samplers.LogZ(value=-1.5, standard_error=0.1).upper is None
        True
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
    None: they belong to x, stats and `constrained_points`, while `constrained`, `summary`, `to_arviz` and the posterior
    of `save` are equally weighted. log_z: None where the method gives none. kernel: as frozen after warmup. moments:
    with keep="moments" or a stream, the running moments of x. divergences: rejected non-finite proposals per chain over
    all sampling steps. certificate: how far to trust them.

    cost: evaluations and seconds. kernel, moments, divergences: None where a run has none, or a file does not hold it.
    target: None for draws from a file that were loaded without it. attrs: the record of the run, from which `cite` and
    files are made.

        >>> draws = samplers.MALA(0.5).sample(targets.Gaussian([0.0]), chains=4, draws=50, warmup=0, seed=0)
        >>> draws.x.shape, list(draws.constrained), draws.attrs["sampler"]
        (torch.Size([4, 50, 1]), ['x'], 'MALA')
        >>> draws.resample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1])
        >>> "roberts1996" in draws.cite()
        True
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

    @cached_property
    def certificate(self) -> Certificate:
        """What searches that share nothing with the sampler say of the draws and of log Z: a `samplers.Certificate`.

        Samplers that state log Z and begin with a pilot make it at the end of their run, and count what it takes; else
        it is made when it is first asked for, by some ten to a hundred thousand evaluations that no cost counts.
        """
        from samplers.scouts.certify import certify

        return certify(self)

    def certified(
        self, found: Regions | None = None, by_annealing: tuple[float, float] | None = None
    ) -> tuple[str, ...]:
        """Make the certificate, with what it takes in `cost`; returns its doubts. See `samplers.scouts.certify`."""
        from samplers.scouts.certify import certify

        assert self.target is not None
        began, counted = time.perf_counter(), Counted(self.target)
        made = self.__dict__["certificate"] = certify(self, counted, found, by_annealing)
        self.cost += Cost(counted.log_probs, counted.scores, time.perf_counter() - began)
        return made.doubts

    def unweighted(self) -> Draws:
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
        made = Draws(
            taken(self.x),
            stats={name: taken(value) for name, value in self.stats.items()},
            log_z=self.log_z,
            cost=self.cost,
            target=self.target,
            kernel=self.kernel,
            attrs=self.attrs | {"resampled": said, "weight_ess": self.weight_ess},
        )
        if "certificate" in self.__dict__:
            made.__dict__["certificate"] = self.certificate
        made.__dict__["constrained_points"] = {name: taken(v) for name, v in self.constrained_points.items()}
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
        weights = self._shares().cumsum(0)
        uniform = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
        return torch.searchsorted(weights, uniform * weights[-1], right=True).clamp_max(count - 1)

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

    def to_arviz(self) -> Any:
        """The draws as ArviZ reads them: InferenceData on ArviZ 0.x, an xarray DataTree on 1.x.

        Groups: posterior (named, constrained variables with dims and coords), sample_stats, unconstrained_posterior
        (x), with the attributes that reproduce the run. Of weighted draws these are the equally weighted ones of
        `unweighted()`, as an attribute says, and the points with their log_weight are in weighted_posterior,
        weighted_sample_stats and weighted_unconstrained_posterior.
        """
        return records.to_arviz(self._datasets())

    def summary(self, **kwargs: Any) -> pd.DataFrame:
        """ArviZ's summary of every variable; a SamplingWarning says where R-hat, ESS or divergences are bad."""
        from samplers.draws.summary import summarise

        return summarise(self, **kwargs)

    def cite(self) -> str:
        """BibTeX of what made these draws: see `samplers.draws.citations`."""
        return cite(self)

    def save(self, path: str | Path) -> Path:
        """Write a netCDF file that `Draws.load` and ArviZ read; returns its path."""
        return records.write(Path(path), self._datasets())

    @classmethod
    def load(cls, path: str | Path, target: Target | None = None) -> Draws:
        """Read what `save` wrote, or the folder of a streamed run; `target` gives the names back their meaning."""
        path = Path(path)
        if path.is_dir():
            from samplers.draws.stream import open_stream

            return open_stream(path, target)
        return cls._from_datasets(records.read(path), target)

    def _datasets(self) -> dict[str, Any]:
        attrs = self.attrs | {
            "cost": {"log_prob": self.cost.log_prob, "score": self.cost.score, "seconds": self.cost.seconds}
        }
        if self.log_z is not None:
            attrs["log_z"] = dict(self.log_z.__dict__)
        if "certificate" in self.__dict__:
            attrs["certificate"] = dict(self.certificate.__dict__)
        groups = self._groups(attrs, self.stats)
        if self.moments is not None:
            groups[MOMENTS] = records.moments_dataset(self.moments)
        if self.log_weights is None:
            return groups
        points = self._groups(attrs, self.stats | {"log_weight": self.log_weights})
        groups = {records.WEIGHTED + name: data for name, data in points.items()}
        if not math.isnan(self.weight_ess or math.nan):  # else there is no posterior to draw, and the points are kept
            equal = self.unweighted()
            groups = equal._groups(attrs | equal.attrs, equal.stats) | groups
        return groups

    def _groups(self, attrs: dict[str, Any], stats: dict[str, Tensor]) -> dict[str, Any]:
        return {
            "posterior": records.dataset(self.constrained_points, self.variables, attrs),
            "sample_stats": records.dataset(stats, {}, attrs),
            "unconstrained_posterior": records.dataset({"x": self.x}, {}, attrs),
        }

    @classmethod
    def _from_datasets(cls, groups: dict[str, Any], target: Target | None) -> Draws:
        weighted = records.WEIGHTED + "posterior" in groups
        own = {name: groups[(records.WEIGHTED if weighted else "") + name] for name in GROUPS}
        attrs = records.attributes(own["posterior"])
        stats = records.tensors(own["sample_stats"])
        log_weights = stats.pop("log_weight", None)
        log_z, certificate = attrs.pop("log_z", None), attrs.pop("certificate", None)
        draws = cls(
            x=records.tensors(own["unconstrained_posterior"])["x"],
            stats=stats,
            log_weights=log_weights,
            log_z=None if log_z is None else LogZ.from_record(log_z),
            cost=Cost(**attrs.pop("cost")),
            target=target,
            attrs=attrs,
            moments=records.moments(groups[MOMENTS]) if MOMENTS in groups else None,
        )
        if certificate is not None:
            draws.__dict__["certificate"] = Certificate.from_record(certificate)
        if target is None:
            # without the target the constrained values are those of the file
            draws.__dict__["constrained_points"] = records.tensors(own["posterior"])
        return draws


class Sampler(Protocol):
    """Anything with the verb `sample(target, ...)`.

    What else it takes is its own: `seed=` always, and `draws=`, `chains=`, `device=` where they make sense.

        >>> from samplers.draws import Sampler
        >>> def ten(sampler: Sampler, target: targets.Target) -> samplers.Draws:
        ...     return sampler.sample(target, draws=10, seed=0)
        >>> ten(samplers.AnnealedLangevin(levels=3, steps=5), targets.Gaussian([0.0])).x.shape
        torch.Size([1, 10, 1])
    """

    @property
    def sample(self) -> Callable[..., Draws]:
        """Draw from a target."""
