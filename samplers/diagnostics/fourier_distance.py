"""How far a law is from a Gaussian in the Fourier metric of order 2, between two bounds.

    d_2(p, q) = sup over xi of |E exp(i xi'X) - E exp(i xi'Y)| / |xi|^2,   X ~ p, Y ~ q, E X = E Y

With theta = xi'(X - E X), of mean 0, |exp(i theta) - 1 - i theta| <= theta^2 / 2, so that d_2 is finite where there are
second moments, and infinite where means differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from samplers.draws.closest_gaussian import Law, closest_gaussian, moments_of, scale_of_points, weighted_points
from targets import Gaussian, GaussianMixture, Target
from targets.arguments import brief

THIRD = 2 * math.sqrt(2 / math.pi)  # E|Z|^3
ROUNDING = 1e-5  # of a deviation: means that differ by less are equal


class FourierBounds(NamedTuple):
    """lower <= d_2(p, N) <= upper.

    lower, upper: as said.

        >>> from samplers.diagnostics import fourier_bounds
        >>> fourier_bounds(targets.Gaussian([0.0]), targets.Gaussian([0.0], 2.0))
        FourierBounds(lower=1.5, upper=1.5)
    """

    lower: float
    upper: float


def fourier_bounds(law: Law, gaussian: Gaussian, *, log_weights: Tensor | None = None) -> FourierBounds:
    """Bounds of d_2 between a law p and a Gaussian N of its mean. With S, T the covariances of p and N, |.| the norm of
    matrices by their eigenvalues, and b = sup over unit u of E|u'(X - E X)|^3 of p, b' = sqrt(8 / pi) |T|^(3/2) of N:

        d_2 >= |S - T| / 2                                     the limit at xi = 0
        d_2 <= |S + T| / 2                                     as |exp(i a) - 1 - i a| <= a^2 / 2
        d_2 <= W_2(p, N) (sqrt|S| + sqrt|T|) / 2               as the slope of exp(i a) - i a is at most |a|
        d_2 <= |S - T| / 2 + 12^(1/3) (b + b'_S)^(2/3) / 6     through the Gaussian of covariance S

    The last is the triangle: two Gaussians of covariances S and T are |S - T| / 2 apart, and two laws of equal moments
    differ by at most |xi|^3 (b + b') / 6 and by at most 2. Half the difference of the second moments is thus all of the
    distance between Gaussians, and the least that it can be for any law.

    law: as of `closest_gaussian`; of a target the third bound is known where that finds it in W2 on the line, the last
    for Gaussians; of points all are, on the line exactly, and in more dimensions with E|X - E X|^3 for b and without
    W_2. gaussian: N. log_weights: of points. ValueError where means differ, and what `closest_gaussian` raises.
    Gabetta, Toscani and Wennberg 1995, https://doi.org/10.1007/BF02179298; Carrillo and Toscani 2007,
    https://www.rivmat.unipr.it/fulltext/2007-7/2007-7-075-198.pdf.

        >>> from samplers.diagnostics import closest_gaussian, fourier_bounds
        >>> coin = torch.tensor([[-1.0], [1.0]])
        >>> found = fourier_bounds(coin, closest_gaussian(coin))
        >>> found.lower < 1e-6, round(found.upper, 4)
        (True, 0.6358)
    """
    if not isinstance(gaussian, Gaussian):
        raise TypeError(f"gaussian: got {type(gaussian).__name__}, expected a targets.Gaussian")
    x = shares = None
    if isinstance(law, Target):
        moments = closest_gaussian(law, log_weights=log_weights).to("cpu", torch.float64)
        mean, own = moments.mean, moments.covariance
    else:
        x, shares = (part.cpu() for part in weighted_points(law, log_weights))
        mean, own = moments_of(x, shares)
    other = gaussian.to("cpu", torch.float64)
    if other.dim != len(mean):
        raise ValueError(f"gaussian: got dim {other.dim}, expected {len(mean)}, that of the law")
    rounding = torch.finfo(gaussian.dtype).eps * float(mean.norm())
    if float((mean - other.mean).norm()) > ROUNDING * float((own + other.covariance).trace().sqrt()) + rounding:
        raise ValueError(
            f"gaussian: got the mean {brief(other.mean)}, expected that of the law, {brief(mean)}: else d_2 is infinite"
        )
    between = 0.5 * _size(own - other.covariance)
    return FourierBounds(between, min(_uppers(law, x, shares, own, other, between)))


def _uppers(
    law: Law, x: Tensor | None, shares: Tensor | None, own: Tensor, other: Gaussian, between: float
) -> Iterator[float]:
    covariance = other.covariance
    yield 0.5 * _size(own + covariance)
    if isinstance(law, Gaussian):
        yield between
    if x is not None and shares is not None:
        absolute = (x - shares @ x).norm(dim=1)
        third = float(shares @ absolute.pow(3)) + THIRD * _size(own) ** 1.5
        yield between + 12 ** (1 / 3) / 6 * third ** (2 / 3)
    if len(own) == 1:
        root, scale = math.sqrt(_size(own)), math.sqrt(_size(covariance))
        if x is not None and shares is not None:
            best = scale_of_points(x[:, 0], shares)
        elif isinstance(law, (Gaussian, GaussianMixture)):
            best = math.sqrt(_size(closest_gaussian(law, "w2")._exact_covariance))
        else:
            return
        yield 0.5 * math.sqrt(max(root**2 + scale**2 - 2 * scale * best, 0.0)) * (root + scale)


def _size(matrix: Tensor) -> float:
    """The largest eigenvalue by size."""
    return float(torch.linalg.eigvalsh(matrix).abs().max())
