"""Densities of the calibration benchmark that the library has no name for, each with its exact log Z.

A function here returns a `Known`: the density beside log Z, exact draws and moments, from the formula in its docstring.
All are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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


def x_moments(mean: Any, sd: Any) -> dict[str, Moments]:
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
    return Known(density, log_z, draw=draw, moments=None if sd is None else x_moments(torch.zeros(dim), sd))


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
    moments = x_moments((1 - share) * centre, variance.sqrt())
    return Known(function("light-and-heavy", dim, log_prob), 0.0, draw=draw, moments=moments)


def laplace(dim: int = 10) -> Known:
    """log p = -sum_i |x_i|: a kink at the mode, exponential tails.    Z = 2^dim"""

    def draw(n: int, generator: Generator) -> Tensor:
        uniform = torch.rand(n, dim, generator=generator, dtype=torch.float64) - 0.5
        return -uniform.sign() * torch.log1p(-2 * uniform.abs())

    density = function("laplace", dim, lambda x: -x.abs().sum(-1))
    moments = x_moments(torch.zeros(dim), torch.full((dim,), math.sqrt(2)))
    return Known(density, dim * math.log(2), draw=draw, moments=moments)


def flat_top(dim: int = 5, power: int = 8) -> Known:
    """log p = -sum_i x_i^power: nearly uniform on a cube.    Z = (2 Gamma(1 + 1/power))^dim"""

    def draw(n: int, generator: Generator) -> Tensor:
        size = gamma_draws(torch.full((dim,), 1 / power, dtype=torch.float64), n, generator) ** (1 / power)
        return torch.where(torch.rand(n, dim, generator=generator) < 0.5, -size, size)

    variance = math.exp(math.lgamma(3 / power) - math.lgamma(1 / power))
    density = function("flat-top", dim, lambda x: -x.pow(power).sum(-1))
    moments = x_moments(torch.zeros(dim), torch.full((dim,), math.sqrt(variance)))
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
    moments = x_moments(torch.zeros(dim), torch.full((dim,), math.sqrt(square / dim)))
    log_z = surface + (dim - 1) * math.log(radius) + math.log(ring)
    return Known(density, log_z, moments=moments, accuracy=max(error / ring, 1e-10))
