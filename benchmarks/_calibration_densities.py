"""Densities of the calibration benchmark that the library has no name for, each with its exact log Z.

A function here returns a `Known`: the density beside log Z, exact draws and moments, from the formula in its docstring.
All are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import integrate, special
from torch import Generator, Tensor

import targets
from targets import Moments

LOG_2PI = math.log(2 * math.pi)
Draw = Callable[[int, Generator], Tensor]


class Known(targets.Target):
    """A density with what is exactly known of it: log Z, draws `draw(n, generator)`, moments of its variables.

    accuracy: of log Z where it is by quadrature, else 0.
    """

    def __init__(
        self,
        density: targets.Target,
        log_z: float,
        *,
        draw: Draw | None = None,
        moments: dict[str, Moments] | None = None,
        accuracy: float = 0.0,
    ) -> None:
        super().__init__(density.dim, dtype=density.dtype, name=density.name)
        self.density, self.accuracy = density, accuracy
        self._log_z, self._draw, self._moments = float(log_z), draw, moments

    def log_prob(self, x: Tensor) -> Tensor:
        return self.density.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.density.log_prob_and_score(x)

    @property
    def _unknown(self) -> frozenset[str]:
        missing = {"sample": self._draw, "moments": self._moments}
        return frozenset(name for name, value in missing.items() if value is None)

    @property
    def log_z(self) -> float:
        return self._log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return super().sample(n, generator=generator) if self._draw is None else self._draw(n, generator)

    @property
    def moments(self) -> dict[str, Moments]:
        return super().moments if self._moments is None else self._moments

    @property
    def variables(self) -> dict[str, targets.Variable]:
        return self.density.variables

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self.density.constrain(x)


def function(name: str, dim: int, log_prob: Callable[[Tensor], Tensor]) -> targets.Target:
    """A density given as a function of points (n, dim)."""
    return targets.LogDensity(log_prob, dim, dtype=torch.float64, name=name)


def double(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def randn(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gamma_draws(shape: Tensor, n: int, generator: Generator) -> Tensor:
    """n draws of independent Gamma(shape, 1), (n, len(shape)): inverse distribution function of uniforms."""
    uniform = torch.rand(n, len(shape), generator=generator, dtype=torch.float64).clamp_min(2.0**-54)
    return torch.from_numpy(special.gammaincinv(shape.numpy(), uniform.numpy()))


def _moments(mean: Any, sd: Any) -> dict[str, Moments]:
    return {"x": Moments(double(mean), double(sd))}


# Tails, ridges, shells


def student(dim: int, dof: float) -> Known:
    """The elliptical Student t: log p = -(dof + dim)/2 log(1 + |x|^2 / dof).

    Z = Gamma(dof/2) (dof pi)^(dim/2) / Gamma((dof + dim)/2)
    """

    def draw(n: int, generator: Generator) -> Tensor:
        chi2 = 2 * gamma_draws(double([dof / 2]), n, generator)
        return randn(n, dim, generator=generator) * (dof / chi2).sqrt()

    log_z = math.lgamma(dof / 2) - math.lgamma((dof + dim) / 2) + 0.5 * dim * math.log(dof * math.pi)
    sd = torch.full((dim,), math.sqrt(dof / (dof - 2))) if dof > 2 else None
    density = function("student", dim, lambda x: -0.5 * (dof + dim) * (x.square().sum(-1) / dof).log1p())
    return Known(density, log_z, draw=draw, moments=None if sd is None else _moments(torch.zeros(dim), sd))


def light_and_heavy(dim: int = 6, share: float = 0.7, apart: float = 6.0, dof: float = 3.0) -> Known:
    """share N(0, I) + (1 - share) t_dof(centre), the centre `apart` from 0 along the first axis. Normalised."""
    heavy, centre = student(dim, dof), torch.zeros(dim, dtype=torch.float64)
    centre[0] = apart
    light, rest = math.log(share) - 0.5 * dim * LOG_2PI, math.log(1 - share) - heavy.log_z

    def log_prob(x: Tensor) -> Tensor:
        return torch.logaddexp(light - 0.5 * x.square().sum(-1), rest + heavy.density.log_prob(x - centre))

    def draw(n: int, generator: Generator) -> Tensor:
        in_light = torch.rand(n, 1, generator=generator, dtype=torch.float64) < share
        return torch.where(in_light, randn(n, dim, generator=generator), centre + heavy.sample(n, generator=generator))

    variance = torch.full((dim,), share + (1 - share) * dof / (dof - 2), dtype=torch.float64)
    variance[0] += share * (1 - share) * apart**2
    moments = _moments((1 - share) * centre, variance.sqrt())
    return Known(function("light-and-heavy", dim, log_prob), 0.0, draw=draw, moments=moments)


def laplace(dim: int = 10) -> Known:
    """log p = -sum_i |x_i|: a kink at the mode, exponential tails.    Z = 2^dim"""

    def draw(n: int, generator: Generator) -> Tensor:
        uniform = torch.rand(n, dim, generator=generator, dtype=torch.float64) - 0.5
        return -uniform.sign() * torch.log1p(-2 * uniform.abs())

    density = function("laplace", dim, lambda x: -x.abs().sum(-1))
    moments = _moments(torch.zeros(dim), torch.full((dim,), math.sqrt(2)))
    return Known(density, dim * math.log(2), draw=draw, moments=moments)


def flat_top(dim: int = 5, power: int = 8) -> Known:
    """log p = -sum_i x_i^power: nearly uniform on a cube.    Z = (2 Gamma(1 + 1/power))^dim"""

    def draw(n: int, generator: Generator) -> Tensor:
        size = gamma_draws(torch.full((dim,), 1 / power, dtype=torch.float64), n, generator) ** (1 / power)
        return torch.where(torch.rand(n, dim, generator=generator) < 0.5, -size, size)

    variance = math.exp(math.lgamma(3 / power) - math.lgamma(1 / power))
    density = function("flat-top", dim, lambda x: -x.pow(power).sum(-1))
    moments = _moments(torch.zeros(dim), torch.full((dim,), math.sqrt(variance)))
    return Known(density, dim * (math.log(2) + math.lgamma(1 + 1 / power)), draw=draw, moments=moments)


def rosenbrock(blocks: int = 2, length: int = 2, curvature: float = 2.5, width: float = 1.0) -> Known:
    """The hybrid Rosenbrock density (Pagani, Wiegand and Nadarajah 2022): `blocks` chains from one x_0,

    log p = -(x_0 - 1)^2 / (2 width^2) - curvature sum_j sum_i (x_ji - x_j,i-1^2)^2,     x_j0 = x_0
    Z = sqrt(2 pi) width (pi / curvature)^(blocks length / 2)
    """
    dim, sd = 1 + blocks * length, 1 / math.sqrt(2 * curvature)

    def log_prob(x: Tensor) -> Tensor:
        first, rest = x[:, :1], x[:, 1:].reshape(-1, blocks, length)
        before = torch.cat([first[:, None].expand(-1, blocks, 1), rest[..., :-1]], -1)
        bends = (rest - before.square()).square().sum((-1, -2))
        return -0.5 * ((first[:, 0] - 1) / width).square() - curvature * bends

    def draw(n: int, generator: Generator) -> Tensor:
        x = randn(n, dim, generator=generator)
        x[:, 0] = 1 + width * x[:, 0]
        for j in range(blocks):
            for i in range(length):
                at = 1 + j * length + i
                x[:, at] = x[:, at - 1 if i else 0].square() + sd * x[:, at]
        return x

    log_z = 0.5 * LOG_2PI + math.log(width) + 0.5 * (dim - 1) * math.log(math.pi / curvature)
    return Known(function("rosenbrock", dim, log_prob), log_z, draw=draw)


def shell(dim: int = 10, radius: float = 5.0, width: float = 0.1) -> Known:
    """log p = -(|x| - radius)^2 / (2 width^2).    Z = 2 pi^(dim/2) / Gamma(dim/2) INT r^(dim-1) exp(log p(r)) dr"""

    def integrand(r: float) -> float:
        return math.exp((dim - 1) * math.log(r / radius) - 0.5 * ((r - radius) / width) ** 2)

    low, high = radius - 12 * width, radius + 12 * width
    ring, error = integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-11)
    surface = math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(dim / 2)
    square = integrate.quad(lambda r: r * r * integrand(r), low, high, epsabs=0, epsrel=1e-11)[0] / ring
    density = function("shell", dim, lambda x: -0.5 * ((x.norm(dim=-1) - radius) / width).square())
    moments = _moments(torch.zeros(dim), torch.full((dim,), math.sqrt(square / dim)))
    log_z = surface + (dim - 1) * math.log(radius) + math.log(ring)
    return Known(density, log_z, moments=moments, accuracy=max(error / ring, 1e-10))


# Posteriors whose evidence is exact


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

    def log_prob(x: Tensor) -> Tensor:
        b, log_s = x[:, :-1], x[:, -1]
        square = (y - b @ matrix.mT).square().sum(-1) + b.square().sum(-1) / v
        value = -0.5 * square * (-2 * log_s).exp() - (points + features) * (log_s + 0.5 * LOG_2PI)
        # the density of s^2 times |d s^2 / d log s| = 2 s^2
        prior = a * math.log(c) - math.lgamma(a) - 2 * a * log_s - c * (-2 * log_s).exp() + math.log(2)
        return value - 0.5 * features * math.log(v) + prior

    precision = matrix.mT @ matrix + torch.eye(features, dtype=torch.float64) / v
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
    moments = _moments(
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

    moments = _moments(after.digamma() - math.log1p(exposure), torch.polygamma(1, after).sqrt())
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
    moments = _moments(at.digamma() - bt.digamma(), sd)
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
    moments = _moments([mean], [math.sqrt(square)])
    return Known(function("cauchy-location", 1, log_joint), math.log(z), moments=moments, accuracy=max(error / z, 1e-9))
