"""Unrolled denoisers with one mistake each, of the kinds that are really made; `local_score_cases` rejects all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

from dataclasses import replace
from functools import partial

import torch
from bug_register import Bugs
from local_score_cases import (
    check_draws,
    check_exact_on_trees,
    check_given_others,
    check_learning,
    check_order,
    check_other_components,
    check_reach,
    check_relabelling,
    check_shape_of_the_field,
)

from samplers.denoisers.unrolled.laws import DiscreteLaw, GaussianLaw
from samplers.denoisers.unrolled.learning import FieldFitting
from samplers.networks import unrolled, unrolled_gaussian
from samplers.networks.slots import Slots

BUGS = Bugs()
bug = BUGS.add


# Messages


@bug("the message of a site handed back to it")
def handed_back(patch):
    patch.setattr(unrolled.UnrolledBeliefPropagation, "start", (1.0, 0.0, 0.0))
    return partial(check_exact_on_trees, "spins on a tree", "isotropic")


@bug("messages that arrive where they were sent from")
def not_exchanged(patch):
    patch.setattr(Slots, "exchanged", lambda self, sent: sent)
    return partial(check_exact_on_trees, "a Gaussian on a tree", "isotropic")


@bug("the message of a ferromagnet for every sign of the coupling")
def any_sign(patch):
    right = unrolled.said
    patch.setattr(unrolled, "said", lambda couplings, p: right(couplings.abs(), p))
    return partial(check_exact_on_trees, "an antiferromagnet", "isotropic")


@bug("the reaction of TAP with the wrong sign")
def reaction_turned(patch):
    patch.setattr(unrolled.UnrolledTAP, "start", (1.0, 0.5, -1.0))
    return partial(check_order, "TAP", 2)


@bug("the reaction of TAP for two states alone")
def reaction_of_two_states(patch):
    patch.setattr(unrolled.UnrolledTAP, "start", (1.0, 0.5, 0.5))
    return partial(check_order, "TAP", 3)


@bug("precisions of messages added with the wrong sign")
def precision_added(patch):
    right = unrolled_gaussian.torch.stack

    class Stacked:
        def __getattr__(self, name):
            return getattr(torch, name)

        def stack(self, parts, dim):
            return right([parts[0], -parts[1]], dim)

    patch.setattr(unrolled_gaussian, "torch", Stacked())
    return partial(check_exact_on_trees, "a Gaussian on a tree", "isotropic")


@bug("slots without an edge corrected as well")
def padding_corrected(patch):
    right = Slots.of.__func__

    def of(cls, n, edges):
        slots = right(cls, n, edges)
        return replace(slots, present=torch.ones_like(slots.present))

    patch.setattr(Slots, "of", classmethod(of))
    return partial(check_other_components, "belief propagation")


@bug("a correction that tells the states apart")
def states_told_apart(patch):
    right = unrolled._shares
    patch.setattr(unrolled, "_shares", lambda p: right(p) * torch.arange(p.shape[-1]))
    return partial(check_relabelling, "mean field")


@bug("a round that tells all sites the mean of all")
def not_local(patch):
    right = unrolled._shares
    patch.setattr(unrolled, "_shares", lambda p: right(p) + p.mean(1, keepdim=True))
    return partial(check_reach, "TAP")


# Laws


@bug("an edge of spins counted as one of colours")
def coupling_once(patch):
    right = DiscreteLaw.of_spins.__func__

    def of_spins(cls, target, noise):
        law = right(cls, target, noise)
        return replace(law, couplings=law.couplings / 2)

    patch.setattr(DiscreteLaw, "of_spins", classmethod(of_spins))
    return partial(check_exact_on_trees, "spins on a tree", "isotropic")


@bug("colours measured without their squares")
def no_squares(patch):
    right = DiscreteLaw.of_colours.__func__
    patch.setattr(
        DiscreteLaw, "of_colours", classmethod(lambda cls, *given: replace(right(cls, *given), precision=0.0))
    )
    return partial(check_exact_on_trees, "colours on a tree", "isotropic")


@bug("a Gaussian's own mean left out")
def no_mean(patch):
    right = GaussianLaw.of.__func__
    patch.setattr(
        GaussianLaw, "of", classmethod(lambda cls, *given: replace(right(cls, *given), known=0 * given[0].mean))
    )
    return partial(check_exact_on_trees, "a Gaussian on a tree", "variances")


@bug("noise of the field's shape as if it were its variances alone")
def shape_forgotten(patch):
    right = GaussianLaw.of.__func__

    def of(cls, target, noise):
        own = right(cls, target, noise)
        return replace(own, couplings=right(cls, target, type(noise)(noise.mrf, extra=1e9)).couplings * 2)

    patch.setattr(GaussianLaw, "of", classmethod(of))
    return partial(check_shape_of_the_field, "a Gaussian")


@bug("draws by heat baths of the field without the measurement")
def prior_drawn(patch):
    right = DiscreteLaw.tilt
    patch.setattr(DiscreteLaw, "tilt", lambda self, y: 0 * right(self, y))
    return partial(check_draws, "spins")


# Learning


@bug("sites given the others without the measurement")
def without_y(patch):
    right = DiscreteLaw.given_others
    patch.setattr(
        DiscreteLaw, "given_others", lambda self, x, potentials: right(self, x, self.own.expand_as(potentials))
    )
    return partial(check_given_others, "colours")


@bug("measurements of another level of noise than that of the law")
def another_level(patch):
    right = FieldFitting.__init__

    def init(self, network, target, noises, *rest):
        right(self, network, target, noises, *rest)
        self.noises = noises[::-1]

    patch.setattr(FieldFitting, "__init__", init)
    return partial(check_learning, "a Gaussian")
