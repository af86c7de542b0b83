"""The base and the regions that are fitted to a pilot's particles.

A Gaussian mixture, and beside it, with more weight the worse the fit, one Gaussian of all their spread, every spread
somewhat widened. Where no mixture fits well: a product of mixtures for blocks of coordinates that do not depend on one
another (`samplers.annealing.product_fit`), or a mixture in non-centred coordinates (`samplers.annealing.noncentred`),
each where it describes held-out particles better; and one Gaussian alone where nothing comes near the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from samplers.annealing.mixture_fit import Fit, fit_gaussian, fit_mixture, halves, mixture_of
from samplers.annealing.noncentred import NonCentredDensity, noncentring
from samplers.annealing.product_fit import fit_product
from samplers.kernels.noncentring import NonCentring
from samplers.scouts.regions import Regions
from targets import Gaussian, GaussianMixture, Target
from targets.mixture_product import MixtureProduct

NEAR = 3.0  # nats: the divergence of the target from a mixture that is worth having
DOUBTFUL = 0.3  # nats of it on held-out points from which on the base is made as safe as it gets
WELL = 0.3  # nats of it at which nothing better is looked for than a mixture, or what scouts have found
LEFT = 0.5  # share of the divergence that coordinates of their own may leave to a mixture
LEAST_DEFENCE, MOST_DEFENCE = 0.1, 0.5  # share of the base that is one wide Gaussian
# by how much the spreads that were found are widened, to reach past the target: 0.28 / sqrt(dim) where all is well, for
# the mass of a Gaussian gathers in a shell of that relative width
LEAST_WIDENING, MOST_WIDENING = 0.28, 0.2


@dataclass(frozen=True)
class Base:
    """Where annealing starts, the regions of the target if a mixture comes near it, and whether the pilot is sure.

    points: (n, dim), the particles that it was fitted to, at the target. fit: the mixture that fits them best, near or
    not. scouted: what scouts have found, where nothing here was made from it. log_z: by the last round of particles,
    with its standard error. coordinates: those in which the regions lie, where they are not those of x. product: of
    mixtures for independent blocks of coordinates, where that describes the particles better. in_x: of Gaussians in x
    itself, where `density` is in other coordinates; see `guide`.

    density: the base, normalised and with exact draws. regions: a mixture near the target, None where none comes near
    it. agreed: whether the last rounds of particles agreed.

        >>> from samplers.annealing.pilot import Base
        >>> Base(targets.Gaussian([0.0])).agreed
        True
    """

    density: Target
    regions: GaussianMixture | None = None
    coordinates: NonCentring | None = None
    agreed: bool = True
    points: Tensor | None = None
    fit: Fit | None = None
    scouted: Regions | None = None
    log_z: tuple[float, float] | None = None
    product: MixtureProduct | None = None
    in_x: Target | None = None

    @property
    def guide(self) -> Target:
        """What stands for the target where its smoothing by noise must be known."""
        return self.density if self.in_x is None else self.in_x


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
    points, side = x.double(), halves(families, generator)
    several, held_out = fit_mixture(points, side, generator, known, float(log_ratio.mean()) - WELL)
    base = _of_mixture(several, held_out, points, log_ratio, settled, target)
    gap = float(log_ratio.mean()) - held_out
    if not gap > WELL:
        return base
    product = fit_product(points, families, side, generator)
    if product is not None and product[1] > held_out:
        near = _of_product(product[0], product[1], log_ratio, points, target)
        if near is not None:
            return replace(near, fit=several)
    coordinates = noncentring(points)
    if coordinates is None:
        return base
    inside, log_det = coordinates.to_y(points), coordinates.log_det(points)
    others, other_held_out = fit_mixture(inside, side, generator)
    if float((log_ratio + log_det).mean()) - other_held_out > LEFT * gap:
        return base
    found = _of_mixture(others, other_held_out, inside, log_ratio + log_det, settled, target)
    regions = found.regions or mixture_of([others], [1.0], 1.0, target.dtype)
    coordinates = coordinates.to(regions.modes)
    density = NonCentredDensity(found.density, coordinates)
    return replace(base, density=density, in_x=base.density, regions=regions, coordinates=coordinates)


def _of_mixture(
    several: Fit, held_out: float, points: Tensor, log_ratio: Tensor, settled: bool, target: Target
) -> Base:
    """From a mixture fitted to points (n, dim) and its mean log-likelihood on points held out."""
    one = fit_gaussian(points)
    left = float((log_ratio - several.log_prob(points)).mean())  # KL(target | mixture)
    widening, defence = _caution(float(log_ratio.mean()) - held_out, target.dim)
    if len(several.weights) == 1 or (left > NEAR and not settled):
        return Base(_gaussian(one, widening, target), fit=several)
    if one.diagonal != several.diagonal:
        spread = points.var(0)[None] if several.diagonal else torch.diag_embed(one.covariances)
        one = Fit(one.weights, one.means, spread)
    base = mixture_of([several, one], [1 - defence, defence], widening, target.dtype, "mixture of the pilot run")
    return Base(base, mixture_of([several], [1.0], 1.0, target.dtype), fit=several)


def _of_product(
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


def _caution(left: float, dim: int) -> tuple[float, float]:
    """By how much a fit is widened, and the share of a wide Gaussian beside it, where it leaves that many nats."""
    doubt = min(1.0, max(0.0, left / DOUBTFUL))
    widening = 1 + (1 - doubt) * LEAST_WIDENING / math.sqrt(dim) + doubt * MOST_WIDENING
    return widening, (1 - doubt) * LEAST_DEFENCE + doubt * MOST_DEFENCE


def _gaussian(fit: Fit, widening: float, target: Target) -> Gaussian:
    name, mean = "Gaussian of the pilot run", fit.means[0].to(target.dtype)
    if fit.diagonal:
        return Gaussian(mean, widening * fit.covariances[0].sqrt(), name=name)
    return Gaussian(mean, covariance=widening**2 * fit.covariances[0], name=name)
