"""The closest Gaussian in W2 in several dimensions, by a fixed point on finitely many points.

    W_2(p, N(m, A A'))^2 = E|X - m|^2 + |A|^2 - 2 max over couplings of (X, Z) of E (X - m)'A Z,   Z ~ N(0, I)
    A <- E (X - m) Z' under the coupling that is best for A

The maximum is a convex function of A and E (X - m) Z' its slope, so that the step minimises a bound from above that
touches at A: the distance never grows, and A = E (X - m) Z' where it stands still. Several A may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from samplers.draws.closest_gaussian import SINGULAR, Law, moments_of, weighted_points
from samplers.draws.points import PointSet
from samplers.draws.weighted import in_proportion
from targets import Gaussian, Target
from targets.arguments import check_integer
from targets.way_to_truth import way_to_truth

ROUNDS = 30  # most of them; the coupling comes to rest before, or A hardly moves


class Transported(NamedTuple):
    """A Gaussian near the closest one in W2, and an upper bound of its distance.

    gaussian: as said. squared: an estimate of a number that is at least W_2(p, gaussian)^2. standard_error: of it.
    moments_squared, moments_error: the same of the Gaussian of the moments, from the same points.

        >>> from samplers.diagnostics import transported_gaussian
        >>> found = transported_gaussian(torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]]), points=64)
        >>> found.gaussian.dim, found.squared > 0
        (2, True)
    """

    gaussian: Gaussian
    squared: float
    standard_error: float
    moments_squared: float
    moments_error: float


def transported_gaussian(law: Law, *, points: int = 256, repetitions: int = 4, seed: int = 0) -> Transported:
    """N(m, A A') of the fixed point of the module between `points` points of the law and as many of N(0, I).

    Where coordinates are independent, `closest_gaussian` is exact and this is not: on n points A is too small, by some
    n^(-1/dim), for points match better than laws do. What can be relied on is the bound: the mean of the least squared
    transport between n fresh points of each side is at least W_2^2 of the laws, which is convex in the pair of them.

    law: a target with exact draws, points (n, dim), of which it is the law that gives each the same weight, or draws,
    by their weights. points: n, whose cost is some n^3. repetitions: fresh sets of points, at least 2. seed: of all
    that is drawn. ValueError for a target without exact draws, and what `closest_gaussian` raises. Givens and Shortt
    1984, https://doi.org/10.1307/mmj/1029003026; for the convexity Villani 2009, theorem 4.8,
    https://doi.org/10.1007/978-3-540-71050-9.

        >>> from samplers.diagnostics import transported_gaussian
        >>> found = transported_gaussian(targets.Gaussian([0.0, 0.0], [1.0, 2.0]), points=128)
        >>> found.gaussian.covariance[1, 1] > 2
        tensor(True)
    """
    check_integer(points, "points", 2)
    check_integer(repetitions, "repetitions", 2)
    generator = Generator().manual_seed(check_integer(seed, "seed", 0))
    draw, dtype = _drawing(law)
    x = draw(points, generator)
    mean, covariance = moments_of(x, x.new_full((points,), 1 / points))
    values, axes = torch.linalg.eigh(covariance)
    if float(values[0]) <= SINGULAR * float(values.sum()):
        raise ValueError(
            f"law, points: got {points} points on a hyperplane of {x.shape[1]} dimensions, expected some off it"
        )
    start = (axes * values.clamp_min(0).sqrt()) @ axes.mT
    factor = _fixed_point(x - mean, torch.randn(x.shape, generator=generator, dtype=x.dtype), start)
    mean = _mean(law, mean)
    found = Gaussian(mean.to(dtype), covariance=factor @ factor.mT, name="closest in W2, estimated")
    squares = torch.empty(2, repetitions, dtype=torch.float64)
    for k in range(repetitions):
        fresh, white = draw(points, generator) - mean, torch.randn(x.shape, generator=generator, dtype=x.dtype)
        for row, root in enumerate((factor, start)):
            z = white @ root.mT
            squares[row, k] = (fresh - z[_matched(fresh, z)]).square().sum(1).mean()
    value, error = squares.mean(1), squares.std(1) / repetitions**0.5
    return Transported(found, float(value[0]), float(error[0]), float(value[1]), float(error[1]))


def _drawing(law: Law) -> tuple[Callable[[int, Generator], Tensor], torch.dtype]:
    """Independent draws of a law in float64, and the dtype that it came in."""
    if isinstance(law, Target):
        if "sample" not in law.known:
            raise ValueError(
                f"law: got {law.name}, which has no exact draws; expected a target that has, or "
                f"draws{way_to_truth(law)}"
            )
        target = law.to("cpu", torch.float64)
        return lambda n, generator: target.sample(n, generator=generator), law.dtype
    x, shares = weighted_points(law)
    x, cumulative = x.cpu(), shares.cpu().cumsum(0)
    dtype = law.x.dtype if isinstance(law, PointSet) else law.dtype
    return lambda n, generator: x[in_proportion(cumulative, n, generator)], dtype


def _mean(law: Law, drawn: Tensor) -> Tensor:
    """That of the law where it is known, else that of what was drawn."""
    if not isinstance(law, Target):
        return moments_of(*weighted_points(law))[0].to(drawn)
    return law.to("cpu", torch.float64).mean if "mean" in law.known else drawn


def _fixed_point(x: Tensor, z: Tensor, factor: Tensor) -> Tensor:
    """A at rest, from points x and z (n, dim)."""
    last: Tensor | None = None
    for _ in range(ROUNDS):
        match = _matched(x, z @ factor.mT)
        if last is not None and torch.equal(match, last):
            break
        factor, last = x.mT @ z[match] / len(x), match
    return factor


def _matched(x: Tensor, y: Tensor) -> Tensor:
    """The row of y that each row of x is sent to, (n,), by the transport of least squared distance."""
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment((x @ y.mT).numpy(), maximize=True)[1])
