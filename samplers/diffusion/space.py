"""Where a learned sampler works: linear coordinates in which the target has unit scale, and what paths start from.

    x = shift + L u

A pilot (`samplers.annealing.pilot`: a few annealed particles, their evaluations counted) finds the spread of the
target, and a mixture, or a product of mixtures, is brought close to it (`samplers.diffusion.mixture_refinement`,
`product_refinement`) for samplers that can start from one; beyond MOST_PILOT_DIM dimensions the Gaussian at a mode
takes its place. In u all defaults are of order one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import robbins_monro
from samplers.annealing import SMC
from samplers.annealing.mixture_fit import fit_gaussian
from samplers.annealing.pilot import find_base
from samplers.diffusion.laplace import laplace
from samplers.diffusion.mixture_refinement import refine
from samplers.diffusion.product_refinement import refine_product
from samplers.draws.closest_gaussian import closest_gaussian, moments_known
from samplers.kernels import HMC
from samplers.networks.base import Coordinates
from samplers.path_measures.prior import GaussianPrior, Prior, fixed_prior, mixture_of_factors
from targets import Gaussian, GaussianMixture, Target
from targets.affine import Affine
from targets.arguments import shown
from targets.counting import Counted
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct
from targets.sampling_warning import warn

PriorChoice = Gaussian | GaussianMixture | MixtureProduct | Literal["gaussian", "moments", "mixture", "laplace"] | None

MOST_PILOT_DIM = 500
PROBES = 4
NARROW = 8.0  # deviations of a prior that was given, beyond which few chains may end
MOST_OUTSIDE = 0.1
HEAVY = 9.0  # kurtosis from which on a coordinate has heavy tails; 3 for a Gaussian
QUARTILE = 0.67449  # of a standard normal
CHANCE = 5.0  # standard errors up to which no correlation of the pilot's particles counts
CHAINS, CHAIN_STEPS, LEAPFROGS, FIRST_STEP = 64, 60, 8, 0.05


@dataclass(frozen=True, eq=False)
class Space:
    """shift (dim,) and factor L (), (dim,) or (dim, dim) in float64; mixture: in x, where paths start from one. That of
    a product of mixtures is never a matrix, so that blocks of coordinates stay apart.

    source: where it came from, in words. witnesses: (n, dim), particles of the pilot at the target, in x. log_z: by
    these, with its standard error.
    """

    shift: Tensor
    factor: Tensor
    mixture: GaussianMixture | MixtureProduct | None = None
    source: str = "given"
    witnesses: Tensor | None = None
    log_z: tuple[float, float] | None = None

    @property
    def spread(self) -> Tensor:
        """Standard deviation of x, (dim,), where u has unit covariance."""
        if self.factor.ndim == 2:
            return self.factor.square().sum(1).sqrt()
        return self.factor.expand(len(self.shift))

    def seen(self, target: Target) -> Affine:
        """The target in u."""
        return Affine(target, self.shift, self.factor)

    def prior(self, target: Target, *, learned: bool) -> Prior:
        """What paths start from, in u: the mixture, or a standard Gaussian whose place and scale may be learned."""
        mixture = self.seen_mixture(target)
        return GaussianPrior(target.dim, learned=learned) if mixture is None else fixed_prior(mixture)

    def seen_mixture(self, target: Target) -> GaussianMixture | MixtureProduct | None:
        """The mixture in u, where there is one."""
        if self.mixture is None:
            return None
        mixture = self.mixture.to(target.device)
        if isinstance(mixture, MixtureProduct):
            return mixture.scaled(self.shift, self.factor)
        return self.seen(target).mixture(mixture)

    def probes(self, density: Target) -> Tensor:
        """A few points around the middle, (PROBES, dim), at which a density is known again."""
        x = self.shift.to(density.dtype).expand(PROBES, -1)
        return x + torch.linspace(-1, 1, PROBES, dtype=x.dtype, device=x.device)[:, None] * self.spread.to(x)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, for checkpoints and files."""
        mixture: dict[str, Any] | None = None
        if isinstance(self.mixture, MixtureProduct):
            mixture = {"blocks": [group.state() for group in self.mixture.blocks]}
        elif self.mixture is not None:
            mixture = dict(self.mixture._exact)
        return {**vars(self), "mixture": mixture}

    @classmethod
    def of_state(cls, state: dict[str, Any], target: Target) -> Self:
        """The space of which that was the state, where the target is."""
        mixture: GaussianMixture | MixtureProduct | None = None
        parts = state["mixture"]
        if parts is not None and "blocks" in parts:
            mixture = MixtureProduct([Blocks(**group) for group in parts["blocks"]], dtype=target.dtype)
        elif parts is not None:
            factors = parts["scales"] if "scales" in parts else parts["factors"]
            mixture = mixture_of_factors(parts["means"], factors, parts["weights"])
        if mixture is not None:
            mixture = mixture.to(target.device, target.dtype)
        moved = {name: value.to(target.device) for name, value in state.items() if isinstance(value, Tensor)}
        return cls(**{**state, **moved, "mixture": mixture})


