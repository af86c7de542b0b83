"""Bayesian posteriors with named, constrained parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from targets.base import Target, Variable, differentiate
from targets.end_check import warn_of_ends
from targets.end_transforms import IntervalTransform
from targets.labels import check_axes, check_name, read_coords
from targets.linear_algebra import failures_raised, is_failure, value_and_score_or_nan, value_or_nan
from targets.parameters import Parameter
from targets.user_function import check_evaluations, evaluated, no_validation


class _Parametrised(Target):
    """Coordinates x in R^dim, cut into the unconstrained coordinates of named parameters."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        *,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        name: str | None,
    ) -> None:
        if not isinstance(parameters, Mapping) or not parameters:
            raise TypeError('parameters: expected a non-empty dict such as {"mu": targets.Real()}')
        for key, kind in parameters.items():
            check_name(key, f"parameters[{key!r}]")
            if not isinstance(kind, Parameter):
                raise TypeError(
                    f"parameters[{key!r}]: got {kind!r}, expected Real(), Positive(), Interval(...) or the like"
                )
        super().__init__(sum(p.size for p in parameters.values()), dtype=dtype, device=device, name=name)
        self.parameters = {key: kind.to(self.dtype, self.device) for key, kind in parameters.items()}
        self._sizes = [p.size for p in parameters.values()]
        self._coords = read_coords(coords)
        self._check_axes({})

    def _check_axes(self, derived: dict[str, tuple[int, ...]]) -> None:
        shapes = {key: kind.shape for key, kind in self.parameters.items()} | derived
        check_axes(shapes, {key: kind.dims for key, kind in self.parameters.items()}, self._coords)

    def _coordinates(self, x: Tensor) -> dict[str, Tensor]:
        """The unconstrained coordinates (*batch, size) of every parameter."""
        self._check(x)
        return dict(zip(self.parameters, x.split(self._sizes, -1), strict=True))

    def _interval_columns(self) -> Iterator[tuple[int, str, IntervalTransform]]:
        """The columns of x that are an interval's, with its name and map."""
        column = 0
        for key, kind in self.parameters.items():
            if isinstance(kind.transform, IntervalTransform):
                yield from ((column + i, key, kind.transform) for i in range(kind.size))
            column += kind.size

    def _values(self, coordinates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: self.parameters[key].value(u) for key, u in coordinates.items()}

    def _log_det(self, coordinates: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        """log |d values / d x|, (*batch,)."""
        return sum(self.parameters[key].log_det(u, values[key]) for key, u in coordinates.items())  # type: ignore[return-value]

    def _log_prior(self, coordinates: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        """Log-density of the priors with respect to x, (*batch,)."""
        parts = (self.parameters[key].log_prior_in_coordinates(u, values[key]) for key, u in coordinates.items())
        return sum(parts)  # type: ignore[return-value]

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self._values(self._coordinates(x))

    def unconstrain(self, values: Mapping[str, Tensor]) -> Tensor:
        """Coordinates (*batch, dim) of named values; the inverse of `constrain`."""
        if values.keys() != self.parameters.keys():
            raise ValueError(f"values: got {sorted(values)}, expected {sorted(self.parameters)}")
        return torch.cat([kind.unconstrain(values[key]) for key, kind in self.parameters.items()], -1)

    @property
    def variables(self) -> dict[str, Variable]:
        return {key: self._variable(p.shape, p.dims) for key, p in self.parameters.items()}

    def _variable(self, shape: tuple[int, ...], dims: tuple[str, ...] | None) -> Variable:
        return Variable(shape, dims, {dim: self._coords[dim] for dim in dims or () if dim in self._coords})


class Prior(_Parametrised):
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


class Posterior(_Parametrised):
    """A Bayesian posterior over named, constrained parameters.

        Posterior(log_joint, {"mu": Real(), "tau": Positive(), "theta": Real(8)})
        Posterior(log_likelihood=fn, parameters={"mu": Real(prior=Normal(0., 5.)), ...})

    The function gets the constrained values as keyword arguments, the batch axis first, (batch,) for a scalar and
    (batch, 8) for `Real(8)`, and returns (batch,); with `batched=False` it is written for one point and vectorised.
    Chains move in unconstrained coordinates, log p(x) = log_joint(values) + log |d values / d x|; draws come out
    constrained through `constrain`. With `log_likelihood=` every parameter needs a `prior=`, and `prior` is then a
    normalised Target with exact draws.

    `derived` maps the values to a dict of further quantities that draws should carry. `coords` labels the dims.
    The default dtype is float64: data of another dtype may need converting, and distributions that the function
    makes from Python numbers work in torch's default dtype (some, such as HalfCauchy, return it), so write
    `HalfCauchy(torch.tensor(2.5, dtype=torch.float64))`. Priors given by `prior=` are converted.

    Raises an error that names the argument for values of wrong shape, dtype or device, and when the function mixes
    up its batch axis (its result for three points differs from the three taken one by one). The checks of
    torch.distributions are on for those three points and off afterwards, so that a chain that strays to a non-finite
    point is counted and does not end the run.

    parameters: by name. log_joint, log_likelihood: the function, one of the two. dtype, device: of the values it gets.
    derived, coords: None for no further quantities, and for numbers as labels. name: as of `Target`.

        >>> from torch.distributions import Normal
        >>> y = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> mean = targets.Posterior(
        ...     log_likelihood=lambda mu: Normal(mu[:, None], 1.0).log_prob(y).sum(-1),
        ...     parameters={"mu": targets.Real(prior=Normal(0.0, 5.0))},
        ... )
        >>> mean.dim, mean.constrain(torch.zeros(4, 1, dtype=torch.float64))["mu"].shape, sorted(mean.known)
        (1, torch.Size([4]), ['prior'])
    """

    def __init__(
        self,
        log_joint: Callable[..., Tensor] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        log_likelihood: Callable[..., Tensor] | None = None,
        batched: bool = True,
        derived: Callable[..., dict[str, Tensor]] | None = None,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dtype: torch.dtype | None = torch.float64,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        if (log_joint is None) == (log_likelihood is None):
            raise ValueError("log_joint, log_likelihood: expected exactly one of the two functions")
        function = log_likelihood if log_joint is None else log_joint
        if derived is not None and not callable(derived):
            raise TypeError(f"derived: got {type(derived).__name__}, expected a function of the parameters")
        if not callable(function):
            raise TypeError(f"log_joint: got {type(function).__name__}, expected a function of the parameters")
        if parameters is None:
            raise TypeError('parameters: missing, expected a dict such as {"mu": targets.Real()}')
        super().__init__(parameters, coords=coords, dtype=dtype, device=device, name=name)
        self._argument = "log_likelihood" if log_joint is None else "log_joint"
        self._batched = batched
        self._given = function
        self._function = function if batched else _vectorised(function)
        self._derived = derived if batched or derived is None else _vectorised(derived)
        self._prior: Prior | None = None
        if log_joint is None:
            self._prior = Prior(parameters, coords=coords, dtype=dtype, device=device, name=f"{self.name} prior")
        elif any(kind.prior is not None for kind in self.parameters.values()):
            raise ValueError(
                "prior=: given together with log_joint, which holds the prior already; use log_likelihood="
            )
        self._check_batch_axis()
        self._derived_shapes: dict[str, tuple[int, ...]] = {} if self._derived is None else self._check_derived()
        self._check_axes(self._derived_shapes)
        self._check_ends()

    def _evaluate(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        """The function at values (n, *shape), (n,); it gets copies, which it may write into."""
        try:
            return evaluated(
                lambda: self._function(**_copies(values)),
                lambda: self._given(**{key: value[0].detach().clone() for key, value in values.items()}),
                self._argument,
                x,
                batched=self._batched,
            )
        except Exception as error:
            axis = "the first axis is the batch" if self._batched else "it is given one point at a time"
            error.add_note(f"{self._argument} was called with {_shapes_of(values)} in {x.dtype}: {axis}")
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
            values = values | self._derived_values(values)
        return {key: value.reshape(x.shape[:-1] + value.shape[1:]) for key, value in values.items()}

    def _derived_values(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `derived` gives at values (n, *shape), NaN where its linear algebra fails."""
        assert self._derived is not None
        try:
            found = self._derived(**_copies(values))
        except Exception as error:
            count = len(next(iter(values.values())))
            if not (is_failure(error) and self._derived_shapes):
                error.add_note("derived was called with " + _shapes_of(values))
                raise
            if count > 1:
                halves = [
                    self._derived_values({key: value.tensor_split(2)[side] for key, value in values.items()})
                    for side in (0, 1)
                ]
                return {key: torch.cat([half[key] for half in halves]) for key in halves[0]}
            first = next(iter(values.values()))
            return {key: first.new_full((1, *shape), math.nan) for key, shape in self._derived_shapes.items()}
        return {key: value.clone() for key, value in found.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        return super().variables | {key: Variable(shape) for key, shape in self._derived_shapes.items()}

    def _check_derived(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the derived quantities, from three points; an error for what draws could not carry."""
        values = self._values(self._coordinates(self._probe()))
        assert self._derived is not None
        try:
            with torch.no_grad():
                found = self._derived(**_copies(values))
        except Exception as error:
            error.add_note("derived was called with " + _shapes_of(values))
            raise
        if not isinstance(found, Mapping):
            raise TypeError(f"derived: returned {type(found).__name__}, expected a dict of tensors by name")
        for key, value in found.items():
            check_name(key, "derived")
            if key in self.parameters:
                raise ValueError(f"derived: got the name {key!r}, which is a parameter's; rename it")
            if not isinstance(value, Tensor):
                raise TypeError(f"derived[{key!r}]: got {type(value).__name__}, expected a tensor (3, ...)")
            if value.is_complex():
                raise TypeError(f"derived[{key!r}]: got {value.dtype}, expected real numbers")
            if value.shape[:1] != (3,):
                raise ValueError(
                    f"derived[{key!r}]: got shape {tuple(value.shape)} for three points, expected (3, ...): "
                    "the first axis is the batch"
                )
        return {key: tuple(value.shape[1:]) for key, value in found.items()}

    def _probe(self) -> Tensor:
        """Three points, (3, dim)."""
        return torch.linspace(-0.5, 0.5, 3 * self.dim, dtype=self.dtype, device=self.device).reshape(3, self.dim)

    def _check_ends(self) -> None:
        """Say where the function cannot see mass that matters, which is near an end of an interval."""
        centre = torch.zeros(self.dim, dtype=self.dtype, device=self.device)
        for column, key, transform in self._interval_columns():
            if self._prior is not None and not _reaches_ends(self._prior.parameters[key], transform):
                continue
            with no_validation():
                warn_of_ends(
                    f"parameters[{key!r}]",
                    self._argument,
                    transform,
                    column,
                    lambda x: value_or_nan(self._flat_log_prob, x),
                    lambda x: value_or_nan(self._flat_function, x),
                    centre,
                )

    def _check_batch_axis(self) -> None:
        x = self._probe()
        # with the checks of torch.distributions on, which tell a user of data outside their support
        try:
            with failures_raised():
                together = self._flat_log_prob(x)
        except Exception as error:
            if not is_failure(error):
                raise
            together = value_or_nan(self._flat_log_prob, x)
            if bool(together.isnan().all()):  # at three points of three
                raise
        again = value_or_nan(self._flat_log_prob, x)
        apart = torch.cat([value_or_nan(self._flat_log_prob, point[None]) for point in x])
        advice = "Index scalars as mu[:, None], or use batched=False" if self._batched else "It is given one point"
        check_evaluations(self._argument, together, again, apart, advice)


def _shapes_of(values: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{key} {tuple(value.shape)}" for key, value in values.items())


def _reaches_ends(kind: Parameter, transform: IntervalTransform) -> bool:
    """Whether draws of a prior come within rounding of an end; where it is not known in u, they cannot tell."""
    if kind.coordinate_prior is None:
        return True
    u = kind.sample_coordinates(1000, torch.Generator().manual_seed(0))
    low, high = transform.reach(u.dtype)
    return bool(((u < low) | (u > high)).any())


def _copies(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in values.items()}


def _vectorised(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function over a leading batch axis of every keyword argument."""
    over_dict = torch.func.vmap(lambda values: function(**values))

    def call(**values: Tensor) -> Any:
        empty = len(next(iter(values.values()))) == 0  # vmap has no empty batches
        if empty:
            values = {key: value.new_zeros(1, *value.shape[1:]) for key, value in values.items()}
        found = over_dict(values)
        if not empty:
            return found
        return found[:0] if isinstance(found, Tensor) else {key: value[:0] for key, value in found.items()}

    return call
