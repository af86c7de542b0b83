"""Bayesian posteriors with named, constrained parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from targets.base import Target, Variable
from targets.log_density import check_values, no_validation
from targets.parameters import Parameter


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
            if not isinstance(kind, Parameter):
                raise TypeError(
                    f"parameters[{key!r}]: got {kind!r}, expected Real(), Positive(), Interval(...) or the like"
                )
        super().__init__(sum(p.size for p in parameters.values()), dtype=dtype, device=device, name=name)
        self.parameters = {key: kind.to(self.dtype, self.device) for key, kind in parameters.items()}
        self._sizes = [p.size for p in parameters.values()]
        self._coords = {key: list(values) for key, values in (coords or {}).items()}

    def _constrained(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Named values and the log-determinant of the map to them."""
        self._check(x)
        values, log_det = {}, torch.zeros_like(x[..., 0])
        for (key, kind), part in zip(self.parameters.items(), x.split(self._sizes, -1), strict=True):
            values[key], increment = kind.constrain(part)
            log_det = log_det + increment
        return values, log_det

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self._constrained(x)[0]

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
        values, value = self._constrained(x)
        for key, kind in self.parameters.items():
            value = value + kind.log_prior(values[key])
        return value

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        draws = {key: p.sample_prior(n, generator) for key, p in self.parameters.items()}
        return self.unconstrain({key: value.to(device=self.device, dtype=self.dtype) for key, value in draws.items()})


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
        if not callable(function):
            raise TypeError(f"log_joint: got {type(function).__name__}, expected a function of the parameters")
        if parameters is None:
            raise TypeError('parameters: missing, expected a dict such as {"mu": targets.Real()}')
        super().__init__(parameters, coords=coords, dtype=dtype, device=device, name=name)
        self._argument = "log_likelihood" if log_joint is None else "log_joint"
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

    def _evaluate(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        try:
            return check_values(self._function(**values), x, self._argument)
        except Exception as error:
            shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in values.items())
            error.add_note(f"{self._argument} was called with {shapes} in {x.dtype}: the first axis is the batch")
            raise

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The log-likelihood alone, (*batch, dim) -> (*batch,); NotImplementedError where only the joint is given."""
        if self._prior is None:
            self._raise_unknown("prior")
        flat = x.reshape(-1, self.dim)
        with no_validation():
            return self._evaluate(self._constrained(flat)[0], flat).reshape(x.shape[:-1])

    def log_prob(self, x: Tensor) -> Tensor:
        with no_validation():
            return self._log_prob(x)

    def _log_prob(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.dim)
        values, log_det = self._constrained(flat)
        value = self._evaluate(values, flat) + log_det
        if self._prior is not None:
            for key, kind in self.parameters.items():
                value = value + kind.log_prior(values[key])
        return value.reshape(x.shape[:-1])

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
        flat = x.reshape(-1, self.dim)
        values = self._constrained(flat)[0]
        if self._derived is not None:
            values = values | self._derived(**values)
        return {key: value.reshape(x.shape[:-1] + value.shape[1:]) for key, value in values.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        known = super().variables
        if self._derived is None:
            return known
        probe = self.constrain(torch.zeros(1, self.dim, dtype=self.dtype, device=self.device))
        return {key: known.get(key) or Variable(tuple(value.shape[1:])) for key, value in probe.items()}

    def _check_batch_axis(self) -> None:
        x = torch.linspace(-0.5, 0.5, 3 * self.dim, dtype=self.dtype, device=self.device).reshape(3, self.dim)
        # with the checks of torch.distributions on, which tell a user of data outside their support
        together = self._log_prob(x)
        apart = torch.cat([self._log_prob(point[None]) for point in x])
        if not torch.allclose(together, apart, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ValueError(
                f"{self._argument}: three points together give {together.tolist()}, one by one {apart.tolist()}; "
                "the function mixes its batch axis with another. Index scalars as mu[:, None], or use batched=False"
            )


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
