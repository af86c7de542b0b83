"""Latent diffusion with one mistake each; the checks of `latent_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import torch
from bug_register import Bugs
from latent_cases import (
    check_below,
    check_bound,
    check_draws,
    check_evidence,
    check_principal_components,
    check_probabilities,
    check_real_columns,
)

from samplers.generative import code, column_likelihood
from samplers.generative.autoencoder import AutoencoderNetwork
from samplers.generative.code import Code
from samplers.generative.column_likelihood import ColumnLikelihood

BUGS = Bugs()
bug = BUGS.add
RIGHT = code.drawn


@bug("log q added")
def added(patch):
    def drawn(m, log_s, generator):
        z, log_q = RIGHT(m, log_s, generator)
        return z, -log_q

    patch.setattr(code, "drawn", drawn)
    return check_evidence


@bug("the entropy without the width of the code")
def no_width(patch):
    def drawn(m, log_s, generator):
        z, log_q = RIGHT(m, log_s, generator)
        return z, log_q + log_s.sum(-1)

    patch.setattr(code, "drawn", drawn)
    return check_bound


@bug("the mean of the code in place of a draw")
def of_the_mean(patch):
    patch.setattr(code, "drawn", lambda m, log_s, generator: (m, RIGHT(m, log_s, generator)[1]))
    return check_evidence


@bug("no entropy: above the exact likelihood where codes are narrow")
def no_entropy(patch):
    patch.setattr(code, "drawn", lambda m, log_s, g: (RIGHT(m, log_s, g)[0], 0 * RIGHT(m, log_s, g)[1] - 3.0))
    return check_below


@bug("the width of a code for its variance")
def variance(patch):
    patch.setattr(code, "drawn", lambda m, log_s, generator: RIGHT(m, 2 * log_s, generator))
    return check_principal_components


@bug("an encoder that knows of no noise where training starts")
def prior_width(patch):
    right = AutoencoderNetwork.begin

    def begin(self, x, shares):
        right(self, x, shares)
        self.encoder.straight.bias.data.zero_()

    patch.setattr(AutoencoderNetwork, "begin", begin)
    return check_principal_components


@bug("cells of the level above")
def next_cell(patch):
    right = ColumnLikelihood._cell

    def cell(self, x, like):
        return right(self, torch.where(self.integer, (x - self.low + 1).clamp(max=2) + self.low, x), like)

    patch.setattr(ColumnLikelihood, "_cell", cell)
    return check_probabilities


@bug("cells that do not reach to infinity")
def closed_cells(patch):
    patch.setattr(column_likelihood, "FAR", 2.0)
    return check_probabilities


@bug("a cell from the tail in which it is not")
def wrong_tail(patch):
    def log_mass(lower, upper):
        top, bottom = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
        return top + torch.log(-torch.expm1(bottom - top))

    patch.setattr(column_likelihood, "log_mass", log_mass)
    return check_probabilities


@bug("a density in units of the deviation")
def no_jacobian(patch):
    right = ColumnLikelihood.log_prob
    patch.setattr(ColumnLikelihood, "log_prob", lambda self, *given: right(self, *given) + self.scale.log().sum())
    return check_real_columns


@bug("the decoder's deviation for its variance")
def decoder_variance(patch):
    right = ColumnLikelihood.log_prob
    patch.setattr(ColumnLikelihood, "log_prob", lambda self, x, mu, log: right(self, x, mu, 2 * log))
    return check_real_columns


@bug("draws without the decoder's noise")
def no_noise(patch):
    patch.setattr(Code, "draw", lambda self, u, generator: self.inverse(u))
    return check_draws


@bug("integers drawn a level too high")
def too_high(patch):
    right = ColumnLikelihood.at
    patch.setattr(ColumnLikelihood, "at", lambda self, y: right(self, y) + self.integer)
    return check_draws
