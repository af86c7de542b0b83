"""Kinds of model parameters, each a constraint and the map to it from unconstrained coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints, transforms

from targets.arguments import check_integer
from targets.end_transforms import CorrelationCholeskyTransform, IntervalTransform, PositiveTransform, StickBreaking
from targets.parameter import Parameter, PriorLike


class Real(Parameter):
    """Unconstrained real numbers of any shape.

    shape: of one value, () by default. prior, dims: as of `Parameter`.

        >>> targets.Real(2, 3).size
        6
    """

    constraint = constraints.real
    transform = transforms.identity_transform
    suited = "use a distribution on the whole line (Normal, StudentT, Cauchy), or another kind of parameter"

    def __init__(self, *shape: int, prior: PriorLike = None, dims: str | Sequence[str] | None = None) -> None:
        super().__init__(shape, _product(shape), prior, dims)


class Positive(Parameter):
    """Positive numbers, value = exp(u).

    shape: of one value, () by default. prior, dims: as of `Parameter`.

        >>> targets.Positive(2).value(torch.zeros(2))
        tensor([1., 1.])
    """

    constraint = constraints.positive
    transform = PositiveTransform()
    suited = "use a distribution on all positive numbers (HalfNormal, Gamma, LogNormal), or another kind of parameter"

    def __init__(self, *shape: int, prior: PriorLike = None, dims: str | Sequence[str] | None = None) -> None:
        super().__init__(shape, _product(shape), prior, dims)


class Interval(Parameter):
    """Numbers between `low` and `high`, value = low + (high - low) sigmoid(u).

    low, high: numbers, low below high. shape: of one value, () by default. prior, dims: as of `Parameter`. ValueError
    for an interval that is empty or not finite.

        >>> targets.Interval(0.0, 10.0).value(torch.zeros(1))
        tensor(5.)
    """

    def __init__(
        self,
        low: float,
        high: float,
        *shape: int,
        prior: PriorLike = None,
        dims: str | Sequence[str] | None = None,
    ) -> None:
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"low, high: got {low} and {high}, expected finite numbers with low < high")
        self.low, self.high = low, high
        self.constraint = constraints.interval(low, high)
        self.transform = IntervalTransform(low, high)
        also = ", or a Beta" if (low, high) == (0, 1) else ""
        self.suited = (
            f"use a distribution on all of it (Uniform({float(low)}, {float(high)}){also}), or another Interval"
        )
        super().__init__(shape, _product(shape), prior, dims)


class Simplex(Parameter):
    """n non-negative numbers that sum to one, by stick breaking from n - 1 coordinates.

    Densities on the simplex are with respect to the first n - 1 entries, as for torch's Dirichlet.

    n: at least 2. prior, dims: as of `Parameter`.

        >>> kind = targets.Simplex(4)
        >>> kind.size, kind.value(torch.zeros(3))
        (3, tensor([0.2500, 0.2500, 0.2500, 0.2500]))
    """

    constraint = constraints.simplex
    transform = StickBreaking()
    suited = "use a distribution on the simplex (Dirichlet)"

    def __init__(self, n: int, *, prior: PriorLike = None, dims: str | Sequence[str] | None = None) -> None:
        n = check_integer(n, "n", 2)
        super().__init__((n,), n - 1, prior, dims)


class Ordered(Parameter):
    """n increasing numbers: value_1 = u_1, value_k = value_{k-1} + exp(u_k).

    n: at least 2. prior, dims: as of `Parameter`.

        >>> targets.Ordered(3).value(torch.zeros(3))
        tensor([0., 1., 2.])
    """

    suited = (
        "torch has no distribution of increasing numbers: leave prior= out everywhere and add the priors in a "
        "log_joint; n independent draws in order have the density n! times the product"
    )

    def __init__(self, n: int, *, prior: PriorLike = None, dims: str | Sequence[str] | None = None) -> None:
        n = check_integer(n, "n", 2)
        self.transform = OrderedTransform()
        self.constraint = self.transform.codomain
        super().__init__((n,), n, prior, dims)


class CorrelationCholesky(Parameter):
    """Cholesky factor (n, n) of a correlation matrix, from n (n - 1) / 2 coordinates.

    Densities are with respect to the entries below the diagonal, as for torch's LKJCholesky.

    n: at least 2. prior, dims: as of `Parameter`.

        >>> kind = targets.CorrelationCholesky(3)
        >>> value, log_det = kind.constrain(torch.zeros(3))
        >>> kind.size, torch.equal(value, torch.eye(3))
        (3, True)
    """

    constraint = constraints.corr_cholesky
    transform = CorrelationCholeskyTransform()
    suited = "use a distribution of Cholesky factors of correlations (LKJCholesky)"

    def __init__(self, n: int, *, prior: PriorLike = None, dims: str | Sequence[str] | None = None) -> None:
        n = check_integer(n, "n", 2)
        super().__init__((n, n), n * (n - 1) // 2, prior, dims)


class _Ordered(constraints.Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value[..., 1:] > value[..., :-1]).all(-1)


class OrderedTransform(transforms.Transform):
    """u -> (u_1, u_1 + exp u_2, u_1 + exp u_2 + exp u_3, ...); log-determinant u_2 + ... + u_n."""

    domain = constraints.real_vector
    codomain = _Ordered()
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1], x[..., 1:].exp()], -1).cumsum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([y[..., :1], y.diff(dim=-1).log()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x[..., 1:].sum(-1)


def _product(shape: Sequence[int]) -> int:
    return math.prod(check_integer(n, "shape") for n in shape)