def find_space(
    target: Counted, choice: PriorChoice, coordinates: Coordinates, *, mixture: bool, generator: Generator
) -> Space:
    """The space for a target; `mixture`: whether the sampler can start from a mixture.

    choice: a Gaussian or mixture is taken as it is. "gaussian": the moments of the pilot's particles, with narrower
    coordinates where tails are heavy and a diagonal where nothing is correlated. "moments": the closest Gaussian in KL,
    with the mean and covariance that the target states, which need no pilot, else those of the particles. "mixture":
    one fitted to them and refined, or a product of mixtures where the pilot took one and it came near. "laplace": the
    Gaussian at a mode. None: the mixture where the sampler takes one and it came near the target, else the Gaussian.
    """
    if isinstance(choice, (Gaussian, GaussianMixture, MixtureProduct)):
        if choice.dim != target.dim:
            raise ValueError(f"prior: got dim {choice.dim}, expected {target.dim} like {target.name}")
        if not isinstance(choice, Gaussian) and not mixture:
            raise TypeError("prior: got a mixture, expected a Gaussian: the noise of this sampler ends in one")
        return _around(choice.to(target.device, target.dtype), coordinates, "the prior that was given", target)
    if choice not in (None, "gaussian", "moments", "mixture", "laplace"):
        raise ValueError(
            f"prior: got {shown(choice)}, expected a Gaussian, a GaussianMixture, 'gaussian', 'moments', 'mixture', "
            "'laplace' or None"
        )
    if choice == "mixture" and not mixture:
        raise ValueError("prior: got 'mixture', expected a Gaussian: the noise of this sampler ends in one")
    if choice == "laplace" or (choice is None and target.dim > MOST_PILOT_DIM):
        return _around(laplace(target, generator), coordinates, "the Gaussian at a mode", target)
    if choice == "moments" and moments_known(target):
        return _around(closest_gaussian(target), coordinates, "the target's moments", target)
    with torch.no_grad():
        base = find_base(SMC(), target, None, generator)
    if not base.agreed:
        warn(
            f"the pilot's rounds did not agree on log Z: {target.name} has narrow or heavy-tailed parts that are hard "
            "to find. Compare several seeds, or give a prior="
        )
    assert base.points is not None
    assert base.fit is not None
    if choice == "moments":
        space = _around(_moments(base.points), coordinates, "the moments of the pilot's particles", target)
        return replace(space, witnesses=base.points, log_z=base.log_z)
    if mixture and choice != "gaussian":
        if base.product is not None:
            refined = refine_product(base.product, base.points, target, generator)
            if refined.near:
                space = _around(refined.mixture, coordinates, "the product of mixtures of the pilot", target)
                return replace(space, witnesses=refined.points)
        refined = refine(base.fit, base.points, target, generator)
        if choice == "mixture" or refined.near:
            space = _around(refined.mixture, coordinates, "the mixture of the pilot", target)
            return replace(space, witnesses=refined.points, log_z=base.log_z)
    space = _around(_gaussian(base.points, target), coordinates, "the pilot's particles", target)
    return replace(space, witnesses=base.points, log_z=base.log_z)


