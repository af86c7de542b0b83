"""The Gaussian that is closest to a law, in KL or in W2: `samplers.diagnostics.closest_gaussian` for the public.

    KL   min KL(p || N(m, S)):    m = E X,   S = Cov X
    W2   min W_2(p, N(m, s^2)):   m = E X,   s = int_0^1 F^-1(u) Phi^-1(u) du = int phi(Phi^-1(F(x))) dx

In W2 that is on the line, where W_2(p, N(m, s^2))^2 = E (X - m)^2 + s^2 - 2 s int F^-1 Phi^-1 is a parabola in s whose
least value is Var X - s^2. Of a law of independent blocks it is the product of those of its blocks: W_2^2 is at least
the sum over the blocks, for every law on the other side. phi and Phi are those of N(0, 1), F the distribution function.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from samplers.draws.points import PointSet
from targets import Gaussian, GaussianMixture, Product, Target
from targets.arguments import brief, check_choice, shown
from targets.way_to_truth import way_to_truth

Law = Target | Tensor | PointSet
Quantile = Callable[[float], float]
FAR = 12.0  # deviations of a component, beyond which it has no mass that counts
FLAT = 1e-12  # of the mean: a smaller s is rounding of a constant
SINGULAR = 1e-12  # of the trace: a covariance whose least eigenvalue is below has no density


def closest_gaussian(law: Law, distance: Literal["kl", "w2"] = "kl", *, log_weights: Tensor | None = None) -> Gaussian:
    """argmin over Gaussians N of KL(p || N), or of W_2(p, N), as a `targets.Gaussian`.

        kl   N(E X, Cov X)
        w2   N(E X, s^2),  s = int_0^1 F^-1(u) Phi^-1(u) du, on the line and for laws of independent blocks

    For a fair coin of -1 and 1 the former is N(0, 1), the latter N(0, 2 / pi): that in W2 is the narrower one.

    law: a target, points (n, dim), of which it is the law that gives each its weight, or draws. In KL a target must
    state its mean and covariance; those of points are theirs, not corrected for their number. In W2 a target is a
    `Gaussian`, a `GaussianMixture` on the line or a `Product` of such, and points are (n, 1); for others see
    `quantile_gaussian` and `transported_gaussian`. log_weights: (n,), of points in a tensor; None for equal ones.
    Exact: in KL, and for points; a mixture's s is found by quadrature, to about 1e-10.
    ValueError for another distance, for a law of which that is not known, for weights that are none, and for points
    on a hyperplane, which no Gaussian is close to in KL. Givens and Shortt 1984,
    https://doi.org/10.1307/mmj/1029003026.

        >>> from samplers.diagnostics import closest_gaussian
        >>> coin = torch.tensor([[-1.0], [1.0]])
        >>> closest_gaussian(coin).covariance, closest_gaussian(coin, "w2").covariance
        (tensor([[1.]]), tensor([[0.6366]]))
    """
    check_choice(distance, "distance", ("kl", "w2"))
    if isinstance(law, Target):
        if log_weights is not None:
            raise ValueError("log_weights: got some beside a target, expected points (n, dim)")
        return _in_kl(law) if distance == "kl" else _in_w2(law)
    x, shares = weighted_points(law, log_weights)
    mean, covariance = moments_of(x, shares)
    dtype = law.x.dtype if isinstance(law, PointSet) else law.dtype
    if distance == "kl":
        if float(torch.linalg.eigvalsh(covariance)[0]) <= SINGULAR * float(covariance.trace()):
            raise ValueError(
                f"law: got {len(x)} points on a hyperplane of {x.shape[1]} dimensions, expected some off it"
            )
        return Gaussian(mean.to(dtype), covariance=covariance, name="moments")
    if x.shape[1] != 1:
        raise ValueError(
            f"law: got points in {x.shape[1]} dimensions, expected 1: in W2 several are known for independent ones "
            "alone (quantile_gaussian), and of points up to an estimate (transported_gaussian)"
        )
    scale = scale_of_points(x[:, 0], shares)
    if not scale > 0:
        raise ValueError(f"law: got {len(x)} points that are all the same, expected points that differ")
    return Gaussian(mean.to(dtype), scale, name="closest in W2")


def quantile_gaussian(*quantiles: Quantile) -> Gaussian:
    """The closest Gaussian in W2 of independent coordinates with these quantile functions F^-1, in float64.

        m_i = int_0^1 F_i^-1(u) du,   s_i = int_0^1 F_i^-1(u) Phi^-1(u) du

    quantiles: each maps u in (0, 1) to a number. By adaptive quadrature in z = Phi^-1(u), to about 1e-8 where a
    function has no more than a few jumps. ValueError for none, and for one that is no quantile function of a law with a
    variance, as far as the quadrature tells.

        >>> from samplers.diagnostics import quantile_gaussian
        >>> found = quantile_gaussian(lambda u: 1.0 if u > 0.5 else -1.0, lambda u: u)
        >>> found.mean.abs().round(decimals=6), found.covariance.diagonal().sqrt()
        (tensor([0.0000, 0.5000], dtype=torch.float64), tensor([0.7979, 0.2821], dtype=torch.float64))
    """
    if not quantiles:
        raise ValueError("quantiles: got none, expected a function for each coordinate")
    for number, quantile in enumerate(quantiles):
        if not callable(quantile):
            raise TypeError(f"quantiles: got {shown(quantile)} as number {number}, expected a function of u in (0, 1)")
    found = [_of_quantile(quantile, i) for i, quantile in enumerate(quantiles)]
    mean, scale = torch.tensor(found, dtype=torch.float64).unbind(-1)
    return Gaussian(mean, scale, name="closest in W2")


def weighted_points(law: Tensor | PointSet, log_weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Points (n, dim) and their shares (n,), in float64; ValueError for others."""
    if isinstance(law, PointSet):
        if log_weights is not None:
            raise ValueError("log_weights: got some beside draws, which have their own; expected a tensor of points")
        return weighted_points(law.x.flatten(0, 1), law.log_weights)
    if not isinstance(law, Tensor):
        raise TypeError(f"law: got {type(law).__name__}, expected a Target, points (n, dim) or samplers.Draws")
    if law.ndim != 2 or not law.numel():
        raise ValueError(f"law: got points of shape {tuple(law.shape)}, expected (n, dim)")
    if not bool(law.isfinite().all()):
        row, column = (~law.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"law: got {float(law[row, column])} in row {row}, column {column}, expected finite points")
    x = law.detach().double()
    if log_weights is None:
        return x, x.new_full((len(x),), 1 / len(x))
    log_weights = torch.as_tensor(log_weights, dtype=torch.float64, device=x.device).reshape(-1)
    if log_weights.shape != (len(x),):
        raise ValueError(f"log_weights: got {len(log_weights)} numbers, expected {len(x)}, one for each point")
    shares = log_weights.softmax(0)
    if not bool(shares.isfinite().all()):
        raise ValueError(f"log_weights: got {brief(log_weights)}, expected no NaN and one above minus infinity")
    return x, shares


