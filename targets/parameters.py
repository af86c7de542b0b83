"""Kinds of model parameters: a shape, a constraint, and the map to it from unconstrained coordinates.

Every kind maps u in R^size to a constrained value of its shape and knows the log-determinant of that map, taken
from `torch.distributions.transforms`; a density of the value becomes a density of u by adding it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Beta, Distribution, LKJCholesky, constraints, transforms

from targets.arguments import check_integer


class Parameter:
    """A parameter with an optional normalised `prior=` (a torch distribution) and ArviZ `dims=` names.

    shape: of one value; size: number of unconstrained coordinates.
    """

    constraint: constraints.Constraint
    transform: transforms.Transform

    def __init__(
        self, shape: Sequence[int], size: int, prior: Distribution | None, dims: str | Sequence[str] | None
    ) -> None:
        for n in shape:
            check_integer(n, "shape")
        self.shape, self.size = tuple(shape), size
        self.dims = (dims,) if isinstance(dims, str) else None if dims is None else tuple(dims)
        if self.dims is not None and len(self.dims) != len(self.shape):
            raise ValueError(f"dims: got {self.dims} for a parameter of shape {self.shape}, expected one name per axis")
        if prior is not None and not isinstance(prior, Distribution):
            raise TypeError(f"prior: got {type(prior).__name__}, expected a torch.distributions.Distribution")
        self.prior = None if prior is None else _without_validation(prior)

    def constrain(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Value (*batch, *shape) and log-determinant (*batch,) at unconstrained u (*batch, size)."""
        batch = u.shape[:-1]
        source = u if self.transform.domain.event_dim else u.reshape(batch + self.shape)
        value = self.transform(source)
        return value, sum_after(self.transform.log_abs_det_jacobian(source, value), len(batch))

    def unconstrain(self, value: Tensor) -> Tensor:
        """Unconstrained coordinates (*batch, size) of a value (*batch, *shape)."""
        batch = value.shape[: value.ndim - len(self.shape)]
        return self.transform.inv(value).reshape((*batch, self.size))

    def log_prior(self, value: Tensor) -> Tensor:
        """Log-density of the prior at a value, (*batch, *shape) -> (*batch,)."""
        assert self.prior is not None
        return sum_after(self.prior.log_prob(value), value.ndim - len(self.shape))

    def to(self, dtype: torch.dtype, device: torch.device) -> Parameter:
        """This parameter with its prior's numbers in another dtype and place."""
        if self.prior is None:
            return self
        moved = copy.copy(self)
        moved.prior = _moved_distribution(self.prior, dtype, device)
        return moved

    def sample_prior(self, n: int, generator: Generator) -> Tensor:
        """Prior draws, (n, *shape).

        torch.distributions draws from the global generator only; it is seeded from `generator` inside a fork, and
        found again as it was.
        """
        assert self.prior is not None
        event = len(self.prior.batch_shape) + len(self.prior.event_shape)
        lead = self.shape[: len(self.shape) - event]
        seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
        devices = [] if generator.device.type == "cpu" else [generator.device]
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(seed))
            return self.prior.sample((n, *lead))

    def check_prior(self, name: str, generator: Generator) -> None:
        """Raise ValueError when the prior's support or shape is not the parameter's."""
        if self.prior is None:
            return
        draws = self.sample_prior(64, generator)
        if draws.shape[1:] != self.shape:
            raise ValueError(f"{name}: its prior draws shape {tuple(draws.shape[1:])}, expected {self.shape}")
        probe = torch.linspace(-2, 2, 64 * self.size, dtype=torch.float64).reshape(self.size, 64).mT
        inside = (
            self.prior.support.check(self.constrain(probe)[0].to(draws)) if self.prior.support is not None else None
        )
        if not bool(self.constraint.check(draws).all()) or (inside is not None and not bool(inside.all())):
            raise ValueError(
                f"{name}: the prior {type(self.prior).__name__} does not have the support of {type(self).__name__}, "
                "so it is not normalised on it; use a distribution on that support (HalfNormal, Uniform ...)"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.shape}"


class Real(Parameter):
    """Unconstrained real numbers of any shape."""

    constraint = constraints.real
    transform = transforms.identity_transform

    def __init__(self, *shape: int, prior: Distribution | None = None, dims: str | Sequence[str] | None = None) -> None:
        super().__init__(shape, math.prod(shape), prior, dims)


