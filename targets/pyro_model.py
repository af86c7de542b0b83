"""Posteriors of Pyro models (extra `pyro`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from targets.base import Target, Variable, differentiate
from targets.linear_algebra import value_and_score_or_nan, value_or_nan
from targets.parameter import sum_after
from targets.user_function import check_values, no_validation


class PyroModel(Target):
    """The posterior of a Pyro model given its arguments, in unconstrained coordinates of the latent sites.

        log p(x) = log joint of the model at the sites' values + log |d values / d x|

    Sites keep their names and come out constrained, by torch's bijection to the support of each. The model runs under
    `torch.func.vmap`, one point at a time; a site's support may not depend on other sites. In double precision.
    """

    def __init__(self, model: Callable[[], Any], sites: dict[str, Any], name: str) -> None:
        self._model = model
        self._bijections = {site: biject_to(node["fn"].support) for site, node in sites.items()}
        start = {site: self._bijections[site].inv(node["value"]) for site, node in sites.items()}
        self._shapes = {site: tuple(value.shape) for site, value in start.items()}
        self._sizes = [value.numel() for value in start.values()]
        super().__init__(sum(self._sizes), dtype=torch.float64, name=name)

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        parts = x.split(self._sizes, -1)
        return {
            s: part.reshape(x.shape[:-1] + shape) for (s, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _at_point(self, x: Tensor) -> Tensor:
        import pyro
        from pyro import poutine
        from pyro.distributions.util import scale_and_mask

        values, total = {}, x.new_zeros(())
        for site, part in self._parts(x).items():
            value = self._bijections[site](part)
            total = total + sum_after(self._bijections[site].log_abs_det_jacobian(part, value), 0)
            values[site] = value.clone()  # the model may write into it
        # summed here: Trace.log_prob_sum looks for NaN by a branch, which vmap cannot take
        with pyro.validation_enabled(False):
            trace = poutine.trace(poutine.condition(self._model, data=values)).get_trace()
            for node in trace.nodes.values():
                if node["type"] == "sample" and type(node["fn"]).__name__ != "_Subsample":
                    log_prob = scale_and_mask(node["fn"].log_prob(node["value"]), node["scale"], node["mask"])
                    total = total + log_prob.sum()
        return total

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        if len(flat) == 0:
            return x.sum(-1)
        with no_validation():
            return value_or_nan(self._over_points, flat).reshape(x.shape[:-1])

    def _over_points(self, flat: Tensor) -> Tensor:
        return check_values(torch.func.vmap(self._at_point)(flat), flat, "model")

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        with no_validation():
            value, score = value_and_score_or_nan(lambda part: differentiate(self.log_prob, part, self.name), flat)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {site: self._bijections[site](part) for site, part in self._parts(x).items()}

    @property
    def variables(self) -> dict[str, Variable]:
        probe = self.constrain(torch.zeros(self.dim, dtype=self.dtype, device=self.device))
        return {site: Variable(tuple(value.shape)) for site, value in probe.items()}


def from_pyro(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Target:
    """The posterior of a Pyro model with continuous latent sites: `from_pyro(model, *args, **kwargs)`.

    Raises ModuleNotFoundError with the command to install Pyro where it is missing, ValueError for a model without
    latent sites or with discrete ones, which are named.
    """
    try:
        from pyro import poutine
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("from_pyro needs Pyro; install it with: pip install 'unnorm[pyro]'") from error

    def call() -> Any:
        return model(*args, **kwargs)

    # Pyro draws a first trace from the global generator, which is left as it was found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nodes = poutine.trace(call).get_trace().nodes
    sites = {
        name: node
        for name, node in nodes.items()
        if node["type"] == "sample" and not node["is_observed"] and type(node["fn"]).__name__ != "_Subsample"
    }
    if not sites:
        raise ValueError("model: has no continuous latent sites, expected at least one")
    discrete = [name for name, node in sites.items() if node["fn"].support.is_discrete]
    if discrete:
        raise ValueError(f"model: the sites {discrete} are discrete, expected continuous ones")
    return PyroModel(call, sites, getattr(model, "__name__", "pyro model"))