def moments_of(x: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (dim,) and covariance (dim, dim) of the law of weighted points."""
    mean = shares @ x
    centred = x - mean
    return mean, (shares[:, None] * centred).mT @ centred


def scale_of_points(x: Tensor, shares: Tensor) -> float:
    """int F^-1 Phi^-1 of weighted points on the line, exact: sum over gaps of phi(Phi^-1(F)) times the gap."""
    order = x.argsort()
    below = shares[order].cumsum(0)[:-1].clamp(0, 1)
    height = (-0.5 * torch.special.ndtri(below).square()).exp() / math.sqrt(2 * math.pi)
    return float(height @ x[order].diff())


def moments_known(target: Target) -> bool:
    """Whether a target states its mean and covariance."""
    return {"mean", "covariance"} <= target.known


def _in_kl(law: Target) -> Gaussian:
    if not moments_known(law):
        raise ValueError(
            f"law: got {law.name}, whose mean and covariance are not known (known: {sorted(law.known)}); expected a "
            f"target that states them, or draws{way_to_truth(law)}"
        )
    return law if isinstance(law, Gaussian) else Gaussian(law.mean, covariance=law.covariance, name="moments")


def _in_w2(law: Target) -> Gaussian:
    if isinstance(law, Gaussian):
        return law
    if isinstance(law, Product):
        blocks = [_in_w2(factor) for factor in law.factors]
        covariance = torch.block_diag(*(block._exact_covariance for block in blocks))
        mean = torch.cat([block._exact["mean"] for block in blocks])
        return Gaussian(mean.to(law.dtype), covariance=covariance, name="closest in W2")
    if isinstance(law, GaussianMixture) and law.dim == 1:
        weights, means = law._exact["weights"], law._exact["means"][:, 0]
        scale = _scale_of_mixture(weights.cpu(), means.cpu(), law._exact_covariances[:, 0, 0].sqrt().cpu())
        return Gaussian((weights @ means)[None].to(law.dtype), scale, name="closest in W2")
    raise ValueError(
        f"law: got {law.name} in {law.dim} dimensions, expected a Gaussian, a GaussianMixture on the line, a Product "
        "of such, or points: in W2 no other target is known; see quantile_gaussian and transported_gaussian"
    )


def _scale_of_mixture(weights: Tensor, means: Tensor, scales: Tensor) -> float:
    """int phi(Phi^-1(F(x))) dx, component by component apart, for narrow ones far from one another."""
    from scipy import integrate

    def height(x: Any) -> Any:
        z = (torch.as_tensor(x, dtype=torch.float64)[..., None] - means) / scales
        below, above = (weights @ torch.special.ndtr(side).mT for side in (z, -z))
        u = torch.minimum(below, above)  # the smaller one has more digits
        return ((-0.5 * torch.special.ndtri(u).square()).exp() / math.sqrt(2 * math.pi)).numpy()

    steps = torch.linspace(-FAR, FAR, 25, dtype=torch.float64)
    knots = (means[:, None] + scales[:, None] * steps).flatten().unique().numpy()
    return float(sum(integrate.fixed_quad(height, a, b, n=20)[0] for a, b in pairwise(knots)))


def _of_quantile(quantile: Quantile, number: int) -> tuple[float, float]:
    """Mean and s of one coordinate."""
    from scipy import integrate, special

    def at(z: float, power: int) -> float:
        return float(quantile(float(special.ndtr(z)))) * z**power * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    knots = np.linspace(-8.25, 8.25, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error", integrate.IntegrationWarning)
        try:
            mean, scale = (
                sum(integrate.quad(at, a, b, (power,), limit=200)[0] for a, b in pairwise(knots)) for power in (0, 1)
            )
        except integrate.IntegrationWarning as error:
            raise ValueError(
                f"quantiles: number {number} cannot be integrated, expected a law with a variance and few jumps "
                f"({str(error).splitlines()[0]})"
            ) from None
    if not (math.isfinite(mean) and FLAT * abs(mean) < scale < math.inf):
        raise ValueError(
            f"quantiles: got mean {mean:.6g} and s {scale:.6g} from number {number}, expected s > 0: a function that "
            "rises, of a law with a variance"
        )
    return mean, scale