class Positive(Parameter):
    """Positive numbers, value = exp(u)."""

    constraint = constraints.positive
    transform = transforms.ExpTransform()

    def __init__(self, *shape: int, prior: Distribution | None = None, dims: str | Sequence[str] | None = None) -> None:
        super().__init__(shape, math.prod(shape), prior, dims)


class Interval(Parameter):
    """Numbers between `low` and `high`, value = low + (high - low) sigmoid(u)."""

    def __init__(
        self,
        low: float,
        high: float,
        *shape: int,
        prior: Distribution | None = None,
        dims: str | Sequence[str] | None = None,
    ) -> None:
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"low, high: got {low} and {high}, expected finite numbers with low < high")
        self.low, self.high = low, high
        self.constraint = constraints.interval(low, high)
        self.transform = transforms.ComposeTransform(
            [transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)]
        )
        super().__init__(shape, math.prod(shape), prior, dims)


class Simplex(Parameter):
    """n non-negative numbers that sum to one, by stick breaking from n - 1 coordinates.

    Densities on the simplex are with respect to the first n - 1 entries, as for torch's Dirichlet.
    """

    constraint = constraints.simplex
    transform = transforms.StickBreakingTransform()

    def __init__(self, n: int, *, prior: Distribution | None = None, dims: str | Sequence[str] | None = None) -> None:
        check_integer(n, "n", 2)
        super().__init__((n,), n - 1, prior, dims)


class Ordered(Parameter):
    """n increasing numbers: value_1 = u_1, value_k = value_{k-1} + exp(u_k)."""

    def __init__(self, n: int, *, prior: Distribution | None = None, dims: str | Sequence[str] | None = None) -> None:
        check_integer(n, "n", 2)
        self.transform = OrderedTransform()
        self.constraint = self.transform.codomain
        super().__init__((n,), n, prior, dims)


class CorrelationCholesky(Parameter):
    """Cholesky factor (n, n) of a correlation matrix, from n (n - 1) / 2 coordinates.

    Densities are with respect to the entries below the diagonal, as for torch's LKJCholesky.
    """

    constraint = constraints.corr_cholesky
    transform = transforms.CorrCholeskyTransform()

    def __init__(self, n: int, *, prior: Distribution | None = None, dims: str | Sequence[str] | None = None) -> None:
        check_integer(n, "n", 2)
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


def sum_after(values: Tensor, axes: int) -> Tensor:
    """Sum over all but the first `axes` axes."""
    return values.flatten(axes).sum(-1) if values.ndim > axes else values


def _moved_distribution(prior: Distribution, dtype: torch.dtype, device: torch.device) -> Distribution:
    """A copy with its tensors in another dtype and place, those of the distributions it is made of included."""
    moved = copy.copy(prior)
    for name, value in prior.__dict__.items():
        if isinstance(value, Tensor):
            moved.__dict__[name] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        elif isinstance(value, Distribution):
            moved.__dict__[name] = _moved_distribution(value, dtype, device)
        elif isinstance(value, list) and value and isinstance(value[0], transforms.Transform):
            moved.__dict__[name] = [_moved_transform(item, dtype, device) for item in value]
    if isinstance(moved, LKJCholesky):
        # torch (2.13 and before) draws LKJ from the wrong beta law for n > 2: row k has |w|^2 ~ Beta(k/2, ...)
        k = torch.arange(moved.dim, dtype=dtype, device=device).clamp_min(1)
        moved._beta = Beta(0.5 * k, moved.concentration[..., None] + 0.5 * (moved.dim - 1 - k))
    return moved


def _moved_transform(transform: transforms.Transform, dtype: torch.dtype, device: torch.device) -> transforms.Transform:
    moved = copy.copy(transform)
    for name, value in transform.__dict__.items():
        if isinstance(value, Tensor):
            moved.__dict__[name] = value.to(device=device, dtype=dtype)
    return moved


def _without_validation(prior: Distribution) -> Distribution:
    """A copy whose log_prob returns NaN or -infinity instead of raising: chains count such points, they do not stop."""
    quiet: Any = copy.copy(prior)
    quiet._validate_args = False
    base = getattr(quiet, "base_dist", None)
    if base is not None:
        quiet.base_dist = _without_validation(base)
    return quiet
