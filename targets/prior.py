"""The prior of named parameters as a target: normalised, with exact draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Generator, Tensor

from targets.base import differentiate
from targets.conditional_prior import ConditionalPrior
from targets.hierarchy import ancestral_order, conditional_priors
from targets.linear_algebra import value_and_score_or_nan, value_or_nan
from targets.parameter import Parameter
from targets.parametrised import Parametrised
from targets.user_function import no_validation


class Prior(Parametrised):
    """The joint law of parameters with normalised priors, in unconstrained coordinates.

        log p(x) = sum over parameters of log prior(value | values that it depends on) + log |d value / d x|

    A prior is a distribution, or a function of other parameters by name that returns one:
    `{"mu": Real(prior=Normal(0., 5.)), "theta": Real(8, prior=lambda mu: Normal(mu, 1.))}`, in any order. The function
    is written for one point, `mu` a number and not a batch; what it returns broadcasts to the parameter's shape. Draws
    are ancestral: each parameter after those that its prior takes.

    The density of a batch comes from one call of the function with singleton axes behind the batch axis, where that
    gives the numbers of each point by itself, and else from `torch.func.vmap`, some 0.1 ms a call. The former is so for
    functions that work entry by entry, index by `mu[..., group]`, and transpose and multiply the last axes alone.

    Known: log_z = 0 and exact draws. Raises ValueError for a prior whose support or shape is not its parameter's, and
    for priors that go in a circle, which it names; TypeError for a function that takes what is no parameter, or that
    returns no distribution.

    parameters: by name, each with a prior. coords: labels of the dims. dtype: float64 by default. device, name: as of
    `Target`.

        >>> from torch.distributions import HalfNormal, Normal
        >>> tau = targets.Positive(prior=HalfNormal(1.0))
        >>> prior = targets.Prior({"theta": targets.Real(3, prior=lambda tau: Normal(0.0, tau)), "tau": tau})
        >>> draws = prior.sample(5, generator=torch.Generator().manual_seed(0))
        >>> draws.shape, bool((prior.constrain(draws)["tau"] > 0).all()), prior.log_z
        (torch.Size([5, 4]), True, 0.0)
    """

    _conditional: Mapping[str, ConditionalPrior] = {}

    @property
    def dependence(self) -> dict[str, tuple[str, ...]]:
        """Which other parameters the prior of a parameter takes, for those whose prior is a function of some."""
        return {key: tuple(found.parents) for key, found in self._conditional.items()}

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        *,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dtype: torch.dtype | None = torch.float64,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(parameters, coords=coords, dtype=dtype, device=device, name=name)
        self._check_axes({}, {})
        missing = {key: kind for key, kind in self.parameters.items() if not kind.has_prior}
        if missing:
            kind = next(iter(missing.values()))
            raise ValueError(
                f"parameters: {list(missing)} have no prior=, expected one on every parameter: {kind.suited}. A flat "
                "prior is improper: to have one, leave prior= out everywhere and pass log_joint=, the log-likelihood "
                "plus the log-densities of the other priors"
            )
        self._conditional = conditional_priors(self.parameters)
        self._order = ancestral_order(self.parameters, self._conditional)
        for key, kind in self.parameters.items():
            kind.check_prior(f"parameters[{key!r}]", torch.Generator().manual_seed(0))
        if self._conditional:
            points = 0.5 * torch.randn(4, self.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            coordinates = self._coordinates(points.to(self.device, self.dtype))
            values = self._values(coordinates)
            for key in self._order:
                if key in self._conditional:
                    self._conditional[key].check(coordinates[key], values)

    def _place(self) -> None:
        super()._place()
        self._conditional = {key: one.to(self.dtype, self.device) for key, one in self._conditional.items()}

    # Density

    def log_prob(self, x: Tensor) -> Tensor:
        return value_or_nan(self._flat_log_prob, x.reshape(-1, self.dim)).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = value_and_score_or_nan(
            lambda part: differentiate(self._flat_log_prob, part, self.name), x.reshape(-1, self.dim)
        )
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    def _flat_log_prob(self, x: Tensor) -> Tensor:
        coordinates = self._coordinates(x)
        return self.log_prior(coordinates, self._values(coordinates))

    def log_prior(self, coordinates: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        """The log-density (n,) at named coordinates (n, size), whose values (n, *shape) are given."""
        with no_validation():
            return reduce(add, (self._log_prior_of(key, coordinates, values) for key in self.parameters))

    def log_prior_given(self, key: str, x: Tensor) -> Tensor:
        """The log-density (n,) of those parameters whose priors depend on one, at points (n, dim)."""
        coordinates = self._coordinates(x)
        values = self._values(coordinates)
        children = [name for name, one in self._conditional.items() if key in one.parents]
        return reduce(add, (self._log_prior_of(name, coordinates, values) for name in children), 0.0 * x.sum(-1))

    def _log_prior_of(self, key: str, coordinates: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        u, value = coordinates[key], values[key]
        if key in self._conditional:
            return self._conditional[key].log_prob(u, value, values)
        return self.parameters[key].log_prior_in_coordinates(u, value)

    # What is known

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        values: dict[str, Tensor] = {}
        drawn: dict[str, Tensor] = {}
        for key in self._order:
            kind = self.parameters[key]
            if key in self._conditional:
                u = self._conditional[key].sample_coordinates(values, n, generator)
            else:
                u = kind.sample_coordinates(n, generator)
            drawn[key] = u.to(device=self.device, dtype=self.dtype)
            if self._conditional:
                values[key] = kind.value(drawn[key])
        return torch.cat([drawn[key] for key in self.parameters], -1)

    @property
    def parents(self) -> frozenset[str]:
        """The parameters that priors of others are functions of."""
        return frozenset(name for one in self._conditional.values() for name in one.parents)

    @property
    def children(self) -> frozenset[str]:
        """The parameters whose priors are functions of others."""
        return frozenset(self._conditional)
