"""A base to start from, where neither prior nor base is given: a few particles find where the mass is.

1. `reach`: the scale of the target around the origin.
2. Particles annealed from Gaussians of several widths, or from a prior; each cloud counts by the Z it found.
3. More moves at the target.
4. A Gaussian mixture fitted to the particles and beside it, with more weight the worse the fit, one Gaussian of all
   their spread, every spread somewhat widened; or a product of mixtures of a few coordinates each, where that is better
   (`samplers.annealing.product_fit`); or that Gaussian alone, where neither comes near the target.
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
from samplers.annealing.mixture_fit import Fit, fit_gaussian, fit_mixture, halves
from samplers.annealing.product_fit import fit_product
from samplers.scouts.reach import reach
from samplers.scouts.search import search
from samplers.scouts.unseen import unseen
from targets import Gaussian, GaussianMixture, Target
from targets.mixture_product import MixtureProduct

if TYPE_CHECKING:
    from samplers.annealing.annealer import Annealer, Run

WIDEST = 3.0  # of the radius that holds the mass: the first Gaussian in each coordinate
PARTICLES, CONDITIONAL_ESS, MOVES = 1000, 0.7, 3
SETTLING = 12  # moves at the target
SHRINK = (1.0, 0.3, 0.1)  # of the step size in these moves, in turn, as long as no regions are known
NEAR = 3.0  # nats: the divergence of the target from a mixture that is worth having
DOUBTFUL = 0.3  # nats of it on held-out points from which on the base is made as safe as it gets
WELL = 0.3  # nats of it at which no better mixture is looked for than what scouts have found
LEAST_DEFENCE, MOST_DEFENCE = 0.1, 0.5  # share of the base that is one wide Gaussian
# by how much the spreads that were found are widened, to reach past the target: 0.28 / sqrt(dim) where all is well, for
# the mass of a Gaussian gathers in a shell of that relative width
LEAST_WIDENING, MOST_WIDENING = 0.28, 0.2
MOST_ROUNDS, SETTLED = 8, 0.2
SURE = 0.15  # standard error of the difference of two log Z up to which the first cloud's can bear out a round's
FEWEST_FAMILIES = 20  # of equal weight, that a round must keep to be believed


@dataclass(frozen=True)
class Base:
    """Where annealing starts, the regions of the target if a mixture comes near it, and whether the pilot is sure.

    points: (n, dim), the particles that it was fitted to, at the target. fit: the mixture that fits them best, near or
    not. product: of mixtures for independent blocks of coordinates, where that describes the particles better.
    """

    density: Target
    regions: GaussianMixture | None = None
    agreed: bool = True
    points: Tensor | None = None
    fit: Fit | None = None
    product: MixtureProduct | None = None


def find_base(sampler: Annealer, target: Target, prior: Target | None, generator: Generator) -> Base:
    """The base that a pilot run finds; with a mixture the kernel's mass matrices go by its components."""
    x, families, log_prob, log_z, variance = _first_cloud(sampler, target, prior, generator)
    scouts = _Scouts(target, prior, sampler.kernel_for(target).needs_score, log_z, generator)
    mixed, agreed = False, True
    for _ in range(MOST_ROUNDS):
        x, families, log_prob, log_z = scouts.added(x, families, log_prob, log_z)
        base = fitted_base(x, families, log_prob - log_z, mixed, target, generator, scouts.fit)
        mixed = base.regions is not None
        run = _anneal(sampler, target, base, PARTICLES, generator)
        if float(run.cloud.family_share()) > 1 / FEWEST_FAMILIES:
            continue  # a few heavy particles have taken over: fit and anneal again
        before, previous, log_z = (x, families, log_prob), log_z, float(run.cloud.log_z)
        x, log_prob = _settled(run, generator)
        families = run.cloud.eves[0]
        # a round that was annealed from a fit needs no such leave
        sure, variance = variance == 0 or variance + _variance(run) < SURE**2, 0.0
        if sure and abs(log_z - previous) < SETTLED:
            # two rounds that agree are one larger sample
            x, log_prob = torch.cat([before[0], x]), torch.cat([before[2], log_prob])
            families = torch.cat([before[1], families + 1 + before[1].max()])
            break
    else:
        agreed = False
    x, families, log_prob, log_z = scouts.added(x, families, log_prob, log_z)
    base = fitted_base(x, families, log_prob - log_z, mixed, target, generator, scouts.fit)
    return replace(base, agreed=agreed, points=x)


