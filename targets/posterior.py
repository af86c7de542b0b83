"""Bayesian posteriors with named, constrained parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from targets.base import Variable, differentiate
from targets.derived import Derived
from targets.end_check import check_ends
from targets.labels import read_dims
from targets.linear_algebra import value_and_score_or_nan, value_or_nan
from targets.parameter import Parameter
from targets.parametrised import Parametrised
from targets.predictive import Predictive
from targets.predictive_check import check_model, check_sum
from targets.user_function import check_batch_axis, copies, evaluated, no_validation, over_values, shapes_of
from targets.with_data import WithData


class Prior(Parametrised):
    """The joint law of independent parameters with normalised priors, in unconstrained coordinates.

        log p(x) = sum over parameters of log prior(value) + log |d value / d x|

    Known: log_z = 0 and exact draws. Raises ValueError for a prior whose support is not its parameter's.

    parameters: by name, each with a prior. coords: labels of the dims. dtype: float64 by default. device, name: as of
    `Target`.

        >>> from torch.distributions import HalfNormal
        >>> prior = targets.Prior({"tau": targets.Positive(prior=HalfNormal(1.0))})
        >>> draws = prior.sample(5, generator=torch.Generator().manual_seed(0))
        >>> draws.shape, bool((prior.constrain(draws)["tau"] > 0).all())
        (torch.Size([5, 1]), True)
    """

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
        missing = [key for key, kind in self.parameters.items() if kind.prior is None]
        if missing:
            raise ValueError(f"parameters: {missing} have no prior=, expected one on every parameter")
        for key, kind in self.parameters.items():
            kind.check_prior(f"parameters[{key!r}]", torch.Generator().manual_seed(0))

    def log_prob(self, x: Tensor) -> Tensor:
        coordinates = self._coordinates(x)
        return self._log_prior(coordinates, self._values(coordinates))

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        draws = [kind.sample_coordinates(n, generator) for kind in self.parameters.values()]
        return torch.cat([u.to(device=self.device, dtype=self.dtype) for u in draws], -1)


class Posterior(WithData):
    """A Bayesian posterior over named, constrained parameters.

        Posterior(log_joint, {"mu": Real(), "tau": Positive(), "theta": Real(8)})
        Posterior(log_likelihood=fn, parameters={"mu": Real(prior=Normal(0., 5.)), ...})
        Posterior(predictive=fn, observed={"y": y}, parameters={"mu": Real(prior=Normal(0., 5.)), ...})

    The function gets the constrained values as keyword arguments, the batch axis first, (batch,) for a scalar and
    (batch, 8) for `Real(8)`, and returns (batch,); with `batched=False` it is written for one point and vectorised.
    Chains move in unconstrained coordinates, log p(x) = log_joint(values) + log |d values / d x|; draws come out
    constrained through `constrain`. With `log_likelihood=` every parameter needs a `prior=`, and `prior` is then a
    normalised Target with exact draws.

    `predictive` maps the parameters that it names to a dict of torch distributions (or tensors, for what has no law) of
    data, from which `predict` draws. Without another function log p(y | values) is the sum of their log_prob at
    `observed`, by which `pointwise` is the sum's terms; `pointwise=` is a function that returns terms, (batch, n) or a
    dict of such, in their place or beside them. Given beside `log_likelihood` the terms must sum to it, else a
    ValueError says by how much they differ; beside `log_joint` they are taken at their word.

    `derived` maps the values to a dict of further quantities that draws should carry. `coords` labels the dims.
    The default dtype is float64: data of another dtype may need converting, and distributions that the function
    makes from Python numbers work in torch's default dtype (some, such as HalfCauchy, return it), so write
    `HalfCauchy(torch.tensor(2.5, dtype=torch.float64))`. Priors given by `prior=` are converted.

    Raises an error that names the argument for values of wrong shape, dtype or device, and when the function mixes
    up its batch axis (its result for three points differs from the three taken one by one). The checks of
    torch.distributions are on for those three points and off afterwards, so that a chain that strays to a non-finite
    point is counted and does not end the run.

    parameters: by name. log_joint, log_likelihood: the function, one of the two. dtype, device: of the values it gets.
    derived, coords: None for no further quantities, and for numbers as labels. name: as of `Target`. predictive,
    pointwise: as above. observed: data by name, tensors or arrays, without missing values. dims: names of the axes of
    what is observed, predicted or derived.

        >>> from torch.distributions import Normal
        >>> y = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> mean = targets.Posterior(
        ...     log_likelihood=lambda mu: Normal(mu[:, None], 1.0).log_prob(y).sum(-1),
        ...     parameters={"mu": targets.Real(prior=Normal(0.0, 5.0))},
        ... )
        >>> mean.dim, mean.constrain(torch.zeros(4, 1, dtype=torch.float64))["mu"].shape, sorted(mean.known)
        (1, torch.Size([4]), ['prior'])
        >>> same = targets.Posterior(
        ...     predictive=lambda mu: {"y": Normal(mu[:, None], 1.0)}, observed={"y": y}, parameters=mean.parameters
        ... )
        >>> x = same.prior.sample(4, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(same.log_prob(x), mean.log_prob(x)), same.pointwise(x)["y"].shape
        (True, torch.Size([4, 2]))
    """

    def __init__(
        self,
        log_joint: Callable[..., Tensor] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        log_likelihood: Callable[..., Tensor] | None = None,
        batched: bool = True,
        derived: Callable[..., dict[str, Tensor]] | None = None,
        predictive: Callable[..., dict[str, Any]] | None = None,
        observed: Mapping[str, Any] | None = None,
        pointwise: Callable[..., Any] | None = None,
        dims: Mapping[str, str | Sequence[str]] | None = None,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dtype: torch.dtype | None = torch.float64,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        alone = log_joint is None and log_likelihood is None and Predictive.can_weigh(predictive, observed, pointwise)
        if not alone and (log_joint is None) == (log_likelihood is None):
            raise ValueError(
                "log_joint, log_likelihood: expected exactly one of the two functions, or predictive= and observed="
            )
        function = log_likelihood if log_joint is None else log_joint
        if derived is not None and not callable(derived):
            raise TypeError(f"derived: got {type(derived).__name__}, expected a function of the parameters")
        if not (function is None or callable(function)):
            raise TypeError(f"log_joint: got {type(function).__name__}, expected a function of the parameters")
        if parameters is None:
            raise TypeError('parameters: missing, expected a dict such as {"mu": targets.Real()}')
        super().__init__(parameters, coords=coords, dtype=dtype, device=device, name=name)
        model = Predictive(predictive, list(self.parameters), observed=observed, pointwise=pointwise, batched=batched)
        self._model = model
        function = model.log_likelihood if function is None else function
        self._argument = model.argument if alone else "log_likelihood" if log_joint is None else "log_joint"
        self._batched = batched
        self._given = function
        self._function = function if batched or alone else over_values(function)
        self._prior: Prior | None = None
        if log_joint is None:
            self._prior = Prior(parameters, coords=coords, dtype=dtype, device=device, name=f"{self.name} prior")
        elif any(kind.prior is not None for kind in self.parameters.values()):
            raise ValueError(
                "prior=: given together with log_joint, which holds the prior already; use log_likelihood="
            )
        points = self._probe()
        check_model(model, self._values(self._coordinates(points)))
        check_batch_axis(self._argument, self._flat_log_prob, points, batched=batched)
        self._derived: Derived | None = None
        if derived is not None:
            values = self._values(self._coordinates(points))
            self._derived = Derived(derived if batched else over_values(derived), values)
        if model.has_terms and log_likelihood is not None:
            check_sum(model, self._values(self._coordinates(points)), lambda: self._flat_function(points))
        for key in (self.parameters.keys() | self._derived_shapes.keys()) & self._data_shapes.keys():
            raise ValueError(
                f"predictive, observed: got the name {key!r}, which is a parameter's or derived; rename it"
            )
        self._dims = read_dims(dims, self._derived_shapes | self._data_shapes)
        self._check_axes(self._derived_shapes | self._data_shapes, self._dims)
        known = self.parameters if self._prior is None else self._prior.parameters
        check_ends(known, self._argument, self._flat_log_prob, self._flat_function, points.new_zeros(self.dim))

    @property
    def _derived_shapes(self) -> dict[str, tuple[int, ...]]:
        return {} if self._derived is None else self._derived.shapes

    def _evaluate(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        """The function at values (n, *shape), (n,); it gets copies, which it may write into."""
        try:
            return evaluated(
                lambda: self._function(**copies(values)),
                lambda: self._given(**{key: value[0].detach().clone() for key, value in values.items()}),
                self._argument,
                x,
                batched=self._batched,
            )
        except Exception as error:
            axis = "the first axis is the batch" if self._batched else "it is given one point at a time"
            error.add_note(f"{self._argument} was called with {shapes_of(values)} in {x.dtype}: {axis}")
            raise

    def _flat_function(self, x: Tensor) -> Tensor:
        return self._evaluate(self._values(self._coordinates(x)), x).clone()

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The log-likelihood alone, (*batch, dim) -> (*batch,); NotImplementedError where only the joint is given."""
        if self._prior is None:
            self._raise_unknown("prior")
        flat = x.reshape(-1, self.dim)
        with no_validation():
            return value_or_nan(self._flat_function, flat).reshape(x.shape[:-1])

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self._prior is None:
            self._raise_unknown("prior")
        return self._with_score(self._flat_function, x)

    def log_prob(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.dim)
        with no_validation():
            return value_or_nan(self._flat_log_prob, flat).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._with_score(self._flat_log_prob, x)

    def _with_score(self, flat_density: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.reshape(-1, self.dim)
        with no_validation():
            value, score = value_and_score_or_nan(lambda part: differentiate(flat_density, part, self.name), flat)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    def _flat_log_prob(self, x: Tensor) -> Tensor:
        coordinates = self._coordinates(x)
        values = self._values(coordinates)
        rest = self._log_det if self._prior is None else self._log_prior
        return self._evaluate(values, x) + rest(coordinates, values)

    @property
    def prior(self) -> Prior:
        if self._prior is None:
            self._raise_unknown("prior")
        return self._prior

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["prior"] if self._prior is None else [])

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        self._check(x)
        values = self._values(self._coordinates(x.reshape(-1, self.dim)))
        if self._derived is not None:
            values = values | self._derived(values)
        return {key: value.reshape(x.shape[:-1] + value.shape[1:]) for key, value in values.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        derived = self._derived_shapes.items()
        return super().variables | {key: self._variable(shape, self._dims.get(key)) for key, shape in derived}

    def _probe(self) -> Tensor:
        """Three points, (3, dim)."""
        return torch.linspace(-0.5, 0.5, 3 * self.dim, dtype=self.dtype, device=self.device).reshape(3, self.dim)
