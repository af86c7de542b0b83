"""Distances between two sets of points: how far draws are from exact ones, or from another sampler's.

No distance of finitely many draws is zero where the laws are the same: see `samplers.diagnostics.floored`. That of a
set and itself is, in any order of its points and on any machine: what rounding alone can make counts as zero.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.draws.pot import import_pot
from samplers.draws.ties import ULPS, kolmogorov, precision
from targets.arguments import check_integer, positive

DIRECTIONS = 128
KERNELS = 5
BLOCK = 100  # rows of a kernel matrix at a time: a block stays in the cache
ITERATIONS, TOLERANCE = 5000, 1e-5  # of the entropic plan, and of its margins
LONGEST = 300.0  # costs over regularisation whose exponential is far from underflow
MOST_POINTS = 10_000  # of a full matrix of distances
EPS = torch.finfo(torch.float64).eps


def sliced_wasserstein(x: Tensor, y: Tensor, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """sqrt(mean over random directions u of W_2(u x, u y)^2), for x (n, dim) and y (m, dim); in the units of x."""
    x, y, eps = _pair(x, y)
    least = _rounding(x, y, eps)
    u = _directions(x.shape[1], directions, seed).numpy()
    found = float(import_pot().sliced.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=u, p=2))
    return found if found > least else 0.0


def sliced_kolmogorov(x: Tensor, y: Tensor, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Mean over random directions of the largest distance of the two distribution functions along them; in [0, 1].

    Projections that differ by rounding alone are equal.
    """
    x, y, eps = _pair(x, y)
    u = _directions(x.shape[1], directions, seed)
    a, b = ((points @ u).mT.contiguous() for points in (x, y))
    slacks = (ULPS * max(eps, EPS) * (points.abs() @ u.abs()).mT.contiguous() for points in (x, y))
    return float(kolmogorov(a, b, *slacks).mean())


def wasserstein(x: Tensor, y: Tensor) -> float:
    """W_2 by exact transport (POT): sqrt of the least mean |x - y|^2 over couplings; n^3 log n, at most 10,000 points.

    In many dimensions its floor is far from zero.
    """
    x, y, eps = _pair(x, y)
    least = _rounding(x, y, eps)
    _not_too_many(x, y)
    pot = import_pot()
    cost = _squares(x, y).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # that the solver has not converged
        found = math.sqrt(max(0.0, float(pot.emd2(pot.unif(len(x)), pot.unif(len(y)), cost, numItermax=10_000_000))))
    return found if found > least else 0.0


def sinkhorn_divergence(x: Tensor, y: Tensor, *, regularisation: float) -> float:
    """S(x, y) - S(x, x) / 2 - S(y, y) / 2, S the entropic cost of transport with squared distances (Feydy et al. 2019).

    S(x, y) = min over couplings P of <P, |x - y|^2> + regularisation KL(P | x y), in logarithms. Zero for equal sets.
    RuntimeError where the iterations do not converge: a regularisation of some hundredths of the mean squared distance
    does.
    """
    x, y, eps = _pair(x, y)
    step = _rounding(x, y, eps)
    positive(regularisation, "regularisation")
    _not_too_many(x, y)
    cross, own_x, own_y = (_entropic(a, b, regularisation) for a, b in ((x, y), (x, x), (y, y)))
    found = cross - 0.5 * (own_x + own_y)
    # points move by a rounding, under potentials that have not quite converged
    least = step**2 + TOLERANCE * step * math.sqrt(regularisation) + ULPS * EPS * (abs(cross) + regularisation)
    return found if abs(found) > least else 0.0


