"""Priors as laws of the unconstrained coordinates u, exact however close to an end of its set the value is.

A Beta(0.05, 0.05) has 8 % of its mass within rounding of 1, where neither its density nor its draws can be told
from the value; in u = logit(value) both have a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    Kumaraswamy,
    LKJCholesky,
    MixtureSameFamily,
    TransformedDistribution,
    Uniform,
    constraints,
    transforms,
)
from torch.nn.functional import logsigmoid

from targets.end_transforms import (
    CorrelationCholeskyTransform,
    IntervalTransform,
    StickBreaking,
    log_counts,
)

_UNCHECKED: dict[str, constraints.Constraint] = {}  # the distributions that these come from have checked
_ONE = torch.Size()


def in_coordinates(
    prior: Distribution, transform: transforms.Transform, *, numbers: bool = True
) -> Distribution | None:
    """The law of u when transform(u) follows the prior, or None where no closed form is known here.

    numbers: whether the prior's may be read, and forms that suit some of them be taken; not where they depend on x.
    """
    if isinstance(transform, transforms.ComposeTransform) and not transform.parts:  # the identity
        return prior
    if isinstance(prior, Independent):
        inner = in_coordinates(prior.base_dist, transform, numbers=numbers)
        return inner and Independent(inner, prior.reinterpreted_batch_ndims, validate_args=False)
    if isinstance(prior, MixtureSameFamily):
        inner = in_coordinates(prior.component_distribution, transform, numbers=numbers)
        return inner and MixtureSameFamily(prior.mixture_distribution, inner, validate_args=False)
    if isinstance(transform, IntervalTransform):
        unit = (transform.low, transform.high) == (0, 1)
        if unit and isinstance(prior, Beta):
            return LogitBeta(prior.concentration1, prior.concentration0)
        if unit and isinstance(prior, Kumaraswamy):
            return LogitKumaraswamy(prior.concentration1, prior.concentration0)
        if numbers and isinstance(prior, Uniform) and _is(prior.low, transform.low) and _is(prior.high, transform.high):
            one = torch.ones_like(prior.low)
            return LogitBeta(one, one)
    if isinstance(transform, transforms.ExpTransform) and isinstance(prior, Gamma):
        return LogGamma(prior.concentration, prior.rate)
    if isinstance(transform, transforms.ExpTransform) and isinstance(prior, Exponential):
        return LogGamma(torch.ones_like(prior.rate), prior.rate)
    if isinstance(transform, StickBreaking) and isinstance(prior, Dirichlet):
        return StickBreakingDirichlet(prior.concentration)
    if isinstance(transform, CorrelationCholeskyTransform) and isinstance(prior, LKJCholesky):
        return PartialCorrelations(prior.dim, prior.concentration)
    if isinstance(prior, TransformedDistribution):
        return _peeled(prior.base_dist, _flat(prior.transforms), transform, numbers)
    return None


def _peeled(
    base: Distribution, steps: list[transforms.Transform], transform: transforms.Transform, numbers: bool
) -> Distribution | None:
    """The law of u when transform(u) is the last of `steps` applied to a draw of the others: the last one undone."""
    if not steps:
        return in_coordinates(base, transform, numbers=numbers)
    *rest, last = steps
    if _same_map(last, transform):
        return TransformedDistribution(base, rest, validate_args=False) if rest else base
    if not numbers:
        return None
    loc, scale = (getattr(last, name, None) for name in ("loc", "scale"))
    inner = None
    if isinstance(last, transforms.AffineTransform) and isinstance(transform, IntervalTransform):
        loc, scale = _number(loc), _number(scale)
        if loc is not None and scale:
            ends = sorted(((transform.low - loc) / scale, (transform.high - loc) / scale))
            inner = _peeled(base, rest, IntervalTransform(*(_rounded(end) for end in ends)), numbers)
            shift, factor = 0.0, math.copysign(1.0, scale)
    elif isinstance(last, transforms.AffineTransform) and isinstance(transform, transforms.ExpTransform):
        loc, scale = _number(loc), _number(scale)
        if loc == 0 and scale and scale > 0:
            inner = _peeled(base, rest, transform, numbers)
            shift, factor = math.log(scale), 1.0
    elif isinstance(last, transforms.PowerTransform) and isinstance(transform, transforms.ExpTransform):
        exponent = _number(last.exponent)
        if exponent:
            inner = _peeled(base, rest, transform, numbers)
            shift, factor = 0.0, exponent
    if inner is None or (shift, factor) == (0.0, 1.0):
        return inner
    return TransformedDistribution(inner, [transforms.AffineTransform(shift, factor)], validate_args=False)


def _same_map(step: transforms.Transform, transform: transforms.Transform) -> bool:
    if isinstance(transform, IntervalTransform):
        return isinstance(step, transforms.SigmoidTransform) and (transform.low, transform.high) == (0, 1)
    if isinstance(transform, StickBreaking):
        return isinstance(step, transforms.StickBreakingTransform)
    if isinstance(transform, CorrelationCholeskyTransform):
        return isinstance(step, transforms.CorrCholeskyTransform)
    if isinstance(transform, transforms.ExpTransform):
        return isinstance(step, transforms.ExpTransform)
    return type(step) is type(transform) and not isinstance(step, transforms.ComposeTransform)


def _flat(steps: Sequence[transforms.Transform]) -> list[transforms.Transform]:
    """The transforms with compositions taken apart."""
    parts: list[transforms.Transform] = []
    for step in steps:
        parts += _flat(step.parts) if isinstance(step, transforms.ComposeTransform) else [step]
    return parts


def _number(value: Any) -> float | None:
    """The one number that a tensor holds everywhere, or None."""
    flat = torch.as_tensor(value, dtype=torch.float64).reshape(-1)
    return float(flat[0]) if flat.numel() and bool((flat == flat[0]).all()) else None


def _is(value: Tensor, number: float) -> bool:
    return torch.allclose(value, torch.full_like(value, number), rtol=1e-6, atol=0)


def _rounded(end: float) -> float:
    """0 and 1 as such, where float arithmetic has missed them."""
    return float(round(end)) if abs(end - round(end)) < 1e-6 else end


class LogGamma(Distribution):
    """u = log g with g ~ Gamma(concentration, rate): log p(u) = a u - b exp(u) + a log b - lgamma(a)."""

    support = constraints.real
    arg_constraints = _UNCHECKED

    def __init__(self, concentration: Tensor, rate: Tensor) -> None:
        self.concentration, self.rate = torch.broadcast_tensors(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration, self.rate
        return a * (value + b.log()) - b * value.exp() - torch.lgamma(a)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        draws = log_gamma_draws(self.concentration.expand(self._extended_shape(sample_shape)))
        return (draws - self.rate.log()).to(self.rate.dtype)


class LogitBeta(Distribution):
    """u = logit p with p ~ Beta(a, b): log p(u) = a log sigmoid(u) + b log sigmoid(-u) - log B(a, b)."""

    support = constraints.real
    arg_constraints = _UNCHECKED

    def __init__(self, concentration1: Tensor, concentration0: Tensor) -> None:
        self.concentration1, self.concentration0 = torch.broadcast_tensors(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return a * logsigmoid(value) + b * logsigmoid(-value) - log_beta(a, b)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        shape = self._extended_shape(sample_shape)
        up, down = (log_gamma_draws(c.expand(shape)) for c in (self.concentration1, self.concentration0))
        return (up - down).to(self.concentration1.dtype)


class LogitKumaraswamy(Distribution):
    """u = logit p with p ~ Kumaraswamy(a, b), the density a b p^(a-1) (1 - p^a)^(b-1)."""

    support = constraints.real
    arg_constraints = _UNCHECKED

    def __init__(self, concentration1: Tensor, concentration0: Tensor) -> None:
        self.concentration1, self.concentration0 = torch.broadcast_tensors(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        log_p = logsigmoid(value)
        # near 1, 1 - p^a = a (1 - p) to rounding, and p^a is 1 where exp(-u) underflows
        near = value > 40 + a.log().clamp_min(0)
        log_rest = torch.where(
            near, a.log() + logsigmoid(-value), log_one_less(a * logsigmoid(torch.where(near, 0.0, value)))
        )
        return a.log() + b.log() + a * log_p + (b - 1) * log_rest + logsigmoid(-value)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        a, b = (c.double() for c in (self.concentration1, self.concentration0))
        # 1 - p^a = U^(1 / b)
        log_rest = -torch.empty(self._extended_shape(sample_shape), dtype=a.dtype, device=a.device).exponential_() / b
        # p^a = 1 - U^(1/b); -log p, which may be less than rounding of p
        less = torch.where(log_rest < -1, -torch.log1p(-log_rest.exp()), -log_one_less(log_rest)) / a
        # logit p = -less - log(1 - exp(-less)); less underflows before its logarithm does
        log_less = torch.where(log_rest < -30, log_rest, less.clamp_min(1e-300).log() + a.log()) - a.log()
        up = torch.where(less < 1e-12, log_less, torch.log(-torch.expm1(-less)))
        return (-less - up).to(self.concentration1.dtype)


class StickBreakingDirichlet(Distribution):
    """u of `StickBreaking` with y ~ Dirichlet(a): log p(u) = sum a_k log y_k + lgamma(sum a) - sum lgamma(a_k)."""

    support = constraints.real_vector
    arg_constraints = _UNCHECKED

    def __init__(self, concentration: Tensor) -> None:
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], torch.Size([concentration.shape[-1] - 1]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        a = self.concentration
        return (a * StickBreaking.log_value(value) - torch.lgamma(a)).sum(-1) + torch.lgamma(a.sum(-1))

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        draws = log_gamma_draws(self.concentration.expand(*sample_shape, *self.concentration.shape))
        after = draws.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
        return (draws[..., :-1] - after + log_counts(after)).to(self.concentration.dtype)


class PartialCorrelations(Distribution):
    """u of `CorrelationCholeskyTransform` with L ~ LKJCholesky(n, eta): independent partial correlations tanh(u_ij),

    (1 + tanh u_ij) / 2 ~ Beta(a_j, a_j), a_j = eta + (n - 2 - j) / 2, columns j = 0, 1, ... Lewandowski, Kurowicka
    and Joe 2009.
    """

    support = constraints.real_vector
    arg_constraints = _UNCHECKED

    def __init__(self, n: int, concentration: Tensor) -> None:
        column = torch.tril_indices(n, n, -1, device=concentration.device)[1]
        self.concentration = concentration[..., None] + 0.5 * (n - 2 - column)
        super().__init__(concentration.shape, torch.Size([len(column)]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        a = self.concentration
        each = a * (logsigmoid(2 * value) + logsigmoid(-2 * value)) - log_beta(a, a) + math.log(2)
        return each.sum(-1)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        a = self.concentration.expand(*sample_shape, *self.concentration.shape)
        return (0.5 * (log_gamma_draws(a) - log_gamma_draws(a))).to(a.dtype)


def log_gamma_draws(concentration: Tensor) -> Tensor:
    """log of Gamma(a, 1) draws in float64, which may be far below the least number: g_a = g_{a+1} U^(1/a)."""
    a = concentration.double().contiguous()
    return torch._standard_gamma(a + 1).log() - torch.empty_like(a).exponential_() / a


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    """log B(a, b)."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def log_one_less(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, exact at both ends."""
    near = x > -0.6931
    return torch.where(
        near, (-torch.expm1(torch.where(near, x, -1.0))).log(), torch.log1p(-torch.where(near, -1.0, x).exp())
    )
