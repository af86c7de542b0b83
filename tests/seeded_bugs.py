"""Kernels with one mistake each, of the kinds that are really made. The kit must reject every one."""

import math
from dataclasses import dataclass, replace

import torch
from kernel_cases import DIAGONAL_REGIONS, funnel_coordinates
from seeded_bugs_microcanonical import MICROCANONICAL
from torch.nn.functional import logsigmoid

import targets
from samplers import HMC, MALA, ULA, Barker, RandomWalkMetropolis, RiemannianLangevin
from samplers.kernels import Info, RegionalHMC, State, evaluate, metropolis, noise_like
from samplers.kernels.metropolis import select
from samplers.kernels.noncentring import NonCentring
from samplers.kernels.regional_hmc import _Within


@dataclass(frozen=True, eq=False)
class MALAWithoutHastings(MALA):
    """The ratio of the densities alone, as if the proposal were symmetric."""

    share = 0.0
    noise_scale = 1.0

    def step(self, target, state, generator):
        h, noise = self.h, noise_like(state.x, generator)
        proposal = evaluate(target, state.x + h * state.score + self.noise_scale * math.sqrt(2 * h) * noise)
        forward = -((proposal.x - state.x - h * state.score) ** 2).sum(-1) / (4 * h)
        backward = -((state.x - proposal.x - h * proposal.score) ** 2).sum(-1) / (4 * h)
        log_ratio = proposal.log_prob - state.log_prob + self.share * (backward - forward)
        return self.accept(state, proposal, log_ratio, generator)

    def accept(self, state, proposal, log_ratio, generator):
        return metropolis(state, proposal, log_ratio, generator)


@dataclass(frozen=True, eq=False)
class MALAHalfHastings(MALAWithoutHastings):
    """Half of the Hastings term: a lost factor of two."""

    share = 0.5


@dataclass(frozen=True, eq=False)
class MALANoiseOffByTwoPercent(MALAWithoutHastings):
    """Noise 2 % too large for the proposal density that the ratio assumes."""

    share = 1.0
    noise_scale = 1.02


@dataclass(frozen=True, eq=False)
class MALAStaleScore(MALAWithoutHastings):
    """The cached score is not renewed on acceptance."""

    share = 1.0

    def accept(self, state, proposal, log_ratio, generator):
        new, info = metropolis(state, proposal, log_ratio, generator)
        return replace(new, score=state.score), info


@dataclass(frozen=True, eq=False)
class MALAStaleLogProb(MALAWithoutHastings):
    """The cached log-density is not renewed on acceptance."""

    share = 1.0

    def accept(self, state, proposal, log_ratio, generator):
        new, info = metropolis(state, proposal, log_ratio, generator)
        return replace(new, log_prob=state.log_prob), info


@dataclass(frozen=True, eq=False)
class MALANeighboursAcceptance(MALAWithoutHastings):
    """Each chain is accepted by the decision of its neighbour in the batch."""

    share = 1.0

    def accept(self, state, proposal, log_ratio, generator):
        return metropolis(state, proposal, log_ratio.roll(1), generator)


@dataclass(frozen=True, eq=False)
class MALAClippedScore(MALA):
    """The score is clipped where the proposal is made and in the ratio's backward move, but by the full one forward."""

    def step(self, target, state, generator):
        h, noise = self.h, noise_like(state.x, generator)
        clipped = state.score.clamp(-1, 1)
        proposal = evaluate(target, state.x + h * clipped + math.sqrt(2 * h) * noise)
        forward = -((proposal.x - state.x - h * state.score) ** 2).sum(-1) / (4 * h)
        backward = -((state.x - proposal.x - h * proposal.score.clamp(-1, 1)) ** 2).sum(-1) / (4 * h)
        return metropolis(state, proposal, proposal.log_prob - state.log_prob + backward - forward, generator)


@dataclass(frozen=True, eq=False)
class MALAWrongSign(MALAWithoutHastings):
    """The Hastings term with its sign turned."""

    share = -1.0


@dataclass(frozen=True, eq=False)
class MALAWrongTemperature(MALAWithoutHastings):
    """Noise sqrt(h) in place of sqrt(2h), with a ratio that believes it."""

    def step(self, target, state, generator):
        h, noise = self.h, noise_like(state.x, generator)
        proposal = evaluate(target, state.x + h * state.score + math.sqrt(h) * noise)
        forward = -((proposal.x - state.x - h * state.score) ** 2).sum(-1) / (2 * h)
        backward = -((state.x - proposal.x - h * proposal.score) ** 2).sum(-1) / (2 * h)
        half = 0.5 * (proposal.log_prob - state.log_prob)  # the temperature that a plain noise would have
        return metropolis(state, proposal, half + backward - forward, generator)


