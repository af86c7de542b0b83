"""Couplings with one mistake each, of the kinds that are really made; the checks of `coupling_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

from functools import partial

import torch
from bug_register import Bugs
from coupling_answers import check_no_bias, check_unmet_pairs_are_told
from coupling_cases import (
    check_coupling_of_noises,
    check_law_is_the_kernels,
    check_pairs_stay_together,
)
from coupling_laws import check_bounds
from coupling_pairs import check_marginals_are_exact, check_mean_of_bounds

from samplers.diagnostics.couplings import gaussians, gibbs, hmc, meetings, proposals, unbiased, walk_jump
from samplers.diagnostics.couplings.base import taken_together
from samplers.diagnostics.couplings.meetings import MeetingTimes
from samplers.diagnostics.couplings.pairs import Pairs
from samplers.diagnostics.couplings.states import both, halves
from samplers.diagnostics.couplings.swendsen_wang import CoupledSwendsenWang
from samplers.kernels import _choices
from samplers.kernels.metropolis import acceptance, select
from samplers.runs.state import Info

BUGS = Bugs()
bug = BUGS.add


# Proposals and their tests


@bug("the reflected proposal with the wrong sign")
def wrong_sign(patch):
    right = gaussians.reflection_maximal

    def reflection(gap, generator):
        xi, eta, same = right(gap, generator)
        return xi, torch.where(same[:, None], eta, -eta), same

    patch.setattr(gaussians, "reflection_maximal", reflection)
    return check_coupling_of_noises


@bug("one point proposed to both with the ratio of the densities the wrong way up")
def ratio_upside_down(patch):
    right = gaussians.reflection_maximal

    def upside_down(gap, generator):
        xi, eta, same = right(-gap, generator)
        return xi, torch.where(same[:, None], xi + gap, eta), same

    patch.setattr(gaussians, "reflection_maximal", upside_down)
    return check_coupling_of_noises


def claimed(x, y, proposal, log_ratio, same, generator, diverging=None):
    """Uniforms of each chain's own, and a meeting wherever one point is proposed and x accepts it."""
    rate, bad = acceptance(proposal, log_ratio, diverging)
    accepted = torch.rand(len(rate), generator=generator, dtype=rate.dtype) < rate
    n = len(same)
    for_x, for_y = halves(proposal)
    new_x = select(accepted[:n], for_x, x)
    new_y = select(same & accepted[:n], for_x, select(accepted[n:] & ~same, for_y, y))
    return new_x, new_y, Info(rate, bad)


@bug("uniforms of the tests not shared, but a meeting claimed")
def meeting_claimed(patch):
    patch.setattr(proposals, "accepted_together", claimed)
    return partial(check_law_is_the_kernels, "MALA", False)


@bug("the gap of the proposals without the drift")
def gap_without_drift(patch):
    def gap(kernel, x, y, h):
        return kernel.whiten(x.x - y.x) / (2 * h) ** 0.5

    patch.setattr(proposals, "langevin_gap", gap)
    return partial(check_law_is_the_kernels, "ULA", False, chains=30_000)


@bug("trajectories of many leapfrogs taken for one point where the noises coincide")
def many_leapfrogs_one_point(patch):
    right = hmc.CoupledHMC.leapfrogs

    def together(self, target, x, y, generator):
        n = right(self, len(x.x), x.x, generator)
        momentum, other, same = gaussians.reflection_maximal(self._gap(x, y), generator)
        state, start = both(x, y), torch.cat([momentum, other])
        end, momenta = self.trajectories(target, state, start, n.repeat(2))
        log_ratio, diverging = self._judged(state, start, end, momenta)
        return hmc.accepted_together(x, y, end, log_ratio, same, generator, diverging)

    patch.setattr(hmc.CoupledHMC, "together", together)
    return partial(check_law_is_the_kernels, "HMC with a random walk", False)


# Spins


