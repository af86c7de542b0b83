"""Posteriors of the calibration benchmark whose evidence is exact; as in `_calibration_densities`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from _calibration_densities import LOG_2PI, Known, double, function, gamma_draws, randn, x_moments
from scipy import integrate, special
from torch import Generator, Tensor

import targets
from targets import Moments


def regression(points: int = 40, features: int = 6) -> Known:
    """Linear regression with unknown noise, y ~ N(X b, s^2), b ~ N(0, s^2 v I), s^2 ~ inverse Gamma(a, c),

    x = (b, log s);   log Z = log of the Student t density of y with 2a degrees of freedom, location 0 and
    scale matrix c/a (I + v X X')
    """
    generator = Generator().manual_seed(11)
    matrix = randn(points, features, generator=generator)
    matrix[:, 1] = matrix[:, 0] + 0.1 * matrix[:, 1]  # nearly the same feature twice
    y = matrix @ double([1.0, -0.5, 0.0, 2.0, 0.3, 0.0][:features]) + 0.7 * randn(points, generator=generator)
    a, c, v, dim = 2.0, 1.0, 4.0, features + 1
    precision = matrix.mT @ matrix + torch.eye(features, dtype=torch.float64) / v

    def log_prob(x: Tensor) -> Tensor:
        b, log_s = x[:, :-1], x[:, -1]
        # |y - X b|^2 + |b|^2 / v
        square = y @ y + (b * (b @ precision - 2 * matrix.mT @ y)).sum(-1)
        value = -0.5 * square * (-2 * log_s).exp() - (points + features) * (log_s + 0.5 * LOG_2PI)
        # the density of s^2 times |d s^2 / d log s| = 2 s^2
        prior = a * math.log(c) - math.lgamma(a) - 2 * a * log_s - c * (-2 * log_s).exp() + math.log(2)
        return value - 0.5 * features * math.log(v) + prior

    centre = torch.linalg.solve(precision, matrix.mT @ y)
    a_n, c_n = a + points / 2, c + 0.5 * float(y @ y - centre @ precision @ centre)
    log_z = (
        -0.5 * points * LOG_2PI - 0.5 * features * math.log(v) - 0.5 * float(torch.logdet(precision))
        + a * math.log(c) - a_n * math.log(c_n) + math.lgamma(a_n) - math.lgamma(a)
    )  # fmt: skip
    inverse = torch.linalg.inv(precision)

    def draw(n: int, generator: Generator) -> Tensor:
        variance = c_n / gamma_draws(double([a_n]), n, generator)
        noise = randn(n, features, generator=generator) @ torch.linalg.cholesky(inverse).mT
        return torch.cat([centre + variance.sqrt() * noise, 0.5 * variance.log()], -1)

    log_s = 0.5 * (math.log(c_n) - special.digamma(a_n)), 0.5 * math.sqrt(special.polygamma(1, a_n))
    moments = x_moments(
        [*centre.tolist(), log_s[0]], [*(c_n / (a_n - 1) * inverse.diagonal()).sqrt().tolist(), log_s[1]]
    )
    return Known(function("regression", dim, log_prob), log_z, draw=draw, moments=moments)


def gaussian_process(points: int = 20, length: float = 0.15, noise: float = 0.2) -> Known:
    """Values f ~ N(0, K) at `points` places in [0, 1], y ~ N(f, noise^2), not whitened; K_ij squared exponential.

    log Z = log N(y; 0, K + noise^2 I)
    """
    at = torch.linspace(0, 1, points, dtype=torch.float64)
    kernel = (-0.5 * ((at[:, None] - at) / length).square()).exp() + 1e-4 * torch.eye(points, dtype=torch.float64)
    y = (6 * at).sin() + noise * randn(points, generator=Generator().manual_seed(12))
    eye = torch.eye(points, dtype=torch.float64)
    prior = targets.Gaussian(torch.zeros(points, dtype=torch.float64), covariance=kernel)
    likelihood = targets.Gaussian(y, noise)
    evidence = targets.Gaussian(torch.zeros(points, dtype=torch.float64), covariance=kernel + noise**2 * eye)
    gain = torch.linalg.solve(kernel + noise**2 * eye, kernel)
    mean, covariance = gain.mT @ y, kernel - kernel @ gain
    posterior = targets.Gaussian(mean, covariance=0.5 * (covariance + covariance.mT))
    density = function("gaussian-process", points, lambda f: prior.log_prob(f) + likelihood.log_prob(f))
    return Known(
        density,
        float(evidence.log_prob(y)),
        draw=lambda n, generator: posterior.sample(n, generator=generator),
        moments={"x": Moments(posterior.mean, posterior.covariance.diagonal().sqrt())},
    )


def dirichlet(counts: tuple[int, ...] = (30, 12, 5, 2, 1, 0, 0), concentration: float = 0.5) -> Known:
    """Shares p ~ Dirichlet(concentration), counts ~ multinomial (without its coefficient), in stick coordinates.

    Z = B(concentration + counts) / B(concentration)
    """
    prior = torch.full((len(counts),), concentration, dtype=torch.float64)
    after = prior + double(counts)
    seen = [j for j, count in enumerate(counts) if count]  # 0 log 0 is not a number

    def log_beta(alpha: Tensor) -> float:
        return float(alpha.lgamma().sum() - alpha.sum().lgamma())

    target = targets.Posterior(
        log_likelihood=lambda p: (double(counts)[seen] * p[:, seen].log()).sum(-1),
        parameters={"p": targets.Simplex(len(counts), prior=torch.distributions.Dirichlet(prior))},
        name="dirichlet",
    )

    def draw(n: int, generator: Generator) -> Tensor:
        sizes = gamma_draws(after, n, generator)
        return target.unconstrain({"p": sizes / sizes.sum(-1, keepdim=True)})

    total = after.sum()
    mean = after / total
    moments = {"p": Moments(mean, (mean * (1 - mean) / (total + 1)).sqrt())}
    return Known(target, log_beta(after) - log_beta(prior), draw=draw, moments=moments)


def rates(counts: tuple[int, ...] = (0, 1, 4, 20, 100), shape: float = 0.5, exposure: float = 2.0) -> Known:
    """Rates r_j ~ Gamma(shape, 1), counts_j ~ Poisson(exposure r_j), in the coordinates log r_j.

    Z = prod_j exposure^counts_j Gamma(shape + counts_j) / (counts_j! Gamma(shape) (1 + exposure)^(shape + counts_j))
    """
    y = double(counts)
    after = shape + y
    log_z = (
        y * math.log(exposure) + after.lgamma() - (y + 1).lgamma() - math.lgamma(shape) - after * math.log1p(exposure)
    ).sum()

    def log_prob(x: Tensor) -> Tensor:
        prior = shape * x - x.exp() - math.lgamma(shape)
        return (prior + y * (x + math.log(exposure)) - exposure * x.exp() - (y + 1).lgamma()).sum(-1)

    def draw(n: int, generator: Generator) -> Tensor:
        return (gamma_draws(after, n, generator) / (1 + exposure)).log()

    moments = x_moments(after.digamma() - math.log1p(exposure), torch.polygamma(1, after).sqrt())
    return Known(function("rates", len(counts), log_prob), float(log_z), draw=draw, moments=moments)


def shares(a: tuple[float, ...] = (0.5, 1.0, 3.0, 40.0), b: tuple[float, ...] = (0.5, 5.0, 1.0, 60.0)) -> Known:
    """Bounded ones: log p = sum_j (a_j - 1) log v_j + (b_j - 1) log(1 - v_j), v_j in (0, 1) by the logistic map.

    Z = prod_j B(a_j, b_j)
    """
    at, bt = double(a), double(b)

    def log_prob(x: Tensor) -> Tensor:
        logsigmoid = torch.nn.functional.logsigmoid
        return (at * logsigmoid(x) + bt * logsigmoid(-x)).sum(-1)

    def draw(n: int, generator: Generator) -> Tensor:
        return gamma_draws(at, n, generator).log() - gamma_draws(bt, n, generator).log()

    log_z = (at.lgamma() + bt.lgamma() - (at + bt).lgamma()).sum()
    sd = (torch.polygamma(1, at) + torch.polygamma(1, bt)).sqrt()
    moments = x_moments(at.digamma() - bt.digamma(), sd)
    return Known(function("shares", len(a), log_prob), float(log_z), draw=draw, moments=moments)


def cauchy_location(y: tuple[float, ...] = (-6.2, -5.1, -4.9, 3.8, 5.0, 6.3)) -> Known:
    """A location m ~ N(0, 10^2) of Cauchy(m, 1) data in two clumps: log Z by quadrature on [-60, 60]."""
    data, spread = np.array(y), 10.0

    def log_joint(m: Tensor) -> Tensor:
        prior = -0.5 * (m[:, 0] / spread).square() - math.log(spread) - 0.5 * LOG_2PI
        return prior - (math.pi * (1 + (double(y) - m).square())).log().sum(-1)

    def joint(m: float) -> float:
        prior = math.exp(-0.5 * (m / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
        return prior * float(np.prod(1 / (np.pi * (1 + (data - m) ** 2))))

    def over(g: Callable[[float], float]) -> tuple[float, float]:
        return integrate.quad(g, -60, 60, points=sorted(y), limit=500, epsabs=0, epsrel=1e-10)

    z, error = over(joint)
    mean = over(lambda m: (m + 100) * joint(m))[0] / z - 100  # moved, so that no integral is near 0
    square = over(lambda m: (m - mean) ** 2 * joint(m))[0] / z
    moments = x_moments([mean], [math.sqrt(square)])
    return Known(function("cauchy-location", 1, log_joint), math.log(z), moments=moments, accuracy=max(error / z, 1e-9))
