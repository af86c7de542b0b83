"""Hierarchical priors beside what is known of them: densities by scipy, conditional distribution functions, integrals.

Each `check_` fails when the feature is wrong; `seeded_bugs_hierarchy` has the mistakes.
"""

import math

import numpy as np
import torch
from scipy import stats
from torch.distributions import (
    AffineTransform,
    Beta,
    Dirichlet,
    Gamma,
    HalfCauchy,
    HalfNormal,
    LKJCholesky,
    LogNormal,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

import targets
from targets import CorrelationCholesky, Interval, Positive, Real, Simplex

F64 = torch.float64
GROUP = torch.tensor([0, 0, 1, 2, 2, 2])

# Models; parameters in an order in which they cannot be drawn, functions of every form in which they are evaluated

SCHOOLS = {
    "theta": Real(8, prior=lambda mu, tau: Normal(mu, tau)),
    "mu": Real(prior=Normal(0.0, 5.0)),
    "tau": Positive(prior=HalfCauchy(5.0)),
}
SLOPES = {
    "beta": Real(5, 2, prior=lambda mean, scale, corr: MultivariateNormal(mean, scale_tril=scale[..., None] * corr)),
    "mean": Real(2, prior=Normal(0.0, 2.0)),
    "scale": Positive(2, prior=lambda width: HalfNormal(width)),
    "width": Positive(prior=Gamma(3.0, 2.0)),
    "corr": CorrelationCholesky(2, prior=LKJCholesky(2, 1.5)),
}
SLOPES_BY_VMAP = SLOPES | {
    "beta": Real(5, 2, prior=lambda mean, scale, corr: MultivariateNormal(mean, scale_tril=torch.diag(scale) @ corr))
}
LEVELS = {
    "pupil": Real(6, 4, prior=lambda school, noise: Normal(school[GROUP][:, None], noise)),
    "school": Real(3, prior=lambda town, spread: Normal(town, spread)),
    "town": Real(prior=Normal(1.0, 2.0)),
    "noise": Positive(prior=lambda spread: HalfNormal(2 * spread)),
    "spread": Positive(prior=HalfNormal(1.5)),
}
BOUNDED = {
    "rate": Interval(0, 1, 3, prior=lambda share, k: Beta(share * k, (1 - share) * k)),
    "share": Interval(0, 1, prior=Beta(2.0, 3.0)),
    "k": Positive(prior=Gamma(4.0, 1.0)),
    "cut": Simplex(3, prior=lambda k: Dirichlet(k * torch.ones(3, dtype=F64))),
}
SCALED = {
    "size": Positive(2, prior=lambda unit: TransformedDistribution(Gamma(2.0, 1.0), [AffineTransform(0.0, unit)])),
    "unit": Positive(prior=lambda shift: LogNormal(shift, 0.5)),
    "shift": Real(prior=Normal(0.0, 1.0)),
}
MODELS = {
    "scaled": SCALED,
    "schools": SCHOOLS,
    "slopes": SLOPES,
    "slopes by vmap": SLOPES_BY_VMAP,
    "levels": LEVELS,
    "bounded": BOUNDED,
}


# Log-densities of the values, by scipy


def half_normal(value, scale):
    return stats.halfnorm(scale=scale).logpdf(value)


def of_schools(mu, tau, theta):
    value = stats.norm(0, 5).logpdf(mu) + stats.halfcauchy(scale=5).logpdf(tau)
    return value + stats.norm(mu, tau).logpdf(theta).sum()


def of_slopes(mean, scale, width, corr, beta):
    value = stats.norm(0, 2).logpdf(mean).sum() + half_normal(scale, width).sum()
    value += stats.gamma(3, scale=0.5).logpdf(width)
    value += stats.beta(1.5, 1.5).logpdf((1 + corr[1, 0]) / 2) - math.log(2)  # the one correlation of two
    covariance = np.diag(scale) @ corr @ corr.T @ np.diag(scale)
    return value + stats.multivariate_normal(mean, covariance).logpdf(beta).sum()


def of_levels(town, spread, noise, school, pupil):
    value = stats.norm(1, 2).logpdf(town) + half_normal(spread, 1.5) + half_normal(noise, 2 * spread)
    value += stats.norm(town, spread).logpdf(school).sum()
    return value + sum(stats.norm(school[g], noise).logpdf(pupil[i]).sum() for i, g in enumerate(GROUP.tolist()))


def of_bounded(share, k, rate, cut):
    value = stats.beta(2, 3).logpdf(share) + stats.gamma(4).logpdf(k)
    return (
        value + stats.beta(share * k, (1 - share) * k).logpdf(rate).sum() + stats.dirichlet(k * np.ones(3)).logpdf(cut)
    )


def of_scaled(shift, unit, size):
    value = stats.norm(0, 1).logpdf(shift) + stats.lognorm(0.5, scale=np.exp(shift)).logpdf(unit)
    return value + stats.gamma(2, scale=unit).logpdf(size).sum()


DENSITIES = {
    "scaled": of_scaled,
    "schools": of_schools,
    "slopes": of_slopes,
    "slopes by vmap": of_slopes,
    "levels": of_levels,
    "bounded": of_bounded,
}


def log_volume(kind, u):
    """log |d value / d u| from the derivative of the map, in the entries that densities are with respect to."""
    if isinstance(kind, Simplex):
        free = lambda u: kind.value(u)[:-1]  # noqa: E731
    elif isinstance(kind, CorrelationCholesky):
        row, column = torch.tril_indices(*kind.shape, -1)
        free = lambda u: kind.value(u)[row, column]  # noqa: E731
    else:
        free = lambda u: kind.value(u).reshape(-1)  # noqa: E731
    return torch.linalg.slogdet(torch.autograd.functional.jacobian(free, u)).logabsdet.item()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(prior, n, seed=0):
    return 0.7 * torch.randn(n, prior.dim, generator=generator(seed), dtype=F64)


def check_densities(name):
    """Against scipy, together and one by one, and the score against finite differences."""
    prior = targets.Prior(MODELS[name])
    x = points(prior, 6)
    expected = []
    for point in x:
        values = {key: value.numpy() for key, value in prior.constrain(point).items()}
        cut = dict(zip(prior.parameters, point.split([kind.size for kind in prior.parameters.values()]), strict=True))
        volume = sum(log_volume(kind, cut[key]) for key, kind in prior.parameters.items())
        expected.append(DENSITIES[name](**values) + volume)
    expected = torch.tensor(expected, dtype=F64)
    torch.testing.assert_close(prior.log_prob(x), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.stack([prior.log_prob(point) for point in x]), expected, rtol=1e-10, atol=1e-10)
    steps = 1e-5 * torch.eye(prior.dim, dtype=F64)
    slope = (prior.log_prob(x[0] + steps) - prior.log_prob(x[0] - steps)) / 2e-5
    torch.testing.assert_close(prior.score(x[0]), slope, rtol=1e-6, atol=1e-6)


# Draws: each conditional distribution function at the draw is uniform, and independent of the others


def uniforms_of_schools(mu, tau, theta):
    return [
        stats.norm(0, 5).cdf(mu),
        stats.halfcauchy(scale=5).cdf(tau),
        stats.norm(mu[:, None], tau[:, None]).cdf(theta),
    ]


def uniforms_of_slopes(mean, scale, width, corr, beta):
    covariance = scale[:, :, None] * corr
    whitened = np.linalg.solve(covariance[:, None], (beta - mean[:, None])[..., None])[..., 0]
    return [
        stats.norm(0, 2).cdf(mean),
        stats.halfnorm(scale=width[:, None]).cdf(scale),
        stats.gamma(3, scale=0.5).cdf(width),
        stats.beta(1.5, 1.5).cdf((1 + corr[:, 1, 0]) / 2),
        stats.norm.cdf(whitened),
    ]


def uniforms_of_levels(town, spread, noise, school, pupil):
    return [
        stats.norm(1, 2).cdf(town),
        stats.halfnorm(scale=1.5).cdf(spread),
        stats.halfnorm(scale=2 * spread).cdf(noise),
        stats.norm(town[:, None], spread[:, None]).cdf(school),
        stats.norm(school[:, GROUP][:, :, None], noise[:, None, None]).cdf(pupil),
    ]


def uniforms_of_bounded(share, k, rate, cut):
    a, b = (share * k)[:, None], ((1 - share) * k)[:, None]
    return [
        stats.beta(2, 3).cdf(share),
        stats.gamma(4).cdf(k),
        stats.beta(a, b).cdf(rate),
        stats.beta(k, 2 * k).cdf(cut[:, 0]),
        stats.beta(k, k).cdf(cut[:, 1] / (1 - cut[:, 0])),
    ]


def uniforms_of_scaled(shift, unit, size):
    return [
        stats.norm(0, 1).cdf(shift),
        stats.lognorm(0.5, scale=np.exp(shift)).cdf(unit),
        stats.gamma(2, scale=unit[:, None]).cdf(size),
    ]


UNIFORMS = {
    "scaled": uniforms_of_scaled,
    "schools": uniforms_of_schools,
    "slopes": uniforms_of_slopes,
    "slopes by vmap": uniforms_of_slopes,
    "levels": uniforms_of_levels,
    "bounded": uniforms_of_bounded,
}


def check_draws(name):
    """Kolmogorov-Smirnov of every conditional distribution function and of sums and products of their normal scores."""
    prior = targets.Prior(MODELS[name])
    n = 500 if "vmap" in name else 3000
    values = {key: value.numpy() for key, value in prior.constrain(prior.sample(n, generator=generator(3))).items()}
    with np.errstate(all="ignore"):  # of draws that are wrong
        u = np.concatenate([part.reshape(n, -1) for part in UNIFORMS[name](**values)], -1)
    assert ((u > 0) & (u < 1)).all(), name
    z = stats.norm.ppf(u)
    p = [stats.kstest(column, "uniform").pvalue for column in u.T]
    p += [stats.kstest(z.sum(-1) / math.sqrt(z.shape[1]), "norm").pvalue]  # of independent ones: normal again
    p += [stats.kstest((z[:, i] - z[:, i - 1]) / math.sqrt(2), "norm").pvalue for i in range(z.shape[1])]
    # of points that are drawn one after another
    p += [stats.kstest((z[1::2] - z[::2])[:, i] / math.sqrt(2), "norm").pvalue for i in range(z.shape[1])]
    assert min(p) * len(p) > 1e-5, f"{name}: smallest of {len(p)} p-values {min(p):.2g}"


def check_mass():
    """By quadrature, in which t = theta / tau and so on have the widths of one: the integral of a prior is 1."""
    pair = targets.Prior({"theta": Real(prior=lambda tau: Normal(0.0, tau)), "tau": Positive(prior=HalfNormal(2.0))})
    u, z = torch.linspace(-45.0, 5.0, 2001, dtype=F64), torch.linspace(-9.0, 9.0, 121, dtype=F64)
    u, z = torch.meshgrid(u, z, indexing="ij")
    at = torch.stack([(z * u.exp()), u], -1)
    mass = (pair.log_prob(at) + u).exp().sum().item() * (50 / 2000) * (18 / 120)
    assert abs(math.log(mass)) < 1e-10
    rates = targets.Prior({"g": Positive(prior=lambda r: Gamma(3.0, r)), "r": Positive(prior=Gamma(5.0, 2.0))})
    w, v = torch.meshgrid(*(torch.linspace(-14.0, 6.0, 1001, dtype=F64) for _ in range(2)), indexing="ij")
    mass = rates.log_prob(torch.stack([w - v, v], -1)).exp().sum().item() * (20 / 1000) ** 2
    assert abs(math.log(mass)) < 1e-10
