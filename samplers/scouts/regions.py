"""Ellipsoids around the ends of paths uphill, and the mass of a target in each, from nothing but the target.

    E_k = {x : |L_k^-1 (x - m_k)|^2 <= r^2}
    mass_k = integral over E_k of gamma = E_g[gamma(x) / g(x)],   g = N(m_k, L_k L_k') cut off at E_k

r^2 is the quantile of chi^2(dim) below which INSIDE of the Gaussian lies. The estimate is unbiased whatever the shape
of gamma in E_k, and is above e^b mass_k with probability e^-b at most: what is found is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import chi2
from torch import Generator, Tensor

from targets import Target

INSIDE = 0.9
ROWS = 2**22  # numbers in one block of differences
UNSURE = 3.0  # standard errors by which a mass is taken to be smaller
FIRM = 0.5  # relative standard error of a mass that can be relied on
KNOWN, TRIFLE = 0.5, 0.02  # of the mass of a region in another one: what this must have met; what it may lack


@dataclass(frozen=True, eq=False)
class Regions:
    """means (K, dim), factors (K, dim, dim) lower triangular, in float64; captures (K,): how many paths ended in each.

    log_mass (K,): estimates; error (K,): their relative standard errors. points (K, m, dim) of the estimate, with
    their log weights (K, m), of which log_mass is the log mean.
    """

    means: Tensor
    factors: Tensor
    captures: Tensor
    log_mass: Tensor
    error: Tensor
    points: Tensor
    log_weights: Tensor

    def __len__(self) -> int:
        return len(self.means)

    def inside(self, x: Tensor) -> Tensor:
        """Which of points (n, dim) lie in each ellipsoid, (n, K)."""
        return inside(x.double(), self.means, self.factors)

    def only(self, which: Tensor) -> Regions:
        """Those of an index or mask (K,)."""
        values = (getattr(self, name)[which] for name in self.__dataclass_fields__)
        return Regions(*values)

    def joined(self, other: Regions) -> Regions:
        """These and others."""
        return Regions(*(torch.cat([getattr(self, n), getattr(other, n)]) for n in self.__dataclass_fields__))

    def alone(self) -> Tensor:
        """Which of the points (K, m) lie in no region before their own."""
        found = torch.ones(self.points.shape[:2], dtype=torch.bool, device=self.points.device)
        for k in range(1, len(self)):
            found[k] = ~self.only(torch.arange(k, device=found.device)).inside(self.points[k]).any(1)
        return found

    def total(self) -> tuple[float, float]:
        """log of the mass in any of them, and its relative standard error; (-infinity, infinity) of none."""
        if not len(self):
            return -math.inf, math.inf
        volume = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        first = self.only(volume.argsort())  # of two that overlap the smaller one's points are the denser
        scale = float(first.log_mass.max())
        values = torch.where(first.alone(), (first.log_weights - scale).exp(), 0.0)
        mass, variance = float(values.mean(1).sum()), float(values.var(1).sum()) / values.shape[1]
        return (scale + math.log(mass), math.sqrt(variance) / mass) if mass > 0 else (-math.inf, math.inf)

    def draws(self, k: int, n: int, generator: Generator) -> Tensor:
        """n points (n, dim) of region k, in proportion to their weights."""
        chosen = torch.multinomial(self.log_weights[k].softmax(0), n, True, generator=generator)
        return self.points[k, chosen]


def radius_square(dim: int) -> float:
    """The quantile of chi^2(dim) that bounds the ellipsoids."""
    return float(chi2.ppf(INSIDE, dim))


def squares(x: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """|L^-1 (x - m)|^2 of points (n, dim), (K, n)."""
    away = (x[None] - means[:, None]).mT  # (K, dim, n)
    return torch.linalg.solve_triangular(factors, away, upper=False).square().sum(1)


def inside(x: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """Whether |L^-1 (x - m)|^2 <= r^2, (n, K)."""
    limit, dim = radius_square(x.shape[1]), x.shape[1]
    found = []
    for part in x.split(max(1, ROWS // (dim * max(1, len(means))))):
        found.append((squares(part, means, factors) <= limit).mT)
    return torch.cat(found) if found else x.new_zeros((0, len(means)), dtype=torch.bool)


def distinct(
    means: Tensor,
    factors: Tensor,
    value: Tensor,
    least: float,
    most: int,
    own: Callable[[int, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Indices of ellipsoids of which none holds a later one's centre, in falling order of `value` (n,), and how many
    each stands for; values further than `least` below the highest are left out.

    own: of an ellipsoid and others (k,) whose centres it holds, which of these are kept all the same, (k,): a narrow
    mode inside a wide ellipsoid.
    """
    value = torch.where(value.isfinite(), value, -torch.inf)
    left = (value > value.max() + least).nonzero()[:, 0]
    left = left[value[left].argsort(descending=True)]
    kept: list[int] = []
    captures: list[int] = []
    while len(left) and len(kept) < most:
        first = int(left[0])
        here = inside(means[left], means[left[:1]], factors[left[:1]])[:, 0]
        here[0] = False
        held = here.nonzero()[:, 0]
        if own is not None:
            here[held[own(first, left[held])]] = False
        here[0] = True
        kept.append(first)
        captures.append(int(here.sum()))
        left = left[~here]
    return torch.tensor(kept, dtype=torch.long, device=means.device), torch.tensor(captures, device=means.device)


