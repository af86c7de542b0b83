"""A regular grid that covers the mass of a density in one or two dimensions, found by looking for it.

1. Boxes around the origin, each four times as wide as the one before, are looked at on coarse grids.
2. From the highest points, and from the modes and the mean where the target states them, steps lead uphill.
3. The box around the tops of any weight grows and shrinks until all but e^-40 of the mass lies inside.
4. The grid is refined until leaving out every second point along an axis no longer changes mass and mean.

The trapezoid rule converges faster than any power of the spacing on smooth densities. A mode so narrow that no slope
leads there from the coarse grids, and that the target does not state, is not found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from targets import Target

REACH = tuple(4.0**k for k in range(8))  # half-widths of the boxes that are looked at: 1 .. 16384
LOOK = {1: 4096, 2: 256}  # points an axis
FIT = {1: 2048, 2: 128}
FIRST = {1: 256, 2: 64}
MOST = {1: 65536, 2: 1024}
DEPTH = 40.0  # nats below the largest mass of a top or a cell: what is left out
TOPS = 64  # starts uphill from each box
CLIMBS, FITTINGS = 60, 80
WIDEST = 1e9


class NoGrid(ValueError):
    """The mass of a density is not covered or not resolved by a grid."""


@dataclass(frozen=True, eq=False)
class Grid:
    """log gamma (k, l) at x = low + (i, j) * spacing, all in float64; in one dimension l = 1, and x_2 = 0.

    unresolved: the change of the mass, or of the mean in standard deviations, without every second point of each axis.
    """

    low: Tensor
    spacing: Tensor
    log_gamma: Tensor
    unresolved: list[float]

    def axis(self, i: int) -> Tensor:
        """The coordinates of the points along axis i."""
        steps = torch.arange(self.log_gamma.shape[i], dtype=torch.float64, device=self.low.device)
        return self.low[i] + self.spacing[i] * steps


def tabulate(target: Target, low: Tensor, high: Tensor, points: tuple[int, int]) -> Grid:
    """The density on a grid from low to high, (dim,); NoGrid where it is not a number."""
    dim = target.dim
    counts = torch.tensor(points[:dim], dtype=torch.float64, device=low.device)
    spacing = (high - low) / (counts - 1)
    values = _evaluate(target, _points(low, spacing, points[:dim])).reshape(points)
    if not bool((values < math.inf).all()):
        raise NoGrid(f"{target.name}: its log-density is infinite or not a number on a grid from {low.tolist()}")
    padding = (0, 2 - dim)
    low = torch.nn.functional.pad(low, padding)
    spacing = torch.nn.functional.pad(spacing, padding, value=1.0)
    return Grid(low, spacing, values, [_change(values, axis) for axis in range(dim)])


def refine(target: Target, low: Tensor, high: Tensor, tolerance: float) -> Grid:
    """The coarsest grid of 64 (256 in one dimension) times powers of two that resolves the density to `tolerance`."""
    dim = target.dim
    points = [FIRST[dim], FIRST[dim] if dim == 2 else 1]
    while True:
        grid = tabulate(target, low, high, (points[0], points[1]))
        coarse = [axis for axis in range(dim) if not grid.unresolved[axis] <= tolerance]
        if not coarse:
            return grid
        if any(points[axis] >= MOST[dim] for axis in coarse):
            raise NoGrid(
                f"{target.name}: a grid of {points[:dim]} points from {low.tolist()} to {high.tolist()} does not "
                f"resolve its mass: without every second point it changes by {max(grid.unresolved):.2g}, expected at "
                f"most {tolerance:g}"
            )
        for axis in coarse:
            points[axis] *= 2


def find_box(target: Target) -> tuple[Tensor, Tensor]:
    """Two corners (dim,) of a box that holds all cells of more than e^-40 of the largest mass; NoGrid without one."""
    tops, values = _climb(target, *_look(target))
    masses = values + target.dim * _widths(target, tops, values).log()
    best = masses.max() if len(masses) else torch.tensor(-math.inf)
    if not bool(best.isfinite()):
        raise NoGrid(f"{target.name}: no point with a finite log-density found within {REACH[-1]:g} of the origin")
    tops = tops[masses > best - DEPTH]
    low, high = tops.amin(0), tops.amax(0)
    least = 1e-6 * (1 + torch.maximum(low.abs(), high.abs()))
    low, high = low - least, high + least
    dim, count = target.dim, FIT[target.dim]
    for _ in range(FITTINGS):
        width = high - low
        if bool((width > WIDEST).any()):
            break
        spacing = width / (count - 1)
        x = _points(low, spacing, (count,) * dim)
        masses = _evaluate(target, x) + spacing.log().sum()
        best = torch.maximum(best, masses.max())
        inside = torch.cat([x[masses > best - DEPTH], tops])
        inner_low, inner_high = inside.amin(0), inside.amax(0)
        open_low, open_high = inner_low < low + spacing, inner_high > high - spacing
        # where mass reaches the edge, look further out; else leave the edge two points beyond it
        new_low = torch.where(open_low, low - width, inner_low - 2 * spacing)
        new_high = torch.where(open_high, high + width, inner_high + 2 * spacing)
        settled = not bool((open_low | open_high).any()) and bool((new_high - new_low > 0.9 * width).all())
        low, high = new_low, new_high
        if settled:
            return low, high
    raise NoGrid(f"{target.name}: its density does not fall to e^-{DEPTH:.0f} of its mass within any box")


def _look(target: Target) -> tuple[Tensor, Tensor]:
    """Points from which to climb (n, dim), and first steps (n,)."""
    dim, count = target.dim, LOOK[target.dim]
    found, steps = [], []
    for reach in REACH:
        low = torch.full((dim,), -reach, dtype=torch.float64, device=target.device)
        spacing = -2 * low / (count - 1)  # an even number of points leaves out the origin, often a singular point
        x = _points(low, spacing, (count,) * dim)
        values = _evaluate(target, x)
        image = values.reshape(1, *(count,) * dim)
        pool = torch.nn.functional.max_pool1d if dim == 1 else torch.nn.functional.max_pool2d
        peaks = (image == pool(image, 3, 1, 1)).reshape(-1) & values.isfinite()
        highest = torch.where(peaks, values, -math.inf).topk(TOPS)
        chosen = highest.indices[highest.values > -math.inf]
        found.append(x[chosen])
        steps.append(spacing[:1].expand(len(chosen)))
    for name in ("modes", "mean"):
        if name in target.known:
            places = getattr(target, name).reshape(-1, dim).to(torch.float64)
            found.append(places)
            steps.append(torch.full((len(places),), 0.1, dtype=torch.float64, device=target.device))
    return torch.cat(found), torch.cat(steps)


def _climb(target: Target, x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Uphill by steps along the axes and diagonals, halved where none leads higher: the tops and their values."""
    dim = target.dim
    if not len(x):
        return x, x.new_full((1,), -math.inf)
    axis = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, device=x.device)
    directions = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    value = _evaluate(target, x)
    for _ in range(CLIMBS):
        around = x[:, None] + step[:, None, None] * directions
        values, which = _evaluate(target, around.reshape(-1, dim)).reshape(len(x), -1).max(-1)
        higher = values > value
        x = torch.where(higher[:, None], around[torch.arange(len(x), device=x.device), which], x)
        value = torch.where(higher, values, value)
        step = torch.where(higher, step, step / 2)
    return x, value


