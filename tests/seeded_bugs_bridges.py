"""Bridges with one mistake each, as they are really made. The checks of `bridge_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

from importlib import import_module

import bridge_cases as cases
import torch
from bug_register import Bugs

from samplers.generative.bridges.bridge import StaticBridge
from samplers.generative.bridges.mixture_potential import MixturePotential
from samplers.generative.bridges.pieces import PieceParameters
from samplers.generative.bridges.point_potential import PointPotential

bridge, gaussian, mixture_start, sinkhorn = (
    import_module(f"samplers.generative.bridges.{name}") for name in ("bridge", "gaussian", "mixture_start", "sinkhorn")
)
BUGS = Bugs()
bug = BUGS.add


# The closed form


@bug("eps in place of eps^2 under the root")
def root(patch):
    def slope(start, end, noise):
        values, axes = torch.linalg.eigh(start)
        half, inverse = ((axes * values.pow(power)[..., None, :]) @ axes.mT for power in (0.5, -0.5))
        values, axes = torch.linalg.eigh(half @ end @ half)
        middle = values / ((values + noise / 4).sqrt() + noise / 2)
        return inverse @ (axes * middle[..., None, :]) @ axes.mT @ inverse

    patch.setattr(gaussian, "slope", slope)
    return cases.check_gaussian_plan


@bug("covariances taken to commute")
def commuting(patch):
    def slope(start, end, noise):
        product = torch.linalg.solve(start, end)
        unit = torch.eye(len(start)).to(start)
        values, axes = torch.linalg.eigh(0.5 * (product + product.mT) + noise**2 / 4 * torch.linalg.inv(start @ start))
        return (axes * values.sqrt()) @ axes.mT - noise / 2 * torch.linalg.inv(start) + 0 * unit

    patch.setattr(gaussian, "slope", slope)
    return cases.check_gaussian_plan


@bug("the regularisation of |x - y|^2 in place of half of it")
def halved_noise(patch):
    right = gaussian.slope
    patch.setattr(gaussian, "slope", lambda start, end, noise: right(start, end, noise / 2))
    return cases.check_gaussian_quadrature


@bug("no noise of the reference in the marginals")
def no_noise(patch):
    right = gaussian.GaussianBridge.marginal

    def marginal(self, t):
        law = right(self, t)
        less = 0.5 * t * (1 - t) * self.noise * torch.eye(law.dim).to(law.covariance)
        return gaussian.Gaussian(law.mean, covariance=law.covariance - less)

    patch.setattr(gaussian.GaussianBridge, "marginal", marginal)
    return cases.check_gaussian_flow


# Potentials


@bug("the determinant without its half")
def whole_determinant(patch):
    right = MixturePotential._exponents

    def exponents(self, z, t):
        found, wide = right(self, z, t)
        return found - 0.5 * wide.log().sum(-1), wide

    patch.setattr(MixturePotential, "_exponents", exponents)
    return cases.check_heat


@bug("time counted from the other end")
def other_end(patch):
    right = MixturePotential._exponents
    patch.setattr(MixturePotential, "_exponents", lambda self, z, t: right(self, z, 1 - t))
    return cases.check_end_given_now


@bug("a drift without the way between the origins")
def still_origins(patch):
    right = MixturePotential._drift
    patch.setattr(MixturePotential, "_drift", lambda self, x, t: right(self, x, t) - (self.end_origin - self.origin))
    return cases.check_conditional


@bug("draws of variance S in place of eps S")
def unscaled(patch):
    right = MixturePotential._drawn
    patch.setattr(
        MixturePotential,
        "_drawn",
        lambda self, x, which, noise: right(self, x, which, noise / self.noise**0.5),
    )
    return cases.check_draws


@bug("components drawn by their weights, whatever x is")
def same_components(patch):
    patch.setattr(MixturePotential, "shares", lambda self, x: self.log_weights.softmax(0).expand(len(x), -1))
    return cases.check_path


@bug("a Brownian bridge of the variance that is free")
def free(patch):
    def pinned(start, end, times, noise, generator):
        fresh = torch.randn(len(times), *start.shape, generator=generator, dtype=start.dtype)
        t = times[:, None, None]
        return torch.lerp(start, end, t) + (noise * t).sqrt() * (t < 1) * fresh

    patch.setattr(cases, "pinned", pinned)
    return cases.check_pinned


@bug("states of a Brownian bridge that know nothing of one another")
def independent(patch):
    def pinned(start, end, times, noise, generator):
        fresh = torch.randn(len(times), *start.shape, generator=generator, dtype=start.dtype)
        t = times[:, None, None]
        return torch.lerp(start, end, t) + (noise * t * (1 - t)).sqrt() * fresh

    patch.setattr(cases, "pinned", pinned)
    return cases.check_pinned


@bug("the backward drift at the time of the forward one")
def same_time(patch):
    patch.setattr(StaticBridge, "drift", lambda self, x, t, direction: self.of(direction).drift(x, t))
    return cases.check_backward_time


# Learning


@bug("weights that forget where pieces begin")
def heights_as_weights(patch):
    right = PieceParameters.terms_v

    def terms(self, y):
        return right(self, y) + (self.ends * self.here).sum(1) / self.noise

    patch.setattr(PieceParameters, "terms_v", terms)
    return cases.check_pieces


@bug("a loss whose ends are normalised apart: no determinant in v")
def no_determinant(patch):
    right = PieceParameters.terms_v

    def terms(self, y):
        factors = self.factors
        return right(self, y) + factors.diagonal(dim1=1, dim2=2).log().sum(1)

    patch.setattr(PieceParameters, "terms_v", terms)
    return cases.check_loss


@bug("the way back started from the slopes of the way there")
def same_slopes(patch):
    right = mixture_start._of_moments
    first = []

    def of_moments(start, end, noise, diagonal):
        first.append(right(start, end, noise, diagonal))
        return first[0]

    patch.setattr(mixture_start, "_of_moments", of_moments)
    return cases.check_moments


# Sinkhorn


@bug("the potentials of the two ends exchanged")
def exchanged(patch):
    right = sinkhorn._potentials

    def potentials(*arguments):
        f, g, *others = right(*arguments)
        return g, f, *others

    patch.setattr(sinkhorn, "_potentials", potentials)
    return cases.check_two_by_two


@bug("the whole square as the cost")
def whole_square(patch):
    right = sinkhorn._potentials

    def potentials(start, end, noise, *more):
        return right(start, end, noise / 2, *more)

    patch.setattr(sinkhorn, "_potentials", potentials)
    return cases.check_two_by_two


@bug("rows without their weights")
def unweighted(patch):
    right = sinkhorn._weights
    patch.setattr(sinkhorn, "_weights", lambda law: torch.ones_like(right(law)) / len(law.x))
    return cases.check_weighted_rows


@bug("a kernel that does not narrow towards the end")
def constant_kernel(patch):
    right = PointPotential._shares
    patch.setattr(PointPotential, "_shares", lambda self, x, t: right(self, x, 0 * t))
    return cases.check_point_drift


# Weights


@bug("the mean of logarithms in place of the logarithm of the mean")
def mean_of_logarithms(patch):
    def log_marginal(self, y, x, direction):
        pairs = [self.of(direction).log_prob(y, one.expand_as(y)) for one in x]
        return torch.stack(pairs).mean(0)

    patch.setattr(StaticBridge, "log_marginal", log_marginal)
    return cases.check_weights_by_ends


@bug("a sum over starts in place of the mean")
def no_mean(patch):
    right = MixturePotential.log_marginal
    patch.setattr(
        MixturePotential, "log_marginal", lambda self, y, x: right(self, y, x) + torch.tensor(float(len(x))).log()
    )
    return cases.check_weights_by_ends


@bug("weights by path without the way back")
def no_way_back(patch):
    def walk(self, x, direction, generator):
        y = self.of(direction).draw(x, generator)
        return y, -self.of(direction).log_prob(y, x)

    patch.setattr(StaticBridge, "walk", walk)
    return cases.check_weights_by_path
