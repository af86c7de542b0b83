"""Maps from R^n to bounded sets whose log-determinants and inverses are exact however close to an end the value is.

A value within rounding of an end is passed on as the number next to the end (log and log1p are finite there); what
is sampled is u, which is not rounded, and densities that are known in u (`targets.coordinate_priors`) are exact there.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.distributions import constraints, transforms
from torch.distributions.utils import tril_matrix_to_vec, vec_to_tril_matrix
from torch.nn.functional import logsigmoid


class PositiveTransform(transforms.ExpTransform):
    """u -> exp(u), at least the least normal number."""

    def _call(self, x: Tensor) -> Tensor:
        return x.exp().clamp_min(torch.finfo(x.dtype).tiny)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.clamp_min(torch.finfo(y.dtype).tiny).log()


class IntervalTransform(transforms.Transform):
    """u -> low + (high - low) sigmoid(u), reckoned from the nearer end."""

    domain = constraints.real
    bijective = True
    sign = 1

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = float(low), float(high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def codomain(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    def _call(self, x: Tensor) -> Tensor:
        width = self.high - self.low
        value = torch.where(x < 0, self.low + width * x.sigmoid(), self.high - width * (-x).sigmoid())
        return value.clamp(*self.inside(x.dtype))

    def _inverse(self, y: Tensor) -> Tensor:
        y = y.clamp(*self.inside(y.dtype))
        return (y - self.low).log() - (self.high - y).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return math.log(self.high - self.low) + logsigmoid(x) + logsigmoid(-x)

    def inside(self, dtype: torch.dtype) -> tuple[float, float]:
        """The numbers next to the ends, inside."""
        return _next_to(self.low, self.high, dtype), _next_to(self.high, self.low, dtype)

    def reach(self, dtype: torch.dtype) -> tuple[float, float]:
        """The u beyond which values are within rounding of the lower and of the upper end."""
        low, high = self.inside(dtype)
        width = math.log(self.high - self.low)
        return math.log(low - self.low) - width, width - math.log(self.high - high)


@lru_cache
def _next_to(end: float, other: float, dtype: torch.dtype) -> float:
    """The normal number of the dtype next to an end."""
    info = torch.finfo(dtype)
    if end == 0:
        return math.copysign(info.tiny, other)
    if dtype not in (torch.float32, torch.float64):  # nextafter knows these two
        return end + math.copysign(abs(end) * info.eps, other - end)
    number = torch.tensor(end, dtype=dtype)
    return float(torch.nextafter(number, torch.tensor(other, dtype=dtype)))


class StickBreaking(transforms.Transform):
    """v = u - log(n - 1, n - 2, .., 1), z = sigmoid(v): y_k is the share z_k of what y_1 .. y_{k-1} have left.

    The map of torch's StickBreakingTransform, in logarithms, so that no entry loses digits.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return self.log_value(x).exp().clamp_min(torch.finfo(x.dtype).tiny)

    def _inverse(self, y: Tensor) -> Tensor:
        y = y.clamp_min(torch.finfo(y.dtype).tiny)
        after = y.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        return y[..., :-1].log() - after.log() + log_counts(after)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.log_value(x)[..., :-1] + logsigmoid(log_counts(x) - x)).sum(-1)

    @staticmethod
    def log_value(x: Tensor) -> Tensor:
        """log y, (*batch, n - 1) -> (*batch, n)."""
        v = x - log_counts(x)
        left = logsigmoid(-v).cumsum(-1)
        before = torch.nn.functional.pad(left[..., :-1], (1, 0))
        return torch.cat([before + logsigmoid(v), left[..., -1:]], -1)


def log_counts(x: Tensor) -> Tensor:
    """log(n - 1, n - 2, .., 1) for x (*batch, n - 1)."""
    return torch.arange(x.shape[-1], 0, -1, dtype=x.dtype, device=x.device).log()


class CorrelationCholeskyTransform(transforms.Transform):
    """r = tanh(u): L_ij = r_ij prod_{k<j} sqrt(1 - r_ik^2), L_ii = prod_{k<i} sqrt(1 - r_ik^2).

    The map of torch's CorrCholeskyTransform, with log(1 - r^2) = 2 log sech u, so that the diagonal is exact.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        partial = vec_to_tril_matrix(x.tanh(), diag=-1)
        left = torch.nn.functional.pad(vec_to_tril_matrix(log_sech(x), diag=-1).cumsum(-1)[..., :-1], (1, 0)).exp()
        left = left.clamp_min(torch.finfo(x.dtype).tiny)
        return left * (partial + torch.eye(partial.shape[-1], dtype=x.dtype, device=x.device))

    def _inverse(self, y: Tensor) -> Tensor:
        after = torch.nn.functional.pad(y.square().flip(-1).cumsum(-1).flip(-1)[..., 1:], (0, 1))
        return tril_matrix_to_vec(y / after.clamp_min(torch.finfo(y.dtype).tiny).sqrt(), diag=-1).asinh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        row, column = torch.tril_indices(y.shape[-1], y.shape[-1], -1, device=x.device)
        return ((row - column + 1) * log_sech(x)).sum(-1)


def log_sech(x: Tensor) -> Tensor:
    """log sech x = log(1 - tanh^2 x) / 2."""
    return math.log(2) + 0.5 * (logsigmoid(2 * x) + logsigmoid(-2 * x))