def _moments(points: Tensor) -> Gaussian:
    """The closest Gaussian in KL of points (n, dim), a diagonal one where these are few."""
    fit = fit_gaussian(points.double())
    return Gaussian(fit.means[0], fit.covariances[0].sqrt()) if fit.diagonal else closest_gaussian(points.double())


def _gaussian(points: Tensor, target: Target) -> Gaussian:
    """The Gaussian with the moments of points (n, dim); a diagonal one where they show no correlation, or are few.

    A coordinate with heavy tails, whose standard deviation says little, gets the geometric mean of it and of the width
    of its middle half.
    """
    points = points.double()
    fit = fit_gaussian(points)
    mean, covariance = fit.means[0], fit.covariances[0]
    z = (points - mean) / points.std(0)
    heavy = z.pow(4).mean(0) > HEAVY
    scale = points.std(0)
    if bool(heavy.any()):
        middle = points.median(0).values
        narrow = (points - middle).abs().median(0).values / QUARTILE
        mean, scale = torch.where(heavy, middle, mean), torch.where(heavy, (narrow * scale).sqrt(), scale)
    elif not fit.diagonal:
        correlation = covariance / scale / scale[:, None] - torch.eye(target.dim).to(covariance)
        if not float(correlation.abs().max()) < CHANCE / math.sqrt(len(points)):
            return Gaussian(mean.to(target.dtype), covariance=covariance)
    return Gaussian(mean.to(target.dtype), scale)


def _around(
    density: Gaussian | GaussianMixture | MixtureProduct, coordinates: Coordinates, source: str, target: Target
) -> Space:
    """Coordinates in which a density has mean zero and unit covariance, as far as `coordinates` allow it."""
    density = density.to(dtype=torch.float64)
    mean, covariance = density.mean, density.covariance
    apart = isinstance(density, MixtureProduct) or torch.equal(covariance, torch.diag(covariance.diagonal()))
    if coordinates == "isotropic":
        mean, factor = torch.zeros_like(mean), covariance.diagonal().mean().sqrt()
    elif coordinates == "diagonal" or apart:
        factor = covariance.diagonal().sqrt()
    else:
        factor = torch.linalg.cholesky(covariance)
    mixture = None if isinstance(density, Gaussian) else density.to(dtype=target.dtype)
    return Space(mean, factor, mixture, source)


@torch.no_grad()
def check_width(space: Space, target: Counted, generator: Generator) -> None:
    """Warn where a prior that was given is far too narrow: chains that start from it leave it for good."""
    seen = space.seen(target)
    prior = space.prior(seen, learned=False).to(device=target.device, dtype=target.dtype)
    x = prior.sample(CHAINS, generator)
    edge = float(x.abs().max())
    state = HMC(step_size=FIRST_STEP, steps=LEAPFROGS).init(seen, x, generator)
    step = FIRST_STEP
    for _ in range(CHAIN_STEPS):
        state, info = HMC(step_size=step, steps=LEAPFROGS).step(seen, state, generator)
        step *= math.exp(robbins_monro(info.acceptance_rate.mean().item(), 0.8))
    outside = float((state.x.abs() > NARROW * max(edge, 1.0) / 4).any(-1).double().mean())
    if outside > MOST_OUTSIDE:
        warn(
            f"the prior is far too narrow: of {CHAINS} short chains from it {outside:.0%} end more than {NARROW:.0f} "
            f"of its deviations away, where {target.name} has its mass. Weights would be dominated by a few paths; "
            "give a wider prior=, or none, for the pilot's"
        )
