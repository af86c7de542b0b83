"""The microcanonical sampler with one mistake each; the kit must reject every one."""

import math
from dataclasses import dataclass, replace

import torch

from samplers import MAMS
from samplers.kernels import evaluate, isokinetic, metropolis, noise_like


@dataclass(frozen=True, eq=False)
class MAMSBug(MAMS):
    """A step as it should be, written out; z is x."""

    def step(self, target, state, generator):
        start = u = self.directions(state.x, generator)
        end, kinetic, e = state, 0.0, self.h
        for _ in range(self.steps):
            u, first = self.turned(u, end.score, 0.5 * e)
            moved = evaluate(target, end.x + e * math.sqrt(target.dim) * u)
            u, second = self.second_half(u, end, moved, 0.5 * e)
            end, kinetic = moved, kinetic + first + second
        log_ratio = self.log_ratio_of(end.log_prob - state.log_prob, kinetic, start, u)
        return self.accept(state, end, log_ratio, generator)

    def directions(self, x, generator):
        return isokinetic.directions(x, generator)

    def turned(self, u, score, time):
        return isokinetic.turned(u, score, time)

    def second_half(self, u, before, moved, time):
        return self.turned(u, moved.score, time)

    def log_ratio_of(self, gained, kinetic, start, u):
        return gained - kinetic

    def accept(self, state, end, log_ratio, generator):
        return metropolis(state, end, log_ratio.double(), generator)


class FullDimension(MAMSBug):
    """The kinetic energy of d in place of d - 1 dimensions."""

    def log_ratio_of(self, gained, kinetic, start, u):
        dim = u.shape[-1]
        return gained - dim / (dim - 1) * kinetic


class TurnedByFullDimension(MAMSBug):
    """A turn, with its energy, by |g| / d in place of |g| / (d - 1): the dynamics of another temperature."""

    def turned(self, u, score, time):
        dim = u.shape[-1]
        u, kinetic = isokinetic.turned(u, (dim - 1) / dim * score, time)
        return u, dim / (dim - 1) * kinetic


class MissingHalfTurn(MAMSBug):
    """The second half of every turn is left out."""

    def second_half(self, u, before, moved, time):
        return u, 0.0


class UnevenTurns(MAMSBug):
    """A whole turn before the move and none after it: the energy is right, the way is not reversible."""

    def turned(self, u, score, time):
        return isokinetic.turned(u, score, 2 * time)

    def second_half(self, u, before, moved, time):
        return u, 0.0


class CorrelatedDirections(MAMSBug):
    """Directions of a Gaussian whose coordinates are correlated, as of a mass matrix that was forgotten."""

    def directions(self, x, generator):
        noise = noise_like(x, generator)
        return isokinetic.unit(noise + 0.5 * noise.flip(-1))


class WrongSign(MAMSBug):
    """The kinetic energy with its sign turned."""

    def log_ratio_of(self, gained, kinetic, start, u):
        return gained + kinetic


class PotentialAlone(MAMSBug):
    """The ratio of the densities alone, as if the way kept volume."""

    def log_ratio_of(self, gained, kinetic, start, u):
        return gained


class StaleScore(MAMSBug):
    """The second half turn by the score of where the move began."""

    def second_half(self, u, before, moved, time):
        return self.turned(u, before.score, time)


class ScoreNotRenewed(MAMSBug):
    """The cached score is not renewed on acceptance."""

    def accept(self, state, end, log_ratio, generator):
        new, info = super().accept(state, end, log_ratio, generator)
        return replace(new, score=state.score), info


class Unadjusted(MAMSBug):
    """No test at all."""

    def accept(self, state, end, log_ratio, generator):
        return super().accept(state, end, torch.zeros_like(log_ratio), generator)


def _bug(kind):
    return kind(0.9, "identity", steps=3)


RIGHT = _bug(MAMSBug)

MICROCANONICAL = {
    "MAMS with d in place of d - 1 in its energy": _bug(FullDimension),
    "MAMS turned by the score over d": _bug(TurnedByFullDimension),
    "MAMS with a missing half turn": _bug(MissingHalfTurn),
    "MAMS with a whole turn before each move": _bug(UnevenTurns),
    "MAMS with correlated directions": _bug(CorrelatedDirections),
    "MAMS with the sign of the kinetic energy turned": _bug(WrongSign),
    "MAMS with the density alone in the ratio": _bug(PotentialAlone),
    "MAMS turned by a stale score": _bug(StaleScore),
    "MAMS with a score that is not renewed": _bug(ScoreNotRenewed),
    "MAMS without a test": _bug(Unadjusted),
}