def overlooked(found: Regions, first: int, other: Regions, held: Tensor) -> Tensor:
    """Which of other regions (k,), whose centres the first of those found holds, have mass that it does not know of.

    Its own points in such a region make up less than half of the region's mass, and that is no trifle beside its own.
    """
    if not len(held):
        return torch.zeros(0, dtype=torch.bool, device=held.device)
    there = inside(found.points[first], other.means[held], other.factors[held])  # (m, k)
    weights = found.log_weights[first][:, None]
    met = torch.where(there, weights, -torch.inf).logsumexp(0) - math.log(len(weights))
    sure = other.log_mass[held] - UNSURE * other.error[held]
    return (
        (other.error[held] < FIRM) & (sure > met - math.log(KNOWN)) & (sure > found.log_mass[first] + math.log(TRIFLE))
    )


def curvature(target: Target, x: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Factors (K, dim, dim) of the inverse of minus the Hessian of log gamma at x (K, dim), and where it is positive
    definite (K,). It is taken by central differences of the score; spread (K, dim): the unit of their steps."""
    count, dim = x.shape
    size = torch.finfo(target.dtype).eps ** (1 / 3) * spread
    shift = torch.diag_embed(size)  # (K, dim, dim): one coordinate a row
    up, down = (x[:, None] + s * shift for s in (1, -1))
    points = torch.stack([down, up]).reshape(-1, dim).to(target.dtype)
    change = target.log_prob_and_score(points)[1].double().reshape(2, count, dim, dim)
    hessian = (change[0] - change[1]) / (2 * size[..., None])
    hessian = 0.5 * (hessian + hessian.mT)
    hessian = torch.where(hessian.isfinite(), hessian, 0.0)
    factor, failed = torch.linalg.cholesky_ex(hessian)
    factor = torch.where((failed == 0)[:, None, None], factor, torch.eye(dim).to(factor))
    inverse, worse = torch.linalg.cholesky_ex(torch.cholesky_inverse(factor))
    return inverse, (failed == 0) & (worse == 0)


def measured(target: Target, means: Tensor, factors: Tensor, captures: Tensor, n: int, generator: Generator) -> Regions:
    """The regions with their masses from n points in each; where the density is undefined there is none."""
    count, dim = means.shape
    z = torch.randn((count, n, dim), generator=generator, dtype=torch.float64, device=means.device)
    u = torch.rand((count, n, 1), generator=generator, dtype=torch.float64, device=means.device)
    length = torch.as_tensor(chi2.ppf(INSIDE * u.cpu().numpy(), dim)).to(u).sqrt()
    z = z / z.norm(dim=-1, keepdim=True) * length
    x = means[:, None] + z @ factors.mT
    values = torch.cat([target.log_prob(part.to(target.dtype)) for part in x.reshape(-1, dim).split(ROWS // dim + 1)])
    values = values.double().reshape(count, n)
    log_g = -0.5 * z.square().sum(-1) - 0.5 * dim * math.log(2 * math.pi) - math.log(INSIDE)
    log_g = log_g - factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)[:, None]
    log_w = torch.where(values < torch.inf, values - log_g, -torch.inf)
    log_mass = log_w.logsumexp(1) - math.log(n)
    ratio = torch.where(log_w == -torch.inf, 0.0, (log_w - log_mass[:, None]).exp())
    return Regions(means, factors, captures, log_mass, ratio.std(1) / math.sqrt(n), x, log_w)
