"""Conditional models with one mistake each, as they are really made. The checks of `conditional_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

from dataclasses import replace

import torch
from bug_register import Bugs
from conditional_cases import (
    check_contexts,
    check_gaussian,
    check_pairs,
    check_parabola,
    check_rows,
    check_start,
    check_without,
)

from samplers.generative import conditional, coordinates, data, score_learning
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.conditions import ConditionedNetwork, Conditions, conditioned_model, dropped
from samplers.generative.data import Samples
from samplers.generative.regression import Regression
from samplers.generative.score_learning import ScoreLearning
from samplers.generative.trained import at_time

BUGS = Bugs()
bug = BUGS.add


# Rows and their conditions


def rolled(patch):
    right = Samples.pairs

    def pairs(self, size, generator):
        x, given = right(self, size, generator)
        return x, None if given is None else given.roll(1, 0)

    patch.setattr(Samples, "pairs", pairs)


@bug("a batch with the conditions of other rows")
def other_rows(patch):
    rolled(patch)
    return check_contexts


@bug("a batch with the conditions of other rows: the law that is learned")
def other_rows_learned(patch):
    rolled(patch)
    return check_parabola


@bug("a split that does not split the conditions")
def whole_conditions(patch):
    right = Samples._rows

    def rows(self, which):
        part = right(self, which)
        return replace(part, given=self.given[: len(part.x)])

    patch.setattr(Samples, "_rows", rows)
    return check_pairs


@bug("conditions of draws without weight")
def weightless(patch):
    right = data._of_draws

    def of_draws(draws, given):
        found = right(draws, given)
        return replace(found, given=given.reshape(-1, given.shape[-1])[: len(found.x)])

    patch.setattr(data, "_of_draws", of_draws)
    return check_pairs


@bug("each condition for a run of rows")
def runs_of_rows(patch):
    def forward(self, x, t):
        batch, context = x.shape[:-1], self.context
        if context.ndim == 1:
            return self.network(x, t, context.expand(*batch, -1))
        return self.network(x, t, context.repeat_interleave(batch.numel() // len(context), 0).reshape(*batch, -1))

    patch.setattr(ConditionedNetwork, "forward", forward)
    return check_rows


# What a network is told


def at_sampling(patch, context):
    """Have `context(conditions, y, like)` in place of the right one, in a model that was trained with that."""

    def model(self, y, rows):
        conditions, like = self.conditions, self.start.mean
        return conditioned_model(
            self.model,
            conditions.nothing(like) if y is None else context(conditions, conditions.checked(y, rows), like),
        )

    patch.setattr(ConditionalDiffusion, "_model", model)


@bug("conditions as they are, where training had them standardised")
def raw(patch):
    at_sampling(patch, lambda conditions, y, like: torch.cat([y, y.new_ones(*y.shape[:-1], 1)], -1))
    return check_gaussian


@bug("conditions dropped in sampling too")
def dropped_in_sampling(patch):
    generator = torch.Generator().manual_seed(0)

    def context(conditions, y, like):
        return dropped(conditions.context(y, like)[None], conditions.dropped, generator)[0]

    at_sampling(patch, context)
    return check_start


@bug("the flag inverted")
def inverted(patch):
    right = Conditions.context

    def context(self, y, like):
        found = right(self, y, like)
        return torch.cat([found[..., :-1], 1 - found[..., -1:]], -1)

    patch.setattr(Conditions, "context", context)
    patch.setattr(Conditions, "nothing", lambda self, like: torch.eye(self.size + 1).to(like)[-1])
    return check_start


@bug("the mean condition for none")
def mean_for_none(patch):
    patch.setattr(Conditions, "nothing", lambda self, like: torch.eye(self.size + 1).to(like)[-1])
    return check_without


@bug("all but the share dropped")
def all_but(patch):
    patch.setattr(score_learning, "dropped", lambda context, share, generator: dropped(context, 1 - share, generator))
    return check_contexts


@bug("none dropped")
def none_dropped(patch):
    patch.setattr(score_learning, "dropped", lambda context, share, generator: context)
    return check_contexts


@bug("a dropped condition that keeps its flag")
def kept_flag(patch):
    def without(context, share, generator):
        return torch.cat([dropped(context, share, generator)[:, :-1], context[:, -1:]], -1)

    patch.setattr(score_learning, "dropped", without)
    return check_contexts


@bug("one draw for the conditions of a batch")
def all_or_none(patch):
    def without(context, share, generator):
        return context * float(torch.rand(1, generator=generator) >= share)

    patch.setattr(score_learning, "dropped", without)
    return check_contexts


@bug("conditions of rows held out dropped too")
def dropped_in_looks(patch):
    right = ScoreLearning._loss

    def loss(self, model, u, context, generator):
        if context is not None and context.ndim == 2 and not torch.is_grad_enabled():
            context = dropped(context, self.training.drop_condition, generator)
        return right(self, model, u, context, generator)

    patch.setattr(ScoreLearning, "_loss", loss)
    return check_contexts


# Where training and the reverse process start


@bug("the law of all x at the horizon")
def all_at_the_horizon(patch):
    patch.setattr(
        conditional,
        "law_at_horizon",
        lambda model, start, rows: at_time(start, model.process, model.process.horizon),
    )
    return check_start


@bug("the covariance of all x given y")
def covariance_of_all(patch):
    right = Regression.of
    patch.setattr(
        coordinates.Regression, "of", lambda rows: replace(right(rows), covariance=rows.moments[1]), raising=True
    )
    return check_start