@bug("what is left of y's law drawn from what is left of x's")
def residual_of_x(patch):
    def maximal(logits_x, logits_y, generator):
        p, r = logits_x.double().softmax(-1), logits_y.double().softmax(-1)
        least = torch.minimum(p, r)
        over = p - least
        apart = over.sum(-1, keepdim=True)
        joint = least.diag_embed() + torch.where(apart > 0, over / apart, 0.0)[..., None] * over[..., None, :]
        chosen = _choices.category(joint.flatten(-2).log(), generator)
        return chosen // p.shape[-1], chosen % p.shape[-1]

    patch.setattr(gibbs, "maximal", maximal)
    return partial(check_marginals_are_exact, "Gibbs on Potts")


@bug("clusters turned by the law of a value, whatever value their first site has")
def value_for_turn(patch):
    def site_logits(self, target, x, labels):
        of_clusters = self.kernel.cluster_logits(target, x, labels)
        return of_clusters.gather(1, labels[..., None].expand(-1, -1, of_clusters.shape[-1]))

    patch.setattr(CoupledSwendsenWang, "_site_logits", site_logits)
    return partial(check_marginals_are_exact, "Swendsen-Wang")


@bug("y's spins taken from x wherever most of them agree")
def nearly_met(patch):
    def nearly(x, y, proposal, same):
        del same
        a, b = proposal.x.chunk(2)
        return taken_together(x, y, proposal, (a == b).double().mean(-1) > 0.6)

    patch.setattr(gibbs, "taken_together", nearly)
    return partial(check_marginals_are_exact, "Gibbs")


# After the meeting


@bug("x read anew from each of two walks that have met")
def read_twice(patch):
    right = walk_jump.CoupledWalkJump.together

    def together(self, target, x, y, generator):
        with patch.context() as inner:
            inner.setattr(walk_jump, "select", lambda met, yes, no: no)
            return right(self, target, x, y, generator)

    patch.setattr(walk_jump.CoupledWalkJump, "together", together)
    return partial(check_pairs_stay_together, "walk-jump")


# Bounds and estimates


@bug("the lag off by one")
def lag_off_by_one(patch):
    right = Pairs.__init__

    def begin(self, coupling, target, lag, pairs, init, generator):
        right(self, coupling, target, lag + 1, pairs, init, generator)

    patch.setattr(Pairs, "__init__", begin)
    return check_mean_of_bounds


@bug("the bound without rounding up")
def without_ceil(patch):
    def each(self, t):
        return ((self.times - self.lag - t[..., None]) / self.lag).clamp_min(0.0)

    patch.setattr(MeetingTimes, "_each", each)
    return check_mean_of_bounds


@bug("one lag subtracted too many")
def one_lag_too_many(patch):
    def each(self, t):
        return ((self.times - 2 * self.lag - t[..., None]) / self.lag).ceil().clamp_min(0.0)

    patch.setattr(MeetingTimes, "_each", each)
    return partial(check_bounds, "ULA on a Gaussian")


@bug("pairs that have not met left out")
def unmet_left_out(patch):
    right = MeetingTimes

    def kept(times, *rest):
        return right(times[times.isfinite()], *rest)

    patch.setattr(meetings, "MeetingTimes", kept)
    return check_unmet_pairs_are_told


@bug("the correction of an unbiased estimate dropped")
def correction_dropped(patch):
    patch.setattr(unbiased, "_weight", lambda s, k, m, lag: 0.0)
    return check_no_bias


@bug("each correction counted once, however many steps it belongs to")
def correction_once(patch):
    patch.setattr(unbiased, "_weight", lambda s, k, m, lag: 1 / (m - k + 1) if s >= k + lag else 0.0)
    return check_no_bias


@bug("the correction with Y a step ahead")
def partner_ahead(patch):
    right = Pairs.__init__

    def begin(self, coupling, target, lag, pairs, init, generator):
        right(self, coupling, target, lag, pairs, init, generator)
        self.y, _ = coupling.alone(target, self.y, generator)

    patch.setattr(Pairs, "__init__", begin)
    return check_no_bias
