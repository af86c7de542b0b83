"""Mistakes in priors that are functions of other parameters; the checks of `hierarchy_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

from functools import partial

import hierarchy_cases as cases
import torch
from bug_register import Bugs

from targets import prior
from targets.conditional_prior import ConditionalPrior
from targets.coordinate_priors import in_coordinates
from targets.parameter import Parameter, sum_after

BUGS = Bugs()
bug = BUGS.add
densities = partial(partial, cases.check_densities)
draws = partial(partial, cases.check_draws)


def of_all(patch, change):
    """Put a change of the log-density of one parameter into both ways to it: a call for each point, and one for all."""
    once, one = ConditionalPrior._log_prob_at_once, ConditionalPrior._log_prob_at_one
    patch.setattr(ConditionalPrior, "_log_prob_at_once", lambda *given: change(once(*given), *given[:3]))
    patch.setattr(ConditionalPrior, "_log_prob_at_one", lambda *given: change(one(*given), *given[:3]))


@bug("no log-determinant")
def no_volume(patch):
    of_all(patch, lambda found, self, u, value: found - self.kind.log_det(u, value))
    return densities("scaled")


@bug("the log-determinant with the other sign")
def volume_turned(patch):
    of_all(patch, lambda found, self, u, value: found - 2 * self.kind.log_det(u, value))
    return densities("slopes")


@bug("the mean over the entries in the place of the sum")
def mean_of_entries(patch):
    of_all(patch, lambda found, self, u, value: found / self.kind.size)
    return densities("schools")


@bug("the last axis alone summed")
def one_axis(patch):
    def law(self, law, in_u, u, value):
        each = law.log_prob(value)
        return each.sum(-1).flatten(u.ndim - 1)[..., 0] if each.ndim > u.ndim else sum_after(each, u.ndim - 1)

    patch.setattr(Parameter, "log_law", law)
    return densities("levels")


@bug("coordinates handed to the function in the place of values")
def coordinates_for_values(patch):
    right = prior.Prior.log_prior
    patch.setattr(prior.Prior, "log_prior", lambda self, coordinates, values: right(self, coordinates, coordinates))
    return densities("schools")


@bug("any form of the call taken unseen")
def unseen(patch):
    patch.setattr(ConditionalPrior, "_fits", lambda *given: True)
    return densities("levels")


@bug("numbers read from a law that depends on x: a score without them")
def numbers_read(patch):
    patch.setattr(ConditionalPrior, "_in_coordinates", lambda self, law: in_coordinates(law, self.kind.transform))
    return densities("scaled")


def with_parents(patch, change):
    right = ConditionalPrior.sample_coordinates

    def changed(self, values, n, generator):
        return right(self, {name: change(value) for name, value in values.items()}, n, generator)

    patch.setattr(ConditionalPrior, "sample_coordinates", changed)


@bug("one draw of the parents for all points")
def one_parent(patch):
    with_parents(patch, lambda value: value[:1].expand(value.shape))
    return draws("schools")


@bug("the parents of the point before")
def parents_of_another(patch):
    with_parents(patch, lambda value: value.roll(1, 0))
    return draws("levels")


@bug("one draw for all entries")
def one_entry(patch):
    right = ConditionalPrior._drawn_at_once
    patch.setattr(
        ConditionalPrior, "_drawn_at_once", lambda *given: (u := right(*given))[:, :1].expand(u.shape).contiguous()
    )
    return draws("schools")


@bug("the same randomness for every point")
def same_noise(patch):
    right = ConditionalPrior._drawn

    def seeded(self, law):
        torch.manual_seed(0)
        return right(self, law)

    patch.setattr(ConditionalPrior, "_drawn", seeded)
    return draws("slopes by vmap")


@bug("coordinates of draws in the order in which they were drawn")
def order_of_drawing(patch):
    right = prior.Prior.sample

    def joined(self, n, *, generator):
        x = right(self, n, generator=generator)
        parts = self._coordinates(x)
        return torch.cat([parts[key] for key in self._order], -1)

    patch.setattr(prior.Prior, "sample", joined)
    return draws("schools")