class _Scouts:
    """What a fan of paths uphill has found, and points of it for clouds that lack it."""

    def __init__(self, target: Target, prior: Target | None, scored: bool, log_z: float, generator: Generator) -> None:
        self._target, self._generator = target, generator
        self._regions = search(target, prior, generator, log_z) if scored else None
        self.fit: Fit | None = None
        if self._regions is not None:
            found = self._regions
            self.fit = Fit(found.log_mass.softmax(0), found.means, found.factors @ found.factors.mT)

    def added(
        self, x: Tensor, families: Tensor, log_prob: Tensor, log_z: float
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        """Points (n, dim), their families, log-densities and log Z, with what the scouts found and these lack."""
        if self._regions is None:
            return x, families, log_prob, log_z
        lacking = unseen(self._regions, self._target, x, None, log_z, 0.0, self._generator)
        if len(lacking) == 0:
            return x, families, log_prob, log_z
        total, n = lacking.total, len(x)
        keep = torch.randperm(n, generator=self._generator, device=x.device)[: math.ceil(n / (1 + total))]
        more = lacking.draws(math.ceil(n * total / (1 + total)), self._generator).to(x)
        born = families.max() + 1 + torch.arange(len(more), device=x.device)
        return (
            torch.cat([x[keep], more]),
            torch.cat([families[keep], born]),
            torch.cat([log_prob[keep], self._target.log_prob(more).double()]),
            log_z + math.log1p(total),
        )


def _anneal(sampler: Annealer, target: Target, base: Base, n: int, generator: Generator) -> Run:
    from samplers.annealing.annealer import Run
    from samplers.annealing.smc import SMC

    pilot = SMC(sampler.kernel_for(target), base.density, conditional_ess=CONDITIONAL_ESS, moves=MOVES)
    run = Run(pilot, target, pilot.make_path(target, base.density), n, generator, base.regions)
    run.through()
    return run


def _first_cloud(
    sampler: Annealer, target: Target, prior: Target | None, generator: Generator
) -> tuple[Tensor, Tensor, Tensor, float, float]:
    """Particles from the prior, or from Gaussians of three widths.

    Also their first ancestors and log-densities, and log Z with the square of its standard error.
    """
    starts: list[Target]
    if prior is not None:
        starts = [prior]
    else:
        scale, zero = reach(target, generator), torch.zeros(target.dim, dtype=target.dtype, device=target.device)
        widths = torch.logspace(0, math.log10(WIDEST * math.sqrt(target.dim)), 3).tolist()
        starts = [Gaussian(zero, scale * width) for width in widths]
    runs = [_anneal(sampler, target, Base(start), PARTICLES // 2, generator) for start in starts]
    variances = [_variance(run) for run in runs]
    log_z = torch.tensor([float(run.cloud.log_z) for run in runs], dtype=torch.float64)
    share = log_z.softmax(0)
    settled = [_settled(run, generator) for run in runs]
    parts, families, log_probs = [], [], []
    for k, (run, (x, log_prob)) in enumerate(zip(runs, settled, strict=True)):
        keep = torch.randperm(len(x), generator=generator, device=x.device)[: math.ceil(float(share[k]) * len(x))]
        parts.append(x[keep])
        log_probs.append(log_prob[keep])
        families.append(run.cloud.eves[0][keep] + k * len(x))
    return (
        torch.cat(parts),
        torch.cat(families),
        torch.cat(log_probs),
        float(log_z.max()),
        variances[int(log_z.argmax())],
    )


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
    """
    points = x.double()
    one = fit_gaussian(points)
    side = halves(families, generator)
    several, held_out = fit_mixture(points, side, generator, known, float(log_ratio.mean()) - WELL)
    if held_out < float(log_ratio.mean()) - WELL:
        product = fit_product(points, families, side, generator)
        if product is not None and product[1] > held_out:
            near = _product_base(product[0], product[1], log_ratio, points, target)
            if near is not None:
                return replace(near, fit=several)
    left = float((log_ratio - several.log_prob(points)).mean())  # KL(target | mixture)
    widening, defence = _caution(float(log_ratio.mean()) - held_out, target.dim)
    if len(several.weights) == 1 or (left > NEAR and not settled):
        return Base(_gaussian(one, widening, target), fit=several)
    if one.diagonal != several.diagonal:
        spread = points.var(0)[None] if several.diagonal else torch.diag_embed(one.covariances)
        one = Fit(one.weights, one.means, spread)
    base = _mixture([several, one], [1 - defence, defence], widening, target, "mixture of the pilot run")
    return Base(base, _mixture([several], [1.0], 1.0, target), fit=several)


def _caution(left: float, dim: int) -> tuple[float, float]:
    """By how much a fit is widened, and the share of a wide Gaussian beside it, where it leaves that many nats."""
    doubt = min(1.0, max(0.0, left / DOUBTFUL))
    widening = 1 + (1 - doubt) * LEAST_WIDENING / math.sqrt(dim) + doubt * MOST_WIDENING
    return widening, (1 - doubt) * LEAST_DEFENCE + doubt * MOST_DEFENCE


def _product_base(
    product: MixtureProduct, held_out: float, log_ratio: Tensor, points: Tensor, target: Target
) -> Base | None:
    """The base of a product of mixtures, or None where it does not come near the target.

    Each block has a wide Gaussian beside its mixture, with a share with which all are spared with chance 1 - defence.
    """
    if float((log_ratio - product.log_prob(points)).mean()) > NEAR:
        return None
    widening, defence = _caution(float(log_ratio.mean()) - held_out, target.dim)
    blocks = sum(len(group.index) for group in product.blocks)
    wide = product.widened(widening, -math.expm1(math.log1p(-defence) / blocks), "product of mixtures of the pilot run")
    return Base(wide.to(target.device, target.dtype), product=product.to(target.device, target.dtype))


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
