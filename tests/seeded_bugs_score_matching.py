"""Score matching with one mistake each, as they are really made. The checks of `score_matching_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that returns the check on which it shows.
"""

import math
from dataclasses import replace
from functools import partial

import score_matching_cases as cases
import torch
from bug_register import Bugs
from score_matching_cases import LINE_TIMES, PROCESSES

from samplers.generative import columns, data, high_order, levels, losses, parametrisation, times, weightings
from samplers.generative.data import Samples
from samplers.generative.losses import Denoising, Example
from samplers.generative.noisy_state import NoisyState
from samplers.generative.parametrisation import CleanOf, Control, Karras, NoiseOf, ScoreOf, Velocity
from samplers.generative.standardisation import Standardisation
from samplers.generative.transformations import Chain

BUGS = Bugs()
bug = BUGS.add


VP, CORRELATED = PROCESSES["VP"], PROCESSES["VP, correlated"]
IDENTITIES = partial(cases.check_identities, VP)
CORRELATED_IDENTITIES = partial(cases.check_identities, CORRELATED)
WEIGHTS = partial(cases.check_weights, VP)
HIGH_ORDER = partial(cases.check_high_order, CORRELATED)
DERIVATIVES = partial(cases.check_high_order_of_models, CORRELATED)


def meaning(kind, process=CORRELATED):
    return partial(cases.check_parametrisation, kind, process)


def unbiased(each=times.DebiasedTimes()):  # noqa: B008
    return partial(cases.check_unbiased, each, LINE_TIMES)


# Losses


@bug("half the divergence in the implicit loss")
def half_divergence(patch):
    right = losses.with_divergence
    patch.setattr(losses, "with_divergence", lambda *given: (right(*given)[0], 0.5 * right(*given)[1]))
    return IDENTITIES


@bug("the divergence of S in place of that of C S")
def divergence_without_covariance(patch):
    right = losses.with_divergence

    def of_solved(field, x, probes):
        noise, _ = right(field, x, probes)
        return noise, right(lambda at: cases.NOISE.solve(field(at)), x, probes)[1]

    patch.setattr(losses, "with_divergence", of_solved)
    return CORRELATED_IDENTITIES


@bug("probes that are uniform on [-1, 1]")
def uniform_probes(patch):
    def uniform(x, generator, probes=1):
        return 2 * torch.rand(probes, *x.shape, dtype=x.dtype, generator=generator) - 1

    patch.setattr(losses, "rademacher", uniform)
    return IDENTITIES


@bug("one sign for all coordinates of a probe")
def one_sign(patch):
    def equal(x, generator, probes=1):
        return torch.randint(0, 2, (probes, len(x), 1), generator=generator).to(x).mul(2).sub(1).expand(-1, *x.shape)

    patch.setattr(losses, "rademacher", equal)
    return IDENTITIES


@bug("the sum over probes in place of their mean")
def sum_of_probes(patch):
    right = losses.with_divergence

    def summed(field, x, probes=None):
        value, found = right(field, x, probes)
        return value, found if probes is None else 2 * len(probes) * found

    patch.setattr(losses, "with_divergence", summed)
    return IDENTITIES


@bug("the variance in place of the deviation of the noise")
def variance_for_deviation(patch):
    right = Example.draw

    def draw(process, clean, t, generator):
        example = right(process, clean, t, generator)
        state = example.state
        x = state.row(state.a) * clean + state.row(state.s.square()) * example.noise
        return replace(example, state=NoisyState(process, state.t, x))

    patch.setattr(Example, "draw", draw)
    return IDENTITIES


@bug("no scale on the data")
def unscaled(patch):
    right = Example.draw

    def draw(process, clean, t, generator):
        example = right(process, clean, t, generator)
        state = example.state
        x = clean + state.row(state.s) * example.noise
        return replace(example, state=NoisyState(process, state.t, x))

    patch.setattr(Example, "draw", draw)
    return IDENTITIES


@bug("norms that do not know the covariance of the noise")
def plain_norm(patch):
    patch.setattr(NoisyState, "square", lambda self, v: torch.linalg.vecdot(v, v))
    return CORRELATED_IDENTITIES


@bug("a centred loss without the factor of the cross term")
def centred_once(patch):
    right = Denoising.rows

    def rows(self, model, example, generator):
        if not self.centred:
            return right(self, model, example, generator)
        noise = model.noise_at(example.state)
        return 0.5 * (noise * (noise - example.noise)).sum(-1) / example.state.s.square()

    patch.setattr(Denoising, "rows", rows)
    return IDENTITIES


