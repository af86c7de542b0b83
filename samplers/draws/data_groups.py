"""What a model says of data as ArviZ's groups: observed, predicted after the data and before them, log-likelihoods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from samplers.draws import evaluation, records
from samplers.draws.points import LOAD, PointSet
from targets import Target, Variable
from targets.arguments import check_integer, shown
from targets.posterior import Posterior
from targets.with_truth import without_truth

if TYPE_CHECKING:
    import xarray as xr


def observed_group(target: Target | None, attrs: Mapping[str, Any]) -> dict[str, xr.Dataset]:
    """observed_data, where the target has some."""
    target = without_truth(target)
    if not isinstance(target, Posterior) or not target.observed:
        return {}
    # with axes of chain and draw, and these taken away
    data = {name: y[None, None] for name, y in target.observed.items()}
    return {"observed_data": records.dataset(data, target.data_variables, attrs).isel(chain=0, draw=0, drop=True)}


def predicted_group(draws: PointSet, attrs: Mapping[str, Any], *, seed: int, thin: int | None) -> dict[str, xr.Dataset]:
    """posterior_predictive."""
    found = evaluation.predict(draws, None, seed=seed, thin=thin, block=None, batched=None)
    assert isinstance(found, dict)
    return {"posterior_predictive": records.dataset(_as_observed(found, draws.target), _variables(draws.target), attrs)}


def likelihood_group(draws: PointSet, attrs: Mapping[str, Any], *, thin: int | None) -> dict[str, xr.Dataset]:
    """log_likelihood; the axes of a term are the first ones of its datum."""
    terms, variables = evaluation.pointwise(draws, thin=thin), _variables(draws.target)
    named = {name: _first_axes(variables[name], value) for name, value in terms.items() if name in variables}
    return {"log_likelihood": records.dataset(terms, named, attrs)}


def prior_groups(target: Target | None, n: int, attrs: Mapping[str, Any], *, seed: int) -> dict[str, xr.Dataset]:
    """prior and prior_predictive, of n exact draws of the prior."""
    target = without_truth(target)
    if target is None:
        raise NotImplementedError(f"draws: came without a target, whose prior would be drawn from; {LOAD}")
    if not isinstance(target, Posterior):
        raise TypeError(f"target: got {shown(target)}, expected a targets.Posterior with priors and predictive=")
    generator = Generator(target.device).manual_seed(seed)
    prior = PointSet(target.prior.sample(check_integer(n, "draws"), generator=generator)[None], target=target)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    found = evaluation.predict(prior, None, seed=seed, thin=None, block=None, batched=None)
    assert isinstance(found, dict)
    return {
        "prior": records.dataset(prior.constrained_points, target.variables, attrs),
        "prior_predictive": records.dataset(_as_observed(found, target), target.data_variables, attrs),
    }


def prior_predictive(target: Target, draws: int = 500, *, seed: int = 0) -> Any:
    """Exact draws of the prior and data predicted from them, as ArviZ reads them, before any sampling.

    target: a `targets.Posterior` with a prior on every parameter, and `predictive=`. draws: how many. Groups: prior,
    prior_predictive and, where there are data, observed_data; `arviz.plot_ppc(tree, group="prior")` draws them.
    TypeError for another target, NotImplementedError where the prior or `predictive=` is missing.

        >>> from torch.distributions import Normal
        >>> model = targets.Posterior(
        ...     parameters={"mu": targets.Real(prior=Normal(0.0, 5.0))},
        ...     predictive=lambda mu: {"y": Normal(mu[:, None], 1.0)},
        ...     observed={"y": [1.0, 3.0]},
        ... )
        >>> samplers.prior_predictive(model, 100)["prior_predictive"]["y"].shape
        (1, 100, 2)
    """
    attrs = {"target": target.name, "seed": seed}
    return records.to_arviz(prior_groups(target, draws, attrs, seed=seed) | observed_group(target, attrs))


def _as_observed(found: Mapping[str, Tensor], target: Target | None) -> dict[str, Tensor]:
    """Predictions of whole numbers in the integer dtype of the data, where that holds every one of them.

    torch distributions draw counts as floating-point numbers.
    """
    target = without_truth(target)
    data = target.observed if isinstance(target, Posterior) else {}
    kinds = {name: y.dtype for name, y in data.items() if not y.is_floating_point()}
    whole = {name: found[name].to(kind) for name, kind in kinds.items() if name in found}
    return dict(found) | {
        name: value for name, value in whole.items() if bool((value.to(found[name].dtype) == found[name]).all())
    }


def _variables(target: Target | None) -> dict[str, Variable]:
    target = without_truth(target)
    return target.data_variables if isinstance(target, Posterior) else {}


def _first_axes(variable: Variable, value: Tensor) -> Variable:
    axes = value.ndim - 2
    return Variable(variable.shape[:axes], variable.dims and variable.dims[:axes], variable.coords)