def mmd_squared(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Squared maximum mean discrepancy as V-statistic, and the same without the diagonal, which is unbiased.

        k(a, b) = sum over i = 0 .. 4 of exp(-|a - b|^2 / (2^i w)),    w = mean |a - b|^2 / 4 over all pairs of both

    The V-statistic of two sets of n exact draws has mean 2 (k(a, a) - E k(a, b)) / n, not zero. Gretton et al. 2012.
    """
    x, y, eps = _pair(x, y)
    step = _rounding(x, y, eps) / ULPS
    total = torch.cat([x, y])
    n, m = len(x), len(y)
    width = 2 * float((total - total.mean(0)).square().sum()) / (n + m - 1) / 4
    within_x, within_y, between = _kernel_sum(x, x, width), _kernel_sum(y, y, width), _kernel_sum(x, y, width)
    v = within_x / n**2 + within_y / m**2 - 2 * between / (n * m)
    u = (within_x - KERNELS * n) / (n * (n - 1)) + (within_y - KERNELS * m) / (m * (m - 1)) - 2 * between / (n * m)
    least = KERNELS * (2 * ULPS * EPS + step**2 / width) if width else 0.0  # all the same point: kernels of 0 / 0
    return v if not abs(v) <= least else 0.0, u


def _kernel_sum(a: Tensor, b: Tensor, width: float) -> float:
    whole = 0.0
    for block in a.split(BLOCK):
        kernel = _squares(block, b).div_(-(2 ** (KERNELS - 1)) * width).exp_()
        whole += float(kernel.sum())
        for _ in range(KERNELS - 1):
            whole += float(kernel.square_().sum())
    return whole


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|^2 of all pairs, by differences: the squared norms of far modes would cancel."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square_()


def _entropic(x: Tensor, y: Tensor, regularisation: float) -> float:
    """min <P, C> + regularisation KL(P | x y), as the value of the dual.

    By POT's iterations: with products of exp(-C / regularisation) where no entry of it is below exp(-LONGEST), else on
    logarithms, which take some fifty times as long.
    """
    pot = import_pot()
    cost = _squares(x, y).numpy()
    a, b = pot.unif(len(x)), pot.unif(len(y))
    plain = cost.max() < LONGEST * regularisation
    method, names = ("sinkhorn", ("u", "v")) if plain else ("sinkhorn_log", ("log_u", "log_v"))
    with warnings.catch_warnings():
        # that it has not converged is an error below; exp of the potentials, which is not used, may overflow
        warnings.simplefilter("ignore")
        _, log = pot.sinkhorn(a, b, cost, regularisation, method, numItermax=ITERATIONS, stopThr=TOLERANCE, log=True)
    if not log["err"] or log["err"][-1] > 10 * TOLERANCE:
        raise RuntimeError(
            f"regularisation: {regularisation:g} is too small for {ITERATIONS} iterations on costs of mean "
            f"{cost.mean():.3g}; take a larger one"
        )
    u, v = (np.log(log[name]) if plain else log[name] for name in names)
    # potentials of POT's plan exp(log u - C / regularisation + log v), relative to counting measure and not to x y
    return float(regularisation * (a @ (u - np.log(a)) + b @ (v - np.log(b))))


def _rounding(x: Tensor, y: Tensor, eps: float) -> float:
    """A distance of points that their rounding alone can make: ULPS eps times their size.

    Between sets of n and m points shares of 1/n and 1/m add up but for eps, and that much mass goes any way.
    """
    size = max(float(points.square().sum(1).mean().sqrt()) for points in (x, y))
    mass = 0.0 if len(x) == len(y) else math.sqrt(ULPS * EPS) * float(torch.cat([x, y]).std(0).norm())
    return ULPS * max(eps, EPS) * size + mass


def _directions(dim: int, count: int, seed: int) -> Tensor:
    check_integer(count, "directions")
    generator = Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(dim, count, generator=generator, dtype=torch.float64), dim=0)


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both on the CPU in float64, and the eps that they came with; or a ValueError."""
    for name, value in (("x", x), ("y", y)):
        if value.ndim != 2 or len(value) < 2:
            raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected (n, dim) with at least 2 points")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name}: got coordinates that are not finite, expected finite points")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y: got dim {y.shape[1]}, expected {x.shape[1]} like x")
    return x.detach().cpu().double(), y.detach().cpu().double(), precision(x, y)


def _not_too_many(x: Tensor, y: Tensor) -> None:
    for name, value in (("x", x), ("y", y)):
        if len(value) > MOST_POINTS:
            raise ValueError(f"{name}: got {len(value)} points, expected at most {MOST_POINTS}; take a part of them")