@bug("g in place of g^2 as the likelihood's weight")
def weight_once(patch):
    right = weightings._lambda
    patch.setattr(
        weightings, "_lambda", lambda w, state, order: state.g if w == "likelihood" else right(w, state, order)
    )
    return WEIGHTS


@bug("the deviation in place of the variance as the noise level")
def level_once(patch):
    right = weightings._lambda
    patch.setattr(
        weightings, "_lambda", lambda w, state, order: state.s if w == "noise level" else right(w, state, order)
    )
    return WEIGHTS


# Times


@bug("no importance weight of the times")
def no_importance(patch):
    patch.setattr(times.DebiasedTimes, "density", lambda self, process, t: torch.full_like(t, 1 / process.horizon))
    return unbiased()


@bug("a density that does not know of the part below the knee")
def mass_of_the_tail(patch):
    right = times.LogSNRTimes.density
    patch.setattr(
        times.DebiasedTimes, "density", lambda self, process, t: right(times.LogSNRTimes(self.knee), process, t)
    )
    return unbiased()


@bug("truncated times that call themselves debiased")
def truncated(patch):
    patch.setattr(times.DebiasedTimes, "at", lambda self, process, u: times.LogSNRTimes(1e-2).at(process, u))
    patch.setattr(times.DebiasedTimes, "density", lambda self, process, t: times.LogSNRTimes(1e-2).density(process, t))
    return unbiased()


@bug("g / v in place of g^2 / v")
def rate_once(patch):
    patch.setattr(times, "_rate", lambda process, t: process.diffusion(t) / process.variance(t))
    return partial(cases.check_times, times.LogSNRTimes(1e-3), VP)


@bug("uniform times on [0, horizon - least]")
def shifted(patch):
    patch.setattr(times.UniformTimes, "at", lambda self, process, u: u * (process.horizon - self.least))
    return partial(cases.check_times, times.UniformTimes(1e-3), VP)


# Parametrisations


@bug("the sign of the score")
def sign_of_the_score(patch):
    right = ScoreOf.noise
    patch.setattr(ScoreOf, "noise", lambda self, output, state: -right(self, output, state))
    return meaning(ScoreOf())


@bug("the sign of the velocity")
def sign_of_velocity(patch):
    right = Velocity.noise
    patch.setattr(Velocity, "noise", lambda self, output, state: right(self, -output, state))
    return meaning(Velocity())


@bug("a velocity whose scale and deviation are not of unit norm")
def velocity_of_vp(patch):
    patch.setattr(
        Velocity,
        "output",
        lambda self, noise, state: state.row(state.a) * noise - state.row(state.s) * CleanOf().output(noise, state),
    )
    return meaning(Velocity(), PROCESSES["VE, correlated"])


@bug("Karras' coefficients at s in place of s / a")
def karras_without_scale(patch):
    patch.setattr(Karras, "_total", lambda self, state: torch.hypot(state.s, self.deviation + 0 * state.a))
    return meaning(Karras())


@bug("Karras' c_out without the deviation of the data")
def karras_without_deviation(patch):
    patch.setattr(Karras, "gain", lambda self, state: state.a / (state.s * self._total(state)))
    return meaning(Karras(0.3))


@bug("L in place of L^-1 in the control")
def colour_for_white(patch):
    patch.setattr(parametrisation, "whitened", lambda v, covariance: covariance.colour(v))
    return meaning(Control())


@bug("g in place of 1 / g as the gain of the control")
def gain_of_control(patch):
    patch.setattr(Control, "gain", lambda self, state: state.g)
    return meaning(Control())


@bug("the gain of the noise without its square root")
def gain_of_noise(patch):
    patch.setattr(NoiseOf, "gain", lambda self, state: 1 / state.s.square())
    return meaning(NoiseOf())


# Higher order


@bug("no identity in the second order")
def no_identity(patch):
    unit = lambda h: torch.eye(h.shape[-1], dtype=h.dtype)  # noqa: E731
    right = high_order._second
    patch.setattr(high_order, "_second", lambda state, h: right(state, h) - unit(h))
    return HIGH_ORDER


@bug("the noise itself in place of what the score leaves of it")
def whole_noise(patch):
    patch.setattr(high_order, "_left_over", lambda score, example: example.noise)
    return DERIVATIVES


@bug("the trace without the dimension")
def no_dimension(patch):
    right = high_order.trace_rows

    def rows(state, trace, r):
        return right(state, trace - r.shape[-1] / state.s.square(), r)

    patch.setattr(cases, "trace_rows", rows)
    return HIGH_ORDER


@bug("the third order without the terms that an error of the score calls for")
def third_without_second(patch):
    def rows(state, found, r, hessian):
        z = state.square(r)[:, None] * r
        error = state.row(state.s.pow(3)) * state.noise.times(found) + z
        return 0.5 * state.square(error) / state.s.pow(6)

    patch.setattr(cases, "trace_gradient_rows", rows)
    return HIGH_ORDER


