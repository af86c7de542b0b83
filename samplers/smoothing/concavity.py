"""When measurements are log-concave, how well conditioned they are, and what a mean jump costs.

X = U + N(0, tau^2 I) with |U - c| <= R; Y_t = X + N(0, sigma^2 I), t = 1 .. m, with mean ybar. Since a
variable within R of a point has variance at most R^2 in every direction,

    Cov(X | ybar) <= [tau^2 sigma^2 / (m tau^2 + sigma^2) + sigma^4 R^2 / (m tau^2 + sigma^2)^2] I

and the Hessian of log p(y_m | y_1 .. y_{m-1}) is -I / sigma^2 + Cov(X | ybar) / sigma^4. Saremi, Park and Bach 2024.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.smoothing.measurements import JointMeasurements, Measured, NextMeasurement
from targets.arguments import as_double, brief, check_integer, not_negative, positive

STEP = 2e-3  # of the noise: the finite differences of `hessian`, of fourth order
STENCIL = ((-2.0, 1 / 12), (-1.0, -2 / 3), (1.0, 2 / 3), (2.0, -1 / 12))
ROUNDING = 1e-9  # of m, in `log_concave_from`


def threshold(radius: float, tau: float) -> float:
    """The noise from which on a single measurement is log-concave: sigma^2 = max(R^2 - tau^2, 0).

    Sufficient for any U within R of a centre; the least sigma for two Gaussians N(+-mu, tau^2 I), R = |mu|.
    """
    radius, tau = not_negative(radius, "radius"), not_negative(tau, "tau")
    return math.sqrt(max((radius - tau) * (radius + tau), 0.0))


def zeta(m: int, sigma: float, radius: float, tau: float) -> float:
    """An upper bound of the eigenvalues of the Hessian of log p(y_m | y_1 .. y_{m-1}), which falls in m:

    zeta(m) = (tau^2 / (m tau^2 + sigma^2) - 1) / sigma^2 + R^2 / (m tau^2 + sigma^2)^2
    """
    m, sigma = check_integer(m, "m"), positive(sigma, "sigma")
    radius, tau = not_negative(radius, "radius"), not_negative(tau, "tau")
    total = m * tau**2 + sigma**2
    return (radius / total) ** 2 - ((m - 1) * tau**2 + sigma**2) / (total * sigma**2)


def log_concave_from(sigma: float, radius: float, tau: float) -> int | None:
    """The first m at which y_m given the others is log-concave wherever they lie, zeta(m) <= 0; None where never.

    a^2 - tau^2 a - sigma^2 R^2 >= 0,   a = m tau^2 + sigma^2
    """
    sigma, radius, tau = positive(sigma, "sigma"), not_negative(radius, "radius"), not_negative(tau, "tau")
    if sigma >= threshold(radius, tau):
        return 1
    if tau == 0:
        return None
    a = (tau**2 + math.sqrt(tau**4 + 4 * sigma**2 * radius**2)) / 2
    return max(1, math.ceil((a - sigma**2) / tau**2 * (1 - ROUNDING)))


def joint_condition_number(variances: Any, sigma: float, m: int) -> float:
    """Condition number of the covariance of (Y_1 .. Y_m) for a Gaussian X whose covariance has these eigenvalues.

    Eigenvalues sigma^2 + m tau_i^2, once, and sigma^2, m - 1 times: 1 + m tau_max^2 / sigma^2 for m >= 2, and
    (sigma^2 + tau_max^2) / (sigma^2 + tau_min^2) for m = 1.
    """
    least, most = _extremes(variances)
    square = positive(sigma, "sigma") ** 2
    return (square + check_integer(m, "m") * most) / (square if m > 1 else square + least)


def sequential_condition_number(variances: Any, sigma: float, m: int) -> float:
    """Condition number of the covariance of Y_m given Y_1 .. Y_{m-1} for such a Gaussian X.

    Eigenvalues sigma^2 (sigma^2 + m tau_i^2) / (sigma^2 + (m - 1) tau_i^2), which grow with tau_i.
    """
    least, most = _extremes(variances)
    square, m = positive(sigma, "sigma") ** 2, check_integer(m, "m")
    return (square + m * most) * (square + (m - 1) * least) / ((square + (m - 1) * most) * (square + m * least))


def jump_error(sigma: float, m: int, dim: int, tau: float = 0.0) -> float:
    """A bound of the distance W2 between the laws of X and of the mean jump E[X | Y_1 .. Y_m].

        s sqrt(d),   s = sigma / sqrt(m);   for X = U + N(0, tau^2 I) also
        sqrt(d) [s^2 / r + tau (1 - tau / r)],   r^2 = tau^2 + s^2,   whatever U; about 3 s^2 sqrt(d) / (2 tau)

    The second because ybar = U + r Z in law, and E[X | ybar] = (s^2 E[U | ybar] + tau^2 ybar) / r^2 is compared with
    U + tau Z, which has the law of X; E |E[U | ybar] - U|^2 <= E |ybar - U|^2 = r^2 d.
    """
    s, tau = positive(sigma, "sigma") / math.sqrt(check_integer(m, "m")), not_negative(tau, "tau")
    r = math.hypot(tau, s)
    return math.sqrt(check_integer(dim, "dim")) * min(s, s * s / r + tau * (1 - tau / r))


def measurements_for(tolerance: float, sigma: float, dim: int, tau: float = 0.0) -> int:
    """The least m at which `jump_error` is within the tolerance."""
    tolerance = positive(tolerance, "tolerance")
    high = max(1, math.ceil(dim * (positive(sigma, "sigma") / tolerance) ** 2 * (1 - ROUNDING)))
    return 1 + bisect_left(range(1, high), True, key=lambda m: jump_error(sigma, m, dim, tau) <= tolerance)


def hessian(law: Measured, y: Tensor, *, draws: int = 1024, generator: Generator | None = None) -> Tensor:
    """The Hessian of log p(y) for `Noisy`, of log p(y_m | past) for `NextMeasurement`: (n, dim) -> (n, dim, dim).

        P Cov(X | y) P - P

    in float64. With an exact denoiser by fourth-order differences of its score, good to about nine digits; with any
    other from the covariance of `draws` draws of X given each y, whose relative standard error is sqrt(2 / draws).
    """
    if isinstance(law, JointMeasurements) or not isinstance(law, Measured):
        raise TypeError(f"law: got {type(law).__name__}, expected Noisy or NextMeasurement")
    if y.ndim != 2 or y.shape[1] != law.dim:
        raise ValueError(f"y: got shape {tuple(y.shape)}, expected (n, {law.dim})")
    precision = law.noise.solve(torch.eye(law.dim, dtype=torch.float64, device=y.device))
    if law.denoiser.exact:
        found = _differences(law.to(dtype=torch.float64), y.double())
    else:
        found = precision @ _covariance(law, y, draws, generator) @ precision - precision
    return (found + found.mT) / 2


def _differences(law: Measured, y: Tensor) -> Tensor:
    columns = []
    for step in STEP * law.noise.covariance(law.dim).diagonal().sqrt().to(y).diag():
        change = torch.stack([weight * law.score(y + place * step) for place, weight in STENCIL]).sum(0)
        columns.append(change / step.sum())
    return torch.stack(columns, -1)


def _covariance(law: Measured, y: Tensor, draws: int, generator: Generator | None) -> Tensor:
    generator = law.generator if generator is None else generator
    centre = law.mean_with(y.to(law.dtype)) if isinstance(law, NextMeasurement) else y.to(law.dtype)
    many = centre.repeat_interleave(check_integer(draws, "draws"), 0)
    x = law.denoiser.draw(law.target, many, law.noise_of_mean, generator).reshape(len(y), draws, law.dim).double()
    apart = x - x.mean(1, keepdim=True)
    return apart.mT @ apart / (draws - 1)


def _extremes(variances: Any) -> tuple[float, float]:
    values = as_double(variances if isinstance(variances, (Tensor, Sequence)) else [variances], "variances")
    if values.ndim != 1 or not len(values) or bool((values < 0).any()):
        raise ValueError(f"variances: got {brief(values)}, expected eigenvalues (dim,) of a covariance")
    return float(values.min()), float(values.max())
