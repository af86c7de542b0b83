"""The denoiser of densities in one or two dimensions: integrals over a grid, by the trapezoid rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate, Finding, Held, Memory, settle
from samplers.denoisers.grid_cache import GridCache
from samplers.denoisers.lattice import OPEN, Separable, Weights, around, whole
from targets import Noise, Target
from targets.arguments import as_double, check_integer, positive
from targets.counting import Counted

POINTS, MORE = 21, 61  # of a lattice around a measurement; of a second, where the first does not hold and resolve it
ROWS = 1 << 22  # numbers held at once


@dataclass(frozen=True, eq=False)
class Quadrature(Finding[GridCache]):
    """Sums over a grid of points x_i with cells of area h, in one or two dimensions:

        phi(y) = log sum_i h gamma(x_i) N(y; x_i, C),     E[X | y] = sum_i x_i gamma(x_i) N(y; x_i, C) / sum_i ...

    gamma is evaluated once on a grid that covers its mass (`samplers.denoisers.grid`), laid along the
    principal axes of correlated noise, and all measurements are then answered by two matrix products. For noise of
    less than 2.5 spacings of the finest grid, and beyond the grid, gamma is evaluated on a lattice around each
    measurement instead, of 21 points an axis or, where these do not resolve p(x | y), 61.

    low, high: corners of the box, numbers or (dim,); found where None. points: of the grid along each axis; None: as
    many as it takes, at most 1024 x 1024 or 65536. tolerance: how much mass and mean may change when every second point
    is left out; the error of the whole grid is about its square, and below 1e-8 for smooth densities at the default. A
    density with jumps or kinks asks for a greater one. What lies outside a given box is not seen.

    `draw`: independence Metropolis, `moves` steps after the first proposal, from the density that interpolates the
    weights linearly. Where the weights resolve p(x | y) that density is at least p(x | y) / 1.2 everywhere, and the law
    of a draw is off by less than 6^-moves in total variation. moves + 1 log-densities a draw.

    ValueError where no grid covers or resolves the mass. trusted: False for measurements around which no lattice holds
    and resolves p(x | y). Densities in float32 limit the error to 1e-6.

        >>> from samplers.denoisers import ClosedForm, Quadrature
        >>> target, noise = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5), targets.IsotropicNoise(2.0)
        >>> y = torch.tensor([[1.0], [-2.0]])
        >>> found, exact = (kind.estimate(target, y, noise) for kind in (Quadrature(), ClosedForm()))
        >>> bool((found.mean - exact.mean).abs().max() < 1e-5)
        True
    """

    low: float | Sequence[float] | None = None
    high: float | Sequence[float] | None = None
    points: int | None = None
    tolerance: float = 1e-6
    moves: int = 8

    exact: ClassVar[bool] = True
    density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("low, high: got only one of the two, expected both or none")
        if self.points is not None:
            check_integer(self.points, "points", 8)
        check_integer(self.moves, "moves", 0)
        positive(self.tolerance, "tolerance")

    def check(self, target: Target, noise: Noise) -> None:
        noise.check(target.dim)
        if target.discrete or target.dim > 2:
            kind = "a discrete one" if target.discrete else f"dimension {target.dim}"
            raise ValueError(f"target: got {kind}, expected a density in one or two dimensions for quadrature")

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        cache = self.found(target, noise)
        z, variances = cache.measured(y, noise)
        mean = torch.empty_like(z)
        log_density = torch.empty_like(z[:, 0])
        trusted = torch.ones(len(y), dtype=torch.bool, device=y.device)
        for rows, weights, believed in parts(target, cache, z, variances):
            mean[rows], log_density[rows], trusted[rows] = weights.mean, weights.total, believed
        trusted |= ~y.isfinite().all(-1)  # such a measurement has no estimate, and no better one elsewhere
        log_density -= noise.log_normaliser(target.dim)
        found = Estimate(cache.original(mean).to(y), log_density.to(y))
        if bool(trusted.all()):
            return found
        return replace(found, trusted=trusted, ess=torch.where(trusted, torch.inf, 0.0).to(torch.float64))

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        cache = self.found(target, noise)
        z, variances = cache.measured(y, noise)
        drawn = torch.empty_like(z)
        for rows, weights, _ in parts(target, cache, z, variances):
            places, log_q = weights.propose(self.moves + 1, generator)
            away = places - z[rows, None]
            ratio = cache.log_gamma(target, places) - 0.5 * (away.square() / variances).sum(-1) - log_q
            uniform = torch.rand(ratio.shape, generator=generator, dtype=torch.float64, device=y.device)
            current, value = places[:, 0], ratio[:, 0]
            for step in range(1, self.moves + 1):
                accepted = uniform[:, step].log() < ratio[:, step] - value
                current = torch.where(accepted[:, None], places[:, step], current)
                value = torch.where(accepted, ratio[:, step], value)
            drawn[rows] = current
        return cache.original(drawn).to(y)

    def find(self, target: Counted, noise: Noise) -> GridCache:
        return GridCache.find(target, noise, self._box(target), self.points, self.tolerance)

    def serves(self, held: Held[GridCache], noise: Noise) -> bool:
        return held.found.serves(noise)

    def _box(self, target: Target) -> tuple[Tensor, Tensor] | None:
        if self.low is None or self.high is None:
            return None
        low, high = self._corner(self.low, target, "low"), self._corner(self.high, target, "high")
        if not bool((low < high).all()):
            raise ValueError(f"low, high: got {self.low} and {self.high}, expected low < high")
        return low, high

    def _corner(self, value: float | Sequence[float], target: Target, name: str) -> Tensor:
        corner = as_double(value, name).to(target.device)
        if corner.shape not in ((), (target.dim,)):
            raise ValueError(f"{name}: got shape {tuple(corner.shape)}, expected a number or ({target.dim},)")
        return corner.expand(target.dim).clone()


def parts(target: Target, cache: GridCache, z: Tensor, variances: Tensor) -> Iterator[tuple[Tensor, Weights, Tensor]]:
    """Rows, their weights on the lattice that serves them, and whether these are believed.

    What comes later replaces what came before.
    """
    grid = cache.grid_for(variances)
    settle(target, cache.spent)
    rows = torch.arange(len(z), device=z.device)
    if grid is not None:
        low, high = grid.low, grid.low + grid.spacing * (torch.tensor(grid.log_gamma.shape, device=z.device) - 1)
        beyond, sound = ((z < low) | (z > high)).any(-1), z.isfinite().all(-1)
        lost, elsewhere = [rows[:0]], [rows[:0]]
        for some in _split(rows, ROWS // sum(grid.log_gamma.shape)):
            weights: Weights = Separable(grid, z[some], 1 / variances)
            yield some, weights, torch.ones_like(some, dtype=torch.bool)
            lost.append(some[weights.lost & ~beyond[some] & sound[some]])
            elsewhere.append(some[torch.where(weights.lost, beyond[some], weights.edge > OPEN)])
        for some in _split(torch.cat(lost), ROWS // grid.log_gamma.numel()):
            weights = whole(grid, z[some], variances)
            yield some, weights, weights.edge <= OPEN
        rows = torch.cat(elsewhere)
    for points in (POINTS, MORE):
        left = [rows[:0]]
        for some in _split(rows, ROWS // (2 * points**cache.dim)):
            weights, good = around(partial(cache.log_gamma, target), cache.dim, z[some], variances, points)
            yield some, weights, good
            left.append(some[~good & z[some].isfinite().all(-1)])
        rows = torch.cat(left)


def _split(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Parts of that size at most; no part of no rows."""
    return rows.split(max(1, size)) if len(rows) else ()