@bug("the sign of the third order")
def sign_of_the_third(patch):
    right = high_order.trace_gradient_rows
    patch.setattr(cases, "trace_gradient_rows", lambda state, found, r, hessian: right(state, -found, r, hessian))
    return HIGH_ORDER


# Data


@bug("no log-Jacobian of the standardisation")
def no_determinant(patch):
    patch.setattr(Standardisation, "log_det", 0.0)
    return cases.check_jacobians


@bug("the log-Jacobian of one part of a chain")
def last_part_only(patch):
    def forward(self, x, generator=None):
        for part in self.parts:
            x, c = part.forward(x, generator)
        return x, c

    patch.setattr(Chain, "forward", forward)
    return cases.check_jacobians


@bug("the width left out of the logit's log-Jacobian")
def no_width(patch):
    right = columns.Bounded.encode

    def encode(self, x, generator):
        u, c = right(self, x, generator)
        return u, c + math.log(self.high - self.low)

    patch.setattr(columns.Bounded, "encode", encode)
    return cases.check_jacobians


@bug("the log-Jacobian of the inverse")
def inverse_jacobian(patch):
    right = columns.Positive.encode
    patch.setattr(columns.Positive, "encode", lambda self, x, generator: (right(self, x, generator)[0], x.log()))
    return cases.check_jacobians


@bug("noise around the integer, not above it")
def centred_noise(patch):
    right = columns.Bounded.encode
    patch.setattr(columns.Bounded, "encode", lambda self, x, generator: right(self, (x - 0.5).clamp(2.01), generator))
    return cases.check_ordinal


@bug("noise on half of the cell")
def half_a_cell(patch):
    right = columns.Bounded.encode
    patch.setattr(columns.Bounded, "encode", lambda self, x, g: right(self, x.floor() + 0.5 * (x - x.floor()), g))
    return cases.check_ordinal


@bug("cells of equal size with the density of unequal ones")
def equal_cells(patch):
    right = levels.Levels._cells

    def cells(self, like):
        return right(self, like)[0], *right(replace(self, probabilities=None), like)[1:]

    patch.setattr(levels.Levels, "_cells", cells)
    return cases.check_levels


@bug("frequencies that do not know the weights")
def unweighted_frequencies(patch):
    right = levels.Levels.learned
    patch.setattr(levels.Levels, "learned", lambda self, x, shares: right(self, x, None))
    return cases.check_frequencies


@bug("the density of the noise without the number of categories")
def categories(patch):
    right = columns.Categorical.encode

    def encode(self, x, generator):
        u, c = right(self, x, generator)
        return u, c + math.log(self.categories)

    patch.setattr(columns.Categorical, "encode", encode)
    return cases.check_categorical


@bug("the largest made larger in place of changing places")
def raised(patch):
    right = columns.Categorical.encode

    def encode(self, x, generator):
        u = torch.randn(len(x), self.categories, dtype=torch.float64, generator=generator)
        here = x.long()[:, None]
        top = u.amax(-1, keepdim=True)
        u = u.scatter(-1, here, torch.where(u.gather(-1, here) < top, top + 0.1, top))
        log_q = math.log(self.categories) - 0.5 * (u.square() + math.log(2 * math.pi)).sum(-1)
        return u, -log_q

    assert right is not encode
    patch.setattr(columns.Categorical, "encode", encode)
    return cases.check_categorical


@bug("batches that do not know the weights")
def unweighted_batches(patch):
    patch.setattr(Samples, "batch", lambda self, size, g: self.x[torch.randint(len(self.x), (size,), generator=g)])
    return cases.check_batches


@bug("weights that are taken for their logarithms")
def weights_for_logarithms(patch):
    right = data._of_draws
    patch.setattr(
        data, "_of_draws", lambda draws, given: right(replace(draws, log_weights=draws.log_weights.exp()), given)
    )
    return cases.check_batches


@bug("rows of a chain split one by one")
def leaking_split(patch):
    patch.setattr(data, "_blocks", lambda draws: torch.arange(draws.x.shape[:2].numel()))
    return cases.check_split


@bug("copies of a particle split one by one")
def leaking_copies(patch):
    patch.setattr(data, "_copies", lambda draws, x: None)
    return cases.check_split


@bug("weights of a part that keep the sum of the whole")
def shares_of_the_whole(patch):
    right = Samples._rows

    def rows(self, which):
        part = right(self, which)
        return part if self.shares is None else replace(part, shares=self.shares[which])

    patch.setattr(Samples, "_rows", rows)
    return cases.check_split
