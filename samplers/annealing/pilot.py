"""A base to start from, where neither prior nor base is given: a few particles find where the mass is.

1. `reach`: the scale of the target around the origin.
2. Particles annealed from Gaussians of several widths, or from a prior; each cloud counts by the Z it found.
3. More moves at the target.
4. A Gaussian mixture fitted to the particles and beside it, with more weight the worse the fit, one Gaussian of all
   their spread, every spread somewhat widened; or that Gaussian alone, where a mixture does not come near the target.
5. Particles annealed from there, and again 3 and 4, until log Z stays the same. What the first particles say of log Z
   counts in this only where they are many enough: particles that all miss a narrow neck agree on it.

The run that follows uses fresh particles: given the base it is independent of the pilot's, and its Z stays unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from samplers.annealing.evidence import relative_variance
from samplers.annealing.mixture_fit import Fit, fit_gaussian, fit_mixture
from samplers.annealing.noncentred import NonCentredDensity, noncentring
from samplers.kernels.noncentring import NonCentring
from samplers.scouts.reach import reach
from samplers.scouts.regions import Regions
from samplers.scouts.sample import Sample
from samplers.scouts.search import Search, hidden
from samplers.scouts.unseen import Unseen, unseen
from targets import Gaussian, GaussianMixture, Target

if TYPE_CHECKING:
    from samplers.annealing.annealer import Annealer, Run

PILOT = "annealing"  # attrs["pilot"] of runs whose base, prior or starts come from here
WIDEST = 3.0  # of the radius that holds the mass: the first Gaussian in each coordinate
PARTICLES, CONDITIONAL_ESS, MOVES = 1000, 0.7, 3
SETTLING = 12  # moves at the target
SHRINK = (1.0, 0.3, 0.1)  # of the step size in these moves, in turn, as long as no regions are known
NEAR = 3.0  # nats: the divergence of the target from a mixture that is worth having
DOUBTFUL = 0.3  # nats of it on held-out points from which on the base is made as safe as it gets
LEFT = 0.5  # share of the divergence that coordinates of their own may leave to a mixture
WELL = 0.3  # nats of it at which no better mixture is looked for than what scouts have found
LEAST_DEFENCE, MOST_DEFENCE = 0.1, 0.5  # share of the base that is one wide Gaussian
# by how much the spreads that were found are widened, to reach past the target: 0.28 / sqrt(dim) where all is well, for
# the mass of a Gaussian gathers in a shell of that relative width
LEAST_WIDENING, MOST_WIDENING = 0.28, 0.2
MOST_ROUNDS, SETTLED = 8, 0.2
SURE = 0.15  # standard error of the difference of two log Z up to which the first cloud's can bear out a round's
FEWEST_FAMILIES = 20  # of equal weight, that a round must keep to be believed
FEWEST_FANS, MOST_FANS = 2, 20  # of scouts
LITTLE = 0.002  # share of the mass, for which no further fan is sent
MOST_OF_SCOUTS = 0.15  # of the evaluations of the first clouds, after which none is sent either


@dataclass(frozen=True)
class Base:
    """Where annealing starts, the regions of the target if a mixture comes near it, and whether the pilot is sure.

    points: (n, dim), the particles that it was fitted to, at the target. fit: the mixture that fits them best, near or
    not. scouted: what scouts have found, where nothing here was made from it. log_z: by the last round of particles,
    with its standard error. coordinates: those in which the regions lie, where they are not those of x.
    """

    density: Target
    regions: GaussianMixture | None = None
    coordinates: NonCentring | None = None
    agreed: bool = True
    points: Tensor | None = None
    fit: Fit | None = None
    scouted: Regions | None = None
    log_z: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Found:
    """Particles (n, dim) at the target, their families and log-densities (n,); log Z and the square of its error."""

    x: Tensor
    families: Tensor
    log_prob: Tensor
    log_z: float
    variance: float

    @property
    def log_ratio(self) -> Tensor:
        """log gamma - log Z at each."""
        return self.log_prob - self.log_z

    def joined(self, other: _Found) -> _Found:
        """With another's particles as one larger sample."""
        born = other.families + 1 + self.families.max()
        return replace(
            other,
            x=torch.cat([self.x, other.x]),
            log_prob=torch.cat([self.log_prob, other.log_prob]),
            families=torch.cat([self.families, born]),
        )