class BarkerBug(Barker):
    """On skewed targets the identity is the mass matrix, so that z is x."""

    def step(self, target, state, generator):
        noise = self.h * noise_like(state.x, generator)
        uniform = torch.rand(noise.shape, generator=generator, dtype=torch.float64)
        move = torch.where(uniform < self.plus(noise * state.score), noise, -noise)
        proposal = evaluate(target, state.x + move)
        log_ratio = proposal.log_prob - state.log_prob
        log_ratio = log_ratio + self.log_q(move, state.score, proposal.score).sum(-1)
        return metropolis(state, proposal, log_ratio, generator)

    def plus(self, pull):
        return pull.sigmoid()

    def log_q(self, move, before, after):
        return logsigmoid(-move * after) - logsigmoid(move * before)


class BarkerWithoutHastings(BarkerBug):
    """The ratio of the densities alone, as if both sides were proposed alike."""

    def log_q(self, move, before, after):
        return torch.zeros_like(move)


class BarkerWrongSign(BarkerBug):
    """The way back as if it had the direction of the way there."""

    def log_q(self, move, before, after):
        return logsigmoid(move * after) - logsigmoid(move * before)


class BarkerStaleScore(BarkerBug):
    """The way back weighed by the score where it ends."""

    def log_q(self, move, before, after):
        return logsigmoid(-move * before) - logsigmoid(move * before)


class BarkerProbitSide(BarkerBug):
    """The side chosen by a normal distribution function, which no ratio here knows of."""

    def plus(self, pull):
        return torch.special.ndtr(pull)


class HMCBug(HMC):
    def step(self, target, state, generator):
        start = noise_like(state.x, generator)
        proposal, momentum = self.trajectory(target, state, start)
        log_ratio = proposal.log_prob - state.log_prob + self.kinetic(start, momentum)
        return metropolis(state, proposal, log_ratio, generator)

    def trajectory(self, target, state, start):
        return self.leapfrog(target, state, start, self.steps)

    def kinetic(self, start, end):
        return 0.5 * (start.square() - end.square()).sum(-1)


class HMCWithoutKinetic(HMCBug):
    """The kinetic energy is left out of the ratio."""

    def kinetic(self, start, end):
        return torch.zeros_like(start[:, 0])


class HMCExtraHalfKick(HMCBug):
    """One half kick too many at the end of the trajectory."""

    def trajectory(self, target, state, start):
        end, momentum = self.leapfrog(target, state, start, self.steps)
        return end, momentum + 0.5 * self.h * end.score


class HMCMissingHalfKick(HMCBug):
    """A full first kick: the trajectory is not reversible."""

    def trajectory(self, target, state, start):
        return self.leapfrog(target, state, start + 0.5 * self.h * state.score, self.steps)


class HMCMomentumVariance(HMCBug):
    """Momenta drawn 3 % too wide for the kinetic energy in the ratio."""

    def step(self, target, state, generator):
        start = 1.03 * noise_like(state.x, generator)
        proposal, momentum = self.trajectory(target, state, start)
        log_ratio = proposal.log_prob - state.log_prob + self.kinetic(start, momentum)
        return metropolis(state, proposal, log_ratio, generator)


class RegionalHMCWithoutShares(RegionalHMC):
    """The ratio without the share r(k | x) of the region that the step was drawn for."""

    class Within(_Within):
        def weighed(self, log_ratio, proposal):
            return log_ratio, log_ratio

    def step(self, target, state, generator):
        chosen = torch.multinomial(self.regions.mode_probabilities(state.x), 1, generator=generator)[:, 0]
        factors = self.regions.component_factors[chosen]
        given = {"regions": self.regions, "factors": factors, "chosen": chosen, "log_share": chosen}
        within = self.Within(self.step_size, "identity", steps=self._leapfrogs(generator), **given)
        return within.step(target, state, generator)


class NonCentringWithoutJacobian(NonCentring):
    """The density of y without |dx/dy|."""

    def log_det(self, x):
        return torch.zeros_like(x[..., 0])


class NonCentringWithHalfJacobian(NonCentring):
    """As if the scale were a variance."""

    def log_det(self, x):
        return 0.5 * super().log_det(x)


