"""Predictions and pointwise likelihoods with one mistake each; the checks of `predictive_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import torch
from bug_register import Bugs
from predictive_cases import (
    check_groups,
    check_loo,
    check_predictions,
    check_prior_predictions,
    check_terms,
    check_weighted,
)
from torch.distributions import Normal

from samplers.draws import Draws, data_groups, evaluation
from samplers.draws.points import PointSet
from targets import posterior
from targets.predictive import Predictive

BUGS = Bugs()
bug = BUGS.add


def drawn(patch, change):
    right = Predictive.draw
    patch.setattr(Predictive, "draw", lambda self, values, generator: change(self, right, values, generator))


def evaluated(patch, change):
    right = evaluation._over_draws
    patch.setattr(
        evaluation, "_over_draws", lambda *given: {name: change(value) for name, value in right(*given).items()}
    )


@bug("noise shared by all draws")
def shared(patch):
    def change(self, right, values, generator):
        found = right(self, values, generator)
        mu = values["mu"]
        return {n: v if n == "twice" else (v - _like(mu, v))[:1] + _like(mu, v) for n, v in found.items()}

    drawn(patch, change)
    patch.setattr(posterior, "check_model", lambda model, values: model.shapes.update(y=(5,), z=(), w=(), twice=()))
    return check_predictions


def _like(mu, value):
    return mu.reshape(-1, *[1] * (value.ndim - 1))


@bug("noise shared by all observations")
def shared_by_observations(patch):
    patch.setattr(Predictive, "over_data", lambda self, name, law, batch: law)
    drawn(
        patch,
        lambda self, right, *given: {n: v.expand(-1, 5) if n == "y" else v for n, v in right(self, *given).items()},
    )
    return check_predictions


@bug("the same seed for every block")
def same_block(patch):
    drawn(patch, lambda self, right, values, generator: right(self, values, torch.Generator().manual_seed(5)))
    return check_predictions


@bug("the same seed for two names")
def same_names(patch):
    right = Predictive._drawn

    def change(self, *given):
        torch.manual_seed(torch.initial_seed())
        return right(self, *given)[..., :]

    patch.setattr(Predictive, "_drawn", change)
    return check_predictions


@bug("chains and draws swapped")
def swapped(patch):
    evaluated(patch, lambda value: value.transpose(0, 1).reshape(value.shape))
    return check_predictions


@bug("predictions without noise")
def means(patch):
    right = Normal.sample
    patch.setattr(Normal, "sample", lambda self, *shape: right(self, *shape) if shape else self.mean.clone())
    return check_predictions


@bug("predictions at the mean of the draws")
def plugged_in(patch):
    drawn(patch, lambda self, right, values, g: right(self, {"mu": 0 * values["mu"] + values["mu"].mean()}, g))
    patch.setattr(posterior, "check_model", lambda model, values: model.shapes.update(y=(5,), z=(), w=(), twice=()))
    return check_predictions


def with_terms(patch, change):
    right = Predictive.terms
    changed = lambda self, values: {n: change(v).expand_as(v) for n, v in right(self, values).items()}  # noqa: E731
    patch.setattr(Predictive, "terms", changed)


@bug("terms summed over the observations")
def summed(patch):
    with_terms(patch, lambda v: v.sum(-1, keepdim=True))
    return check_terms


@bug("terms of which each is a share of the sum")
def shares(patch):
    with_terms(patch, lambda v: v.mean(-1, keepdim=True))
    return check_loo


@bug("terms of the data in another order")
def flipped(patch):
    right = Predictive._data
    patch.setattr(Predictive, "_data", lambda self, name, like: right(self, name, like).flip(0))
    return check_terms


@bug("data in another order than their predictions")
def reordered(patch):
    right = data_groups.observed_group
    patch.setattr(
        data_groups,
        "observed_group",
        lambda *given: {n: v.isel(obs=slice(None, None, -1)) for n, v in right(*given).items()},
    )
    return check_groups


@bug("thinning from another draw")
def offset(patch):
    right = PointSet.part
    patch.setattr(
        PointSet, "part", lambda self, which: right(self, slice(which.start or 0, which.stop, which.step)).roll(1, 1)
    )
    return check_groups


@bug("predictions of the prior at the posterior's spread")
def narrow(patch):
    right = evaluation.named_values
    patch.setattr(evaluation, "named_values", lambda *given: {n: 0.3 * v for n, v in right(*given).items()})
    return check_prior_predictions


@bug("predictions at the points in place of the draws")
def unweighted(patch):
    patch.setattr(Draws, "unweighted", lambda self: Draws(self.x, target=self.target))
    return check_weighted