def find_base(sampler: Annealer, target: Target, prior: Target | None, generator: Generator) -> Base:
    """The base that a pilot run finds; with a mixture the kernel's mass matrices go by its components."""
    scale = 1.0 if prior is not None else reach(target, generator)
    now, spent = _first_cloud(sampler, target, prior, scale, generator)
    scouts = _Scouts(target, prior, scale, generator)
    if sampler.kernel_for(target).needs_score:
        scouts.look(now, spent)
    mixed, agreed, first = False, True, True
    for _ in range(MOST_ROUNDS):
        now = scouts.added(now)
        base = fitted_base(now.x, now.families, now.log_ratio, mixed, target, generator, scouts.fit)
        mixed = base.regions is not None
        run = _anneal(sampler, target, base, PARTICLES, generator)
        if float(run.cloud.family_share()) > 1 / FEWEST_FAMILIES:
            continue  # a few heavy particles have taken over: fit and anneal again
        before, now = now, _found(run, generator)
        # a round that was annealed from a fit needs no such leave as the first
        sure = not first or before.variance + now.variance < SURE**2
        first = False
        if sure and abs(now.log_z - before.log_z) < SETTLED:
            # two rounds that agree are one larger sample
            now = before.joined(now)
            break
    else:
        agreed = False
    now = scouts.added(now)
    base = fitted_base(now.x, now.families, now.log_ratio, mixed, target, generator, scouts.fit)
    known = now.log_z, math.sqrt(now.variance)
    return replace(base, agreed=agreed, points=now.x, scouted=scouts.apart(base), log_z=known)


class _Scouts:
    """What fans of paths uphill have found, and points of it for clouds that lack it."""

    def __init__(self, target: Target, prior: Target | None, scale: float, generator: Generator) -> None:
        self._target, self._generator = target, generator
        self._search = Search(target, prior, generator, scale=scale)
        self._lent = False
        self.fit: Fit | None = None

    def look(self, cloud: _Found, spent: int) -> None:
        """Send fans: two, and more as long as the cloud, which took so many evaluations, lacks much of what they find.

        What scouts do not enter with chance h and annealing with chance m neither of them finds with chance h m.
        """
        search = self._search
        while search.possible and search.fans < MOST_FANS and search.evaluations < MOST_OF_SCOUTS * spent:
            search.send()
            found = search.regions
            if found is None or search.fans < FEWEST_FANS:
                continue
            lacking = self._lacking(cloud).total
            if hidden(found, cloud.log_z) * lacking / (1 + lacking) < LITTLE:
                break
        if search.regions is not None:
            found = search.regions
            self.fit = Fit(found.log_mass.softmax(0), found.means, found.factors @ found.factors.mT)

    def _lacking(self, cloud: _Found) -> Unseen:
        assert self._search.regions is not None
        error = math.sqrt(cloud.variance)
        return unseen(self._search.regions, self._target, Sample.of(cloud.x), cloud.log_z, error, self._generator)

    def added(self, cloud: _Found) -> _Found:
        """The cloud, with what the scouts found and it lacks."""
        if self._search.regions is None:
            return cloud
        lacking = self._lacking(cloud)
        if len(lacking) == 0:
            return cloud
        self._lent = True
        x, total, n = cloud.x, lacking.total, len(cloud.x)
        keep = torch.randperm(n, generator=self._generator, device=x.device)[: math.ceil(n / (1 + total))]
        more = lacking.draws(math.ceil(n * total / (1 + total)), self._generator).to(x)
        born = cloud.families.max() + 1 + torch.arange(len(more), device=x.device)
        return replace(
            cloud,
            x=torch.cat([x[keep], more]),
            families=torch.cat([cloud.families[keep], born]),
            log_prob=torch.cat([cloud.log_prob[keep], self._target.log_prob(more).double()]),
            log_z=cloud.log_z + math.log1p(total),
        )

    def apart(self, base: Base) -> Regions | None:
        """The regions, where neither a cloud nor the base was made from them: they can then judge what comes of it."""
        made = self.fit is not None and base.fit is not None and base.fit.means is self.fit.means
        return None if self._lent or made else self._search.regions


def _anneal(sampler: Annealer, target: Target, base: Base, n: int, generator: Generator) -> Run:
    from samplers.annealing.annealer import Run
    from samplers.annealing.smc import SMC

    pilot = SMC(sampler.kernel_for(target), base.density, conditional_ess=CONDITIONAL_ESS, moves=MOVES)
    path = pilot.make_path(target, base.density)
    run = Run(pilot, target, path, n, generator, base.regions, base.coordinates)
    run.through()
    return run