@dataclass(frozen=True, eq=False)
class RandomWalkScaleWithoutHastings(RandomWalkMetropolis):
    """A proposal width that depends on where the chain stands, without its Hastings term."""

    def step(self, target, state, generator):
        width = self.h * (1 + 0.5 * state.x[:, :1].tanh())
        x = state.x + width * noise_like(state.x, generator)
        proposal = State(x, target.log_prob(x), None)
        return metropolis(state, proposal, proposal.log_prob - state.log_prob, generator)


@dataclass(frozen=True, eq=False)
class RandomWalkBarker(RandomWalkMetropolis):
    """Accepts with probability min(1, sqrt(ratio)): a wrong acceptance function."""

    def step(self, target, state, generator):
        x = state.x + self.h * noise_like(state.x, generator)
        proposal = State(x, target.log_prob(x), None)
        return metropolis(state, proposal, 0.5 * (proposal.log_prob - state.log_prob), generator)


@dataclass(frozen=True, eq=False)
class RandomWalkSharedNoise(RandomWalkMetropolis):
    """One noise for the whole batch: every chain is right, together they are one."""

    def step(self, target, state, generator):
        x = state.x + self.h * noise_like(state.x[:1], generator)
        proposal = State(x, target.log_prob(x), None)
        uniform = torch.rand((), generator=generator, dtype=torch.float64)
        accepted = uniform.log() < proposal.log_prob - state.log_prob
        rate = accepted.double()
        return select(accepted, proposal, state), Info(rate, torch.zeros_like(accepted))


class RiemannianWithoutDeterminant(RiemannianLangevin):
    """The proposal densities without the determinant of the metric."""

    def _log_q(self, source, destination):
        log_det = source.factor.log().sum(-1) if source.factor.ndim == 2 else 0.0
        return super()._log_q(source, destination) - log_det


class PositiveWithoutJacobian(targets.Positive):
    """The density of a positive parameter without the log-determinant of its map."""

    def log_det(self, u, value):
        return torch.zeros_like(super().log_det(u, value))


def _hmc(kind):
    return kind(0.7, "identity", steps=3)


KERNELS = {
    "MALA without the Hastings term": MALAWithoutHastings(0.3),
    "MALA with half the Hastings term": MALAHalfHastings(0.3),
    "MALA with the sign of the Hastings term turned": MALAWrongSign(0.3),
    "MALA with noise 2 % too large": MALANoiseOffByTwoPercent(0.3),
    "MALA with a stale score": MALAStaleScore(0.3),
    "MALA with a stale log-density": MALAStaleLogProb(0.3),
    "MALA accepted by its neighbour": MALANeighboursAcceptance(0.3),
    "MALA with a score clipped on one side": MALAClippedScore(0.3),
    "MALA at the wrong temperature": MALAWrongTemperature(0.3),
    "ULA in place of MALA": ULA(0.3),
    "Barker without the Hastings term": BarkerWithoutHastings(1.0),
    "Barker with the sign of the score turned on the way back": BarkerWrongSign(1.0),
    "Barker with the score of the start on the way back": BarkerStaleScore(1.0),
    "Barker with another law of the side than its ratio's": BarkerProbitSide(1.0),
    "HMC without kinetic energy": _hmc(HMCWithoutKinetic),
    "HMC with an extra half kick": _hmc(HMCExtraHalfKick),
    "HMC with a missing half kick": _hmc(HMCMissingHalfKick),
    "HMC with momenta 3 % too wide": _hmc(HMCMomentumVariance),
    "HMC by regions without their shares": RegionalHMCWithoutShares(0.7, steps=3, regions=DIAGONAL_REGIONS),
    "HMC in other coordinates without their Jacobian": RegionalHMC(
        0.5, steps=3, regions=DIAGONAL_REGIONS, coordinates=funnel_coordinates(NonCentringWithoutJacobian)
    ),
    "HMC in other coordinates with half their Jacobian": RegionalHMC(
        0.5, steps=3, regions=DIAGONAL_REGIONS, coordinates=funnel_coordinates(NonCentringWithHalfJacobian)
    ),
    "random walk of varying width without Hastings": RandomWalkScaleWithoutHastings(0.8),
    "random walk with a wrong acceptance function": RandomWalkBarker(0.8),
    "random walk with shared noise": RandomWalkSharedNoise(0.8),
    **MICROCANONICAL,
}
