"""A model parameter: a shape, a constraint, and the map to it from unconstrained coordinates.

Every kind (`targets.parameters`) maps u in R^size to a constrained value of its shape and knows the log-determinant of
that map; a density of the value becomes a density of u by adding it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, VonMises, constraints, transforms

from targets.arguments import check_integer
from targets.coordinate_priors import in_coordinates
from targets.distributions import drawing_from, integer_argument, moved_distribution, without_validation

PriorLike = Distribution | Callable[..., Distribution] | None


class Parameter:
    """A parameter with an optional normalised `prior=` and ArviZ `dims=` names.

    shape: of one value; size: number of unconstrained coordinates.

    prior: a torch distribution; or a function of other parameters by name that returns one, written for one point,
    without a batch axis; or None where the density that is given holds it. A distribution without the leading axes of
    the shape is that of each entry along them, independently. dims: a name an axis of shape; one word for one axis;
    None numbers them. ValueError for as many names as there are no axes; TypeError for what is no prior.

        >>> from torch.distributions import Normal
        >>> height = targets.Real(3, prior=Normal(0.0, 1.0), dims="tree")
        >>> height.shape, height.size, height.dims
        ((3,), 3, ('tree',))
        >>> group = targets.Real(12, prior=lambda mu, tau: Normal(mu, tau))  # each of the 12, given mu and tau
    """

    constraint: constraints.Constraint
    transform: transforms.Transform
    suited: str  # what to pass as a prior, for messages

    def __init__(self, shape: Sequence[int], size: int, prior: PriorLike, dims: str | Sequence[str] | None) -> None:
        self.shape, self.size = tuple(check_integer(n, "shape") for n in shape), int(size)
        self.dims = (dims,) if isinstance(dims, str) else None if dims is None else tuple(dims)
        if self.dims is not None and len(self.dims) != len(self.shape):
            raise ValueError(f"dims: got {self.dims} for a parameter of shape {self.shape}, expected one name per axis")
        self.prior: Distribution | None = None
        self.coordinate_prior: Distribution | None = None  # the prior as a law of u, where it has a closed form
        self.conditional: Callable[..., Distribution] | None = None  # the prior as a function of other parameters
        if isinstance(prior, Distribution):
            self._take(check_numbers(prior, "prior"))
        elif callable(prior) and not isinstance(prior, type):
            self.conditional = prior
        elif prior is not None:
            came = f"the class {prior.__name__}" if isinstance(prior, type) else type(prior).__name__
            raise TypeError(
                f"prior: got {came}, expected a torch.distributions.Distribution such as Normal(0.0, 1.0), or a "
                "function of other parameters that returns one"
            )

    def _take(self, prior: Distribution) -> None:
        self.prior = without_validation(prior)
        self.coordinate_prior = in_coordinates(self.prior, self.transform)

    def with_prior(self, prior: Distribution) -> Parameter:
        """The same kind of parameter with another prior."""
        other = copy.copy(self)
        other.conditional = None
        other._take(prior)
        return other

    @property
    def has_prior(self) -> bool:
        """Whether a prior is given, as a distribution or as a function."""
        return self.prior is not None or self.conditional is not None

    def constrain(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Value (*batch, *shape) and log-determinant (*batch,) at unconstrained u (*batch, size)."""
        value = self.value(u)
        return value, self.log_det(u, value)

    def value(self, u: Tensor) -> Tensor:
        """Value (*batch, *shape) at unconstrained u (*batch, size)."""
        return self.transform(self.source(u))

    def log_det(self, u: Tensor, value: Tensor) -> Tensor:
        """log |d value / d u|, (*batch,)."""
        return sum_after(self.transform.log_abs_det_jacobian(self.source(u), value), u.ndim - 1)

    def source(self, u: Tensor) -> Tensor:
        """Coordinates (*batch, size) as the transform takes them: one for each entry, where it takes numbers."""
        return u if self.transform.domain.event_dim else u.reshape(u.shape[:-1] + self.shape)

    def unconstrain(self, value: Tensor) -> Tensor:
        """Unconstrained coordinates (*batch, size) of a value (*batch, *shape)."""
        batch = value.shape[: value.ndim - len(self.shape)]
        return self.transform.inv(value).reshape((*batch, self.size))

    def log_prior(self, value: Tensor) -> Tensor:
        """Log-density of the prior at a value, (*batch, *shape) -> (*batch,)."""
        assert self.prior is not None
        return sum_after(self.prior.log_prob(value), value.ndim - len(self.shape))

    def log_prior_in_coordinates(self, u: Tensor, value: Tensor) -> Tensor:
        """Log-density of the prior with respect to u, (*batch, size) -> (*batch,): log_prior + log_det.

        From u alone where that has a closed form, which is exact where the value is within rounding of an end.
        """
        assert self.prior is not None
        return self.log_law(self.prior, self.coordinate_prior, u, value)

    def log_law(self, law: Distribution, in_u: Distribution | None, u: Tensor, value: Tensor) -> Tensor:
        """Log-density with respect to u (*batch, size) of a value that follows a law; in_u: the law of u, if known."""
        if in_u is None:
            return sum_after(law.log_prob(value), u.ndim - 1) + self.log_det(u, value)
        return sum_after(in_u.log_prob(self.source(u)), u.ndim - 1)

    def to(self, dtype: torch.dtype, device: torch.device) -> Parameter:
        """This parameter with its prior's numbers in another dtype and place."""
        if self.prior is None:
            return self
        return self.with_prior(moved_distribution(self.prior, dtype, device))

    def sample_prior(self, n: int, generator: Generator) -> Tensor:
        """Prior draws, (n, *shape)."""
        if self.coordinate_prior is not None:
            return self.value(self.sample_coordinates(n, generator))
        assert self.prior is not None
        return self._sampled(self.prior, n, generator)

    def sample_coordinates(self, n: int, generator: Generator) -> Tensor:
        """Unconstrained coordinates of prior draws, (n, size)."""
        if self.coordinate_prior is None:
            return self.unconstrain(self.sample_prior(n, generator))
        return self._sampled(self.coordinate_prior, n, generator).reshape(n, self.size)

    def _sampled(self, law: Distribution, n: int, generator: Generator) -> Tensor:
        """Draws of a law, one for each of the leading axes of the shape that it does not have."""
        with drawing_from(generator):
            return law.sample((n, *self.shape[: len(self.shape) - len(self._prior_shape)]))

    @property
    def _prior_shape(self) -> tuple[int, ...]:
        assert self.prior is not None
        return tuple(self.prior.batch_shape + self.prior.event_shape)

    def check_prior(self, name: str, generator: Generator) -> None:
        """Raise ValueError when the prior's support or shape is not the parameter's."""
        if self.prior is None:
            return
        drawn = self.shape[: len(self.shape) - len(self._prior_shape)] + self._prior_shape
        if drawn != self.shape:
            raise ValueError(f"{name}: its prior draws shape {drawn}, expected {self.shape}")
        if isinstance(self.prior, VonMises) and self.constraint is constraints.real:
            raise ValueError(
                f"{name}: the prior VonMises is normalised on an interval of length 2 pi, not on the whole line; use "
                "Interval(-math.pi, math.pi, prior=...)"
            )
        draws = self.sample_prior(64, generator)
        probe = torch.linspace(-2, 2, 64 * self.size, dtype=torch.float64).reshape(self.size, 64).mT
        inside = (
            self.prior.support.check(self.constrain(probe)[0].to(draws)) if self.prior.support is not None else None
        )
        if not bool(self.constraint.check(draws).all()) or (inside is not None and not bool(inside.all())):
            raise ValueError(
                f"{name}: the prior {type(self.prior).__name__} does not have the support of {type(self).__name__}, "
                f"so it is not normalised on it; {self.suited}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.shape}"


def check_numbers(prior: Distribution, argument: str) -> Distribution:
    """The distribution, or TypeError where it has integers for real numbers."""
    integers = integer_argument(prior)
    if integers is not None:
        raise TypeError(f"{argument}: {integers}, expected floating-point numbers such as torch.tensor(1.0)")
    return prior


def sum_after(values: Tensor, axes: int) -> Tensor:
    """Sum over all but the first `axes` axes."""
    return values.flatten(axes).sum(-1) if values.ndim > axes else values