def _first_cloud(
    sampler: Annealer, target: Target, prior: Target | None, scale: float, generator: Generator
) -> tuple[_Found, int]:
    """Particles from the prior, or from Gaussians of three widths, and how many evaluations they took."""
    starts: list[Target]
    if prior is not None:
        starts = [prior]
    else:
        zero = torch.zeros(target.dim, dtype=target.dtype, device=target.device)
        widths = torch.logspace(0, math.log10(WIDEST * math.sqrt(target.dim)), 3).tolist()
        starts = [Gaussian(zero, scale * width) for width in widths]
    runs = [_anneal(sampler, target, Base(start), PARTICLES // 2, generator) for start in starts]
    found = [_found(run, generator) for run in runs]
    share = torch.tensor([one.log_z for one in found], dtype=torch.float64).softmax(0)
    parts = []
    for one, part in zip(found, share.tolist(), strict=True):
        n = len(one.x)
        keep = torch.randperm(n, generator=generator, device=one.x.device)[: math.ceil(part * n)]
        parts.append(replace(one, x=one.x[keep], families=one.families[keep], log_prob=one.log_prob[keep]))
    cloud = parts[0]
    for one in parts[1:]:
        cloud = cloud.joined(one)
    best = found[int(share.argmax())]
    spent = sum(run.path.tally.log_probs + run.path.tally.scores for run in runs)
    return replace(cloud, log_z=best.log_z, variance=best.variance), spent


def _found(run: Run, generator: Generator) -> _Found:
    """The particles of a run after further moves at the target."""
    log_z, variance = float(run.cloud.log_z), _variance(run)
    x, log_prob = _settled(run, generator)
    return _Found(x, run.cloud.eves[0], log_prob, log_z, variance)


def _variance(run: Run) -> float:
    """Of log Z, at least 0."""
    variance, most = relative_variance(run.cloud)
    return max(variance if variance > 0 else most, 0.0)


@torch.no_grad()
def _settled(run: Run, generator: Generator) -> tuple[Tensor, Tensor]:
    """The particles (n, dim) after further moves at the target, equally weighted, and their log-densities (n,)."""
    cloud, density = run.cloud, run.path.at(1.0)
    cloud.resample("systematic", torch.ones_like(cloud.log_z, dtype=torch.bool), generator)
    for k in range(SETTLING):
        kernel = run.tuner.kernel(cloud, density, generator)
        if run.tuner.regions is None:
            shrink = SHRINK[k % len(SHRINK)]
            lengths = {name: getattr(kernel, name, None) for name in ("step_size", "trajectory_length")}
            kernel = replace(kernel, **{name: shrink * v for name, v in lengths.items() if v is not None})  # type: ignore[type-var]
        cloud.state, _ = kernel.step(density, cloud.state, generator)
    return cloud.state.x, cloud.state.log_prob.double()


def fitted_base(
    x: Tensor,
    families: Tensor,
    log_ratio: Tensor,
    settled: bool,
    target: Target,
    generator: Generator,
    known: Fit | None = None,
) -> Base:
    """The base for points (n, dim) at which log gamma - log Z is `log_ratio` (n,).

    settled: the round before had a mixture, which a bad estimate of log Z in one round is no reason to give up.
    Where no mixture fits well, and one in non-centred coordinates fits better, the base is one there.
    """
    points = x.double()
    several, held_out = fit_mixture(points, families, generator, known, float(log_ratio.mean()) - WELL)
    base = _base_of(several, held_out, points, log_ratio, settled, target)
    gap = float(log_ratio.mean()) - held_out
    coordinates = noncentring(points) if gap > DOUBTFUL else None
    if coordinates is None:
        return base
    inside = coordinates.to_y(points)
    log_det = coordinates.log_det(points)
    others, other_held_out = fit_mixture(inside, families, generator)
    if float((log_ratio + log_det).mean()) - other_held_out > LEFT * gap:
        return base
    found = _base_of(others, other_held_out, inside, log_ratio + log_det, settled, target)
    regions = found.regions or _mixture([others], [1.0], 1.0, target)
    coordinates = coordinates.to(regions.modes)
    return replace(
        base, density=NonCentredDensity(found.density, coordinates), regions=regions, coordinates=coordinates
    )


def _base_of(several: Fit, held_out: float, points: Tensor, log_ratio: Tensor, settled: bool, target: Target) -> Base:
    """From a mixture fitted to points (n, dim) and its mean log-likelihood on points held out."""
    one = fit_gaussian(points)
    left = float((log_ratio - several.log_prob(points)).mean())  # KL(target | mixture)
    doubt = min(1.0, max(0.0, (float(log_ratio.mean()) - held_out) / DOUBTFUL))
    widening = 1 + (1 - doubt) * LEAST_WIDENING / math.sqrt(target.dim) + doubt * MOST_WIDENING
    if len(several.weights) == 1 or (left > NEAR and not settled):
        return Base(_gaussian(one, widening, target), fit=several)
    if one.diagonal != several.diagonal:
        spread = points.var(0)[None] if several.diagonal else torch.diag_embed(one.covariances)
        one = Fit(one.weights, one.means, spread)
    defence = (1 - doubt) * LEAST_DEFENCE + doubt * MOST_DEFENCE
    base = _mixture([several, one], [1 - defence, defence], widening, target, "mixture of the pilot run")
    return Base(base, _mixture([several], [1.0], 1.0, target), fit=several)


def _gaussian(fit: Fit, widening: float, target: Target) -> Gaussian:
    name, mean = "Gaussian of the pilot run", fit.means[0].to(target.dtype)
    if fit.diagonal:
        return Gaussian(mean, widening * fit.covariances[0].sqrt(), name=name)
    return Gaussian(mean, covariance=widening**2 * fit.covariances[0], name=name)


def _mixture(
    fits: list[Fit], shares: list[float], widening: float, target: Target, name: str | None = None
) -> GaussianMixture:
    weights = torch.cat([share * fit.weights for fit, share in zip(fits, shares, strict=True)])
    means = torch.cat([fit.means for fit in fits]).to(target.dtype)
    covariances = widening**2 * torch.cat([fit.covariances for fit in fits])
    if fits[0].diagonal:
        return GaussianMixture(means, scales=covariances.sqrt().to(target.dtype), weights=weights, name=name)
    return GaussianMixture(means, covariances=covariances.to(target.dtype), weights=weights, name=name)
