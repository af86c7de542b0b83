"""A model parameter: a shape, a constraint, and the map to it from unconstrained coordinates.

Every kind (`targets.parameters`) maps u in R^size to a constrained value of its shape and knows the log-determinant of
that map; a density of the value becomes a density of u by adding it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, VonMises, constraints, transforms

from targets.arguments import check_integer
from targets.coordinate_priors import in_coordinates
from targets.distributions import integer_argument, moved_distribution, without_validation
from targets.seeded import seeded


class Parameter:
    """A parameter with an optional normalised `prior=` (a torch distribution) and ArviZ `dims=` names.

    shape: of one value; size: number of unconstrained coordinates.

    prior: None where the density that is given holds it. dims: a name an axis of shape; one word for one axis; None
    numbers them. ValueError for as many names as there are no axes; TypeError for what is no prior.

        >>> from torch.distributions import Normal
        >>> height = targets.Real(3, prior=Normal(0.0, 1.0), dims="tree")
        >>> height.shape, height.size, height.dims
        ((3,), 3, ('tree',))
    """

    constraint: constraints.Constraint
    transform: transforms.Transform
    suited: str  # what to pass as a prior, for messages

    def __init__(
        self, shape: Sequence[int], size: int, prior: Distribution | None, dims: str | Sequence[str] | None
    ) -> None:
        self.shape, self.size = tuple(check_integer(n, "shape") for n in shape), int(size)
        self.dims = (dims,) if isinstance(dims, str) else None if dims is None else tuple(dims)
        if self.dims is not None and len(self.dims) != len(self.shape):
            raise ValueError(f"dims: got {self.dims} for a parameter of shape {self.shape}, expected one name per axis")
        if prior is not None and not isinstance(prior, Distribution):
            raise TypeError(f"prior: got {type(prior).__name__}, expected a torch.distributions.Distribution")
        integers = None if prior is None else integer_argument(prior)
        if integers is not None:
            raise TypeError(f"prior: {integers}, expected floating-point numbers such as torch.tensor(1.0)")
        self.prior = None if prior is None else without_validation(prior)
        # the prior as a law of u, where it has a closed form
        self.coordinate_prior = None if self.prior is None else in_coordinates(self.prior, self.transform)

    def constrain(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Value (*batch, *shape) and log-determinant (*batch,) at unconstrained u (*batch, size)."""
        value = self.value(u)
        return value, self.log_det(u, value)

    def value(self, u: Tensor) -> Tensor:
        """Value (*batch, *shape) at unconstrained u (*batch, size)."""
        return self.transform(self._source(u))

    def log_det(self, u: Tensor, value: Tensor) -> Tensor:
        """log |d value / d u|, (*batch,)."""
        return sum_after(self.transform.log_abs_det_jacobian(self._source(u), value), u.ndim - 1)

    def _source(self, u: Tensor) -> Tensor:
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
        if self.coordinate_prior is None:
            return self.log_prior(value) + self.log_det(u, value)
        return sum_after(self.coordinate_prior.log_prob(self._source(u)), u.ndim - 1)

    def to(self, dtype: torch.dtype, device: torch.device) -> Parameter:
        """This parameter with its prior's numbers in another dtype and place."""
        if self.prior is None:
            return self
        moved = copy.copy(self)
        moved.prior = moved_distribution(self.prior, dtype, device)
        moved.coordinate_prior = in_coordinates(moved.prior, self.transform)
        return moved

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
        """Draws of a law, one for each of the leading axes of the shape that it does not have.

        torch.distributions draws from the global generator only; it is seeded from `generator` inside a fork, and
        found again as it was.
        """
        with seeded(generator):
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


def sum_after(values: Tensor, axes: int) -> Tensor:
    """Sum over all but the first `axes` axes."""
    return values.flatten(axes).sum(-1) if values.ndim > axes else values
