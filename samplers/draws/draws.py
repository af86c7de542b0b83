"""What every sampler returns: points with weights, log Z, the cost; what is said of them, and where they are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from samplers.draws import card, data_groups, evaluation, kept, records
from samplers.draws.belongs import check_names
from samplers.draws.certificate import Certificate
from samplers.draws.citations import cite
from samplers.draws.cost import Cost
from samplers.draws.divergent_steps import GROUP, DivergentSteps
from samplers.draws.points import PointSet
from samplers.draws.summary import summarise
from targets import Target
from targets.arguments import check_integer
from targets.counting import Counted

if TYPE_CHECKING:
    import pandas as pd

    from samplers.scouts.regions import Regions


GROUPS = ("posterior", "sample_stats", "unconstrained_posterior")
MOMENTS = "running_moments"


@dataclass(eq=False, repr=False)
class Draws(PointSet):
    """Draws of a sampler.

    x: (chains, draws, dim) in unconstrained coordinates; independent or weighted draws have chains == 1.
    stats: (chains, draws) tensors under ArviZ's sample_stats names. log_weights: (chains, draws), unnormalised, or
    None: they belong to x, stats and `constrained_points`, while `constrained`, `summary`, `to_arviz` and the posterior
    of `save` are equally weighted. log_z: None where the method gives none. kernel: as frozen after warmup. moments:
    with keep="moments" or a stream, the running moments of x. divergences: rejected non-finite proposals per chain over
    all sampling steps. divergent_steps: where the first of them began and led to, a `samplers.draws.DivergentSteps`;
    None where no step of a run of chains diverged. certificate: how far to trust them.

    cost: evaluations and seconds. kernel: None for draws from a file. moments, divergences: None where a run has none.
    target: None for draws from a file that were loaded without it. attrs: the record of the run, from which `cite` and
    files are made; what the run has warned of is there, and in `warnings`. Printed, draws are two lines.

        >>> draws = samplers.MALA(0.5).sample(targets.Gaussian([0.0]), chains=4, draws=50, warmup=0, seed=0)
        >>> draws.x.shape, list(draws.constrained), draws.attrs["sampler"]
        (torch.Size([4, 50, 1]), ['x'], 'MALA')
        >>> draws.resample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1])
        >>> "roberts1996" in draws.cite(), draws.evaluate(lambda x: x.square().sum(-1)).shape
        (True, torch.Size([4, 50]))
        >>> draws
        Draws by MALA from Gaussian: 4 chains x 50 draws of x[1]
        no divergences; no warnings; summary() tells more
    """

    def __repr__(self) -> str:
        return card.in_two_lines(self)

    def _repr_html_(self) -> str:
        return card.as_html(self)

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
        """Make the certificate, with what it takes in `cost`; returns its doubts on mass and log Z.

        See `samplers.scouts.certify`.
        """
        from samplers.scouts.certify import certify

        assert self.target is not None
        began, counted = time.perf_counter(), Counted(self.target)
        made = self.__dict__["certificate"] = certify(self, counted, found, by_annealing)
        self.cost += Cost(counted.log_probs, counted.scores, time.perf_counter() - began)
        return made.of_mass

    def predict(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        seed: int = 0,
        thin: int | None = None,
        block: int | None = None,
        batched: bool | None = None,
    ) -> Any:
        """Data drawn given each draw, {name: (chains, draws, *shape)}: of `Posterior(predictive=)`, or of another fn.

        fn: a function written as the likelihood is, of the parameters and derived quantities that it names, to a torch
        distribution, a tensor, or a dict of such by name, batch axis first; one without a dict gives one tensor. What
        it draws from torch's global generator is seeded too. seed: the same one gives the same predictions. thin: of
        each chain every thin-th draw; by default all, and ValueError where they would take more than 2 GiB. block:
        points at once, 1024 by default, fewer where results are large. batched: False for a function of one point; by
        default as the posterior's own. Of weighted draws the equally weighted ones are taken. The draws of a stream
        are read in blocks. A SamplingWarning says how many predictions are not finite.
        """
        return evaluation.predict(self, fn, seed=seed, thin=thin, block=block, batched=batched)

    def evaluate(
        self, fn: Callable[..., Any], *, thin: int | None = None, block: int | None = None, batched: bool | None = None
    ) -> Any:
        """A function written as the likelihood is, at every draw: (chains, draws, ...), or a dict of such.

        fn: of the parameters and derived quantities that it names, batch axis first, to a tensor or a dict of tensors
        by name; ValueError where it is random, which is for `predict`. The rest is as of `predict`.
        """
        return evaluation.evaluate(self, fn, thin=thin, block=block, batched=batched)

    def to_arviz(
        self,
        *,
        posterior_predictive: bool = False,
        log_likelihood: bool = False,
        prior_predictive: int = 0,
        thin: int | None = None,
        seed: int = 0,
    ) -> Any:
        """The draws as ArviZ reads them: InferenceData on ArviZ 0.x, an xarray DataTree on 1.x.

        Groups: posterior (named, constrained variables with dims and coords), sample_stats, unconstrained_posterior
        (x), with the attributes that reproduce the run, divergent_steps where there are some (`DivergentSteps`), and
        observed_data where the target has some. Of weighted draws
        these are the equally weighted ones of `unweighted()`, as an attribute says, and the points with their
        log_weight are in weighted_posterior, weighted_sample_stats and weighted_unconstrained_posterior.

        posterior_predictive, log_likelihood: make these groups, from `Posterior(predictive=, observed=, pointwise=)`:
        `arviz.plot_ppc`, `loo` and `compare` read them. prior_predictive: so many exact draws of the prior, for the
        groups prior and prior_predictive. thin: of each chain every thin-th draw, in all groups but the weighted ones;
        by default all, and ValueError where a group that is made would take more than 2 GiB. seed: of the predictions.
        """
        groups, attrs = self._datasets(None if thin is None else check_integer(thin, "thin")), kept.record(self)
        if posterior_predictive:
            groups |= data_groups.predicted_group(self, attrs, seed=seed, thin=thin)
        if log_likelihood:
            groups |= data_groups.likelihood_group(self, attrs, thin=thin)
        if prior_predictive:
            groups |= data_groups.prior_groups(self.target, prior_predictive, attrs, seed=seed)
        return records.to_arviz(groups | data_groups.observed_group(self.target, attrs))

    def summary(self, **kwargs: Any) -> pd.DataFrame:
        """ArviZ's summary of every variable; a SamplingWarning says where R-hat, ESS or divergences are bad, and what
        the run has warned of, also of draws from a file. Printed, the table has all its columns.
        """
        return summarise(self, lambda: [*self.certificate.doubts, *self.certificate.too_few], **kwargs)

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

    def _datasets(self, thin: int | None = None) -> dict[str, Any]:
        """The groups of files; thin: of what is read as draws."""
        attrs = kept.record(self)
        if self.log_weights is None:
            groups = _groups(self if thin is None else self.thinned(thin), attrs)
            if self.moments is not None:
                groups[MOMENTS] = records.moments_dataset(self.moments)
            return groups
        points = _groups(self, attrs, log_weight=self.log_weights)
        groups = {records.WEIGHTED + name: data for name, data in points.items()}
        if not math.isnan(self.weight_ess or math.nan):  # else there is no posterior to draw, and the points are kept
            equal = self.unweighted()
            groups = _groups(equal if thin is None else equal.thinned(thin), attrs) | groups
        return groups

    @classmethod
    def _from_datasets(cls, groups: dict[str, Any], target: Target | None) -> Draws:
        weighted = records.WEIGHTED + "posterior" in groups
        own = {name: groups[(records.WEIGHTED if weighted else "") + name] for name in GROUPS}
        attrs = records.attributes(own["posterior"])
        stats = records.tensors(own["sample_stats"])
        log_weights = stats.pop("log_weight", None)
        draws = cls(
            x=records.tensors(own["unconstrained_posterior"])["x"],
            stats=stats,
            log_weights=log_weights,
            target=target,
            moments=records.moments(groups[MOMENTS]) if MOMENTS in groups else None,
            divergent_steps=DivergentSteps.from_dataset(groups[GROUP]) if GROUP in groups else None,
            **kept.fields(attrs),
        )
        if target is not None:
            check_names(draws.x, records.tensors(own["posterior"]), target)
        else:
            # without the target the constrained values are those of the file
            draws.__dict__["constrained_points"] = records.tensors(own["posterior"])
        return kept.certified(draws, attrs)


def _groups(points: PointSet, attrs: dict[str, Any], **stats: Tensor) -> dict[str, Any]:
    attrs = attrs | points.attrs
    steps = points.divergent_steps
    return {
        "posterior": records.dataset(points.constrained_points, points.variables, attrs),
        "sample_stats": records.dataset(points.stats | stats, {}, attrs),
        "unconstrained_posterior": records.dataset({"x": points.x}, {}, attrs),
        **({} if steps is None else {GROUP: steps.dataset()}),
    }


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
