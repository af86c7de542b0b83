"""Bayesian posteriors with named, constrained parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from targets.base import Variable, differentiate
from targets.compiled import Compile, by_graph, check_compile
from targets.derived import Derived
from targets.end_check import check_ends
from targets.labels import read_dims
from targets.linear_algebra import Both, value_and_score_or_nan, value_or_nan
from targets.parameter import Parameter
from targets.predictive import Predictive
from targets.predictive_check import check_model, check_sum
from targets.prior import Prior
from targets.user_arguments import given_what_it_takes, taken_by
from targets.user_errors import axis_of, note_call
from targets.user_function import check_batch_axis, copies, evaluated, no_validation, over_values
from targets.with_data import WithData


class Posterior(WithData):
    """A Bayesian posterior over named, constrained parameters.

        Posterior(log_joint, {"mu": Real(), "tau": Positive(), "theta": Real(8)})
        Posterior(log_likelihood=fn, parameters={"mu": Real(prior=Normal(0., 5.)), ...})
        Posterior(predictive=fn, observed={"y": y}, parameters={"mu": Real(prior=Normal(0., 5.)), ...})

    The function gets the constrained values as keyword arguments, the batch axis first, (batch,) for a scalar and
    (batch, 8) for `Real(8)`, and returns (batch,); with `batched=False` it is written for one point and vectorised.
    Chains move in unconstrained coordinates, log p(x) = log_joint(values) + log |d values / d x|; draws come out
    constrained through `constrain`. With `log_likelihood=` every parameter needs a `prior=`, a distribution or a
    function of other parameters (`targets.Prior`), and `prior` is then a normalised Target with exact draws.

    `predictive` maps the parameters that it names to a dict of torch distributions (or tensors, for what has no law) of
    data, from which `predict` draws. Without another function log p(y | values) is the sum of their log_prob at
    `observed`, by which `pointwise` is the sum's terms; `pointwise=` is a function that returns terms, (batch, n) or a
    dict of such. A term under the name of observed data takes the place of their law's (censoring, truncation); one
    under another name is added. A ValueError refuses to add as many numbers as data have whose law is counted, and a
    name such as log_lik: they would be counted twice. `repr` says the terms. Given beside `log_likelihood` the terms
    must sum to it, else a ValueError says by how much they differ; beside `log_joint` they are taken at their word.

    `derived` maps the values to a dict of further quantities that draws should carry. `dims` names their axes and those
    of data, as `dims={"effect": "school"}`; `coords` labels the dims. Functions take those parameters that they name.
    The default dtype is float64: data of another dtype may need converting, and distributions that the function
    makes from Python numbers work in torch's default dtype (some, such as HalfCauchy, return it), so write
    `HalfCauchy(torch.tensor(2.5, dtype=torch.float64))`. Priors given by `prior=` are converted.

    Raises an error that names the argument for values of wrong shape, dtype or device, and when the function mixes
    up its batch axis (its result for three points differs from the three taken one by one), takes what is no parameter,
    or leaves a parameter out that nothing else depends on. The checks of torch.distributions are on for those three
    points and off afterwards, so that a chain that strays to a non-finite point is counted and does not end the run.

    compile: True has density and score compiled as one graph at the first evaluation, prior and transformations
    included, some seconds once for each of few sizes of batch; "auto" only for runs of kernels that are long enough, as
    counted beforehand, never timed; False never. Numbers differ by rounding. Where the function cannot be compiled
    there is one warning, which says why. What the function closes over is taken as it is then.

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
        compile: Compile = False,
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
        points = self._probe()
        self._derived: Derived | None = None
        if derived is not None:
            self._derived = Derived(derived, self._values(self._coordinates(points)), batched=batched)
        made = list(self._derived_shapes)  # of parameters, after the run
        model = Predictive(
            predictive, list(self.parameters), observed=observed, pointwise=pointwise, batched=batched, derived=made
        )
        self._model = model
        function = model.log_likelihood if function is None else function
        self._argument = model.argument if alone else "log_likelihood" if log_joint is None else "log_joint"
        self._batched, self.compile = batched, check_compile(compile)
        taken = tuple(model.wanted) if alone else taken_by(function, parameters, self._argument, made)
        self._given = function if alone else given_what_it_takes(function, taken, parameters)
        self._function = self._given if batched or alone else over_values(self._given)
        self._prior: Prior | None = None
        if log_joint is None:
            own = {dim for kind in parameters.values() for dim in kind.dims or ()}
            labels = {dim: found for dim, found in self._coords.items() if dim in own}
            self._prior = Prior(parameters, coords=labels, dtype=dtype, device=device, name=f"{self.name} prior")
        elif given := [key for key, kind in self.parameters.items() if kind.has_prior]:
            raise ValueError(
                f"prior=: given together with log_joint, which holds the prior already; use log_likelihood=, or leave "
                f"prior= out of {given} and add its log-density to log_joint"
            )
        self._check_all_used(taken, () if derived is None else taken_by(derived, parameters, "derived"))
        check_model(model, self._values(self._coordinates(points)))
        check_batch_axis(self._argument, self._flat_log_prob, points, batched=batched)
        if model.has_terms and log_likelihood is not None:
            check_sum(model, self._values(self._coordinates(points)), lambda: self._flat_function(points))
        for key in (self.parameters.keys() | self._derived_shapes.keys()) & self._data_shapes.keys():
            raise ValueError(
                f"predictive, observed: got the name {key!r}, which is a parameter's or derived; rename it"
            )
        self._dims = read_dims(dims, self._derived_shapes | self._data_shapes)
        self._check_axes(self._derived_shapes | self._data_shapes, self._dims)
        known = self.parameters if self._prior is None else self._prior.parameters
        check_ends(known, self._argument, self._flat_log_prob, self._seen, points.new_zeros(self.dim))

    def _check_all_used(self, taken: Sequence[str], derived: Sequence[str]) -> None:
        """ValueError for a parameter that nothing depends on, and whose prior depends on no other."""
        used, nor = set(taken), ""
        if self._prior is not None:
            used, nor = used | set(derived) | self._prior.parents | self._prior.children, ", nor does a prior"
        for key in self.parameters.keys() - used:
            raise ValueError(
                f"{self._argument}: does not take the parameter {key!r}{nor}; expected an argument of this name"
            )

    def _seen(self, key: str, x: Tensor) -> Tensor:
        """What depends on the value of a parameter, (n,): the function, and priors of others."""
        given = 0.0 if self._prior is None else self._prior.log_prior_given(key, x)
        return self._flat_function(x) + given

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
            note_call(error, self._argument, values, axis_of(self._batched))
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
        return self._with_score(self._flat_log_prob, x, by_graph(self, x))

    def compilable(self) -> Both:
        """Value and score at (n, dim), as `targets.compiled` writes them down."""
        return lambda flat: differentiate(self._flat_log_prob, flat, self.name)

    def _with_score(
        self, flat_density: Callable[[Tensor], Tensor], x: Tensor, graph: Both | None = None
    ) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        with no_validation():
            value, score = value_and_score_or_nan(
                lambda part: differentiate(flat_density, part, self.name), flat, graph
            )
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    def _flat_log_prob(self, x: Tensor) -> Tensor:
        coordinates = self._coordinates(x)
        values = self._values(coordinates)
        rest = self._log_det if self._prior is None else self._prior.log_prior
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

    def __repr__(self) -> str:
        terms = self._model.in_words()
        summed = "terms" if self._prior is None else "likelihood"  # a joint density need not be their sum
        return f"{super().__repr__()[:-1]}; {summed}: {terms})" if terms else super().__repr__()

    def _probe(self) -> Tensor:
        """Three points, (3, dim)."""
        return torch.linspace(-0.5, 0.5, 3 * self.dim, dtype=self.dtype, device=self.device).reshape(3, self.dim)