def _widths(target: Target, x: Tensor, value: Tensor) -> Tensor:
    """How far from each top the density falls to 1 / e of it, (n,): the geometric mean over the axes.

    The mass of a top is about its height times that; it tells a mode from a singular point.
    """
    dim = target.dim
    distances = 2.0 ** torch.arange(-40, 15, dtype=torch.float64, device=x.device)
    moves = (distances[:, None, None] * torch.eye(dim, dtype=torch.float64, device=x.device)).reshape(-1, dim)
    around = torch.stack([x[:, None] + moves, x[:, None] - moves], 2)
    values = _evaluate(target, around.reshape(-1, dim)).reshape(len(x), len(distances), dim, 2).amax(-1)
    fallen = values <= value[:, None, None] - 1
    first = torch.where(fallen, distances[:, None], distances[-1]).amin(1)
    return first.log().mean(-1).exp()


def _points(low: Tensor, spacing: Tensor, counts: tuple[int, ...]) -> Tensor:
    axes = [
        low[i] + spacing[i] * torch.arange(count, dtype=torch.float64, device=low.device)
        for i, count in enumerate(counts)
    ]
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))


def _evaluate(target: Target, x: Tensor) -> Tensor:
    """The log-density in float64, -inf where it is infinite or not a number: such points attract no box."""
    parts = [target.log_prob(part).detach().to(torch.float64) for part in x.to(target.dtype).split(1 << 18)]
    values = torch.cat(parts)
    return torch.where(values < math.inf, values, -math.inf)


def _change(log_gamma: Tensor, axis: int) -> float:
    """By how much mass (relative) or mean (in standard deviations) change without every second point along an axis.

    The mean sees what symmetry hides from the mass: of a symmetric density both halves may have the same wrong mass.
    """
    shares = log_gamma.flatten().softmax(0).reshape(log_gamma.shape).sum(1 - axis)
    place = torch.arange(len(shares), dtype=torch.float64, device=shares.device)
    away = place - shares @ place
    sd = (shares @ away.square()).sqrt()
    half = 2 * shares[::2]
    return float(torch.maximum((half.sum() - 1).abs(), (half @ away[::2]).abs() / sd))
