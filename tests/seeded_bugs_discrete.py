"""Discrete kernels and targets with one mistake each, of the kinds that are really made. The tests must reject all."""

from dataclasses import dataclass
from functools import cached_property

import torch

import targets
from samplers import DiscreteLangevin, Gibbs, GibbsWithGradients, SwendsenWang, Wolff
from samplers.kernels import _choices, evaluate
from samplers.kernels.metropolis import always, metropolis


class SwendsenWangOneCoupling(SwendsenWang):
    """Bonds with probability 1 - exp(-K) between spins: the formula for Potts."""

    factor = 1

    def graph(self, target):
        graph = super().graph(target)
        couplings = target.edge_couplings[graph.edges.order]
        return graph._replace(probability=-torch.expm1(-self.factor * couplings.abs()))


class SwendsenWangTwoCouplings(SwendsenWangOneCoupling):
    """Bonds with probability 1 - exp(-2K) in Potts: the formula for spins."""

    factor = 2


class SwendsenWangWithoutFields(SwendsenWang):
    """Clusters turned by a fair coin whatever the fields."""

    def cluster_logits(self, target, x, labels):
        return torch.zeros_like(super().cluster_logits(target, x, labels))


class SwendsenWangHalfFields(SwendsenWang):
    """A cluster kept with probability sigmoid(B) in place of sigmoid(2B)."""

    def cluster_logits(self, target, x, labels):
        return super().cluster_logits(target, x, labels) / 2


class SwendsenWangEqualBonds(SwendsenWang):
    """Bonds between equal spins whatever the sign of their coupling."""

    def graph(self, target):
        graph = super().graph(target)
        return graph._replace(equal=torch.ones_like(graph.equal))


class SwendsenWangSharedCoins(SwendsenWang):
    """The first chain's coins for the clusters of all: every chain is right, together they are not independent."""

    def redrawn(self, target, x, labels, generator):
        logits = self.cluster_logits(target, x, labels)
        uniform = torch.rand(logits.shape[1], generator=generator, dtype=torch.float64)
        keep = uniform < (logits[..., 1] - logits[..., 0]).sigmoid()
        return torch.where(keep.gather(1, labels), x, -x)


class WolffAlwaysAccepted(Wolff):
    """The change of the fields is not tested."""

    def changed(self, target, x, generator):
        new, gain = super().changed(target, x, generator)
        return new, torch.zeros_like(gain)


class WolffHalfFields(Wolff):
    """The fields of the cluster counted once, where turning it changes them twice."""

    def changed(self, target, x, generator):
        new, gain = super().changed(target, x, generator)
        return new, gain / 2


class GibbsSynchronous(Gibbs):
    """All sites drawn at once, given the old values of all."""

    def schedule(self, target):
        return (torch.arange(target.dim),)


@dataclass(frozen=True, eq=False)
class GibbsWithGradientsWithoutReverse(GibbsWithGradients):
    """The ratio of the densities alone, as if the proposal were symmetric."""

    def flip(self, target, state, log_q, generator):
        chosen = _choices.category(log_q, generator)[:, None]
        q = len(target.values)
        proposal = evaluate(target, state.x.scatter(1, chosen // q, target.values[chosen % q]), score=False)
        new, info = self.accept(state, proposal, proposal.log_prob - state.log_prob, generator)
        return new, self.log_proposal(target, new.x), info

    def accept(self, state, proposal, log_ratio, generator):
        return metropolis(state, proposal, log_ratio, generator)


@dataclass(frozen=True, eq=False)
class GibbsWithGradientsUntested(GibbsWithGradientsWithoutReverse):
    """Every proposal accepted."""

    def accept(self, state, proposal, log_ratio, generator):
        return always(state, proposal)


class GibbsWithGradientsStaleProposal(GibbsWithGradients):
    """The law of the next flip is the one from before an accepted flip."""

    def flip(self, target, state, log_q, generator):
        new, _, info = super().flip(target, state, log_q, generator)
        return new, log_q, info


@dataclass(frozen=True, eq=False)
class DiscreteLangevinHalfStepBack(DiscreteLangevin):
    """The step size is a/2 in the gradient-free part of the way back: (v - x)^2 / a in place of (v - x)^2 / 2a."""

    step_size: float = 2.0

    def step(self, target, state, generator):
        forward = self.log_proposal(target, state.x)
        chosen = _choices.category(forward, generator)
        proposal = evaluate(target, target.values[chosen], score=False)
        here = (target.values == state.x[..., None]).long().argmax(-1)
        back = self.reverse.log_proposal(target, proposal.x).gather(-1, here[..., None]).sum((-1, -2))
        log_q = back - forward.gather(-1, chosen[..., None]).sum((-1, -2))
        return self.accept(state, proposal, proposal.log_prob - state.log_prob + log_q, generator)

    @property
    def reverse(self):
        return DiscreteLangevin(self.step_size / 2)

    def accept(self, state, proposal, log_ratio, generator):
        return metropolis(state, proposal, log_ratio, generator)


@dataclass(frozen=True, eq=False)
class DiscreteLangevinNeighboursAcceptance(DiscreteLangevinHalfStepBack):
    """Each chain is accepted by the decision of its neighbour in the batch."""

    @property
    def reverse(self):
        return self

    def accept(self, state, proposal, log_ratio, generator):
        return metropolis(state, proposal, log_ratio.roll(1), generator)


class CheckerboardOnOddRing(targets.Ising):
    """Two colours around a ring of five, where the first and the last site are neighbours of one colour."""

    @cached_property
    def colours(self):
        return torch.arange(0, self.dim, 2), torch.arange(1, self.dim, 2)


class HalfHeatBath(targets.PairwiseMRF):
    """sigmoid(h) in place of sigmoid(2h): spins -1 and +1 taken for 0 and 1."""

    def conditional_logits(self, x, sites):
        return super().conditional_logits(x, sites) / 2


class EdgesListedTwice(targets.PairwiseMRF):
    """Both (i, j) and (j, i) among the edges."""

    def _place(self):
        super()._place()
        self.edges = torch.cat([self.edges, self.edges])
        self.edge_couplings = torch.cat([self.edge_couplings, self.edge_couplings])
